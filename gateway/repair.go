package gateway

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/uplink"
)

// Bounds of repairs.
const (
	MaxGaps           = 64     // gaps remembered; one more forgets the first, which the next start alarms again
	RepairRetryMillis = 30_000 // pause after a copy that did not come or did not fit
)

// A Gap is a run of records of a journal that cannot be read on this disk. It
// is known for good, so that it is alarmed once and not at every start.
type Gap struct {
	Journal holdfast.Journal `json:"journal"`
	Epoch   holdfast.Epoch   `json:"epoch"`
	First   holdfast.Seq     `json:"first"` // records First to To-1
	To      holdfast.Seq     `json:"to"`
	File    string           `json:"file,omitempty"` // where the damage was found last
	Offset  int64            `json:"offset"`
	Detail  string           `json:"detail"`
	Lost    bool             `json:"lost,omitempty"` // the cloud has no copy: it stays
}

// repairing is the way of gaps back to records. Nothing of it is durable.
type repairing struct {
	asked bool                 // a Fetch is under way
	next  int64                // mono ms: not before
	turn  int                  // which gap to begin with
	told  map[uplink.Slot]bool // unreadable places that were alarmed in this boot
}

// applyGap folds what became of records that cannot be read.
func (s *State) applyGap(b *record.SegmentQuarantined) {
	g := Gap{Journal: b.Journal, Epoch: b.Epoch, First: b.First, To: b.To, File: b.File, Offset: b.Offset, Detail: b.Detail}
	if g.First >= g.To {
		return // a file that holds no records
	}
	var kept []Gap
	for _, k := range s.Gaps {
		switch {
		case k.Journal != g.Journal || k.Epoch != g.Epoch || k.To < g.First || g.To < k.First:
			kept = append(kept, k)
		case b.Repair == record.RepairPending: // one piece must be repaired as one
			g.First, g.To = min(g.First, k.First), max(g.To, k.To)
		case k.To == g.First || g.To == k.First: // they only touch
			kept = append(kept, k)
		case b.Repair == record.RepairNone:
			k.Lost = true
			kept = append(kept, k)
		default:
			kept = append(kept, k.without(g)...)
		}
	}
	if b.Repair == record.RepairPending {
		kept = append(kept, g)
	}
	slices.SortFunc(kept, func(a, b Gap) int {
		return cmp.Or(cmp.Compare(a.Journal, b.Journal), bytes.Compare(a.Epoch[:], b.Epoch[:]), cmp.Compare(a.First, b.First))
	})
	s.Gaps = kept[max(0, len(kept)-MaxGaps):]
}

// without returns what is left of k when the records of g are there again.
func (k Gap) without(g Gap) (left []Gap) {
	if k.First < g.First {
		before := k
		before.To = g.First
		left = append(left, before)
	}
	if g.To < k.To {
		after := k
		after.First = g.To
		left = append(left, after)
	}
	return left
}

// Missing returns the remembered gap that covers records [first, to), nil for
// none.
func (s *State) Missing(j holdfast.Journal, e holdfast.Epoch, first, to holdfast.Seq) *Gap {
	for i := range s.Gaps {
		if g := &s.Gaps[i]; g.Journal == j && g.Epoch == e && g.First <= first && to <= g.To {
			return g
		}
	}
	return nil
}

// segmentDamaged takes a segment that the loop has set aside.
func (g *Gateway) segmentDamaged(in SegmentDamaged) {
	if !in.SetAside {
		panic("gateway: a damaged segment that nobody has set aside")
	}
	g.quarantined(record.SegmentQuarantined{
		Journal: in.Journal, Epoch: in.Epoch, File: in.File, Offset: in.Offset, First: in.First, To: in.To,
		Detail: in.Detail, Repair: record.RepairPending,
	})
}

// quarantined calls somebody and puts a gap on record, in this order: a power
// cut may tear the one from the other, and an alarm that came twice is better
// than one that never came.
func (g *Gateway) quarantined(q record.SegmentQuarantined) {
	q.Detail = clip(q.Detail)
	detail := fmt.Sprintf("%s journal: %s at offset %d: %s", q.Journal, q.File, q.Offset, q.Detail)
	if q.To > q.First {
		detail = fmt.Sprintf("%s journal, records %d to %d of epoch %s: %s at offset %d: %s", q.Journal, q.First, q.To-1, q.Epoch, q.File, q.Offset, q.Detail)
	}
	g.raise(record.Record{}, "EVID_SEGMENT_DAMAGED", detail)
	g.emit(record.Record{Body: &q})
	g.counters.Quarantined++
	g.ready.Snapshot = true // what these records said is known now, and not at the next start
}

