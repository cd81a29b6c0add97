package ledger

import (
	"cmp"
	"slices"
	"strings"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/session"
)

// The codes that the ledger itself finds. Others come from package session, the
// gateway and the cloud; [Kinds] lists them all.
const (
	FeasRegister        = "FEAS_REGISTER"
	FeasRegisterOverlap = "FEAS_REGISTER_OVERLAP"
	FeasOverlap         = "FEAS_OVERLAP"
	FeasFuture          = "FEAS_FUTURE"
	AuthCapExceeded     = "AUTH_CAP_EXCEEDED"
	AuthNoToken         = "AUTH_NO_TOKEN"
	EvidFork            = "EVID_FORK"
	EvidReplayed        = "EVID_REPLAYED"
	EvidMisplaced       = "EVID_MISPLACED"
	EvidForeign         = "EVID_FOREIGN"
	EvidMixed           = "EVID_MIXED"
	EvidNoOpening       = "EVID_NO_OPENING"
	EvidFold            = "EVID_FOLD"
	EvidOversize        = "EVID_OVERSIZE"
	EvidClock           = "EVID_CLOCK"
	EvidDuration        = "EVID_DURATION"
	EvidNoDate          = "EVID_NO_DATE"
	EvidEnergyOutside   = "EVID_ENERGY_OUTSIDE"
	PairDuplicate       = "PAIR_DUPLICATE"
	RateTariffMissing   = "RATE_TARIFF_MISSING"
	RateTariffMismatch  = "RATE_TARIFF_MISMATCH"
	RateTariffStale     = "RATE_TARIFF_STALE"
	RateUsage           = "RATE_USAGE"
)

// An Owner is the desk that an exception lands on first.
type Owner string

// The owners.
const (
	Operations Owner = "operations" // sites, chargers, gateways
	Billing    Owner = "billing"    // sessions, tariffs, money
	Security   Owner = "security"   // credentials, keys, evidence
)

// An Action is what a person may do with an exception.
type Action string

// The actions. Each is itself evidence: a record in the cloud's own journal.
const (
	AcceptMetered Action = "accept metered" // bill what the meter says
	ReRate        Action = "re-rate"        // price again, with another tariff or quantity
	Link          Action = "link"           // join it with the session it belongs to
	Duplicate     Action = "duplicate"      // it is another session again: bill only one
	Waive         Action = "waive"          // bill nothing, and say why
	Note          Action = "note"           // nothing to change: noted and closed
)

// A Kind is what is known about a code before it happens.
type Kind struct {
	Code     string
	Sentence string // what happened, for people
	Why      string // why it matters
	Owner    Owner
	DueHours int64 // from opening to decision
	Blocks   bool  // nothing is billed before a person decided; "may" where it depends says Sentence
	Actions  []Action
}

// An Exception is a case for a person.
type Exception struct {
	Code     string             `json:"code"`
	Session  holdfast.SessionID `json:"session"` // zero when no session can be named
	Sentence string             `json:"sentence"`
	Details  []string           `json:"details"`  // what was found, distinct, sorted, at most MaxDetails
	Count    int                `json:"count"`    // findings that this exception stands for
	Evidence []holdfast.Pos     `json:"evidence"` // at most MaxEvidence
	Owner    Owner              `json:"owner"`
	DueS     int64              `json:"due_s"` // seconds from its opening
	Blocks   bool               `json:"blocks"`
}

// Bounds of one exception. What is beyond them is counted and left out: the
// first few positions lead to the rest.
const (
	MaxDetails  = 8
	MaxEvidence = 32
)

// Key names the exception for ever: a session has at most one of each code, and
// what is found again later is the same case.
func (e Exception) Key() string { return e.Session.String() + "/" + e.Code }

// Detail is Details in one line.
func (e Exception) Detail() string { return strings.Join(e.Details, "; ") }

