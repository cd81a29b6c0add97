package crash

import (
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/charger"
	"github.com/holdfast-ev/holdfast/internal/durable"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/record"
)

// The labels under which gateway and cloud keep the chargers' transaction ids.
const (
	label16  = "ocpp16.transaction_id"
	label201 = "ocpp2.transaction_id"
)

// A claim is one charging session as its charger knows it.
type claim struct {
	Charger string
	N       int // the charger's own count
	Tx      string
	Started bool // the start was answered, in 1.6 with this Tx
	Stopped bool // the stop was answered
	Offline bool // begun on the charger's own authority
	Start   int64
	Stop    int64
	Wh      int64
	Trouble string // what must not happen to a message: turned down, given up
}

func (c claim) String() string {
	return fmt.Sprintf("%s session %d (transaction %q, %d to %d Wh)", c.Charger, c.N, c.Tx, c.Start, c.Stop)
}

// claimsOf asks the chargers.
func claimsOf(chargers []*charger.Charger) (all []claim) {
	for _, ch := range chargers {
		for _, t := range ch.Truth() {
			c := claim{
				Charger: t.Charger, N: t.N, Tx: t.TransactionID, Started: t.StartAcked, Stopped: t.StopAcked,
				Offline: t.Source == "offline", Start: t.StartWh, Stop: t.StopWh, Wh: t.EnergyWh,
			}
			if t.Rejected != "" {
				c.Trouble = "turned down after the start: " + t.Rejected
			}
			if t.Discarded > 0 {
				c.Trouble = fmt.Sprintf("%d messages given up", t.Discarded)
			}
			all = append(all, c)
		}
	}
	return all
}

// A finding is something that is not as it must be.
type finding struct {
	kind string // "lost", "duplicate", "differs", "stray", "unsettled", "ledger" or "evidence"
	text string
}

func (f finding) String() string { return f.kind + ": " + f.text }

type findings []finding

func (f *findings) add(kind, format string, args ...any) {
	*f = append(*f, finding{kind, fmt.Sprintf(format, args...)})
}

// count returns how many findings are of a kind.
func (f findings) count(kind string) (n int) {
	for _, x := range f {
		if x.kind == kind {
			n++
		}
	}
	return n
}

// text lists the first findings, for a failing test.
func (f findings) text() string {
	const most = 20
	var b strings.Builder
	for i, x := range f {
		if i == most {
			fmt.Fprintf(&b, "\n  ... and %d more", len(f)-most)
			break
		}
		fmt.Fprintf(&b, "\n  %s", x)
	}
	return b.String()
}

// An entry is what one side has on a charging session.
type entry struct {
	id      string
	charger string
	tx      string
	start   *int64
	ends    []int64 // register of every stop that a charger has reported
	running bool
}

// settled finds the claims that still wait for an answer: there should be none
// when everything has drained, and nothing can be said about the others' stops.
func settled(claims []claim) (f findings) {
	for _, c := range claims {
		switch {
		case c.Trouble != "":
			f.add("unsettled", "%s: %s", c, c.Trouble)
		case !c.Started || !c.Stopped:
			f.add("unsettled", "%s: start acknowledged %v, stop acknowledged %v", c, c.Started, c.Stopped)
		}
	}
	return f
}

// match compares the claims with one side's entries: each acknowledged start has
// one entry with the same transaction id and register, each acknowledged stop
// one end with the same register, and no entry is left over. It returns the
// entry of each claim, by index; nil where there is none.
func match(side string, claims []claim, entries []entry) (found []*entry, f findings) {
	type key struct{ charger, tx string }
	by := map[key][]*entry{}
	for i := range entries {
		k := key{entries[i].charger, entries[i].tx}
		by[k] = append(by[k], &entries[i])
	}
	found = make([]*entry, len(claims))
	for i, c := range claims {
		k := key{c.Charger, c.Tx}
		list := by[k]
		delete(by, k)
		if len(list) == 0 {
			if c.Started {
				f.add("lost", "%s: the start was acknowledged and %s does not have it", c, side)
			}
			continue
		}
		if len(list) > 1 {
			f.add("duplicate", "%s: %s has it %d times", c, side, len(list))
		}
		found[i] = list[0]
		f.compare(side, c, list[0])
	}
	for _, list := range by {
		for _, e := range list {
			if !unanswered(claims, e) {
				f.add("stray", "%s has session %s of %s, transaction %q, that no charger knows", side, short(e.id), e.charger, e.tx)
			}
		}
	}
	return found, f
}

// compare looks at one pair.
func (f *findings) compare(side string, c claim, e *entry) {
	if e.start == nil || *e.start != c.Start {
		f.add("differs", "%s: %s has it begin at %s", c, side, wh(e.start))
	}
	if !c.Stopped {
		return
	}
	switch {
	case len(e.ends) == 0:
		f.add("lost", "%s: the stop was acknowledged and %s does not have it", c, side)
	case len(e.ends) > 1:
		f.add("duplicate", "%s: %s has %d ends of it: %v", c, side, len(e.ends), e.ends)
	case e.ends[0] != c.Stop:
		f.add("differs", "%s: %s has it end at %d Wh", c, side, e.ends[0])
	}
	if e.running {
		f.add("lost", "%s: the stop was acknowledged and %s has it running", c, side)
	}
}

// unanswered reports whether an entry is the one of a 1.6 start whose answer
// never reached its charger: the charger does not know the id yet.
func unanswered(claims []claim, e *entry) bool {
	return slices.ContainsFunc(claims, func(c claim) bool {
		return c.Charger == e.charger && !c.Started && c.Tx == "" && e.start != nil && *e.start == c.Start
	})
}

