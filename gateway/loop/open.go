package loop

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/uplink"
)

// Options are what [Open] needs. Randomness is an input: Epochs and Nonce must
// be fresh at every call.
type Options struct {
	Config    gateway.Config
	Evidence  journal.FS // the directory of the evidence journal
	Telemetry journal.FS // of the telemetry journal
	Snapshots journal.FS // of the snapshots
	Journal   journal.Options
	Telem     journal.Options
	Shell     Shell

	// Clock is told what the journal proves about the time (see
	// [gateway.State.Proven]) and returns the instant of the first turn.
	Clock func(floor holdfast.UnixMilli, last holdfast.Instant) holdfast.Instant

	Boot   uint32            // rises by one with every call
	Nonce  [16]byte          // the boot nonce
	Epochs [2]holdfast.Epoch // for new epochs of the evidence and the telemetry journal

	// Restart is set after a [RestartError]: begin a new epoch.
	Restart *gateway.Restart
}

// A Report says what recovery found, for the log and for people.
type Report struct {
	Created   bool // there was no journal: the gateway is new
	Evidence  journal.Recovery
	Telemetry journal.Recovery
	Snapshot  string // the snapshot that recovery began from; "" none
	Folded    uint64 // records folded after it
	NewEpoch  bool
}

// Open recovers a core and takes its first turn: when it returns, the boot's
// records are durable.
func Open(o Options) (l *Loop, rep Report, err error) {
	l = &Loop{logs: map[holdfast.Journal]*journal.Log{}, snaps: o.Snapshots, shell: o.Shell}
	opened := l.logs
	defer func() {
		if err != nil {
			for _, log := range opened {
				err = errors.Join(err, log.Close())
			}
		}
	}()
	if err := l.openLogs(&o, &rep); err != nil {
		return nil, rep, err
	}
	state, err := l.recover(o.Snapshots, &rep)
	if err != nil {
		return nil, rep, err
	}
	floor, last := state.Proven()
	start := gateway.Start{Boot: o.Boot, Nonce: hex.EncodeToString(o.Nonce[:])}
	if start.NewEpoch, err = l.newEpoch(&o, &rep); err != nil {
		return nil, rep, err
	}
	start.Quarantined, start.Settled = l.gaps(state, &rep)
	if start.NewEpoch != nil {
		state.Next = 0
	}
	if l.core, err = gateway.New(o.Config, state, l.heads()); err != nil {
		return nil, rep, err
	}
	now := o.Clock(floor, last)
	l.core.Begin(now, start)
	log := l.logs[holdfast.Evidence]
	size, _ := log.Head()
	l.core.Step(now, gateway.Committed{
		Journal: holdfast.Evidence, Epoch: log.Identity().Epoch, Size: size, Checkpoint: l.checkpoint, Bytes: log.Stats().Bytes,
	})
	return l, rep, l.Turn(now, nil)
}

func (l *Loop) openLogs(o *Options, rep *Report) (err error) {
	l.logs[holdfast.Evidence], rep.Evidence, rep.Created, err = openLog(o.Evidence, o.Config.Gateway, holdfast.Evidence, o.Epochs[0], o.Journal)
	if err != nil {
		delete(l.logs, holdfast.Evidence)
		return err
	}
	l.logs[holdfast.Telemetry], rep.Telemetry, _, err = openLog(o.Telemetry, o.Config.Gateway, holdfast.Telemetry, o.Epochs[1], o.Telem)
	if err != nil {
		delete(l.logs, holdfast.Telemetry)
		return err
	}
	if rep.Telemetry.Lost != nil {
		if err := l.logs[holdfast.Telemetry].NewEpoch(o.Epochs[1], string(record.EpochLostHistory)); err != nil {
			return fmt.Errorf("new telemetry epoch: %w", err)
		}
	}
	return nil
}

func openLog(fsys journal.FS, gw holdfast.GatewayID, j holdfast.Journal, epoch holdfast.Epoch, jo journal.Options) (*journal.Log, journal.Recovery, bool, error) {
	log, rec, err := journal.Open(fsys, jo)
	if errors.Is(err, journal.ErrNone) {
		log, err = journal.Create(fsys, journal.Identity{Gateway: gw, Journal: j, Epoch: epoch}, jo)
		return log, rec, true, wrap(j, err)
	}
	if err != nil {
		return nil, rec, false, wrap(j, err)
	}
	if id := log.Identity(); id.Gateway != gw || id.Journal != j {
		err := fmt.Errorf("the directory holds the %s journal of gateway %s, this is %s of %s", id.Journal, id.Gateway, j, gw)
		return nil, rec, false, wrap(j, errors.Join(err, log.Close()))
	}
	return log, rec, false, nil
}

func wrap(j holdfast.Journal, err error) error {
	if err != nil {
		return fmt.Errorf("open %s journal: %w", j, err)
	}
	return nil
}