func newException(code, detail string, at ...holdfast.Pos) Exception {
	k, _ := KindOf(code)
	return Exception{
		Code: code, Sentence: k.Sentence, Details: []string{detail}, Count: 1, Evidence: at,
		Owner: k.Owner, DueS: k.DueHours * 3600, Blocks: k.Blocks,
	}
}

// tidy merges exceptions of one code and sorts them, so that the result depends
// on what was found and not on the order of finding.
func tidy(list []Exception, id holdfast.SessionID) []Exception {
	byCode := map[string]*Exception{}
	for _, x := range list {
		x.Session = id
		m := byCode[x.Code]
		if m == nil {
			x.Details, x.Evidence = slices.Clone(x.Details), slices.Clone(x.Evidence)
			byCode[x.Code] = &x
			continue
		}
		m.Details = append(m.Details, x.Details...)
		m.Evidence = append(m.Evidence, x.Evidence...)
		m.Count += x.Count
		m.Blocks = m.Blocks || x.Blocks
	}
	out := make([]Exception, 0, len(byCode))
	for _, m := range byCode {
		slices.Sort(m.Details)
		m.Details = slices.Compact(m.Details)
		m.Details = m.Details[:min(len(m.Details), MaxDetails)]
		slices.SortFunc(m.Evidence, comparePos)
		m.Evidence = slices.Compact(m.Evidence)
		m.Evidence = m.Evidence[:min(len(m.Evidence), MaxEvidence)]
		out = append(out, *m)
	}
	slices.SortFunc(out, func(a, b Exception) int { return cmp.Compare(a.Code, b.Code) })
	return out
}

// KindOf returns what is known about a code. A code that this software does not
// know (a newer gateway's) goes to operations, blocks nothing and is due in a
// day: it is shown, whatever it is.
func KindOf(code string) (Kind, bool) {
	for _, k := range Kinds() {
		if k.Code == code {
			return k, true
		}
	}
	return Kind{
		Code: code, Sentence: "A newer gateway reports something that this cloud has no words for.",
		Why: "Update the cloud to read it.", Owner: Operations, DueHours: 24, Actions: []Action{Note},
	}, false
}

// Kinds lists every code, in the order of docs/exceptions.md.
func Kinds() []Kind {
	return slices.Concat(feasibility(), authorisation(), evidenceKinds(), pairing(), rating(), powerKinds())
}

// powerKinds are raised by a gateway that shares its site's power.
func powerKinds() []Kind {
	return []Kind{
		{"POWER_FAILSAFE", "A charger does not hold its fail-safe power profile.",
			"Without one nobody limits it when the gateway is gone; it counts with its full power, and others get less.", Operations, 24, false, []Action{Note}},
		{"POWER_REFUSED", "A charger refused a lower power, and its session was stopped.",
			"The site's limit cannot be kept with it.", Operations, 24, false, []Action{Note}},
		{"POWER_EXCEEDED", "A charger delivered more than it had acknowledged, and its session was stopped.",
			"The site's limit cannot be kept with it.", Operations, 24, false, []Action{Note}},
		{"POWER_CUTOUT", "Sessions had not stopped at the deadline of the safety cut-out.",
			"Energy flowed although somebody had asked that it stop.", Operations, 4, false, []Action{Note}},
	}
}

