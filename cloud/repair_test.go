package cloud_test

import (
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/record"
)

// An alarm about a damaged part of a gateway's journal is resolved when the
// gateway has it back, and no other alarm is.
func TestRepairResolvesItsAlarm(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		b := readyBox(w, "north")
		quarantine := func(b *box, first, to holdfast.Seq, repair record.Repair) {
			b.put(record.Record{Body: &record.SegmentQuarantined{
				Journal: holdfast.Evidence, Epoch: b.evidence.Identity().Epoch, File: "00000001-0000000000000000.seg", Offset: 1, First: first, To: to, Detail: "flipped", Repair: repair,
			}})
		}
		damage := func(b *box, first, to holdfast.Seq) {
			b.put(record.Record{Body: &record.ExceptionRaised{Code: cloud.CodeSegmentDamaged, Detail: "a segment"}})
			quarantine(b, first, to, record.RepairPending)
		}
		left := func(want ...holdfast.Seq) {
			t.Helper()
			b.checkpoint()
			b.sync()
			open, _, err := w.plane.Exceptions(t.Context(), cloud.ExceptionFilter{Site: "north", State: cloud.StateOpen}, cloud.Page{Oldest: true})
			w.must(err)
			if len(open) != len(want) {
				t.Fatalf("%d alarms are open, want %d: %+v", len(open), len(want), open)
			}
			for i, x := range open {
				if x.Code != cloud.CodeSegmentDamaged || x.Range == nil || x.Range.First != want[i] {
					t.Errorf("alarm %d is %+v, want one from %d on", i, x, want[i])
				}
			}
		}
		damage(b, 0, 2)
		damage(b, 2, 3)
		damage(b, 5, 6)
		left(0, 2, 5)
		quarantine(b, 0, 1, record.RepairCloud) // not all of it
		quarantine(b, 0, 9, record.RepairNone)
		left(0, 2, 5)
		quarantine(b, 0, 3, record.RepairCloud) // two that had become one
		left(5)
		quarantine(b, 5, 6, record.RepairPruned)
		left()

		damage(b, 7, 8)
		other := readyBox(w, "south")
		quarantine(other, 7, 8, record.RepairCloud)
		other.sync()
		left(7)
		before := w.dump()
		w.must(w.plane.Rebuild(t.Context()))
		if after := w.dump(); after != before {
			t.Errorf("folding again gives another result:\n%s", firstDifference(before, after))
		}
	})
}
