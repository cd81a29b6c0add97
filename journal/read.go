package journal

import (
	"errors"
	"fmt"
	"io"
	"sort"

	"github.com/holdfast-ev/holdfast"
)

// Read calls fn for every frame of epoch e that lies after record from-1: record
// from, the keys and checkpoints before it, and everything that follows, as far
// as it is synced. A body is valid until fn returns. Checksums are checked as
// the frames are read. Read stops at fn's first error and returns it; at records
// that are not on the disk with a [*MissingError], after which it may be called
// again from MissingError.To; at damage with a [*Damage].
func (l *Log) Read(e holdfast.Epoch, from holdfast.Seq, fn func(Frame) error) error {
	return l.each(e, uint64(from), func(f Frame, _ []byte) error { return fn(f) })
}

// errEnough ends a walk early.
var errEnough = errors.New("enough")

// Slice returns the bytes of whole frames, verbatim, for the uplink: everything
// that lies after record from-1, up to maxBytes. There is at least one record in
// it if record from exists, even beyond maxBytes; there may be checkpoints only
// when from is the size. Empty means that nothing is there yet. Errors are those
// of [Log.Read], when they come before the first record.
func (l *Log) Slice(e holdfast.Epoch, from holdfast.Seq, maxBytes int) ([]byte, error) {
	var out []byte
	records := 0
	err := l.each(e, uint64(from), func(f Frame, raw []byte) error {
		if records > 0 && len(out)+len(raw) > maxBytes {
			return errEnough
		}
		if out == nil {
			out = make([]byte, 0, max(len(raw), int(min(int64(maxBytes), l.bytesFrom(e, uint64(from))))))
		}
		out = append(out, raw...)
		if f.Kind == Record {
			records++
		}
		return nil
	})
	if err == errEnough || err != nil && records > 0 {
		return out, nil
	}
	return out, err
}

func (l *Log) each(e holdfast.Epoch, from uint64, fn func(Frame, []byte) error) error {
	if l.err != nil {
		return l.err
	}
	ep, size := l.find(e)
	switch {
	case ep == nil:
		return fmt.Errorf("read journal: epoch %s is not on the disk", e)
	case from > size:
		return fmt.Errorf("read journal: record %d of epoch %s, which has %d", from, e, size)
	case from < ep.first:
		return &MissingError{e, holdfast.Seq(from), holdfast.Seq(ep.first)}
	}
	start := sort.Search(len(ep.segs), func(i int) bool { return ep.segs[i].head.first >= from })
	w, next := &walker{}, from
	for _, s := range ep.segs[max(0, start-1):] {
		if s.head.first > next {
			return &MissingError{e, holdfast.Seq(next), holdfast.Seq(s.head.first)}
		}
		if err := s.each(l.fs, w, from, fn); err != nil {
			return err
		}
		next = max(next, w.next)
	}
	if next < size {
		return &MissingError{e, holdfast.Seq(next), holdfast.Seq(size)}
	}
	return nil
}

// bytesFrom bounds what lies from a record on to the end of its epoch.
func (l *Log) bytesFrom(e holdfast.Epoch, from uint64) (n int64) {
	ep, _ := l.find(e)
	for _, s := range ep.segs {
		if s.end >= from {
			n += s.bytes
		}
	}
	return n
}

// find returns an epoch and its size.
func (l *Log) find(e holdfast.Epoch) (*epochDir, uint64) {
	for i, info := range l.Epochs() {
		if info.Epoch == e {
			return l.epochs[i], info.Size
		}
	}
	return nil, 0
}

// each calls fn for the frames of a segment that lie after record from-1.
func (s *segment) each(fsys FS, w *walker, from uint64, fn func(Frame, []byte) error) error {
	f, err := fsys.Open(s.name)
	if err != nil {
		return fmt.Errorf("open %s: %w", s.name, err)
	}
	defer f.Close()
	if err := w.open(f, s.name, s.bytes); err != nil {
		return err
	}
	for {
		fr, err := w.step()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if fr.Kind.internal() || fr.Kind == Record && uint64(fr.Seq) < from || fr.Kind != Record && w.next < from {
			continue
		}
		if err := fn(fr, w.raw); err != nil {
			return err
		}
	}
}

// Scan reads a journal without opening it: it takes no lock, changes nothing and
// may run beside the process that writes. It calls fn for every frame that can
// be read, oldest first, and returns what could not be. A body is valid until fn
// returns; fn's first error ends the scan and is returned.
func Scan(fsys FS, fn func(Identity, Frame) error) ([]Damage, error) {
	l, err := inspect(fsys)
	if err != nil {
		return nil, err
	}
	if len(l.epochs) == 0 {
		return nil, ErrNone
	}
	var bad []Damage
	w := &walker{}
	for _, ep := range l.epochs {
		for _, s := range ep.segs {
			if s.bad != nil {
				bad = append(bad, *s.bad)
				continue
			}
			err := s.each(fsys, w, 0, func(f Frame, _ []byte) error { return fn(ep.id, f) })
			if d := (*Damage)(nil); errors.As(err, &d) {
				bad = append(bad, *d)
			} else if err != nil {
				return bad, err
			}
		}
		for _, g := range ep.gaps {
			bad = append(bad, Damage{Segment: segmentName(ep.counter, g.from), What: fmt.Sprintf("records %d to %d are not there", g.from, g.to-1)})
		}
	}
	return bad, nil
}