func feasibility() []Kind {
	meter := []Action{AcceptMetered, ReRate, Waive, Note}
	return []Kind{
		{session.DoubtEnergy, "More energy was metered than the connector can deliver in that time.",
			"A wrong unit or a placeholder register would be billed a thousandfold.", Billing, 24, true, meter},
		{session.DoubtDuration, "The session is longer than any that is billed without a person.",
			"A stop that was lost, or a clock that jumped, would be billed as time.", Billing, 24, true, meter},
		{FeasFuture, "The charger's clock is ahead of the gateway's synchronised clock.",
			"Times on the bill are the charger's; a driver will not recognise them.", Operations, 72, false, []Action{Note}},
		{session.DoubtRegression, "The meter register fell during the session.",
			"Energy around the fall is unknown and not billed; the meter was reset or replaced.", Operations, 72, false, meter},
		{FeasRegister, "A register is outside what a meter can show.",
			"The difference of two such numbers is no energy.", Operations, 24, true, meter},
		{FeasOverlap, "Two sessions on one EVSE overlap in time.",
			"An EVSE charges one vehicle at a time: one of the two has a wrong start or stop.", Billing, 72, false, []Action{Link, Duplicate, Note}},
		{FeasRegisterOverlap, "The registers of two sessions on one EVSE overlap.",
			"The same Wh would be billed twice; the later session waits.", Billing, 24, true, []Action{Duplicate, AcceptMetered, Waive, Note}},
	}
}

func authorisation() []Kind {
	return []Kind{
		{session.DoubtNoDecision, "The charger started on its own while it could not ask.",
			"Nobody checked the credential; it is billed, and may not be paid.", Operations, 72, false, []Action{Waive, Note}},
		{session.DoubtRefused, "The charger delivered energy although the credential was refused.",
			"The charger does not obey, and nobody agreed to pay.", Security, 24, true, []Action{AcceptMetered, Waive, Note}},
		{AuthNoToken, "Energy was delivered and no credential was ever presented.",
			"There is nobody to bill.", Operations, 24, true, []Action{Link, Waive, Note}},
		{AuthCapExceeded, "The session went over the limit that it was accepted with.",
			"What was delivered is billed; the overshoot is the operator's risk.", Billing, 72, false, []Action{ReRate, Waive, Note}},
	}
}

func evidenceKinds() []Kind {
	look := []Action{AcceptMetered, Waive, Note}
	return []Kind{
		{EvidFork, "Two different records claim one position.",
			"A gateway was cloned or its history rewritten: neither record can be believed.", Security, 4, true, look},
		{EvidReplayed, "The same record lies at two positions.",
			"An old batch was played again; it is counted once.", Security, 24, false, []Action{Note}},
		{EvidMisplaced, "A record lies at a position that is not its own.",
			"Records were moved or spliced.", Security, 4, true, look},
		{EvidForeign, "A record about this session came from another gateway or names another charger or session.",
			"It is not counted; somebody may be trying to change another's bill.", Security, 24, false, []Action{Note}},
		{EvidMixed, "Records of several sessions came as one.",
			"The books cannot tell whose energy it is.", Security, 24, true, []Action{Link, Waive, Note}},
		{EvidNoOpening, "The record that opened the session is not there.",
			"It may still arrive; until then nothing is known about its start.", Operations, 72, true, []Action{Link, Waive, Note}},
		{EvidFold, "The records do not tell the story of one session.",
			"No bill can rest on a story that contradicts itself.", Billing, 24, true, look},
		{EvidOversize, "The session has more records than can be folded.",
			"A gateway writes far fewer; something repeats itself.", Operations, 24, true, look},
		{session.DoubtBaseline, "The start register was a placeholder and no reading.",
			"Energy is billed from the first register that can be true; what flowed before is unknown.", Operations, 72, false, []Action{AcceptMetered, ReRate, Note}},
		{session.DoubtMeterBroken, "The meter register fell again and again.",
			"A difference of its readings is no energy.", Operations, 24, true, look},
		{session.DoubtNoRegister, "No meter register arrived at all.",
			"How much was delivered is unknown; it is not zero.", Operations, 24, true, []Action{ReRate, Waive, Note}},
		{EvidEnergyOutside, "The meter ran on between two sessions.",
			"Energy left the EVSE and nobody is billed for it.", Operations, 72, false, []Action{Link, Note}},
		{EvidClock, "Time is billed and no clock involved was synchronised.",
			"The duration is what the charger says, and nothing speaks for it or against it.", Billing, 72, false, []Action{ReRate, Waive, Note}},
		{EvidDuration, "Time is billed and nobody can say how long the session took.",
			"Power was away between two unproven clocks, or a clock was set in between: a guess would be billed.", Billing, 24, true, []Action{AcceptMetered, ReRate, Waive, Note}},
		{"EVID_SEQ_GAP", "A charger skipped numbers in what it says about a transaction.",
			"It has lost messages of the session, and readings with them; what its registers say is billed all the same.", Operations, 72, false, []Action{Note}},
		{EvidNoDate, "Neither the charger nor the gateway knew the date.",
			"A bill needs a day; the records around it may tell which.", Operations, 24, true, look},
		{"EVID_SIGNATURE", "A checkpoint is not signed with the gateway's key, or belongs to another journal.",
			"What it should cover is neither billed nor pruned: somebody else may have written it.", Security, 4, false, []Action{Note}},
		{"EVID_CHAIN_GAP", "A checkpoint's root is not the root of the records that arrived.",
			"A record was changed, left out or added between the gateway's disk and here.", Security, 4, false, []Action{Note}},
		{"EVID_FRAME", "Uploaded bytes are not a whole run of journal frames.",
			"They changed nothing; the gateway sends its copy again.", Operations, 24, false, []Action{Note}},
		{"EVID_UNREADABLE", "A record cannot be read by this version of the cloud.",
			"It is kept and covered like any other; a newer version reads it when the books are rebuilt.", Operations, 24, false, []Action{Note}},
		{"EVID_RECEIPT", "The driver's receipt could not be made or signed.",
			"The bill is not touched; the driver has no signed statement of it.", Operations, 72, false, []Action{Note}},
		{"EVID_HISTORY_LOST", "The gateway lost records that the cloud had acknowledged, or was restored from an old copy.",
			"A new epoch began; what is missing on the gateway is in the cloud's archive.", Security, 4, false, []Action{Note}},
		{"EVID_SEGMENT_DAMAGED", "A sealed journal segment failed verification and was set aside.",
			"It is replaced by the cloud's copy where there is one.", Operations, 24, false, []Action{Note}},
	}
}

