package cloud_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/uplink"
	"pgregory.net/rapid"
)

// copied asks for a range again and again until it is there.
func (w *world) copied(b *box, first, to holdfast.Seq) (out []byte) {
	w.t.Helper()
	id := b.evidence.Identity()
	for next := first; next < to; {
		part, err := w.plane.Copy(context.Background(), b.id, id.Journal, id.Epoch, next, to)
		w.must(err)
		frames, err := journal.ParseSlice(part, next)
		w.must(err)
		if len(part) > uplink.MaxSliceBytes || len(frames) == 0 {
			w.t.Fatalf("%d bytes, %d frames from %d", len(part), len(frames), next)
		}
		for _, f := range frames {
			if f.Kind == journal.Key {
				w.t.Fatal("a copy with a key")
			}
			if f.Kind == journal.Record {
				next++
			}
		}
		out = append(out, part...)
	}
	return out
}

// Whatever the pieces in which a journal came, and whichever part of it is
// asked for: the records come back as the bytes that they were.
func TestCopyIsWhatWasSent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := memoryWorld(t)
		b := readyBox(w, "north")
		for range rapid.IntRange(1, 5).Draw(t, "sessions") {
			b.charge(visit{wh: 1000, mid: rapid.Bool().Draw(t, "mid")})
			b.checkpoint()
			b.drain(b.evidence, rapid.IntRange(300, 5000).Draw(t, "bytes"))
		}
		first := rapid.Uint64Range(0, b.size()-1).Draw(t, "first")
		to := rapid.Uint64Range(first+1, b.size()).Draw(t, "to")
		var want, got [][]byte
		w.must(b.evidence.Read(b.evidence.Identity().Epoch, holdfast.Seq(first), func(f journal.Frame) error {
			if f.Kind == journal.Record && uint64(f.Seq) < to {
				want = append(want, bytes.Clone(f.Body))
			}
			return nil
		}))
		frames, err := journal.ParseSlice(w.copied(b, holdfast.Seq(first), holdfast.Seq(to)), holdfast.Seq(first))
		w.must(err)
		for _, f := range frames {
			if f.Kind == journal.Record {
				got = append(got, f.Body)
			}
		}
		if len(want) != len(got) {
			t.Fatalf("records %d to %d: %d came back", first, to, len(got))
		}
		for i := range want {
			if !bytes.Equal(want[i], got[i]) {
				t.Errorf("record %d is %s, was %s", int(first)+i, got[i], want[i])
			}
		}
	})
}

func TestCopyOfWhatIsNotThere(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		b := readyBox(w, "north")
		other := readyBox(w, "south")
		id, size := b.evidence.Identity(), holdfast.Seq(b.size())
		copyOf := func(gw holdfast.GatewayID, e holdfast.Epoch, first, to holdfast.Seq) error {
			_, err := w.plane.Copy(t.Context(), gw, holdfast.Evidence, e, first, to)
			return err
		}
		wantError(t, "an unknown epoch", copyOf(b.id, holdfast.Epoch{9}, 0, 1), cloud.ErrNotFound)
		wantError(t, "another gateway's epoch", copyOf(other.id, id.Epoch, 0, 1), cloud.ErrNotFound)
		wantError(t, "beyond the end", copyOf(b.id, id.Epoch, size, size+1), cloud.ErrNotFound)
		wantError(t, "an empty range", copyOf(b.id, id.Epoch, 1, 1), cloud.ErrInvalid)
		wantError(t, "no end", copyOf(b.id, id.Epoch, 0, 1<<63), cloud.ErrInvalid)
		if err := copyOf(b.id, id.Epoch, 0, 1<<40); err != nil {
			t.Errorf("more than there is: %v", err)
		}
		before := w.copied(b, 0, size)
		w.must(w.plane.Rebuild(t.Context()))
		if after := w.copied(b, 0, size); !bytes.Equal(before, after) {
			t.Error("after folding again the copy is another one")
		}
	})
}