func wh(v *int64) string {
	if v == nil {
		return "no register"
	}
	return fmt.Sprintf("%d Wh", *v)
}

// An evidence is what the gateway's evidence journal says.
type evidence struct {
	entries    []entry
	orphans    int
	records    uint64
	boots      int
	epochs     int
	exceptions []string // "CODE: detail"
}

// readEvidence reads a gateway's evidence from outside, beside the process that
// may be writing it.
func readEvidence(dir string) (*evidence, error) {
	fsys, err := durable.OpenDir(dir)
	if err != nil {
		return nil, err
	}
	ev, at := &evidence{}, map[holdfast.SessionID]int{}
	damage, err := journal.Scan(fsys, func(_ journal.Identity, f journal.Frame) error {
		if f.Kind != journal.Record {
			return nil
		}
		r, err := record.Decode(f.Body)
		if err != nil {
			return err
		}
		ev.records++
		ev.take(r, holdfast.SessionID(holdfast.LeafHash(f.Body)), at)
		return nil
	})
	if err == nil && len(damage) > 0 {
		err = fmt.Errorf("%s is damaged: %v", dir, damage)
	}
	return ev, err
}

func (ev *evidence) take(r record.Record, id holdfast.SessionID, at map[holdfast.SessionID]int) {
	switch b := r.Body.(type) {
	case *record.GatewayBooted:
		ev.boots++
	case *record.EpochOpened:
		ev.epochs++
	case *record.StopOrphaned:
		ev.orphans++
	case *record.ExceptionRaised:
		ev.exceptions = append(ev.exceptions, b.Code+": "+b.Detail)
	case *record.SessionOpened:
		at[id] = len(ev.entries)
		e := entry{id: id.String(), charger: string(r.Charger), tx: b.Labels[label16], running: true}
		if e.tx == "" {
			e.tx = b.Labels[label201]
		}
		if b.Start != nil {
			e.start = ptr(int64(*b.Start))
		}
		ev.entries = append(ev.entries, e)
	case *record.SessionEnded:
		i, ok := at[r.Session]
		if !ok {
			ev.orphans++
			return
		}
		ev.entries[i].running = false
		if !strings.HasPrefix(b.Reason, "Holdfast.") && b.Stop != nil {
			ev.entries[i].ends = append(ev.entries[i].ends, int64(*b.Stop))
		}
	}
}

// checkEvidence compares the claims with the gateway's own journal. epochs is
// how many epochs there must be.
func checkEvidence(claims []claim, ev *evidence, epochs int) findings {
	_, f := match("the journal", claims, ev.entries)
	if ev.orphans > 0 {
		f.add("stray", "the journal has %d stops without a session", ev.orphans)
	}
	if ev.epochs != epochs {
		f.add("evidence", "%d epochs, want %d: history was lost", ev.epochs, epochs)
	}
	for _, x := range ev.exceptions {
		f.add("evidence", "the gateway raised %s", x)
	}
	return f
}

// checkBooks compares the claims with the cloud's books: one session, one CDR
// that was never corrected, equal Wh, and a ledger that says the same.
func checkBooks(claims []claim, b *books) findings {
	found, f := match("the cloud", claims, b.entries())
	bills, owed := map[string][]bookCDR{}, b.owed(&f)
	for _, c := range b.cdrs {
		bills[c.Session] = append(bills[c.Session], c)
	}
	for i, c := range claims {
		if found[i] == nil || !c.Stopped {
			continue
		}
		id := found[i].id
		f.bill(c, bills[id], owed[id])
		delete(bills, id)
		delete(owed, id)
	}
	for id, list := range bills {
		f.add("stray", "session %s has %d CDRs and no charger knows it", short(id), len(list))
	}
	for id, amount := range owed {
		if amount != 0 {
			f.add("stray", "session %s: the ledger wants %d micros and no charger knows it", short(id), amount)
		}
	}
	for _, x := range b.exceptions {
		f.add("evidence", "the cloud raised %s (%s) about session %s of %s: %s", x.Code, x.State, short(x.Session), x.Site, x.Detail)
	}
	return f
}

// bill checks what one ended session was billed.
func (f *findings) bill(c claim, list []bookCDR, owed int64) {
	switch {
	case len(list) == 0:
		f.add("lost", "%s: it has no CDR", c)
		return
	case len(list) > 1:
		f.add("duplicate", "%s: it has %d CDRs", c, len(list))
	}
	if one := list[0]; one.Wh != c.Wh || !one.Current {
		f.add("differs", "%s: the meter counted %d Wh, the CDR says %d (current %v)", c, c.Wh, one.Wh, one.Current)
	}
	if owed != list[0].Gross {
		f.add("ledger", "%s: billed %d micros, the ledger says %d", c, list[0].Gross, owed)
	}
}

// owed adds up what the ledger wants for each session, and checks that every
// double entry balances and no line is there twice.
func (b *books) owed(f *findings) map[string]int64 {
	owed, sum, seen := map[string]int64{}, map[string]int64{}, map[string]bool{}
	for _, e := range b.ledger {
		if seen[e.Key] {
			f.add("duplicate", "ledger entry %s is there twice", e.Key)
		}
		seen[e.Key] = true
		sum[e.Booking] += e.Amount
		if e.Account == "receivable" {
			owed[e.Session] += e.Amount
		}
	}
	for booking, over := range sum {
		if over != 0 {
			f.add("ledger", "booking %s does not balance: %d micros over", booking, over)
		}
	}
	return owed
}

func ptr[T any](v T) *T { return &v }

// short cuts an id for people.
func short(id string) string { return id[:min(12, len(id))] }
