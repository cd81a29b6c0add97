package ledger

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/record"
)

// MaxItems bounds the distinct records of one session, well above what a
// gateway writes for one (readings that are evidence are bounded per session).
// A session with more is an exception and is not folded.
const MaxItems = 1 << 16

// An Item is one record of a session with its place in the journal. The caller
// vouches that Leaf is the leaf hash of the record's bytes at Pos.
type Item struct {
	Pos    holdfast.Pos
	Leaf   holdfast.Hash
	Record record.Record
}

// evidence is a session's items, put in order and rid of what cannot be folded.
type evidence struct {
	id      holdfast.SessionID
	opening Item // zero when the opening record is not there
	end     *Item
	items   []Item // opening first
	faults  []Exception
}

// gather sorts and sifts. It depends only on the set of items.
func gather(items []Item) evidence {
	var e evidence
	items = e.distinct(items)
	if len(items) > MaxItems {
		e.fault(EvidOversize, fmt.Sprintf("%d records, at most %d are folded", len(items), MaxItems), items[0].Pos)
		items = nil
	}
	items = inOrder(items)
	openings := slices.DeleteFunc(slices.Clone(items), func(i Item) bool { return !opens(i.Record) })
	switch len(openings) {
	case 0:
		e.noOpening(items)
	case 1:
		e.opening, e.id = openings[0], holdfast.SessionID(openings[0].Leaf)
		e.own(items)
	default:
		for _, o := range openings {
			e.fault(EvidMixed, "records of several sessions came as one", o.Pos)
		}
	}
	return e
}

// fault adds a finding to the exception of its code, so that a flood of them
// costs no more than its positions.
func (e *evidence) fault(code, detail string, at ...holdfast.Pos) {
	for i := range e.faults {
		if x := &e.faults[i]; x.Code == code {
			x.Details, x.Evidence, x.Count = append(x.Details, detail), append(x.Evidence, at...), x.Count+1
			return
		}
	}
	e.faults = append(e.faults, newException(code, detail, at...))
}

// opens reports whether r opens a session. Its envelope then names none: the
// session's name is the hash of this very record.
func opens(r record.Record) bool {
	if !r.Session.IsZero() {
		return false
	}
	switch r.Body.(type) {
	case *record.SessionOpened, *record.StopOrphaned:
		return true
	}
	return false
}

// distinct drops repetitions. Two leaves for one position are a fork: neither
// can be believed, both are left out. One leaf at two positions is a replay:
// the bytes of a record hold its own seq and instant, so an honest gateway
// cannot write them twice; the first by position counts.
func (e *evidence) distinct(items []Item) []Item {
	items = slices.Clone(items)
	slices.SortFunc(items, func(a, b Item) int {
		return cmp.Or(comparePos(a.Pos, b.Pos), bytes.Compare(a.Leaf[:], b.Leaf[:]))
	})
	items = slices.CompactFunc(items, func(a, b Item) bool { return a.Pos == b.Pos && a.Leaf == b.Leaf })
	var out []Item
	seen := map[holdfast.Hash]holdfast.Pos{}
	for i := 0; i < len(items); {
		n := i + 1
		for n < len(items) && items[n].Pos == items[i].Pos {
			n++
		}
		it := items[i]
		first, replayed := seen[it.Leaf]
		switch {
		case n > i+1:
			e.fault(EvidFork, fmt.Sprintf("%d different records at one position", n-i), it.Pos)
		case it.Record.Body == nil:
			e.fault(EvidFold, "a record without a body", it.Pos)
		case it.Record.Seq != it.Pos.Seq:
			e.fault(EvidMisplaced, fmt.Sprintf("a record that calls itself %d lies at %d", it.Record.Seq, it.Pos.Seq), it.Pos)
		case replayed:
			e.fault(EvidReplayed, "the same record lies at two positions; the first counts", first, it.Pos)
		default:
			seen[it.Leaf] = it.Pos
			out = append(out, it)
		}
		i = n
	}
	return out
}

// comparePos orders positions for the sake of a fixed order; between epochs it
// says nothing about time.
func comparePos(a, b holdfast.Pos) int {
	return cmp.Or(cmp.Compare(a.Gateway, b.Gateway), cmp.Compare(a.Journal, b.Journal),
		bytes.Compare(a.Epoch[:], b.Epoch[:]), cmp.Compare(a.Seq, b.Seq))
}

// inOrder sorts items into the order in which they were written: by seq within
// an epoch, and epochs by the boot and the monotonic time of their first item,
// because epoch ids are random.
func inOrder(items []Item) []Item {
	type run struct {
		gateway holdfast.GatewayID
		epoch   holdfast.Epoch
	}
	first := map[run]holdfast.Instant{}
	for _, i := range items { // sorted by position: the first of a run is its lowest seq
		r := run{i.Pos.Gateway, i.Pos.Epoch}
		if _, ok := first[r]; !ok {
			first[r] = i.Record.At
		}
	}
	items = slices.Clone(items)
	slices.SortStableFunc(items, func(a, b Item) int {
		ra, rb := run{a.Pos.Gateway, a.Pos.Epoch}, run{b.Pos.Gateway, b.Pos.Epoch}
		if ra == rb {
			return comparePos(a.Pos, b.Pos)
		}
		return cmp.Or(cmp.Compare(first[ra].Boot, first[rb].Boot), cmp.Compare(first[ra].Mono, first[rb].Mono),
			comparePos(a.Pos, b.Pos))
	})
	return items
}

// noOpening handles records whose opening record is not there (yet).
func (e *evidence) noOpening(items []Item) {
	if len(items) == 0 {
		return
	}
	e.id = items[0].Record.Session
	e.fault(EvidNoOpening, fmt.Sprintf("%d records of a session whose opening record is not there", len(items)), items[0].Pos)
}

// own keeps what belongs to the session: records that name it, from the gateway
// that opened it and about the charger that it is on. What others say about it
// is set aside, and does not hold up the bill: otherwise a stolen gateway could
// hold up everybody's.
func (e *evidence) own(items []Item) {
	o := e.opening
	e.items = append(e.items, o)
	for _, it := range items {
		r := it.Record
		switch {
		case it.Pos == o.Pos:
		case it.Pos.Gateway != o.Pos.Gateway || it.Pos.Journal != o.Pos.Journal:
			e.fault(EvidForeign, "a record about this session from elsewhere; it is not counted", it.Pos)
		case r.Session != e.id || r.Charger != "" && r.Charger != o.Record.Charger:
			e.fault(EvidForeign, "a record about another session or charger; it is not counted", it.Pos)
		default:
			e.items = append(e.items, it)
			if _, ok := r.Body.(*record.SessionEnded); ok {
				e.end = &it
			}
		}
	}
}

// records returns the bodies to fold.
func (e *evidence) records() []record.Record {
	out := make([]record.Record, len(e.items))
	for i, it := range e.items {
		out[i] = it.Record
	}
	return out
}

// corners returns the positions that a person looks at first: where the session
// began and where it ended.
func (e *evidence) corners() []holdfast.Pos {
	at := []holdfast.Pos{e.opening.Pos}
	if e.end != nil {
		at = append(at, e.end.Pos)
	}
	return at
}
