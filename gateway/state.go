package gateway

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/session"
	"github.com/holdfast-ev/holdfast/uplink"
)

// StateVersion is the version of the snapshot form of [State].
const StateVersion = 1

// Labels that the core attaches to sessions.
const (
	LabelOCPP16      = "ocpp16.transaction_id" // ours, given to a 1.6 charger
	LabelOCPP2       = "ocpp2.transaction_id"  // the station's own
	LabelRemote      = "ocpp2.remote_start_id"
	LabelReservation = "ocpp.reservation_id"           // of the reservation that the start used up, as the charger says
	LabelClaim       = "ocpp16.claimed_transaction_id" // what an orphaned stop named; nothing we gave
)

// A State is what a gateway knows for good: the fold of its evidence journal.
// [State.Apply] alone changes it. Its JSON form is the snapshot.
type State struct {
	Version  int                             `json:"version"`
	Epoch    holdfast.Epoch                  `json:"epoch"`
	Next     holdfast.Seq                    `json:"next"` // seq of the next evidence record in Epoch
	Boot     uint32                          `json:"boot"`
	Nonce    string                          `json:"nonce"`
	Stopped  bool                            `json:"stopped"` // the last boot ended in order
	Link     LinkNow                         `json:"link"`
	Time     Timeline                        `json:"time"`
	Refusing bool                            `json:"refusing"` // for want of space
	NextTx   int32                           `json:"next_tx"`  // the lease of OCPP 1.6 transaction ids
	Access   *access.State                   `json:"access"`
	Tariff   *TariffNow                      `json:"tariff,omitempty"` // in force for new sessions
	Tariffs  map[holdfast.Hash][]byte        `json:"tariffs"`          // signed bytes of those that live sessions need
	Chargers map[holdfast.ChargerID]*Charger `json:"chargers"`
	Sessions map[holdfast.SessionID]*Session `json:"sessions"`
	Pending  map[holdfast.Seq]*Decision      `json:"pending"`         // accepted, no session yet
	Done     []string                        `json:"done"`            // ids of directives with an outcome, oldest first
	Issued   map[string]bool                 `json:"issued"`          // directives whose command went out and has no outcome yet
	Marks    []Mark                          `json:"marks,omitempty"` // where each day of Epoch began, oldest first
	Versions map[string]uint64               `json:"versions"`
	Power    PowerState                      `json:"power"`
	Gaps     []Gap                           `json:"gaps,omitempty"`  // records that cannot be read, sorted
	Links    map[string]uplink.Usage         `json:"links,omitempty"` // what links with a budget have carried

	index *index // see [State.ix]
}

// Session is a session in the state, with what only a gateway needs to know.
type Session struct {
	session.Session
	Ran int64 `json:"ran_ms"` // State.Time.RanMs when it was opened
}

// LinkNow is the link as the last record of it says.
type LinkNow struct {
	State holdfast.LinkState `json:"state"`
	Cause holdfast.Cause     `json:"cause"`
	Since holdfast.Instant   `json:"since"`
}

// TariffNow is a tariff in force.
type TariffNow struct {
	Ref   record.TariffRef `json:"ref"`
	Bytes []byte           `json:"bytes"` // the signed statement
}

// A Mark says where a day of the journal began, for what is kept for a number of
// days.
type Mark struct {
	Seq holdfast.Seq       `json:"seq"`
	At  holdfast.UnixMilli `json:"at"`
}

// MaxMarks bounds the days that are remembered. Beyond it the oldest two are
// taken as one.
const MaxMarks = 400

const dayMillis = 24 * 3600 * 1000

// mark notes the first record of a day by proven time: a clock that anybody can
// set neither begins a day nor keeps one from beginning.
func (s *State) mark(r record.Record) {
	at := s.Access.TimeAt(r.At)
	if n := len(s.Marks); at == 0 || n > 0 && at < s.Marks[n-1].At+dayMillis {
		return
	}
	if len(s.Marks) >= MaxMarks {
		s.Marks = slices.Delete(s.Marks, 1, 2)
	}
	s.Marks = append(s.Marks, Mark{r.Seq, at})
}

