package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/holdfast-ev/holdfast"
)

// A layout is what a directory holds, as far as names, headers, frontiers and
// seals tell: three small reads a segment. Making one changes nothing.
type layout struct {
	head    *headFile // nil when there is none or headBad
	headBad *Damage
	epochs  []*epochDir // by counter
	names   map[string]bool
	temps   []string // leftovers of interrupted writes
	pruned  []string // segments that the head gave up
	asides  []aside
}

type aside struct {
	name  string
	bytes int64
}

// An epochDir is one epoch's part of the directory.
type epochDir struct {
	counter uint32
	id      Identity // zero but for the epoch when no header could be read
	reason  string
	first   uint64     // records from here on are expected on the disk
	segs    []*segment // by first Seq
	gaps    []gap
}

// A segment is one file of an epoch.
type segment struct {
	name  string // on the disk
	dirty bool   // a sync of it failed: there is a mark, which may be itself
	anew  bool   // recovery must write it anew
	head  header // counter and first are those of the name when it is bad
	bytes int64  // of the file that readers may use
	front holdfast.Hash
	end   uint64 // Seq after the last record, once sealed or walked
	seal  *seal
	bad   *Damage
}

// A gap is a run of records that should be on the disk and is not readable.
type gap struct {
	from, to uint64
	aside    string // a quarantined copy, "" when there is none
}

