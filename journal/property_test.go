package journal_test

import (
	"errors"
	"math/rand/v2"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/internal/faultfs"
	"github.com/holdfast-ev/holdfast/journal"
)

// A machine is a journal on a faulty disk beside its model.
type machine struct {
	disk *faultfs.Disk
	log  *journal.Log // nil between a failure and the next open
	h    history
	made byte // epochs
}

// TestAnyHistoryOfUseAndFaults draws runs of appends, syncs, prunes, new epochs,
// clean stops, kills, power cuts and failing operations, and after each start
// compares the journal with the model.
func TestAnyHistoryOfUseAndFaults(t *testing.T) {
	t.Parallel()
	runs := 10 // of 100 histories
	if testing.Short() {
		runs = 2
	}
	for range runs {
		rapid.Check(t, anyHistory)
	}
}

func anyHistory(t *rapid.T) {
	m := &machine{disk: faultfs.New(), made: 1}
	m.h.epochs = []*modelEpoch{{id: testIdentity().Epoch}}
	m.open(t)
	t.Repeat(map[string]func(*rapid.T){
		"append": m.append,
		"sync":   m.sync,
		"prune":  m.prune,
		"epoch":  m.epoch,
		"stop":   m.stop,
		"kill":   m.kill,
		"power":  m.power,
		"fault":  m.fault,
		"":       func(t *rapid.T) { m.open(t) },
	})
	m.stop(t)
	rep, err := journal.Verify(m.disk, nil)
	if err != nil || !rep.OK() {
		t.Fatalf("at the end: %v %v", err, rep.Problems)
	}
}

// open starts the journal if it is not running.
func (m *machine) open(t *rapid.T) {
	for try := 0; m.log == nil; try++ {
		if try == 3 {
			m.disk.Heal()
			m.disk.Revive()
		} else if try > 4 {
			t.Fatal("the journal does not open on a disk without faults")
		}
		l, r, err := journal.Open(m.disk, small)
		if errors.Is(err, faultfs.ErrPowerOff) {
			m.disk.Revive()
		}
		if errors.Is(err, journal.ErrNone) {
			for _, e := range m.h.epochs {
				if e.acked > 0 {
					t.Fatalf("no journal, but records were acknowledged")
				}
			}
			m.h.epochs = []*modelEpoch{{id: testIdentity().Epoch}}
			if l, err = journal.Create(m.disk, testIdentity(), small); err != nil {
				m.disk.Revive()
				continue // a fault; it is used up
			}
			m.log = l
			return
		}
		if err != nil {
			continue
		}
		if r.Lost != nil || len(r.Quarantined) > 0 {
			t.Fatalf("recovery: %+v %+v", r.Lost, r.Quarantined)
		}
		if err := m.h.check(l); err != nil {
			t.Fatal(err)
		}
		m.log = l
	}
}

func (m *machine) failed(t *rapid.T, err error) {
	if !errors.Is(err, journal.ErrFailed) {
		t.Fatalf("an error that is not a failure: %v", err)
	}
	m.log = nil
}

func (m *machine) append(t *rapid.T) {
	for range rapid.IntRange(1, 5).Draw(t, "records") {
		b := rapid.SliceOfN(rapid.Byte(), 0, 900).Draw(t, "body")
		if err := m.log.Append(journal.Record, b); err != nil {
			t.Fatal(err)
		}
		m.h.last().body = append(m.h.last().body, b)
	}
}

func (m *machine) sync(t *rapid.T) {
	if err := m.log.Sync(); err != nil {
		m.failed(t, err)
		return
	}
	m.h.last().acked = len(m.h.last().body)
}

func (m *machine) prune(t *rapid.T) {
	e := rapid.SampledFrom(m.h.epochs).Draw(t, "epoch")
	before := rapid.IntRange(0, e.acked).Draw(t, "before")
	e.first = max(e.first, before)
	e.gone = e.gone || e != m.h.last() && before == e.acked
	if err := m.log.Prune(e.id, holdfast.Seq(before)); err != nil {
		m.failed(t, err)
	}
}

func (m *machine) epoch(t *rapid.T) {
	if m.made == 200 {
		return
	}
	if m.sync(t); m.log == nil {
		return
	}
	m.made++
	m.h.epochs = append(m.h.epochs, &modelEpoch{id: testEpoch(m.made)})
	if err := m.log.NewEpoch(testEpoch(m.made), "drawn"); err != nil {
		m.failed(t, err)
	}
}

// stop is a clean stop: what was not synced is dropped.
func (m *machine) stop(t *rapid.T) {
	if m.log == nil {
		return
	}
	if err := m.log.Close(); err != nil {
		m.failed(t, err)
	}
	m.log = nil
	m.open(t)
}

// kill is the end of the process, not of the machine: the kernel's view stays. It
// comes now or at one of the next operations.
func (m *machine) kill(t *rapid.T) {
	if n := rapid.IntRange(0, 6).Draw(t, "in"); n > 0 {
		m.disk.Inject(m.disk.Ops()+n, faultfs.Fault{PowerOff: true, Done: rapid.Bool().Draw(t, "done")})
		return
	}
	m.log = nil
	m.disk.Revive()
	m.open(t)
}

func (m *machine) power(t *rapid.T) {
	seed := rapid.Uint64().Draw(t, "chance")
	m.log, m.disk = nil, m.disk.Restart(rand.New(rand.NewPCG(seed, 1)))
	if rapid.Bool().Draw(t, "again") { // in the recovery
		m.disk.Inject(rapid.IntRange(1, 10).Draw(t, "at"), faultfs.Fault{PowerOff: true, Done: rapid.Bool().Draw(t, "done")})
		if l, _, err := journal.Open(m.disk, small); err == nil {
			if err := m.h.check(l); err != nil {
				t.Fatal(err)
			}
		}
		m.disk = m.disk.Restart(rand.New(rand.NewPCG(seed, 2)))
	}
}

// fault lets one of the next operations fail.
func (m *machine) fault(t *rapid.T) {
	at := m.disk.Ops() + rapid.IntRange(1, 8).Draw(t, "at")
	err := rapid.SampledFrom([]error{syscall.EIO, syscall.ENOSPC}).Draw(t, "error")
	m.disk.Inject(at, faultfs.Fault{Err: err, Done: rapid.Bool().Draw(t, "done")})
}