// A Charger is what is known for good about a charger.
type Charger struct {
	Boot      record.ChargerBooted          `json:"boot"`
	BootedAt  holdfast.Instant              `json:"booted_at"`
	Clock     *record.ChargerClock          `json:"clock,omitempty"` // as last noted; nil: never off by much
	BootedRan int64                         `json:"booted_ran_ms"`   // State.Time.RanMs at BootedAt
	Up        bool                          `json:"up"`
	Security  int                           `json:"security,omitempty"` // the highest security profile that it has used, from 2 on
	Registers map[string]holdfast.WattHours `json:"registers"`          // last trusted register, by EVSE
	Native    *NativeState                  `json:"native,omitempty"`
}

// A Decision is an accepted credential that waits for its session.
type Decision struct {
	Seq     holdfast.Seq         `json:"seq"`
	At      holdfast.Instant     `json:"at"`
	Ran     int64                `json:"ran_ms"` // State.Time.RanMs at At
	Charger holdfast.ChargerID   `json:"charger"`
	Body    record.AccessDecided `json:"body"`
}

// NewState returns the state before the first record.
func NewState() *State {
	return &State{
		Version:  StateVersion,
		Access:   access.New(),
		Link:     LinkNow{State: holdfast.Offline, Cause: holdfast.CauseStartup},
		Tariffs:  map[holdfast.Hash][]byte{},
		Chargers: map[holdfast.ChargerID]*Charger{},
		Sessions: map[holdfast.SessionID]*Session{},
		Pending:  map[holdfast.Seq]*Decision{},
		Issued:   map[string]bool{},
		Versions: map[string]uint64{},
		Power:    newPowerState(),
	}
}

// Apply folds one evidence record, whose bytes have the given leaf hash. It
// fails only when the records contradict each other, which means that they are
// not one gateway's journal.
func (s *State) Apply(r record.Record, leaf holdfast.Hash) error {
	s.Access.Observe(r.At)
	s.Time.observe(r.At)
	if _, ok := r.Body.(*record.EpochOpened); ok {
		return s.applyEpoch(r, leaf)
	}
	if r.Seq != s.Next {
		return fmt.Errorf("record %d where %d is due", r.Seq, s.Next)
	}
	s.Next++
	s.mark(r)
	if !r.Session.IsZero() {
		return s.applySession(r)
	}
	switch b := r.Body.(type) {
	case *record.GatewayBooted:
		s.Boot, s.Nonce, s.Stopped = b.Boot, b.Nonce, false
		for _, c := range s.Chargers {
			c.Up = false
		}
	case *record.GatewayStopped:
		s.Stopped = true
	case *record.LinkChanged:
		s.applyLink(r, b)
	case *record.LinkUsage:
		s.applyUsage(b)
	case *record.TimeFloorRaised:
		s.Access.RaiseFloor(b.Floor, r.At)
		s.Access.Confirm(r.At)
	case *record.ExposureSettled:
		s.Access.SettleAll()
	case *record.StorageChanged:
		s.Refusing = b.Refusing
	case *record.SegmentQuarantined:
		s.applyGap(b)
	case *record.ChargerBooted:
		c := s.charger(r.Charger)
		c.Boot, c.BootedAt, c.BootedRan = *b, r.At, s.Time.RanMs
	case *record.ChargerLink:
		s.charger(r.Charger).Up = b.Up
	case *record.ChargerClock:
		s.charger(r.Charger).Clock = b
	case *record.ChargerSecured:
		s.charger(r.Charger).Security = b.Profile
	case *record.ChargerReadiness, *record.ChargerList:
		s.applyNative(r)
	case *record.StatementInstalled:
		return s.applyStatement(r, b)
	case *record.DirectiveDone:
		s.Done = append(s.Done, b.ID)
		delete(s.Issued, b.ID)
		if n := len(s.Done) - MaxDoneDirectives; n > 0 {
			s.Done = slices.Delete(s.Done, 0, n)
		}
	case *record.CommandSent:
		if b.Directive != "" {
			s.Issued[b.Directive] = true
		}
	case *record.AccessDecided:
		s.applyDecision(r, b)
	case *record.AccessLapsed:
		s.unpend(b.Decision)
	case *record.PowerLimit, *record.PowerShared, *record.PowerFailSafe, *record.PowerCutOut:
		s.Power.apply(r, s.Time.RanMs)
	case *record.SessionOpened, *record.StopOrphaned:
		return s.applyOpen(r, leaf)
	}
	return nil
}

