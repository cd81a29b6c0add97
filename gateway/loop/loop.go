package loop

import (
	"errors"
	"fmt"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A Shell carries out effects. Every method returns at once; answers come back
// as inputs to a later Turn. It is called only after everything that the effect
// rests on is durable.
type Shell interface {
	// Send queues a frame for a charger; a connection that is gone swallows it.
	Send(gateway.Send)
	// Close ends a charger's connection. gateway.Disconnected need not follow.
	Close(gateway.Close)
	// Sign answers with gateway.Signed.
	Sign(gateway.SignRequest)
	// SignCheckpoint answers with gateway.CheckpointSigned, or not at all: the
	// next checkpoint covers the same records.
	SignCheckpoint(origin string, size uint64, root holdfast.Hash)
	// Ask answers with gateway.Told.
	Ask(gateway.Ask)
	// Route says which way every call goes from now on; the zero Route, that there
	// will be none until the next. Calls that are under way end on their own.
	Route(uplink.Route)
	// Probe looks whether a route works and answers with gateway.Probed.
	Probe(uplink.Route)
	// Hello answers with gateway.LinkUp or gateway.LinkDown.
	Hello(uplink.Hello)
	// Upload sends a slice and answers with gateway.UploadDone or
	// gateway.LinkDown. The shell owns the slice.
	Upload(u gateway.Upload, slice []byte)
	// Fetch answers with gateway.Fetched. A copy beyond [MaxRepairBytes] is an
	// error.
	Fetch(gateway.Fetch)
	// Book answers with gateway.Book.
	Book(gateway.BookRequest)
	// KeepBook writes the tokens down, sealed; it answers nothing.
	KeepBook(gateway.KeepBook)
	// Output sets a line outside, such as a contactor's, and keeps it so.
	Output(gateway.Output)
}

// A RestartError says that the core must be opened again in a new epoch.
type RestartError struct {
	Restart gateway.Restart
}

func (e *RestartError) Error() string {
	return fmt.Sprintf("a new epoch is needed (%s): %s", e.Restart.Reason, e.Restart.Detail)
}

// SliceBytes is how much of a journal one upload carries at most: small enough
// that a slow link shows progress, large enough that a fast one is not idle.
const SliceBytes = 512 << 10

// BatchBytes is how many bytes of records wait for one sync at most: half of
// what the journal takes, so that a frame's own overhead never matters.
const BatchBytes = journal.MaxBatch / 2

// LazyBytes is how much telemetry waits for a sync at most on which no answer
// rests.
const LazyBytes = 256 << 10

// MaxRounds bounds how often one turn goes around for what the effects of a
// round allow at once, such as an upload of what was just committed.
const MaxRounds = 8

// A Loop drives one core over its journals. It is not safe for concurrent use.
type Loop struct {
	core  *gateway.Gateway
	logs  map[holdfast.Journal]*journal.Log
	snaps journal.FS
	shell Shell

	checkpoint uint64 // size of the last one in the current evidence epoch
	syncs      uint64
	dropped    uint64 // telemetry records that found no room
	lazy       int    // bytes of telemetry that may wait for the next sync
	ticked     bool   // in this turn: what waits is synced
}

// Core returns the core, for its status and counters, between turns.
func (l *Loop) Core() *gateway.Gateway { return l.core }

// Stats describes the journals, for metrics.
func (l *Loop) Stats() (evidence, telemetry journal.Stats, syncs, dropped uint64) {
	return l.logs[holdfast.Evidence].Stats(), l.logs[holdfast.Telemetry].Stats(), l.syncs, l.dropped
}

// Turn steps the inputs and carries out what they demand. An error is final:
// the disk and the core may differ, so the core must be discarded and opened
// again. Nothing that the failed turn decided was told to anybody.
func (l *Loop) Turn(now holdfast.Instant, in []gateway.Input) error {
	l.ticked = false
	for _, input := range in {
		switch input.(type) {
		case gateway.Tick, gateway.Quit:
			l.ticked = true
		}
		input, err := l.mend(input)
		if err != nil {
			return err
		}
		if input != nil {
			l.core.Step(now, input)
		}
	}
	for range MaxRounds {
		again, err := l.round(now)
		if err != nil || !again {
			return err
		}
	}
	return nil
}

// round makes the records durable and then releases the effects. It reports
// whether that allowed something new.
func (l *Loop) round(now holdfast.Instant) (again bool, err error) {
	r := l.core.Ready()
	committed, err := l.commit(r.Records)
	if err != nil {
		return false, err
	}
	if r.Restart != nil {
		return false, l.restart(now, *r.Restart)
	}
	l.release(&r)
	l.core.Advance()
	for _, c := range committed {
		l.core.Step(now, c)
	}
	if r.Snapshot {
		if err := l.snapshot(now); err != nil {
			return false, err
		}
	}
	if r.Upload != nil {
		if err := l.upload(now, *r.Upload); err != nil {
			return false, err
		}
	}
	return len(committed) > 0 || r.Upload != nil, l.prune(r.Prune)
}

// restart ends this core. What it knows is stored first: recovery in the new
// epoch then does not depend on records that cannot be read.
func (l *Loop) restart(now holdfast.Instant, r gateway.Restart) error {
	l.core.Advance()
	if err := l.snapshot(now); err != nil {
		return err
	}
	return &RestartError{r}
}

// commit appends the records and syncs each journal that got any, evidence
// first: telemetry may refer to it, never the other way round. What is lazy is
// synced with the next record that is not, or at a tick.
func (l *Loop) commit(records []gateway.Append) (done []gateway.Committed, err error) {
	dirty, waiting := map[holdfast.Journal]bool{}, map[holdfast.Journal]int{holdfast.Telemetry: l.lazy}
	for _, a := range records {
		if waiting[a.Journal] += len(a.Bytes); waiting[a.Journal] > BatchBytes {
			// A turn of very large messages takes more than one sync. That is no
			// harm: nothing is released before the last of them.
			if err := l.logs[a.Journal].Sync(); err != nil {
				return nil, fmt.Errorf("sync %s journal: %w", a.Journal, err)
			}
			waiting[a.Journal] = len(a.Bytes)
		}
		if err := l.append(a); err != nil {
			return nil, err
		}
		if a.Lazy && a.Journal == holdfast.Telemetry {
			l.lazy += len(a.Bytes)
		} else {
			dirty[a.Journal] = true
		}
	}
	if l.lazy > 0 && (l.ticked || l.lazy > LazyBytes) {
		dirty[holdfast.Telemetry] = true
	}
	for _, j := range []holdfast.Journal{holdfast.Evidence, holdfast.Telemetry} {
		if !dirty[j] {
			continue
		}
		log := l.logs[j]
		if err := log.Sync(); err != nil {
			return nil, fmt.Errorf("sync %s journal: %w", j, err)
		}
		l.syncs++
		if j == holdfast.Telemetry {
			l.lazy = 0
		}
		size, _ := log.Head()
		c := gateway.Committed{Journal: j, Epoch: log.Identity().Epoch, Size: size, Bytes: log.Stats().Bytes}
		if j == holdfast.Evidence {
			c.Checkpoint = l.checkpoint
		}
		done = append(done, c)
	}
	return done, nil
}

func (l *Loop) append(a gateway.Append) error {
	log := l.logs[a.Journal]
	kind := journal.Record
	switch {
	case a.Key:
		kind = journal.Key
	case a.Checkpoint:
		kind = journal.Checkpoint
	case a.Seq != log.Next():
		return fmt.Errorf("append to %s journal: record %d, the journal's next is %d", a.Journal, a.Seq, log.Next())
	}
	err := log.Append(kind, a.Bytes)
	if errors.Is(err, journal.ErrFull) && a.Journal == holdfast.Telemetry {
		if err := l.makeRoom(log); err != nil {
			return err
		}
		err = log.Append(kind, a.Bytes)
	}
	if err != nil {
		return fmt.Errorf("append to %s journal: %w", a.Journal, err)
	}
	if a.Checkpoint {
		l.checkpoint = uint64(a.Seq)
	}
	return nil
}

// makeRoom drops the oldest half of the telemetry that is on the disk, whether
// the cloud has it or not: that is what telemetry is.
func (l *Loop) makeRoom(log *journal.Log) error {
	if err := log.Sync(); err != nil {
		return fmt.Errorf("sync telemetry journal: %w", err)
	}
	epochs := log.Epochs()
	for _, e := range epochs[:len(epochs)-1] {
		l.dropped += e.Size - uint64(e.First)
		if err := log.Prune(e.Epoch, holdfast.Seq(e.Size)); err != nil {
			return fmt.Errorf("drop telemetry: %w", err)
		}
	}
	e := epochs[len(epochs)-1]
	before := uint64(e.First) + (e.Size-uint64(e.First))/2
	l.dropped += before - uint64(e.First)
	if err := log.Prune(e.Epoch, holdfast.Seq(before)); err != nil {
		return fmt.Errorf("drop telemetry: %w", err)
	}
	return nil
}

// release hands out what may now be told.
func (l *Loop) release(r *gateway.Ready) {
	if r.Route != nil {
		l.shell.Route(*r.Route)
	}
	if r.Probe != nil {
		l.shell.Probe(*r.Probe)
	}
	for _, s := range r.Sends {
		l.shell.Send(s)
	}
	for _, c := range r.Closes {
		l.shell.Close(c)
	}
	for _, s := range r.Signs {
		l.shell.Sign(s)
	}
	for _, a := range r.Asks {
		l.shell.Ask(a)
	}
	if r.Checkpoint {
		log := l.logs[holdfast.Evidence]
		size, root := log.Head()
		l.shell.SignCheckpoint(log.Identity().Origin(), size, root)
	}
	if r.Hello != nil {
		l.shell.Hello(*r.Hello)
	}
	for _, o := range r.Outputs {
		l.shell.Output(o)
	}
	if r.Fetch != nil {
		l.shell.Fetch(*r.Fetch)
	}
	if r.KeepBook != nil {
		l.shell.KeepBook(*r.KeepBook)
	}
	if r.Book != nil {
		l.shell.Book(*r.Book)
	}
}

// upload reads a slice and sends it. Damage that reading finds is set aside
// first, so that what the core hears is what the disk then holds.
func (l *Loop) upload(now holdfast.Instant, u gateway.Upload) error {
	log := l.logs[u.Journal]
	slice, err := log.Slice(u.Epoch, u.First, SliceBytes)
	if d := (*journal.Damage)(nil); errors.As(err, &d) {
		found, failed := l.setAside(u.Journal, d)
		if failed != nil {
			return failed
		}
		if found != nil {
			l.core.Step(now, *found)
			slice, err = log.Slice(u.Epoch, u.First, SliceBytes)
		}
	}
	if err == nil {
		l.shell.Upload(u, slice)
		return nil
	}
	none := gateway.Unreadable{Journal: u.Journal, Epoch: u.Epoch, First: u.First, Detail: err.Error()}
	if miss := (*journal.MissingError)(nil); errors.As(err, &miss) {
		none.Resume = miss.To
	}
	l.core.Step(now, none)
	return nil
}

func (l *Loop) prune(list []gateway.Prune) error {
	for _, p := range list {
		if err := l.logs[p.Journal].Prune(p.Epoch, p.Before); err != nil {
			return fmt.Errorf("prune %s journal: %w", p.Journal, err)
		}
	}
	return nil
}

// Close closes the journals. It makes nothing durable: Turn did.
func (l *Loop) Close() error {
	return errors.Join(l.logs[holdfast.Evidence].Close(), l.logs[holdfast.Telemetry].Close())
}