// newEpoch begins a new epoch where one is needed, and returns the record that
// must be its first. An epoch without a single record (a crash between its
// header and its first record) still needs that record.
func (l *Loop) newEpoch(o *Options, rep *Report) (*record.EpochOpened, error) {
	log := l.logs[holdfast.Evidence]
	b := &record.EpochOpened{Reason: record.EpochEnrolment}
	switch {
	case rep.Evidence.Lost != nil:
		b.Reason, b.Detail = record.EpochLostHistory, rep.Evidence.Lost.String()
	case o.Restart != nil:
		b.Reason, b.Detail = o.Restart.Reason, o.Restart.Detail
	case log.Next() != 0:
		return nil, nil
	case !rep.Created && !log.Identity().Parent.IsZero():
		b.Reason, b.Detail = record.EpochLostHistory, "a crash interrupted the opening of this epoch"
	}
	if rep.Evidence.Lost != nil || o.Restart != nil {
		if err := log.NewEpoch(o.Epochs[0], string(b.Reason)); err != nil {
			return nil, fmt.Errorf("new evidence epoch: %w", err)
		}
		rep.NewEpoch, l.checkpoint = true, 0
	}
	if o.Restart != nil && o.Restart.Reason == record.EpochRestored && rep.Telemetry.Lost == nil {
		// The image that was restored had the telemetry in it as well.
		if err := l.logs[holdfast.Telemetry].NewEpoch(o.Epochs[1], string(b.Reason)); err != nil {
			return nil, fmt.Errorf("new telemetry epoch: %w", err)
		}
	}
	id := log.Identity()
	b.Parent, b.ParentSize, b.ParentRoot = id.Parent, id.ParentSize, id.ParentRoot
	return b, nil
}

func (l *Loop) heads() (out []uplink.Head) {
	for _, j := range []holdfast.Journal{holdfast.Evidence, holdfast.Telemetry} {
		for _, e := range l.logs[j].Epochs() {
			out = append(out, uplink.Head{
				Journal: j, Epoch: e.Epoch, Parent: e.Parent, ParentSize: e.ParentSize, ParentRoot: e.ParentRoot,
				First: uint64(e.First), Size: e.Size,
			})
		}
	}
	return out
}

// recover folds the evidence journal: from the newest attested snapshot, or
// from the beginning.
func (l *Loop) recover(snaps journal.FS, rep *Report) (*gateway.State, error) {
	epochs := l.logs[holdfast.Evidence].Epochs()
	names, err := snapshots(snaps)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	for i := len(epochs) - 1; i >= 0; i-- {
		for _, n := range names {
			if n.epoch != epochs[i].Epoch {
				continue
			}
			state, hash, err := readSnapshot(snaps, n)
			if err != nil {
				continue // a shortcut that leads nowhere; the journal is the truth
			}
			folded, attested, err := l.fold(state, epochs[i:], n, hash, rep)
			if err == nil && attested {
				rep.Snapshot, rep.Folded = n.String(), folded
				return state, nil
			}
		}
	}
	state := gateway.NewState()
	rep.Folded, _, err = l.fold(state, epochs, snapName{}, holdfast.Hash{}, rep)
	if err != nil {
		return nil, fmt.Errorf("fold the evidence journal: %w", err)
	}
	return state, nil
}

// fold applies the records of epochs to state, those of the first from the
// snapshot's size on, and reports whether one of them attests the snapshot.
func (l *Loop) fold(state *gateway.State, epochs []journal.EpochInfo, n snapName, hash holdfast.Hash, rep *Report) (folded uint64, attested bool, err error) {
	for i, e := range epochs {
		from := e.First
		l.checkpoint = 0
		if i == 0 && n.size > uint64(from) {
			from = holdfast.Seq(n.size)
		}
		if i == 0 && n.size == 0 {
			state.Skip(from)
		}
		for from < holdfast.Seq(e.Size) {
			err := l.logs[holdfast.Evidence].Read(e.Epoch, from, func(f journal.Frame) error {
				if f.Kind == journal.Checkpoint {
					l.checkpoint = uint64(f.Seq)
				}
				if f.Kind != journal.Record {
					return nil
				}
				from = f.Seq + 1
				r, err := record.Decode(f.Body)
				if err != nil {
					return err
				}
				folded++
				if b, ok := r.Body.(*record.SnapshotTaken); ok && b.Size == n.size && b.Hash == hash && i == 0 {
					attested = true
				}
				if err := state.Apply(r, holdfast.LeafHash(f.Body)); err != nil {
					return fmt.Errorf("record %s/%d: %w", e.Epoch, f.Seq, err)
				}
				return nil
			})
			if miss := (*journal.MissingError)(nil); errors.As(err, &miss) {
				state.Skip(miss.To)
				from = miss.To
				continue
			}
			if d := (*journal.Damage)(nil); errors.As(err, &d) {
				q, failed := l.logs[holdfast.Evidence].Quarantine(d)
				if failed != nil {
					return folded, attested, errors.Join(err, failed)
				}
				rep.Evidence.Quarantined = append(rep.Evidence.Quarantined, q)
				continue // behind what can be read of it, at what is missing
			}
			if err != nil {
				return folded, attested, err
			}
		}
	}
	return folded, attested, nil
}