// Skip passes over records that cannot be read any more: their segment is
// quarantined. Everything after them still folds.
func (s *State) Skip(to holdfast.Seq) { s.Next = max(s.Next, to) }

// applyEpoch begins an epoch at seq 0. What was known stays known: sessions run
// on, versions and the time floor never fall. The lease of transaction ids
// jumps to a place that depends on the epoch, so that ids which the lost part
// of a journal gave out are not given again.
func (s *State) applyEpoch(r record.Record, leaf holdfast.Hash) error {
	if r.Seq != 0 {
		return fmt.Errorf("epoch opened at %d, want 0", r.Seq)
	}
	s.Next, s.Marks = 1, nil
	s.NextTx = int32(binary.BigEndian.Uint32(leaf[:4])&0x3fffffff) + 1
	pending := s.Pending
	s.Pending, s.index = map[holdfast.Seq]*Decision{}, nil
	for seq := range pending {
		// Positions of the old epoch cannot be named in the new one.
		s.Access.Release(uint64(seq))
	}
	return nil
}

// applyLink folds a transition. Leaving OFFLINE proves contact, and contact
// proves the list fresh: a newer one would have come with it.
func (s *State) applyLink(r record.Record, b *record.LinkChanged) {
	s.Link = LinkNow{State: b.To, Cause: b.Cause, Since: r.At}
	if b.To != holdfast.Offline {
		s.Access.Confirm(r.At)
	}
	if b.To == holdfast.Synced {
		s.Access.SettleAll() // all that ended in the outage is in the cloud's books
	}
}

func (s *State) applyDecision(r record.Record, b *record.AccessDecided) {
	if !b.Accepted || b.LapsesIn == 0 {
		return
	}
	s.Access.Reserve(uint64(r.Seq), b.Token, b.Reserved)
	body := *b
	body.Sealed = ""
	d := &Decision{Seq: r.Seq, At: r.At, Ran: s.Time.RanMs, Charger: r.Charger, Body: body}
	s.ix().pend(d)
	s.Pending[r.Seq] = d
}

// unpend takes back what a pending decision reserved.
func (s *State) unpend(seq holdfast.Seq) {
	d := s.Pending[seq]
	if d == nil {
		return
	}
	s.ix().unpend(d)
	delete(s.Pending, seq)
	s.Access.Release(uint64(seq))
}

func (s *State) applyOpen(r record.Record, leaf holdfast.Hash) error {
	opened, err := session.Open(holdfast.SessionID(leaf), r)
	if err != nil {
		return err
	}
	ses := &Session{Session: *opened, Ran: s.Time.RanMs}
	if _, twice := s.Sessions[ses.ID]; twice {
		return fmt.Errorf("session %s opened twice", ses.ID.Short())
	}
	s.ix().add(ses)
	s.Sessions[ses.ID] = ses
	if b := opened.Opened; b != nil {
		s.expose(ses.ID, b.Decision, b.Token, b.Reserved)
		s.keepTariff(b.Tariff)
		s.leaseTx(b.Labels[LabelOCPP16])
	}
	s.Power.forget(ses.Charger, ses.EVSE()) // a set-point ends with its transaction
	s.noteRegister(&ses.Session)
	s.trim(ses.Charger)
	return nil
}