// inspect reads the directory.
func inspect(fsys FS) (*layout, error) {
	l := &layout{names: map[string]bool{}}
	head, err := readHead(fsys) // before the names: what it promises was there then
	if d := (*Damage)(nil); errors.As(err, &d) {
		l.headBad = d
	} else if err != nil {
		return nil, err
	}
	l.head = head
	names, err := fsys.Names()
	if err != nil {
		return nil, fmt.Errorf("list journal directory: %w", err)
	}
	slices.Sort(names)
	for _, n := range names {
		l.names[n] = true
	}
	if err := l.readSegments(fsys, names); err != nil {
		return nil, err
	}
	l.expectEpochs()
	for i, ep := range l.epochs {
		var child *epochDir
		if i+1 < len(l.epochs) {
			child = l.epochs[i+1]
		}
		if err := l.join(fsys, ep, child); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// readSegments sorts the names out and reads both ends of every segment.
func (l *layout) readSegments(fsys FS, names []string) error {
	w := &walker{chunk: headerLen + frameHeaderLen + MaxFrontierBytes}
	for _, name := range names {
		counter, first, ok := parseSegmentName(canonical(name))
		switch {
		case strings.HasSuffix(name, tmpSuffix):
			l.temps = append(l.temps, name)
		case ok && canonical(name) != name && l.names[canonical(name)]:
			continue // a mark whose segment was written anew, perhaps in vain
		case ok:
			s := &segment{name: name, dirty: l.names[dirtyName(canonical(name))], head: header{counter: counter, first: first}}
			if err := s.readEnds(fsys, w); errors.Is(err, fs.ErrNotExist) {
				continue // pruned or marked while we looked
			} else if err != nil {
				return err
			}
			l.add(s)
		case strings.Contains(name, tornInfix) || strings.Contains(name, badInfix):
			n, err := sizeOf(fsys, name)
			if err != nil {
				return err
			}
			l.asides = append(l.asides, aside{name, n})
		}
	}
	return nil
}

// add puts s into its epoch. Names come sorted.
func (l *layout) add(s *segment) {
	n := len(l.epochs)
	if n == 0 || l.epochs[n-1].counter != s.head.counter {
		l.epochs = append(l.epochs, &epochDir{counter: s.head.counter, first: s.head.first})
		n++
	}
	ep := l.epochs[n-1]
	ep.segs = append(ep.segs, s)
	if s.bad != nil {
		return
	}
	if ep.id.Gateway == "" {
		ep.id, ep.reason = s.head.id, s.head.reason
	} else if ep.id != s.head.id {
		s.bad = &Damage{Segment: s.name, Offset: 0, What: "belongs to " + s.head.id.Origin() + ", not to " + ep.id.Origin()}
	}
}

// expectEpochs applies what the head remembers: which epochs must be there, and
// from where on. An older epoch that it does not name was pruned whole: the head
// says so before the files go, and a crash may have left some of them.
func (l *layout) expectEpochs() {
	if l.head == nil {
		return
	}
	l.epochs = slices.DeleteFunc(l.epochs, func(ep *epochDir) bool {
		if _, named := l.head.first(ep.counter); named || ep.counter >= l.head.counter {
			return false
		}
		for _, s := range ep.segs {
			l.pruned = append(l.pruned, s.name)
		}
		return true
	})
	l.asides = slices.DeleteFunc(l.asides, func(a aside) bool {
		counter, from, ok := segmentOf(a.name)
		first, named := l.head.first(counter)
		gone := ok && counter < l.head.counter && !named || named && from < first
		if gone {
			l.pruned = append(l.pruned, a.name)
		}
		return gone
	})
	for _, want := range l.head.epochs {
		i, ok := slices.BinarySearchFunc(l.epochs, want.counter, func(e *epochDir, c uint32) int { return int(int64(e.counter) - int64(c)) })
		if !ok {
			l.epochs = slices.Insert(l.epochs, i, &epochDir{counter: want.counter})
		}
		ep := l.epochs[i]
		ep.first = want.first
		if ep.id.Gateway == "" {
			ep.id = Identity{Gateway: l.head.gateway, Journal: l.head.journal, Epoch: want.epoch}
		}
		// What ends at or before first was pruned as well.
		for len(ep.segs) > 1 && ep.segs[1].head.first <= ep.first {
			l.pruned = append(l.pruned, ep.segs[0].name)
			ep.segs = ep.segs[1:]
		}
	}
}

// readEnds reads the header, the frontier and the seal, if there is one. Damage
// is noted in s.bad; an error is of the file system.
func (s *segment) readEnds(fsys FS, w *walker) error {
	f, err := fsys.Open(s.name)
	if err != nil {
		return fmt.Errorf("open %s: %w", s.name, err)
	}
	defer f.Close()
	if s.bytes, err = f.Size(); err != nil {
		return fmt.Errorf("size of %s: %w", s.name, err)
	}
	err = w.open(f, s.name, s.bytes)
	if d := (*Damage)(nil); errors.As(err, &d) {
		s.bad = d
		return nil
	}
	if err != nil {
		return err
	}
	s.head, s.front, s.end = w.head, w.tree.Root(), w.head.first
	return s.readSeal(w)
}

// readSeal looks for a seal at the end of the file.
func (s *segment) readSeal(w *walker) error {
	if w.off+frameHeaderLen > s.bytes {
		return nil
	}
	b, err := w.view(s.bytes-4, 4)
	if err != nil {
		return err
	}
	n := int64(binary.BigEndian.Uint32(b))
	if n < frameHeaderLen || n > frameHeaderLen+maxSealBody || s.bytes-n < w.off {
		return nil
	}
	if b, err = w.view(s.bytes-n, int(n)); err != nil {
		return err
	}
	h, body, what := parseFrame(b)
	if what != "" || h.kind != kindSeal || h.seq < s.head.first {
		return nil
	}
	if seal, what := decodeSeal(body); what == "" && seal.tree.size == h.seq {
		s.seal, s.end = &seal, h.seq
	}
	return nil
}

// join checks that an epoch's segments follow one another. The last segment of
// the newest epoch (child is nil) is left to the caller, who walks it.
func (l *layout) join(fsys FS, ep, child *epochDir) error {
	// A last segment may lack its seal while a NewEpoch is unfinished, which is
	// until the head names the new epoch.
	ended := child != nil && l.head != nil && l.head.counter > ep.counter
	for i, s := range ep.segs {
		if last := i == len(ep.segs)-1; s.bad == nil && s.seal == nil && (ended || !last) {
			if err := s.locate(fsys, "sealed segment has no seal"); err != nil {
				return err
			}
		}
	}
	next, prev := ep.first, (*segment)(nil)
	for _, s := range ep.segs {
		if s.bad != nil {
			prev = nil
			continue
		}
		if prev != nil && prev.end == s.head.first && prev.seal.root != s.front {
			if err := l.blame(fsys, prev, s); err != nil {
				return err
			}
			if s.bad != nil {
				prev = nil
				continue
			}
			next = prev.head.first
		}
		switch {
		case s.head.first > next:
			ep.gaps = append(ep.gaps, gap{from: next, to: s.head.first, aside: l.badCopy(ep.counter, next)})
		case s.head.first < next && prev != nil:
			s.bad = &Damage{Segment: s.name, Offset: 88, What: fmt.Sprintf("begins at %d, before the end of %s at %d", s.head.first, prev.name, next)}
			continue
		}
		next, prev = s.end, s
	}
	if child != nil && child.id.Parent == ep.id.Epoch {
		l.joinChild(ep, child, next)
	}
	return nil
}

// joinChild compares the end of an epoch with what the next one says.
func (l *layout) joinChild(ep, child *epochDir, next uint64) {
	if n := len(ep.segs); n > 0 {
		last := ep.segs[n-1]
		switch {
		case last.bad != nil:
		case last.seal == nil: // recovery or verification walks it
			return
		case last.end != child.id.ParentSize || last.seal.root != child.id.ParentRoot:
			last.bad = &Damage{Segment: last.name, Offset: last.bytes, What: "its end is not the one that the next epoch names"}
			next = last.head.first
		}
	}
	if next < child.id.ParentSize {
		ep.gaps = append(ep.gaps, gap{from: next, to: child.id.ParentSize, aside: l.badCopy(ep.counter, next)})
	}
}

// blame finds out which of two neighbours that do not join is not what it was:
// the one whose records do not add up to its seal. When both do, it is the
// second: the first was vouched for when the second began.
func (l *layout) blame(fsys FS, prev, s *segment) error {
	if err := prev.locate(fsys, ""); err != nil || prev.bad != nil {
		return err
	}
	s.bad = &Damage{Segment: s.name, Offset: headerLen, What: "does not continue " + prev.name}
	return nil
}

// locate walks s whole and notes the first damage; if there is none and
// otherwise is not "", that, at the end.
func (s *segment) locate(fsys FS, otherwise string) error {
	d, err := s.walk(fsys, &walker{leaves: newLeafHasher()})
	if d == nil && otherwise != "" {
		d = &Damage{Segment: s.name, Offset: s.bytes, What: otherwise}
	}
	s.bad = d
	return err
}

// walk opens s and walks it to its end or to the first damage.
func (s *segment) walk(fsys FS, w *walker) (*Damage, error) {
	f, err := fsys.Open(s.name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s.name, err)
	}
	defer f.Close()
	err = w.open(f, s.name, s.bytes)
	if d := (*Damage)(nil); errors.As(err, &d) {
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	return w.end()
}

// badCopy finds the quarantined copy of the segment that began at first.
func (l *layout) badCopy(counter uint32, first uint64) string {
	last := ""
	for n := 0; ; n++ {
		name := fmt.Sprintf("%s%s%d", segmentName(counter, first), badInfix, n)
		if !l.names[name] {
			return last
		}
		last = name
	}
}

// sideBytes is what copies set aside take.
func (l *layout) sideBytes() (n int64) {
	for _, a := range l.asides {
		n += a.bytes
	}
	return n
}

func sizeOf(fsys FS, name string) (int64, error) {
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", name, err)
	}
	defer f.Close()
	n, err := f.Size()
	if err != nil {
		return 0, fmt.Errorf("size of %s: %w", name, err)
	}
	return n, nil
}
