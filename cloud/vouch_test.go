package cloud_test

import (
	"context"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/record"
	"pgregory.net/rapid"
)

// child begins a new epoch that continues the present one as far as it is
// written, and returns the log of the old one.
func (b *box) child() *journal.Log {
	b.w.t.Helper()
	old := b.evidence
	size, root := old.Head()
	b.evidence = b.create(holdfast.Evidence, b.newEpoch())
	b.put(record.Record{Body: &record.EpochOpened{Parent: old.Identity().Epoch, ParentSize: size, ParentRoot: root, Reason: record.EpochRestored}})
	return old
}

// drain uploads what is left of a log, a little at a time.
func (b *box) drain(l *journal.Log, most int) {
	b.w.t.Helper()
	for at := b.w.cursor(b, l).Received; ; {
		raw, err := l.Slice(l.Identity().Epoch, holdfast.Seq(at), most)
		b.w.must(err)
		if len(raw) == 0 {
			return
		}
		ack, err := b.raw(l.Identity(), holdfast.Seq(at), raw)
		b.w.must(err)
		if ack.Received == at {
			return
		}
		at = ack.Received
	}
}

// A session that begins and ends after the last checkpoint of an epoch is billed
// once a checkpoint of the next epoch covers its first record: that record names
// the size and the root at which the old epoch ended, so who signed the one has
// signed the other.
func TestChildVouchesForItsParent(t *testing.T) {
	for _, test := range []struct {
		name      string
		childLast bool
	}{{"parent first", true}, {"child first", false}} {
		t.Run(test.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, w *world) {
				b := readyBox(w, "north")
				b.charge(visit{wh: 4000})
				b.checkpoint()
				b.sync()
				signed := b.size()
				id := b.charge(visit{wh: 10_000})
				old := b.child()
				size, _ := old.Head()
				if test.childLast {
					b.drain(old, 4000)
				}
				b.sync()
				if c := w.cursor(b, old); c.Reconciled != signed {
					t.Fatalf("nobody has signed more than %d, and the parent is reconciled to %d", signed, c.Reconciled)
				}
				b.checkpoint()
				b.sync()
				if !test.childLast {
					if c := w.cursor(b, old); c.Reconciled != signed {
						t.Fatalf("the parent is not here, and it is reconciled to %d", c.Reconciled)
					}
					b.drain(old, 4000)
				}
				if c := w.cursor(b, old); c.Received != size || c.Reconciled != size {
					t.Errorf("the parent is at %+v, want it reconciled to its end, %d", c, size)
				}
				d, err := w.plane.Session(t.Context(), id)
				w.must(err)
				if d.Stage != cloud.StageRated || len(d.CDRs) != 1 || d.CDRs[0].Net != 5_400_000 {
					t.Errorf("the session at the end of the old epoch: %s, %+v", d.Stage, d.CDRs)
				}
				w.balanced()
				before := w.dump()
				w.must(w.plane.Rebuild(t.Context()))
				if after := w.dump(); after != before {
					t.Errorf("folding again gives another result:\n%s", firstDifference(before, after))
				}
			})
		})
	}
}

// Who cannot vouch: an epoch whose own first record nobody has signed, one that
// names a root which the records do not have, and another gateway's.
func TestWhoCannotVouch(t *testing.T) {
	for _, test := range []struct {
		name string
		turn func(b *box, old *journal.Log)
	}{
		{"an unsigned child", func(b *box, _ *journal.Log) {}},
		{"a child that a stranger has signed", func(b *box, _ *journal.Log) {
			b.key = newKey(b.w.t)
			b.checkpoint()
		}},
		{"a lie about the root", func(b *box, old *journal.Log) {
			size, root := old.Head()
			root[0] ^= 1
			b.evidence = b.create(holdfast.Evidence, b.newEpoch())
			b.put(record.Record{Body: &record.EpochOpened{Parent: old.Identity().Epoch, ParentSize: size, ParentRoot: root, Reason: record.EpochRestored}})
			b.checkpoint()
		}},
		{"another gateway", func(b *box, old *journal.Log) {
			size, root := old.Head()
			other := b.w.box("south")
			other.evidence = other.create(holdfast.Evidence, other.newEpoch())
			other.put(record.Record{Body: &record.EpochOpened{Parent: old.Identity().Epoch, ParentSize: size, ParentRoot: root, Reason: record.EpochRestored}})
			other.checkpoint()
			other.sync()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := memoryWorld(t)
			b := readyBox(w, "north")
			signed := b.size()
			id := b.charge(visit{wh: 10_000})
			old := b.child()
			b.drain(old, 4000)
			test.turn(b, old)
			b.sync()
			if c := w.cursor(b, old); c.Reconciled != signed {
				t.Errorf("the parent is reconciled to %d, want %d", c.Reconciled, signed)
			}
			if d, err := w.plane.Session(t.Context(), id); err != nil || d.Stage != cloud.StageReceived || len(d.CDRs) != 0 {
				t.Errorf("the session is %s with %d CDRs, %v", d.Stage, len(d.CDRs), err)
			}
		})
	}
}

// However many epochs a gateway went through, wherever their checkpoints are and
// in whichever order and pieces they arrive: when the last one is signed, every
// session of all of them is in the books once.
func TestEpochsInAnyOrderGiveTheSameBooks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := memoryWorld(t)
		b := readyBox(w, "north")
		logs := []*journal.Log{}
		want := holdfast.WattHours(0)
		sessions := 0
		for range rapid.IntRange(1, 4).Draw(t, "epochs") {
			for range rapid.IntRange(0, 2).Draw(t, "sessions") {
				b.charge(visit{wh: 1000})
				want, sessions = want+1000, sessions+1
				if rapid.Bool().Draw(t, "signed") {
					b.checkpoint()
				}
			}
			logs = append(logs, b.child())
		}
		b.checkpoint()
		logs = append(logs, b.evidence)
		for _, i := range rapid.Permutation(indexes(len(logs))).Draw(t, "order") {
			b.drain(logs[i], rapid.IntRange(500, 20_000).Draw(t, "bytes"))
		}
		for i, l := range logs {
			if c, size := w.cursor(b, l), headSize(l); c.Reconciled != size {
				t.Errorf("epoch %d of %d is reconciled to %d of %d", i, len(logs), c.Reconciled, size)
			}
		}
		cdrs, _, err := w.plane.CDRs(context.Background(), cloud.CDRFilter{Current: true}, cloud.Page{Limit: cloud.MaxPage})
		w.must(err)
		sum := holdfast.WattHours(0)
		for _, c := range cdrs {
			sum += c.Energy
		}
		if len(cdrs) != sessions || sum != want {
			t.Errorf("%d CDRs over %d Wh, want %d over %d", len(cdrs), sum, sessions, want)
		}
		w.balanced()
		before := w.dump()
		w.must(w.plane.Rebuild(context.Background()))
		if after := w.dump(); after != before {
			t.Errorf("folding again gives another result:\n%s", firstDifference(before, after))
		}
	})
}

func headSize(l *journal.Log) uint64 { n, _ := l.Head(); return n }

func indexes(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}