func pairing() []Kind {
	pair := []Action{Link, AcceptMetered, Waive, Note}
	return []Kind{
		{session.DoubtMissingStart, "A stop arrived for a session whose start was never seen.",
			"Who charged, since when and at which price is unknown.", Billing, 24, true, pair},
		{session.DoubtMissingStop, "The session was closed without a stop message.",
			"It is billed up to the last register that arrived; the stop may still come.", Operations, 72, false, pair},
		{PairDuplicate, "The same session seems to have been reported twice.",
			"One of the two must not be billed.", Billing, 24, true, []Action{Duplicate, AcceptMetered, Waive, Note}},
		{"PAIR_GUESSED", "A stop without a usable transaction id was paired by driver, register and time.",
			"The pairing is sound only if no other session fits.", Billing, 72, false, []Action{Link, Note}},
		{"PAIR_LATE_START", "The start of a session arrived after its stop.",
			"The stop had been kept as one without a start; the two belong together.", Billing, 72, false, []Action{Link, Note}},
	}
}

func rating() []Kind {
	price := []Action{ReRate, Waive, Note}
	return []Kind{
		{RateTariffMissing, "No tariff is known for the session.",
			"It cannot be priced, and a price is never assumed.", Billing, 24, true, price},
		{RateTariffMismatch, "The tariff that the session names is another one than its hash belongs to.",
			"The driver may have been shown another price.", Billing, 24, true, price},
		{RateTariffStale, "The tariff was outside its validity when the session began.",
			"It is billed as it was shown to the driver; the site has not got the next one.", Billing, 72, false, price},
		{RateUsage, "Energy or time is outside what a session can use.",
			"It cannot be priced without overflow or a negative amount.", Billing, 24, true, price},
	}
}