// fetch returns the gap to ask the cloud's copy of now, nil for none. Charging
// and uploads go on meanwhile.
func (g *Gateway) fetch() *Fetch {
	n := len(g.state.Gaps)
	if n == 0 || g.repair.asked || !g.line.Reachable() || g.now.Mono < g.repair.next || !g.router.Bulk(g.now) {
		return nil
	}
	for i := range n {
		gap := g.state.Gaps[(g.repair.turn+i)%n]
		if gap.Lost || g.received(gap.Journal, gap.Epoch) < uint64(gap.To) {
			continue
		}
		g.repair.asked = true
		g.repair.turn = (g.repair.turn + i + 1) % n
		return &Fetch{gap.Journal, gap.Epoch, gap.First, gap.To}
	}
	return nil
}

// received is how far the cloud is, as far as is known.
func (g *Gateway) received(j holdfast.Journal, e holdfast.Epoch) uint64 {
	for _, c := range g.line.Reconciled() {
		if c.Journal == j && c.Epoch == e {
			return c.Received
		}
	}
	return 0
}

// fetched takes the end of a repair.
func (g *Gateway) fetched(in Fetched) {
	g.repair.asked = false
	gap := g.state.Missing(in.Journal, in.Epoch, in.First, in.To)
	if gap == nil {
		return
	}
	q := record.SegmentQuarantined{Journal: in.Journal, Epoch: in.Epoch, File: gap.File, Offset: gap.Offset, First: in.First, To: in.To}
	switch {
	case in.Gone:
		q.Repair, q.Detail = record.RepairPruned, "given up with what the cloud has reconciled"
	case in.Err != "":
		g.repair.next = g.now.Mono + RepairRetryMillis
		return
	default:
		q.Repair, q.Detail = record.RepairCloud, fmt.Sprintf("records %d to %d were put back from the cloud's copy", in.First, in.To-1)
		g.counters.Repaired++
	}
	g.emit(record.Record{Body: &q})
}

// unreadable takes the loss of records that the cloud has not got. Telemetry
// goes on behind them. Of evidence nothing that comes after them in the epoch
// can ever be uploaded, so the gateway goes on in a new one.
func (g *Gateway) unreadable(in Unreadable) {
	slot := uplink.Slot{Journal: in.Journal, Epoch: in.Epoch, First: in.First}
	what, fresh := g.lose(in)
	if in.Journal == holdfast.Telemetry {
		g.line.Skip(g.now.Mono, slot, in.Resume)
		return
	}
	g.line.Block(slot)
	switch {
	case in.Epoch == g.epoch[holdfast.Evidence]:
		g.ready.Restart = &Restart{record.EpochLostHistory, what}
	case fresh:
		g.raise(record.Record{}, "EVID_HISTORY_LOST", what)
	}
}

// lose notes that what cannot be read has no copy, and says it in words. fresh
// means that nobody has been told yet.
func (g *Gateway) lose(in Unreadable) (what string, fresh bool) {
	gap := g.state.Missing(in.Journal, in.Epoch, in.First, in.First+1)
	if gap == nil {
		what = fmt.Sprintf("%s epoch %s cannot be read from record %d on, and the cloud has not got it: %s", in.Journal, in.Epoch, in.First, clip(in.Detail))
		slot := uplink.Slot{Journal: in.Journal, Epoch: in.Epoch, First: in.First}
		fresh = !g.repair.told[slot]
		if g.repair.told == nil || len(g.repair.told) >= MaxGaps {
			g.repair.told = map[uplink.Slot]bool{}
		}
		g.repair.told[slot] = true
		return what, fresh
	}
	what = fmt.Sprintf("records %d to %d of %s epoch %s cannot be read, and the cloud has none from %d on: %s at offset %d: %s",
		gap.First, gap.To-1, in.Journal, in.Epoch, in.First, gap.File, gap.Offset, gap.Detail)
	if gap.Lost {
		return what, false
	}
	g.emit(record.Record{Body: &record.SegmentQuarantined{
		Journal: gap.Journal, Epoch: gap.Epoch, File: gap.File, Offset: gap.Offset, First: gap.First, To: gap.To,
		Detail: fmt.Sprintf("the cloud has received %d records", in.First), Repair: record.RepairNone,
	}})
	return what, true
}