// expose moves what a decision reserved to the session that rests on it.
func (s *State) expose(id holdfast.SessionID, decision *holdfast.Seq, token holdfast.TokenHash, reserved holdfast.Micros) {
	if decision != nil {
		s.unpend(*decision)
	}
	// A session that was opened without a driver holds a reservation of nobody.
	s.Access.Release(sessionKey(id))
	s.Access.Reserve(sessionKey(id), token, reserved)
}

// sessionKey is the exposure key of a session. Decisions use their seq, which
// stays far below 2^63; the top bit keeps the two apart.
func sessionKey(id holdfast.SessionID) uint64 {
	return binary.BigEndian.Uint64(id[:8]) | 1<<63
}

func (s *State) leaseTx(label string) {
	n, err := strconv.ParseInt(label, 10, 32)
	if err != nil || n < 1 {
		return
	}
	if n == math.MaxInt32 {
		s.NextTx = 1
	} else {
		s.NextTx = int32(n) + 1
	}
}

func (s *State) keepTariff(ref *record.TariffRef) {
	if ref != nil && s.Tariff != nil && s.Tariff.Ref.Hash == ref.Hash {
		s.Tariffs[ref.Hash] = s.Tariff.Bytes
	}
}

func (s *State) applySession(r record.Record) error {
	ses := s.Sessions[r.Session]
	if ses == nil {
		return nil // forgotten long ago: nothing here depends on it any more
	}
	known := factsOf(ses)
	s.ix() // before the change: it is built from what is there
	if err := ses.Apply(r); err != nil {
		return err
	}
	s.index.changed(ses, known)
	s.noteRegister(&ses.Session)
	switch b := r.Body.(type) {
	case *record.SessionAuthorized:
		if known.running {
			s.expose(ses.ID, b.Decision, b.Token, b.Reserved)
			s.keepTariff(b.Tariff)
		}
	case *record.SessionEnded:
		if known.running {
			s.Power.forget(ses.Charger, ses.EVSE())
			s.Access.Spend(sessionKey(ses.ID), b.Cost)
			s.trim(ses.Charger)
		}
	}
	return nil
}

func (s *State) noteRegister(ses *session.Session) {
	if wh, ok := ses.Meter.Last(); ok {
		s.charger(ses.Charger).Registers[strconv.Itoa(ses.EVSE())] = wh
	}
}

func (s *State) charger(id holdfast.ChargerID) *Charger {
	c := s.Chargers[id]
	if c == nil {
		c = &Charger{Registers: map[string]holdfast.WattHours{}}
		s.Chargers[id] = c
	}
	return c
}

// trim forgets a charger's oldest ended sessions beyond MaxEndedKept, and the
// tariffs that nothing needs any more. The journal keeps them all.
func (s *State) trim(id holdfast.ChargerID) {
	x := s.ix()
	if sh := x.chargers[id]; sh != nil {
		ended := slices.DeleteFunc(slices.Clone(sh.all), func(ses *Session) bool { return ses.Running() })
		for _, ses := range ended[:max(0, len(ended)-MaxEndedKept)] {
			x.remove(ses)
			delete(s.Sessions, ses.ID)
		}
	}
	for h := range s.Tariffs {
		if x.tariffs[h] == 0 {
			delete(s.Tariffs, h)
		}
	}
}

// cmpSessions orders sessions by when they were opened: boot, then the
// monotonic clock, then the id. Positions do not compare across epochs.
func cmpSessions(a, b *Session) int {
	return cmp.Or(
		cmp.Compare(a.OpenedAt.Boot, b.OpenedAt.Boot),
		cmp.Compare(a.OpenedAt.Mono, b.OpenedAt.Mono),
		bytes.Compare(a.ID[:], b.ID[:]),
	)
}
