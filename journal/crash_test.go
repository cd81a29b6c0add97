package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/internal/faultfs"
	"github.com/holdfast-ev/holdfast/journal"
)

// A history is the obvious model of a journal: for each epoch the records in
// order, and how many of them somebody was told are durable.
type history struct {
	epochs []*modelEpoch
}

type modelEpoch struct {
	id    holdfast.Epoch
	body  [][]byte
	acked int
	first int  // pruned before
	gone  bool // pruned whole: it may be there or not
}

func (h *history) last() *modelEpoch { return h.epochs[len(h.epochs)-1] }

// check compares a recovered journal with the model: everything acknowledged is
// there, byte-identical; what else is there is what was appended, in order, as a
// suffix; the root is the one that an independent implementation computes. Then
// the model forgets what was not kept.
func (h *history) check(l *journal.Log) error {
	infos := l.Epochs()
	// The newest may never have begun, if nobody was told that it did.
	for newest := infos[len(infos)-1].Epoch; h.last().id != newest; {
		if last := h.last(); last.acked > 0 || len(h.epochs) == 1 {
			return fmt.Errorf("epoch %s with %d acknowledged records is gone", last.id, last.acked)
		}
		h.epochs = h.epochs[:len(h.epochs)-1]
	}
	for _, m := range h.epochs {
		if len(infos) == 0 || infos[0].Epoch != m.id {
			if m.gone {
				continue
			}
			return fmt.Errorf("epoch %s is gone", m.id)
		}
		if err := m.check(l, infos[0]); err != nil {
			return fmt.Errorf("epoch %s: %w", m.id, err)
		}
		infos = infos[1:]
	}
	if len(infos) > 0 {
		return fmt.Errorf("epoch %s came from nowhere", infos[0].Epoch)
	}
	return nil
}

func (m *modelEpoch) check(l *journal.Log, info journal.EpochInfo) error {
	if int(info.Size) < m.acked || int(info.Size) > len(m.body) {
		return fmt.Errorf("size %d, but %d were acknowledged and %d appended", info.Size, m.acked, len(m.body))
	}
	if int(info.First) > m.first {
		return fmt.Errorf("first %d, but only %d were pruned", info.First, m.first)
	}
	next := int(info.First)
	err := l.Read(m.id, info.First, func(f journal.Frame) error {
		if f.Kind != journal.Record {
			return nil
		}
		if int(f.Seq) != next || !bytes.Equal(f.Body, m.body[next]) {
			return fmt.Errorf("record %d is not what was appended as %d", f.Seq, next)
		}
		next++
		return nil
	})
	if err != nil {
		return err
	}
	if next != int(info.Size) {
		return fmt.Errorf("read up to %d, size is %d", next, info.Size)
	}
	m.body = m.body[:info.Size]
	m.acked = len(m.body)
	if root := tlogRoot(m.body); root != info.Root {
		return fmt.Errorf("root %s, x/mod computes %s", info.Root, root)
	}
	return nil
}

// tlogRoot computes the root with golang.org/x/mod/sumdb/tlog.
func tlogRoot(bodies [][]byte) holdfast.Hash {
	var stored []tlog.Hash
	read := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(at))
		for i, a := range at {
			out[i] = stored[a]
		}
		return out, nil
	})
	for i, b := range bodies {
		hs, err := tlog.StoredHashes(int64(i), b, read)
		if err != nil {
			panic(err)
		}
		stored = append(stored, hs...)
	}
	root, err := tlog.TreeHash(int64(len(bodies)), read)
	if err != nil {
		panic(err)
	}
	return holdfast.Hash(root)
}

// small makes rotation frequent.
var small = journal.Options{SegmentBytes: journal.MinSegmentBytes}

