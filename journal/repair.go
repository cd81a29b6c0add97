package journal

import (
	"fmt"
	"slices"

	"github.com/holdfast-ev/holdfast"
)

// Prune gives up records of epoch e before a Seq: whole sealed segments, oldest
// first, with the copies set aside of them. The caller has made sure that the
// cloud has reconciled them. An older epoch that is pruned to its end is
// forgotten. The head says so before the first file goes: if the process dies in
// between, Open removes the rest.
func (l *Log) Prune(e holdfast.Epoch, before holdfast.Seq) error {
	if err := l.writable(); err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	i := slices.IndexFunc(l.epochs, func(ep *epochDir) bool { return ep.id.Epoch == e })
	if i < 0 {
		return nil // pruned before
	}
	ep := l.epochs[i]
	_, size := l.find(e)
	first, gone := ep.pruneTo(uint64(before), l.seg)
	whole := i < len(l.epochs)-1 && first >= size && gone == len(ep.segs)
	if first == ep.first && !whole {
		return nil
	}
	names := l.prunedNames(ep, first, gone, whole)
	ep.first, ep.segs = first, slices.Delete(ep.segs, 0, gone)
	ep.gaps = slices.DeleteFunc(ep.gaps, func(g gap) bool { return g.to <= first })
	if whole {
		l.epochs = slices.Delete(l.epochs, i, i+1)
	}
	if err := l.writeHead(); err != nil {
		return l.fail("prune", err)
	}
	for _, name := range names {
		if err := l.fs.Remove(name); err != nil {
			return l.fail("prune", fmt.Errorf("remove %s: %w", name, err))
		}
	}
	if err := l.fs.SyncDir(); err != nil {
		return l.fail("prune", fmt.Errorf("sync directory: %w", err))
	}
	l.account()
	return nil
}

// pruneTo returns how far an epoch can be pruned in whole segments, and how many
// of them go. It never takes the last one.
func (ep *epochDir) pruneTo(before uint64, last *segment) (first uint64, gone int) {
	first = ep.first
	for {
		if gone < len(ep.segs) {
			if s := ep.segs[gone]; s.head.first <= first && s != last && s.seal != nil && s.end <= before {
				first, gone = s.end, gone+1
				continue
			}
		}
		g := slices.IndexFunc(ep.gaps, func(g gap) bool { return g.from <= first && first < g.to && g.to <= before })
		if g < 0 {
			return first, gone
		}
		first = ep.gaps[g].to
	}
}

// prunedNames lists the files that go: segments and copies set aside of them.
func (l *Log) prunedNames(ep *epochDir, first uint64, gone int, whole bool) (names []string) {
	for _, s := range ep.segs[:gone] {
		names = append(names, s.name)
	}
	for name := range l.files {
		counter, from, ok := segmentOf(name)
		if ok && counter == ep.counter && (from < first || whole) {
			names = append(names, name)
			if n, err := sizeOf(l.fs, name); err == nil {
				l.sides -= n
			}
		}
	}
	for _, n := range names {
		delete(l.files, n)
	}
	slices.Sort(names)
	return names
}

// CheckSegment reads a sealed segment whole and checks everything that can be
// checked of it alone: bounds, checksums, order, and that its records lead from
// the tree at its beginning to the tree in its seal. It may run on another
// goroutine than the Log's, so that old segments can be looked after in the
// background; hand a [*Damage] that it returns to [Log.Quarantine].
func CheckSegment(fsys FS, info SegmentInfo) error {
	s := &segment{name: info.Name, bytes: info.Bytes}
	w := &walker{leaves: newLeafHasher()}
	d, err := s.walk(fsys, w)
	switch {
	case err != nil:
		return err
	case d != nil:
		return d
	case w.sealed == nil:
		return &Damage{Segment: info.Name, Offset: info.Bytes, What: "sealed segment has no seal"}
	case w.next != uint64(info.End):
		return &Damage{Segment: info.Name, Offset: info.Bytes, What: fmt.Sprintf("ends at record %d, want %d", w.next, info.End)}
	}
	return nil
}

// Quarantine takes a damaged sealed segment out of the journal: it renames it
// aside, byte for byte, and reading goes on behind it.
func (l *Log) Quarantine(d *Damage) (Quarantined, error) {
	if l.err != nil {
		return Quarantined{}, l.err
	}
	for _, ep := range l.epochs {
		for i, s := range ep.segs {
			if s.name != d.Segment || s == l.seg || s.seal == nil {
				continue
			}
			to := l.freeName(s.name, badInfix)
			if err := l.fs.Rename(s.name, to); err != nil {
				return Quarantined{}, l.fail("quarantine "+s.name, err)
			}
			if err := l.fs.SyncDir(); err != nil {
				return Quarantined{}, l.fail("quarantine "+s.name, err)
			}
			l.files[to] = true
			l.sides += s.bytes
			ep.segs = slices.Delete(ep.segs, i, i+1)
			ep.addGap(gap{from: s.head.first, to: s.end, aside: to})
			l.account()
			return Quarantined{Epoch: ep.id.Epoch, From: holdfast.Seq(s.head.first), To: holdfast.Seq(s.end),
				Name: s.name, Offset: d.Offset, What: d.What, Aside: to}, nil
		}
	}
	return Quarantined{}, fmt.Errorf("quarantine: %s is no sealed segment of this journal", d.Segment)
}

