package cloud_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/cloud/store"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/record"
)

// A run is the same site life, told to several clouds: what gateways wrote, and
// when a tariff that was late became known.
type run struct {
	boxes []*box
	logs  [][]*journal.Log // per box, epochs in order
}

// live writes a life of two sites: sessions that overlap, epochs that change in
// the middle of one, checkpoints that come now and then.
func live(t *rapid.T, w *world) *run {
	r := &run{}
	for i, site := range []holdfast.SiteID{"north", "south"} {
		b := w.box(site)
		r.boxes = append(r.boxes, b)
		r.logs = append(r.logs, []*journal.Log{b.evidence})
		if i == 0 { // both sites are there: the tariff is for both
			continue
		}
		_, err := w.plane.PutTariff(context.Background(), w.now, cloud.PutTariff{OCPI: []byte(dayTariff)})
		w.must(err)
		for _, b := range r.boxes {
			b.hello()
		}
	}
	for i, b := range r.boxes {
		running := map[holdfast.ChargerID]holdfast.SessionID{}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			c := holdfast.ChargerID([]string{"CP1", "CP2"}[rapid.IntRange(0, 1).Draw(t, "charger")])
			switch rapid.IntRange(0, 6).Draw(t, "step") {
			case 0, 1, 2:
				v := visit{charger: c, wh: holdfast.WattHours(rapid.IntRange(0, 20_000).Draw(t, "wh")), open: true,
					bare: rapid.IntRange(0, 9).Draw(t, "bare") == 0, reset: rapid.IntRange(0, 3).Draw(t, "reset") == 0, mid: rapid.Bool().Draw(t, "mid")}
				if old, ok := running[c]; ok {
					b.stop(old, c)
				}
				running[c] = b.charge(v)
			case 3, 4:
				if id, ok := running[c]; ok {
					b.stop(id, c)
					delete(running, c)
				}
			case 5:
				b.checkpoint()
			case 6:
				old, size, root := b.evidence.Identity(), uint64(0), holdfast.Hash{}
				b.checkpoint()
				size, root = b.evidence.Head()
				b.evidence = b.create(holdfast.Evidence, b.newEpoch())
				r.logs[i] = append(r.logs[i], b.evidence)
				b.put(record.Record{Body: &record.EpochOpened{Parent: old.Epoch, ParentSize: size, ParentRoot: root, Reason: record.EpochRestored}})
			}
		}
		b.checkpoint()
	}
	return r
}

// another is a cloud of its own with the same sites, keys and tariffs.
func (w *world) another() *world {
	m := store.NewMemory()
	return w.anotherOn(m, m.Archive())
}

// anotherOn is another on a keeper that is empty.
func (w *world) anotherOn(s cloud.Store, a cloud.Archive) *world {
	o := *w
	o.store, o.archive = s, a
	o.over(s, a)
	w.must(copyDecisions(w.store, s))
	return &o
}

