package cloud

import (
	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/record"
)

// CodeSegmentDamaged is the gateway's alarm about a damaged part of its journal.
const CodeSegmentDamaged = "EVID_SEGMENT_DAMAGED"

// A Range is a run of records that an exception is about.
type Range struct {
	Journal holdfast.Journal `json:"journal"`
	Epoch   holdfast.Epoch   `json:"epoch"`
	First   holdfast.Seq     `json:"first"` // records First to To-1
	To      holdfast.Seq     `json:"to"`
}

// gap follows what a gateway says of records that it could not read. The alarm
// comes in the record before; when the records are there again, or were
// reconciled long ago and given up, it is resolved.
func (f *fold) gap(pos holdfast.Pos, b *record.SegmentQuarantined) error {
	if b.First >= b.To {
		return nil
	}
	switch b.Repair {
	case record.RepairPending:
		if pos.Seq == 0 {
			return nil
		}
		pos.Seq--
		x, err := get[Exception](f.tx, KindException, exceptionAt(CodeSegmentDamaged, pos, "").ID)
		if isNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		x.Range = &Range{b.Journal, b.Epoch, b.First, b.To}
		return x.put(f.tx)
	case record.RepairCloud, record.RepairPruned:
		return f.repaired(Range{b.Journal, b.Epoch, b.First, b.To})
	}
	return nil
}

// repaired resolves the alarms of this gateway about records in r.
func (f *fold) repaired(r Range) error {
	open, err := all[Exception](f.tx, KindException, Query{
		Where: Fields{"site": string(f.gw.Site), "code": CodeSegmentDamaged, "state": StateOpen}, Oldest: true,
	})
	if err != nil {
		return err
	}
	for _, x := range open {
		if g := x.Range; g == nil || x.Gateway != f.gw.ID || g.Journal != r.Journal || g.Epoch != r.Epoch || g.First < r.First || g.To > r.To {
			continue
		}
		x.State, x.Resolved = StateResolved, f.now
		if err := x.put(f.tx); err != nil {
			return err
		}
	}
	return nil
}