// addGap adds g, as one with the gap before it when they touch: what is repaired
// must be repaired in one piece, from one known tree to the next.
func (ep *epochDir) addGap(g gap) {
	ep.gaps = append(ep.gaps, g)
	slices.SortFunc(ep.gaps, func(a, b gap) int { return int(int64(a.from) - int64(b.from)) })
	joined := ep.gaps[:1]
	for _, g := range ep.gaps[1:] {
		if last := &joined[len(joined)-1]; last.to == g.from {
			last.to = g.to
		} else {
			joined = append(joined, g)
		}
	}
	ep.gaps = joined
}

// Gaps returns the runs of records that are missing or quarantined, oldest
// first. Each is what one [Log.ReplaceSegment] repairs.
func (l *Log) Gaps() []MissingError {
	var out []MissingError
	for _, ep := range l.epochs {
		for _, g := range ep.gaps {
			out = append(out, MissingError{ep.id.Epoch, holdfast.Seq(g.from), holdfast.Seq(g.to)})
		}
	}
	return out
}

// ReplaceSegment repairs a gap that begins at first with frames from somebody
// else's copy, as [Log.Slice] gave them away. They are believed only if their
// records lead from the tree before the gap to the tree behind it. The records
// come back as one segment; keys that the copy does not hold stay away.
func (l *Log) ReplaceSegment(e holdfast.Epoch, first holdfast.Seq, frames []byte) error {
	if err := l.writable(); err != nil {
		return fmt.Errorf("replace segment: %w", err)
	}
	ep, _ := l.find(e)
	if ep == nil || ep.id.Gateway == "" {
		return fmt.Errorf("replace segment: epoch %s is not on the disk", e)
	}
	i := slices.IndexFunc(ep.gaps, func(g gap) bool { return g.from == uint64(first) })
	if i < 0 {
		return fmt.Errorf("replace segment: nothing is missing at record %d of epoch %s", first, e)
	}
	g := ep.gaps[i]
	front, err := l.treeBefore(ep, g)
	if err != nil {
		return fmt.Errorf("replace segment: %w", err)
	}
	parsed, err := ParseSlice(frames, first)
	if err != nil {
		return fmt.Errorf("replace segment: %w", err)
	}
	tree := front
	for _, f := range parsed {
		if f.Kind == Record {
			tree.Append(l.leaves.leaf(f.Body))
		}
	}
	if want, ok := l.rootBehind(ep, g); !ok || tree.size != g.to || tree.Root() != want {
		return fmt.Errorf("replace segment: the copy ends at record %d with another root than the journal goes on with at %d: %w", tree.size, g.to, ErrCorrupt)
	}
	if err := l.putSegment(ep, g, frames, &front, &tree); err != nil {
		return l.fail("replace segment", err)
	}
	ep.gaps = slices.Delete(ep.gaps, i, i+1)
	return nil
}

// treeBefore finds the tree at the beginning of a gap: in the seal before it,
// or in the frontier of the quarantined copy.
func (l *Log) treeBefore(ep *epochDir, g gap) (t Tree, err error) {
	if g.from == 0 {
		return t, nil
	}
	for _, s := range ep.segs {
		if s.seal != nil && s.end == g.from {
			return s.seal.tree, nil
		}
	}
	if g.aside == "" {
		return t, fmt.Errorf("the tree before record %d is not known", g.from)
	}
	f, err := l.fs.Open(g.aside)
	if err != nil {
		return t, fmt.Errorf("open %s: %w", g.aside, err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return t, fmt.Errorf("size of %s: %w", g.aside, err)
	}
	w := &walker{}
	if err := w.open(f, segmentName(ep.counter, g.from), size); err != nil {
		return t, fmt.Errorf("the tree before record %d is not known: %w", g.from, err)
	}
	return w.tree, nil
}

// rootBehind finds the root that a gap must lead to.
func (l *Log) rootBehind(ep *epochDir, g gap) (holdfast.Hash, bool) {
	for _, s := range ep.segs {
		if s.head.first == g.to {
			return s.front, true
		}
	}
	for _, info := range l.Epochs() {
		if info.Epoch == ep.id.Epoch && info.Size == g.to {
			return info.Root, true
		}
	}
	return holdfast.Hash{}, false
}

// putSegment writes a repaired segment and puts it in its place.
func (l *Log) putSegment(ep *epochDir, g gap, frames []byte, front, tree *Tree) error {
	i, index := 0, uint32(0)
	for ; i < len(ep.segs) && ep.segs[i].head.first < g.from; i++ {
		index = ep.segs[i].head.index + 1
	}
	h := header{id: ep.id, counter: ep.counter, index: index, first: g.from, created: l.o.Clock(), reason: ep.reason}
	frontier := appendFrame(nil, kindFrontier, flagBatch, g.from, front.AppendFrontier(nil))
	tail := appendSeal(nil, tree)
	name := segmentName(h.counter, h.first)
	f, err := writeFile(l.fs, name, h.encode(), frontier, frames, tail)
	if err != nil {
		return err
	}
	s := &segment{name: name, head: h, bytes: int64(headerLen + len(frontier) + len(frames) + len(tail)),
		front: front.Root(), end: g.to, seal: &seal{root: tree.Root(), tree: *tree}}
	ep.segs = slices.Insert(ep.segs, i, s)
	l.account()
	return f.Close()
}