// durable draws, now and then, a keeper that is not memory.
func durable(t *testing.T, r *rapid.T) (cloud.Store, cloud.Archive) {
	switch rapid.IntRange(0, 19).Draw(r, "keeper") {
	case 1:
		s, err := store.Open(t.Context(), t.TempDir())
		if err != nil {
			r.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s, s.Archive()
	case 2:
		return openPostgres(t, postgres.Server(t).Schema(t)), store.NewFiles(t.TempDir())
	}
	m := store.NewMemory()
	return m, m.Archive()
}

// copyDecisions copies what people decided, and nothing that was received.
func copyDecisions(from, to cloud.Store) error {
	ctx := context.Background()
	return from.View(ctx, func(src cloud.Tx) error {
		return to.Update(ctx, func(dst cloud.Tx) error {
			for _, k := range cloud.Kinds() {
				docs, err := src.List(k, cloud.Query{Oldest: true})
				if err != nil {
					return err
				}
				for _, d := range docs {
					if _, err := dst.Put(d); err != nil {
						return err
					}
				}
			}
			for _, k := range []cloud.Kind{
				cloud.KindStream, cloud.KindCheckpoint, cloud.KindSession, cloud.KindPlace, cloud.KindCDR, cloud.KindEntry, cloud.KindException,
				cloud.KindBalance, cloud.KindTotal, cloud.KindContact, cloud.KindSealKey,
			} {
				if err := dst.Clear(k); err != nil {
					return err
				}
			}
			entries, err := src.ReadLog(0, 1<<20)
			for _, e := range entries {
				if !strings.HasPrefix(e.Kind, "slice.") && e.Kind != "telemetry.skipped" {
					if _, err := dst.AppendLog(e); err != nil {
						return err
					}
				}
			}
			return err
		})
	})
}

// deliver uploads everything in one go, in order.
func deliver(w *world, r *run) {
	for i, b := range r.boxes {
		for _, l := range r.logs[i] {
			raw, err := l.Slice(l.Identity().Epoch, 0, 4<<20)
			w.must(err)
			_, err = w.plane.Receive(context.Background(), w.now, b.id, holdfast.Evidence, l.Identity().Epoch, 0, raw)
			w.must(err)
		}
	}
}

// Any delivery schedule gives the same books as one clean delivery: slices of
// any size, epochs and gateways interleaved, each slice repeated, sent too
// early, or taken without the gateway hearing of it. And folding the archive
// again gives the same rows.
func TestAnyDeliveryScheduleGivesTheSameBooks(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		keeper, archive := durable(t, rt)
		t := rt
		w := memoryWorld(t)
		r := live(t, w)
		clean := w.another()
		deliver(clean, r)
		want := clean.books()
		clean.balanced()

		messy := w.anotherOn(keeper, archive)
		faulty := &faults{Store: messy.store, Archive: messy.archive}
		messy.over(faulty, faulty)
		schedule(t, messy, r, faulty)
		messy.over(messy.store, messy.archive)
		if got := messy.books(); got != want {
			t.Fatalf("books of a messy delivery:\n%s\nof a clean one:\n%s", got, want)
		}
		messy.balanced()

		before := messy.dump()
		messy.must(messy.plane.Rebuild(context.Background()))
		if after := messy.dump(); after != before {
			t.Fatalf("rebuilt:\n%s", firstDifference(before, after))
		}
		// Rebuilding again, and from another order of the same, is the same.
		clean.must(clean.plane.Rebuild(context.Background()))
		if got := clean.books(); got != want {
			t.Fatalf("clean books after a rebuild:\n%s\nbefore:\n%s", got, want)
		}
	})
}

// schedule delivers everything in a random way and converges.
func schedule(t *rapid.T, w *world, r *run, f *faults) {
	type line struct {
		b    *box
		l    *journal.Log
		at   uint64 // what the gateway believes
		done bool
	}
	var lines []*line
	for i, b := range r.boxes {
		for _, l := range r.logs[i] {
			lines = append(lines, &line{b: b, l: l})
		}
	}
	for left, budget := len(lines), 2000; left > 0; budget-- {
		if budget == 0 {
			t.Fatal("the delivery does not converge")
		}
		ln := lines[rapid.IntRange(0, len(lines)-1).Draw(t, "line")]
		if ln.done {
			continue
		}
		from := ln.at
		if rapid.IntRange(0, 9).Draw(t, "stray") == 0 && ln.at > 0 { // an old request that was under way somewhere
			from = uint64(rapid.IntRange(0, int(ln.at)).Draw(t, "from"))
		}
		size, _ := ln.l.Head()
		raw, err := ln.l.Slice(ln.l.Identity().Epoch, holdfast.Seq(from), rapid.IntRange(1, 6000).Draw(t, "bytes"))
		w.must(err)
		f.next = rapid.IntRange(0, 9).Draw(t, "fault")
		ack, err := w.plane.Receive(context.Background(), w.now, ln.b.id, holdfast.Evidence, ln.l.Identity().Epoch, holdfast.Seq(from), raw)
		f.next = noFault
		var p *cloud.PositionError
		switch {
		case errors.Is(err, errFault), err == nil && rapid.IntRange(0, 4).Draw(t, "lost ack") == 0:
			// The gateway knows nothing and tries again from where it was.
		case err == nil:
			ln.at = ack.Received
			if ack.Reconciled == size {
				ln.done = true
				left--
			}
		case errors.As(err, &p):
			ln.at = uint64(p.Expected)
		default:
			t.Fatal(err)
		}
	}
}

// firstDifference shows where two dumps part.
func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("line %d was\n%s\nand is\n%s", i, x[i], y[i])
		}
	}
	return fmt.Sprintf("%d lines became %d", len(x), len(y))
}
