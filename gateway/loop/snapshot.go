package loop

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/journal"
)

// Snapshots are files in a directory of their own, named by what they fold:
// "snap-<epoch>-<size in 16 hex digits>". A snapshot is a shortcut and no
// evidence: it counts only when a record in the journal attests its hash.
const (
	snapPrefix = "snap-"
	snapTemp   = "snap.tmp"
	// SnapshotsKept is how many are kept: the newest may be the one whose record
	// a crash took away.
	SnapshotsKept = 2
	// MaxSnapshotBytes bounds what recovery reads into memory at once.
	MaxSnapshotBytes = 64 << 20
)

type snapName struct {
	epoch holdfast.Epoch
	size  uint64
}

func (n snapName) String() string { return fmt.Sprintf("%s%s-%016x", snapPrefix, n.epoch, n.size) }

func parseSnapName(s string) (n snapName, ok bool) {
	epoch, size, ok := strings.Cut(strings.TrimPrefix(s, snapPrefix), "-")
	if !ok || !strings.HasPrefix(s, snapPrefix) {
		return n, false
	}
	var err error
	if n.epoch, err = holdfast.ParseEpoch(epoch); err != nil {
		return n, false
	}
	n.size, err = strconv.ParseUint(size, 16, 64)
	return n, err == nil && n.String() == s
}

// snapshot stores the core's state and has the core attest it.
func (l *Loop) snapshot(now holdfast.Instant) error {
	b, size, err := l.core.Snapshot()
	if err != nil {
		return err
	}
	name := snapName{l.logs[holdfast.Evidence].Identity().Epoch, size}
	if err := storeFile(l.snaps, name.String(), b); err != nil {
		return fmt.Errorf("store snapshot %s: %w", name, err)
	}
	if err := dropOld(l.snaps); err != nil {
		return fmt.Errorf("drop old snapshots: %w", err)
	}
	l.core.Step(now, gateway.SnapshotStored{Size: size, Hash: sha256.Sum256(b)})
	_, err = l.round(now)
	return err
}

// storeFile: create temporary, write, sync, rename, sync the directory. A crash
// in between leaves a temporary file, which the next store replaces.
func storeFile(fsys journal.FS, name string, b []byte) (err error) {
	if err := fsys.Remove(snapTemp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := fsys.Create(snapTemp)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(snapTemp, name); err != nil {
		return err
	}
	return fsys.SyncDir()
}

func dropOld(fsys journal.FS) error {
	names, err := snapshots(fsys)
	if err != nil {
		return err
	}
	for _, n := range names[min(SnapshotsKept, len(names)):] {
		if err := fsys.Remove(n.String()); err != nil {
			return err
		}
	}
	return nil
}

// snapshots lists what is there, the largest fold of each epoch first. Epochs
// are random, so their order is not told by their names; the caller matches
// them with the journal's.
func snapshots(fsys journal.FS) (out []snapName, err error) {
	names, err := fsys.Names()
	if err != nil {
		return nil, err
	}
	for _, s := range names {
		if n, ok := parseSnapName(s); ok {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(a, b snapName) int {
		switch {
		case a.size > b.size:
			return -1
		case a.size < b.size:
			return 1
		}
		return slices.Compare(a.epoch[:], b.epoch[:])
	})
	return out, nil
}

func readSnapshot(fsys journal.FS, n snapName) (state *gateway.State, hash holdfast.Hash, err error) {
	f, err := fsys.Open(n.String())
	if err != nil {
		return nil, hash, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, hash, err
	}
	if size > MaxSnapshotBytes {
		return nil, hash, fmt.Errorf("snapshot of %d bytes, at most %d", size, MaxSnapshotBytes)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(f, 0, size), b); err != nil {
		return nil, hash, err
	}
	state, err = gateway.ParseSnapshot(b)
	return state, sha256.Sum256(b), err
}