// scenario drives a journal through everything that changes the disk, updates
// the model as it is told what is durable, and stops at the first error.
func scenario(t testing.TB, disk journal.FS, h *history) (err error) {
	key := testKey(t)
	h.epochs = append(h.epochs, &modelEpoch{id: testIdentity().Epoch})
	l, err := journal.Create(disk, testIdentity(), small)
	if err != nil {
		return err
	}
	step := func(records, size int) error {
		m := h.last()
		for range records {
			b := bytes.Repeat([]byte{byte('a' + len(m.body)%26)}, size)
			if err := l.Append(journal.Record, b); err != nil {
				return err
			}
			m.body = append(m.body, b)
		}
		if err := l.Sync(); err != nil {
			return err
		}
		m.acked = len(m.body)
		return nil
	}
	sign := func() error {
		size, root := l.Head()
		origin := l.Identity().Origin()
		note, err := journal.SignCheckpoint(journal.CheckpointText(origin, size, root), origin, key, nil)
		if err != nil {
			return err
		}
		if err := l.Append(journal.Checkpoint, note); err != nil {
			return err
		}
		return step(1, 40)
	}
	epoch := func(e byte) error {
		h.epochs = append(h.epochs, &modelEpoch{id: testEpoch(e)})
		return l.NewEpoch(testEpoch(e), "test")
	}
	prune := func(i, before int) error {
		h.epochs[i].first = before
		return l.Prune(h.epochs[i].id, holdfast.Seq(before))
	}
	for _, do := range []func() error{
		func() error { return step(1, 100) },
		func() error { return step(3, 600) },
		func() error { return step(1, 700) }, // seals
		func() error { l.Append(journal.Key, []byte(`{"kid":"k"}`)); return step(2, 30) },
		sign,
		func() error { return step(2, 700) },
		func() error { return prune(0, 4) },
		func() error { return step(1, 10) },
		func() error { return epoch(0xe2) },
		func() error { return step(2, 900) },
		func() error { return step(1, 1200) },
		sign,
		func() error { return l.Close() },
	} {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

// scenarioOps counts the scenario's changing operations.
func scenarioOps(t testing.TB) int {
	disk := faultfs.New()
	var h history
	if err := scenario(t, disk, &h); err != nil {
		t.Fatal(err)
	}
	return disk.Ops()
}

// recoverAndCheck opens what a crash or a fault left and checks it against the
// model; then it appends, to see that the journal lives.
func recoverAndCheck(disk journal.FS, h *history) error {
	l, r, err := journal.Open(disk, small)
	if errors.Is(err, journal.ErrNone) {
		for _, m := range h.epochs {
			if m.acked > 0 {
				return fmt.Errorf("no journal, but %d records were acknowledged", m.acked)
			}
		}
		return nil
	}
	if err != nil {
		return err
	}
	if r.Lost != nil {
		return fmt.Errorf("reported as lost: %s", r.Lost)
	}
	if len(r.Quarantined) > 0 {
		return fmt.Errorf("quarantined: %+v", r.Quarantined)
	}
	if err := h.check(l); err != nil {
		return err
	}
	b := []byte("after recovery")
	if err := l.Append(journal.Record, b); err != nil {
		return err
	}
	if err := l.Sync(); err != nil {
		return err
	}
	h.last().body = append(h.last().body, b)
	h.last().acked++
	if err := h.check(l); err != nil {
		return fmt.Errorf("after an append: %w", err)
	}
	rep, err := journal.Verify(disk, nil)
	if err != nil {
		return err
	}
	if !rep.OK() {
		return fmt.Errorf("does not verify: %v", rep.Problems)
	}
	return l.Close()
}

// TestPowerCutAtEveryOperation cuts the power before and after each operation of
// the scenario, with every unsynced sector and name surviving or not by chance.
func TestPowerCutAtEveryOperation(t *testing.T) {
	t.Parallel()
	seeds := 20
	if testing.Short() {
		seeds = 5
	}
	torn := 0
	for op := 1; op <= scenarioOps(t); op++ {
		for seed := range seeds {
			disk := faultfs.New()
			disk.Inject(op, faultfs.Fault{PowerOff: true, Done: seed%2 == 0})
			var h history
			if err := scenario(t, disk, &h); err == nil {
				t.Fatalf("operation %d was never reached", op)
			}
			var chance faultfs.Chooser
			if seed > 1 {
				chance = rand.New(rand.NewPCG(uint64(op), uint64(seed)))
			}
			after := disk.Restart(chance)
			if err := recoverAndCheck(after, &h); err != nil {
				t.Fatalf("power cut at %d (%s), seed %d: %v", op, disk.Log()[op-1], seed, err)
			}
			for _, n := range mustNames(t, after) {
				if strings.Contains(n, ".torn-") {
					torn++
				}
			}
		}
	}
	if torn == 0 {
		t.Fatal("no cut ever left a torn write: the test does not bite")
	}
}

func mustNames(t testing.TB, fs journal.FS) []string {
	t.Helper()
	names, err := fs.Names()
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestPowerCutDuringRecovery cuts the power in the scenario and then, again and
// again, at each operation of the recovery.
func TestPowerCutDuringRecovery(t *testing.T) {
	t.Parallel()
	ops := scenarioOps(t)
	for op := 3; op <= ops; op += 2 {
		for seed := range uint64(6) {
			disk, chance := faultfs.New(), rand.New(rand.NewPCG(uint64(op), seed))
			disk.Inject(op, faultfs.Fault{PowerOff: true, Done: true})
			var h history
			if err := scenario(t, disk, &h); err == nil {
				t.Fatalf("operation %d was never reached", op)
			}
			disk = disk.Restart(chance)
			for again := 1; again <= 10; again++ {
				disk.Inject(again, faultfs.Fault{PowerOff: true, Done: seed%2 == 0})
				if l, _, err := journal.Open(disk, small); err == nil {
					if err := h.check(l); err != nil {
						t.Fatalf("cut at %d, seed %d, recovery %d: %v", op, seed, again, err)
					}
				}
				disk = disk.Restart(chance)
			}
			if err := recoverAndCheck(disk, &h); err != nil {
				t.Fatalf("cut at %d, seed %d, after ten cut recoveries: %v", op, seed, err)
			}
		}
	}
}

// TestFaultAtEveryOperation fails each operation of the scenario once, in pairs:
// not done, and done but told failed. The process goes on: it opens the journal
// again, with the kernel's view of the files. What Open shows must then survive a
// power cut that loses everything unsynced: a failed sync is never believed
// later.
func TestFaultAtEveryOperation(t *testing.T) {
	t.Parallel()
	for _, fault := range []faultfs.Fault{{Err: syscall.EIO}, {Err: syscall.EIO, Done: true}, {Err: syscall.ENOSPC}, {Err: syscall.ENOSPC, Done: true}} {
		for op := 1; op <= scenarioOps(t); op++ {
			disk := faultfs.New()
			disk.Inject(op, fault)
			var h history
			if err := scenario(t, disk, &h); err == nil {
				t.Fatalf("operation %d (%s): the fault was swallowed", op, disk.Log()[op-1])
			}
			what := fmt.Sprintf("%v (done %v) at %d (%s)", fault.Err, fault.Done, op, disk.Log()[op-1])
			shown := h.clone()
			l, _, err := journal.Open(disk, small)
			if err != nil && !errors.Is(err, journal.ErrNone) {
				t.Fatalf("%s: open again: %v", what, err)
			}
			if err == nil {
				if err := shown.check(l); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				h = shown // check made everything shown acknowledged
			}
			if err := recoverAndCheck(disk.Restart(nil), &h); err != nil {
				t.Fatalf("%s, then a power cut: %v", what, err)
			}
		}
	}
}

func (h *history) clone() history {
	var c history
	for _, m := range h.epochs {
		e := *m
		e.body = append([][]byte{}, m.body...)
		c.epochs = append(c.epochs, &e)
	}
	return c
}

// TestFaultsDuringRecovery fails each operation of a recovery, in pairs, after a
// power cut or after a failed sync; the second try must succeed.
func TestFaultsDuringRecovery(t *testing.T) {
	t.Parallel()
	ops, step := scenarioOps(t), 1
	if testing.Short() {
		step = 4
	}
	reached := 0
	for op := 4; op <= ops; op += step {
		for _, first := range []faultfs.Fault{{PowerOff: true, Done: true}, {Err: syscall.EIO}, {Err: syscall.EIO, Done: true}} {
			for n := 1; n <= 12; n++ {
				disk := faultfs.New()
				disk.Inject(op, first)
				var h history
				if err := scenario(t, disk, &h); err == nil {
					t.Fatalf("operation %d was never reached", op)
				}
				if first.PowerOff {
					disk = disk.Restart(rand.New(rand.NewPCG(uint64(op), uint64(n))))
				}
				disk.Inject(disk.Ops()+n, faultfs.Fault{Err: syscall.EIO, Done: n%2 == 0})
				if l, _, err := journal.Open(disk, small); err == nil {
					if err := h.check(l); err != nil {
						t.Fatal(err)
					}
					if err := l.Close(); err != nil {
						reached++
					}
				} else if !errors.Is(err, journal.ErrNone) {
					reached++
				}
				disk.Heal()
				if err := recoverAndCheck(disk, &h); err != nil {
					t.Fatalf("%+v at %d, then EIO at the recovery's %d: %v\n%v", first, op, n, err, disk.Log())
				}
				if err := recoverAndCheck(disk.Restart(nil), &h); err != nil {
					t.Fatalf("%+v at %d, then EIO at the recovery's %d, then a power cut: %v", first, op, n, err)
				}
			}
		}
	}
	if reached < 100 {
		t.Fatalf("only %d recoveries were hit", reached)
	}
}

// TestKillAtEveryOperation ends the process before and after each operation. What
// the next process is shown must survive a power cut that loses everything that
// was never synced: recovery syncs before it shows.
func TestKillAtEveryOperation(t *testing.T) {
	t.Parallel()
	unsynced := 0
	for op := 1; op <= scenarioOps(t); op++ {
		for _, done := range []bool{false, true} {
			disk := faultfs.New()
			disk.Inject(op, faultfs.Fault{PowerOff: true, Done: done})
			var h history
			if err := scenario(t, disk, &h); err == nil {
				t.Fatalf("operation %d was never reached", op)
			}
			what := fmt.Sprintf("kill (done %v) at %d (%s)", done, op, disk.Log()[op-1])
			l, _, err := journal.Open(disk.Revive(), small)
			if err != nil && !errors.Is(err, journal.ErrNone) {
				t.Fatalf("%s: %v", what, err)
			}
			if err == nil {
				before := h.last().acked
				if err := h.check(l); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				if h.last().acked > before {
					unsynced++
				}
			}
			if err := recoverAndCheck(disk.Restart(nil), &h); err != nil {
				t.Fatalf("%s, then a power cut: %v", what, err)
			}
		}
	}
	if unsynced == 0 {
		t.Fatal("no kill ever left a whole write that was not synced")
	}
}

// TestFailedSyncIsWrittenAnew: after a failed sync the segment is another file,
// and after a failed sync whose mark failed too its last write is at least
// written again; then a sync may be believed.
func TestFailedSyncIsWrittenAnew(t *testing.T) {
	for _, markFails := range []bool{false, true} {
		disk := faultfs.New()
		l := create(t, disk, journal.Options{})
		appendAll(t, l, 0, 3)
		sync(t, l)
		appendAll(t, l, 3, 6)
		disk.Inject(disk.Ops()+2, faultfs.Fault{Err: syscall.EIO}) // write, sync
		if markFails {
			disk.Inject(disk.Ops()+3, faultfs.Fault{Err: syscall.EIO})
		}
		if err := l.Sync(); !errors.Is(err, journal.ErrFailed) || !errors.Is(err, syscall.EIO) {
			t.Fatalf("sync: %v", err)
		}
		l, r := reopen(t, disk, journal.Options{})
		if written := len(r.Rewritten) == 1; written == markFails {
			t.Fatalf("mark fails: %v, recovery: %+v", markFails, r)
		}
		wantRecords(t, l, 6)
		l, _ = reopen(t, disk.Restart(nil), journal.Options{})
		wantRecords(t, l, 6)
	}
}
