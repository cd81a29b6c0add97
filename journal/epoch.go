package journal

import (
	"errors"
	"fmt"

	"github.com/holdfast-ev/holdfast"
)

// NewEpoch ends the current epoch at what is synced, or at what recovery vouched
// for, and begins epoch e as its child with sequence numbers from 0. It is how a
// journal goes on after a restored disk was noticed or history was lost. The
// reason (at most [MaxReason] bytes, cut) is kept in the headers for people. An
// error other than a refusal is final, as in [Log.Sync].
//
// The new epoch's first segment becomes durable before the old one is touched:
// if the process dies in between, Open seals the old one where the new one says
// that it ended.
func (l *Log) NewEpoch(e holdfast.Epoch, reason string) error {
	if l.err != nil {
		return l.err
	}
	if len(l.buf) > 0 {
		return errors.New("new epoch: frames are waiting for a sync")
	}
	if len(l.epochs) >= MaxEpochs {
		return fmt.Errorf("new epoch: %d epochs are on the disk, limit %d: prune one first", len(l.epochs), MaxEpochs)
	}
	for _, ep := range l.epochs {
		if ep.id.Epoch == e || e.IsZero() {
			return fmt.Errorf("new epoch: %s is no new epoch", e)
		}
	}
	if err := l.newEpoch(e, reason); err != nil {
		return l.fail("new epoch", err)
	}
	return nil
}

func (l *Log) newEpoch(e holdfast.Epoch, reason string) error {
	old, seg, tail, tree := l.current(), l.seg, l.tail, l.synced
	id := Identity{Gateway: old.id.Gateway, Journal: old.id.Journal, Epoch: e,
		Parent: old.id.Epoch, ParentSize: tree.size, ParentRoot: tree.Root()}
	ep := &epochDir{counter: old.counter + 1, id: id, reason: reason[:min(len(reason), MaxReason)]}
	l.tree, l.synced = Tree{}, Tree{}
	if err := l.beginSegment(ep, header{id: id, counter: ep.counter, reason: ep.reason}); err != nil {
		l.seg, l.tail = seg, tail
		return err
	}
	l.epochs = append(l.epochs, ep)
	if err := l.endEpoch(seg, tail, &tree); err != nil {
		return err
	}
	l.note, l.lost = nil, nil
	return l.writeHead()
}

// endEpoch seals the last segment of an epoch that has a child.
func (l *Log) endEpoch(seg *segment, tail File, tree *Tree) error {
	if seg == nil { // lost, and its last segment cannot be read at all
		return l.dropRuin()
	}
	if seg.seal == nil {
		f := tail
		if f == nil { // lost: Open let go of it
			var err error
			if f, err = l.fs.Append(seg.name); err != nil {
				return fmt.Errorf("open %s: %w", seg.name, err)
			}
			defer f.Close()
		}
		if err := l.sealSegment(seg, f, seg.bytes, tree); err != nil {
			return err
		}
	}
	if tail != nil {
		return tail.Close()
	}
	return nil
}

// dropRuin renames aside a last segment of which nothing can be read.
func (l *Log) dropRuin() error {
	s := l.ruin
	if s == nil {
		return nil
	}
	to := l.freeName(s.name, badInfix)
	if err := l.fs.Rename(s.name, to); err != nil {
		return fmt.Errorf("quarantine %s: %w", s.name, err)
	}
	if err := l.fs.SyncDir(); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	l.files[to], l.ruin = true, nil
	l.sides += s.bytes
	return nil
}

// An EpochInfo is one epoch as it is on the disk.
type EpochInfo struct {
	Identity
	Reason string        `json:"reason,omitempty"` // why it began
	First  holdfast.Seq  `json:"first"`            // records before it were pruned
	Size   uint64        `json:"size"`             // records, the pruned ones included
	Root   holdfast.Hash `json:"root"`
}

// Epochs returns every epoch that is on the disk, oldest first; the last is the
// current one, with what is synced.
func (l *Log) Epochs() []EpochInfo {
	out := make([]EpochInfo, 0, len(l.epochs))
	for i, ep := range l.epochs {
		info := EpochInfo{Identity: ep.id, Reason: ep.reason, First: holdfast.Seq(ep.first)}
		if i == len(l.epochs)-1 {
			info.Size, info.Root = l.Head()
		} else if child := l.epochs[i+1].id; child.Parent == ep.id.Epoch {
			info.Size, info.Root = child.ParentSize, child.ParentRoot
		} else if n := len(ep.segs); n > 0 && ep.segs[n-1].seal != nil {
			info.Size, info.Root = ep.segs[n-1].end, ep.segs[n-1].seal.root
		}
		out = append(out, info)
	}
	return out
}

// A SegmentInfo is one segment as it is on the disk.
type SegmentInfo struct {
	Name   string         `json:"name"`
	Epoch  holdfast.Epoch `json:"epoch"`
	First  holdfast.Seq   `json:"first"`
	End    holdfast.Seq   `json:"end"` // Seq after its last record
	Bytes  int64          `json:"bytes"`
	Sealed bool           `json:"sealed"`
}

// Segments returns every segment, oldest first. Sealed ones never change, so
// that [CheckSegment] may read them on another goroutine.
func (l *Log) Segments() []SegmentInfo {
	var out []SegmentInfo
	for _, ep := range l.epochs {
		for _, s := range ep.segs {
			out = append(out, SegmentInfo{Name: s.name, Epoch: ep.id.Epoch, First: holdfast.Seq(s.head.first),
				End: holdfast.Seq(s.end), Bytes: s.bytes, Sealed: s.seal != nil})
		}
	}
	return out
}

// Stats are a journal's figures, for metrics and for deciding on space.
type Stats struct {
	Records   uint64 `json:"records"`    // on the disk, all epochs
	Bytes     int64  `json:"bytes"`      // of segments and copies set aside
	MaxBytes  int64  `json:"max_bytes"`  // Options.MaxBytes
	Segments  int    `json:"segments"`   // files
	Syncs     uint64 `json:"syncs"`      // since Open
	Waiting   int    `json:"waiting"`    // bytes appended and not synced
	FreeBytes int64  `json:"free_bytes"` // that the file system has left; -1 when it does not tell
}

// Stats returns the figures of now.
func (l *Log) Stats() Stats {
	s := Stats{Bytes: l.bytes(), MaxBytes: l.o.MaxBytes, Syncs: l.syncs, Waiting: len(l.buf)}
	for _, ep := range l.epochs {
		s.Segments += len(ep.segs)
		for _, seg := range ep.segs {
			s.Records += seg.end - seg.head.first
		}
	}
	free, err := l.fs.Free()
	if err != nil {
		free = -1
	}
	s.FreeBytes = free
	return s
}

// bytes is what the journal takes on the disk.
func (l *Log) bytes() int64 {
	n := l.sides + l.others
	if l.seg != nil {
		n += l.seg.bytes
	}
	return n
}

// account counts the segments' bytes after they changed.
func (l *Log) account() {
	l.others = 0
	for _, ep := range l.epochs {
		for _, s := range ep.segs {
			if s != l.seg {
				l.others += s.bytes
			}
		}
	}
}
