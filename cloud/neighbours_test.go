package cloud_test

import (
	"testing"

	"github.com/holdfast-ev/holdfast/cloud"
)

// Sessions that arrive in one slice are compared with their neighbours in the
// order in which they happened: none is held against one that the same slice is
// about to complete, so nobody is alarmed and calmed in one transaction.
func TestSessionsOfOneSliceRaiseNoPassingAlarm(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		b := readyBox(w, "north")
		b.charge(visit{wh: 9_000, open: true, mid: true}) // known as running, up to half of its energy
		b.checkpoint()
		b.sync()
		open, _, err := w.plane.Sessions(t.Context(), cloud.SessionFilter{}, cloud.Page{})
		w.must(err)
		b.stop(open[0].ID, "CP1")
		for range 12 {
			b.registers["CP1"] -= 1000 // the next begins where this one ended
			b.charge(visit{wh: 5_000})
		}
		b.checkpoint()
		b.sync()
		all, _, err := w.plane.Exceptions(t.Context(), cloud.ExceptionFilter{}, cloud.Page{})
		w.must(err)
		for _, x := range all {
			t.Errorf("%s (%s): %s", x.Code, x.State, x.Detail)
		}
	})
}
