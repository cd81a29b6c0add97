package cloud_test

import (
	"context"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/cloud/store"
	"github.com/holdfast-ev/holdfast/uplink"
)

// BenchmarkReceive takes slices of [uplink.MaxSliceBytes] full of sessions, on
// SQLite with the archive on a disk: one operation is one session received,
// covered, folded, priced and posted.
func BenchmarkReceive(b *testing.B) {
	s, err := store.Open(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	w := newWorld(b, s, s.Archive())
	gw := readyBox(w, "north")
	from := w.cursor(gw, gw.evidence).Received
	for i := range b.N {
		gw.charge(visit{wh: 10_000, charger: holdfast.ChargerID([]string{"CP1", "CP2", "CP3", "CP4"}[i%4])})
		gw.checkpoint() // as a gateway does at the end of each session
	}
	b.ResetTimer()
	n := gw.size() - from
	for at := from; at < gw.size(); {
		raw, err := gw.evidence.Slice(gw.evidence.Identity().Epoch, holdfast.Seq(at), uplink.MaxSliceBytes)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(raw)) / max(int64(b.N), 1))
		ack, err := w.plane.Receive(context.Background(), w.now, gw.id, holdfast.Evidence, gw.evidence.Identity().Epoch, holdfast.Seq(at), raw)
		if err != nil {
			b.Fatal(err)
		}
		at = ack.Received
	}
	b.StopTimer()
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkAuthorize answers online authorisations, each with a signed grant and
// a commit.
func BenchmarkAuthorize(b *testing.B) {
	s, err := store.Open(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	w := newWorld(b, s, s.Archive())
	gw := readyBox(w, "north")
	if _, err := w.plane.PutToken(b.Context(), w.now, cloud.PutToken{Value: "04A1B2C3"}); err != nil {
		b.Fatal(err)
	}
	ask := uplink.Ask{Token: holdfast.Token{Value: "04A1B2C3"}.Hash(gw.enrolled.TokenKey)}
	for b.Loop() {
		if told, err := w.plane.Authorize(b.Context(), w.now, gw.id, ask); err != nil || !told.Accepted {
			b.Fatal(told, err)
		}
	}
}
