package journal

import (
	"bytes"
	"fmt"

	"github.com/holdfast-ev/holdfast"
)

// A Recovery says what Open found that was not as a clean stop leaves it. The
// zero Recovery is a clean journal.
type Recovery struct {
	Torn        *Torn         `json:"torn,omitempty"`
	Quarantined []Quarantined `json:"quarantined,omitempty"`
	Lost        *Lost         `json:"lost,omitempty"`
	Rewritten   []string      `json:"rewritten,omitempty"` // segments written anew because a sync of them had failed
}

// A Torn is an end that a crash left half written. Nobody was ever told of what
// was in it; its bytes are kept in the file Aside.
type Torn struct {
	Segment string `json:"segment"`
	Offset  int64  `json:"offset"`
	Bytes   int64  `json:"bytes"`
	Aside   string `json:"aside,omitempty"`
}

// A Quarantined is a run of records, or the head file, that is damaged or gone.
// It spoils nothing else: reading goes on behind it. Recovery reports it at
// every Open until [Log.ReplaceSegment] repairs it or it is pruned.
type Quarantined struct {
	Epoch  holdfast.Epoch `json:"epoch"`
	From   holdfast.Seq   `json:"from"` // records From to To-1 cannot be read
	To     holdfast.Seq   `json:"to"`
	Name   string         `json:"name"`            // the file, "" when it is missing
	Offset int64          `json:"offset"`          // of the damage, when found by this Open
	What   string         `json:"what"`            // what is wrong
	Aside  string         `json:"aside,omitempty"` // where its bytes are now
}

// A Lost says that records which had been acknowledged are not there, or cannot
// be told from ones that were not. Everything is kept as it was found; the log
// can be read up to Vouched and refuses to append before [Log.NewEpoch].
type Lost struct {
	Epoch        holdfast.Epoch `json:"epoch"`
	Vouched      uint64         `json:"vouched"`      // records that are whole and in order
	Acknowledged uint64         `json:"acknowledged"` // records that are known to have been acknowledged, at least
	Beyond       int            `json:"beyond"`       // frames with a good checksum behind the damage
	Segment      string         `json:"segment"`      // "" when no file is to blame
	Offset       int64          `json:"offset"`
	What         string         `json:"what"`
}

func (l *Lost) String() string {
	return fmt.Sprintf("epoch %s: %d records acknowledged, %d vouched for: %s at offset %d: %s", l.Epoch, l.Acknowledged, l.Vouched, l.Segment, l.Offset, l.What)
}

// Open recovers the journal in the directory and returns it ready to append
// (unless Recovery.Lost is set). When it returns, everything that the Log shows
// is on stable storage. docs/journal.md numbers the steps.
func Open(fsys FS, o Options) (*Log, Recovery, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, Recovery{}, fmt.Errorf("open journal: %w", err)
	}
	lock, err := fsys.Lock()
	if err != nil {
		return nil, Recovery{}, fmt.Errorf("open journal: %w", err)
	}
	r := &recovery{Log: &Log{fs: fsys, o: o, lock: lock, leaves: newLeafHasher()}}
	if err := r.run(); err != nil {
		r.Log.abandon()
		return nil, Recovery{}, fmt.Errorf("open journal: %w", err)
	}
	return r.Log, r.report, nil
}

// A recovery is an Open under way.
type recovery struct {
	*Log
	l      *layout
	batch  int64 // where the last write to the last segment began
	dirty  bool  // a sync had failed before
	report Recovery
}

func (r *recovery) run() (err error) {
	if r.l, err = inspect(r.fs); err != nil {
		return err
	}
	if len(r.l.epochs) == 0 {
		if r.l.head == nil && r.l.headBad == nil {
			return ErrNone
		}
		return fmt.Errorf("the directory has a head but no segment: %w", ErrCorrupt)
	}
	r.epochs = r.l.epochs
	newest := r.epochs[len(r.epochs)-1]
	if newest.id.Gateway == "" {
		return fmt.Errorf("neither the head nor a header of epoch %d can be read: %w", newest.counter, ErrCorrupt)
	}
	for _, step := range []func() error{r.clean, r.distrust, r.walkTail, r.quarantine, r.settleEpochs, r.repairHead, r.writeAnew, r.ready} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// clean removes the temporary files of interrupted writes. None holds a byte
// that is not elsewhere.
func (r *recovery) clean() error {
	for _, name := range r.l.temps {
		if err := r.fs.Remove(name); err != nil {
			return fmt.Errorf("remove leftover %s: %w", name, err)
		}
	}
	return nil
}

// distrust decides what must be written anew although it can be read: what is
// marked, and with it the last segment, whose name a failed sync of the directory
// may have lost; and whatever a step was working on that did not get as far as
// the head, in case it failed and even the mark did.
func (r *recovery) distrust() error {
	n := len(r.epochs)
	var last, before *segment
	if k := len(r.epochs[n-1].segs); k > 0 {
		last = r.epochs[n-1].segs[k-1]
	}
	if n > 1 && len(r.epochs[n-2].segs) > 0 {
		before = r.epochs[n-2].segs[len(r.epochs[n-2].segs)-1]
	}
	for _, ep := range r.epochs {
		for _, s := range ep.segs {
			s.anew = s.dirty
			r.dirty = r.dirty || s.dirty
		}
	}
	h := r.l.head
	if last != nil && (r.dirty || h == nil || h.counter != r.epochs[n-1].counter || h.last != last.head.first) {
		last.anew = true
	}
	if before != nil && (h == nil || h.counter < r.epochs[n-1].counter) {
		before.anew = true
	}
	return nil
}

// walkTail reads the last segment of the newest epoch whole: it finds the end
// of what is valid and decides between whole, torn and lost.
func (r *recovery) walkTail() error {
	ep := r.epochs[len(r.epochs)-1]
	r.sides, r.files = r.l.sideBytes(), r.l.names
	if h := r.l.head; h != nil && h.counter == ep.counter {
		r.note = bytes.Clone(h.note)
	}
	if len(ep.segs) == 0 || ep.segs[len(ep.segs)-1].bad != nil {
		return r.noTail(ep)
	}
	r.seg = ep.segs[len(ep.segs)-1]
	f, err := r.fs.Append(r.seg.name)
	if err != nil {
		return fmt.Errorf("open %s: %w", r.seg.name, err)
	}
	r.tail = f
	w := &walker{leaves: r.leaves}
	if h := r.l.head; h != nil && h.counter == ep.counter {
		w.watch = &h.size
	}
	size := r.seg.bytes
	if err := w.open(f, r.seg.name, size); err != nil {
		return err
	}
	damage, err := w.end()
	if err != nil {
		return err
	}
	r.tree, r.batch = w.tree, w.batch
	r.seg.bytes, r.seg.end, r.seg.seal = w.off, w.next, w.sealed
	if damage != nil {
		v, err := judge(f, size, damage.Offset, w.next)
		if err != nil {
			return fmt.Errorf("read %s: %w", r.seg.name, err)
		}
		if v.torn {
			r.report.Torn = &Torn{Segment: canonical(r.seg.name), Offset: damage.Offset, Bytes: size - damage.Offset}
		} else {
			r.lose(Lost{Beyond: v.frames, Segment: r.seg.name, Offset: damage.Offset, What: damage.What + "; " + v.why})
		}
	}
	r.synced = r.tree
	r.compareHead(ep, w)
	return nil
}

// compareHead compares what is there with what the head remembers.
func (r *recovery) compareHead(ep *epochDir, w *walker) {
	h := r.l.head
	if h == nil || h.counter != ep.counter {
		return
	}
	switch {
	case h.last > r.seg.head.first:
		r.lose(Lost{What: fmt.Sprintf("segment %s is missing", segmentName(h.counter, h.last))})
	case h.size > r.synced.size:
		r.lose(Lost{Segment: r.seg.name, Offset: r.seg.bytes, What: "the head remembers more records"})
	case w.watched != nil && *w.watched != h.root:
		r.lose(Lost{Segment: headName, Offset: 32, What: fmt.Sprintf("the head remembers another root for size %d", h.size)})
	}
}

// lose notes the first reason for which history is lost.
func (r *recovery) lose(lost Lost) {
	if r.lost != nil {
		return
	}
	lost.Epoch, lost.Vouched = r.epochs[len(r.epochs)-1].id.Epoch, r.tree.size
	lost.Acknowledged = lost.Vouched
	if h := r.l.head; h != nil && h.counter == r.epochs[len(r.epochs)-1].counter {
		lost.Acknowledged = max(h.size, lost.Vouched)
	}
	r.lost = &lost
	r.report.Lost, r.report.Torn = r.lost, nil
}

// noTail is walkTail for an epoch whose last segment cannot be read at all:
// what the segment before it sealed is vouched for.
func (r *recovery) noTail(ep *epochDir) error {
	lost := Lost{What: "every segment of the epoch is missing"}
	for _, s := range ep.segs {
		switch {
		case s.bad != nil:
			lost = Lost{Segment: s.name, Offset: s.bad.Offset, What: s.bad.What}
			r.ruin = s
		case s.seal != nil:
			r.tree, r.ruin = s.seal.tree, nil
		}
	}
	r.synced = r.tree
	r.lose(lost)
	return nil
}

// quarantine renames aside every damaged segment that others follow, byte for
// byte, and reports every gap.
func (r *recovery) quarantine() error {
	for _, ep := range r.epochs {
		for _, s := range ep.segs {
			if s.bad == nil || s == r.ruin {
				continue
			}
			if err := r.setAside(ep, s); err != nil {
				return err
			}
		}
		for _, g := range ep.gaps {
			r.reportGap(ep, g)
		}
	}
	return nil
}

func (r *recovery) reportGap(ep *epochDir, g gap) {
	for i := range r.report.Quarantined {
		if q := &r.report.Quarantined[i]; q.Epoch == ep.id.Epoch && uint64(q.From) == g.from {
			q.To = holdfast.Seq(g.to)
			return
		}
	}
	q := Quarantined{Epoch: ep.id.Epoch, From: holdfast.Seq(g.from), To: holdfast.Seq(g.to), Aside: g.aside, What: "segment is missing"}
	if g.aside != "" {
		q.What = "quarantined before"
	}
	r.report.Quarantined = append(r.report.Quarantined, q)
}

// setAside renames a damaged segment and reports it.
func (r *recovery) setAside(ep *epochDir, s *segment) error {
	to := r.freeName(s.name, badInfix)
	if err := r.fs.Rename(s.name, to); err != nil {
		return fmt.Errorf("quarantine %s: %w", s.name, err)
	}
	r.files[to] = true
	r.sides += s.bytes
	q := Quarantined{Epoch: ep.id.Epoch, From: holdfast.Seq(s.head.first), To: holdfast.Seq(s.head.first), Name: canonical(s.name), Offset: s.bad.Offset, What: s.bad.What, Aside: to}
	r.report.Quarantined = append(r.report.Quarantined, q)
	return nil
}

// settleEpochs finishes a NewEpoch that was interrupted after the new epoch
// began and before the one before it was sealed, and drops quarantined segments
// from the lists.
func (r *recovery) settleEpochs() error {
	for i, ep := range r.epochs {
		var kept []*segment
		for j, s := range ep.segs {
			if s.bad == nil && s.seal == nil && j == len(ep.segs)-1 && i < len(r.epochs)-1 {
				if err := r.settle(ep, s, r.epochs[i+1].id); err != nil {
					return err
				}
			}
			if s.bad == nil {
				kept = append(kept, s)
			}
		}
		ep.segs = kept
	}
	return nil
}

// settle seals s at the size that the next epoch names as its parent's end, or
// quarantines it when it does not reach that far.
func (r *recovery) settle(ep *epochDir, s *segment, child Identity) error {
	f, err := r.fs.Append(s.name)
	if err != nil {
		return fmt.Errorf("open %s: %w", s.name, err)
	}
	defer f.Close()
	w := &walker{leaves: r.leaves}
	if err := w.open(f, s.name, s.bytes); err != nil {
		return err
	}
	w.stop = &child.ParentSize
	if _, err := w.end(); err != nil {
		return err
	}
	if w.tree.size != child.ParentSize || w.tree.Root() != child.ParentRoot {
		s.bad = w.damage(w.off, fmt.Sprintf("its end is not the one that the next epoch names, size %d", child.ParentSize))
		if err := r.setAside(ep, s); err != nil {
			return err
		}
		r.reportGap(ep, gap{from: s.head.first, to: child.ParentSize})
		return nil
	}
	return r.sealSegment(s, f, w.off, &w.tree)
}

// repairHead sets a damaged head aside; ready writes a new one.
func (r *recovery) repairHead() error {
	if r.l.headBad == nil {
		if r.l.head == nil && (len(r.epochs) > 1 || r.tree.size > 0) {
			r.report.Quarantined = append(r.report.Quarantined, Quarantined{Name: headName, What: "the head is missing"})
		}
		return nil
	}
	b, err := readWhole(r.fs, headName, maxHead)
	if err != nil {
		return err
	}
	to := r.freeName(headName, badInfix)
	if err := r.fs.Rename(headName, to); err != nil {
		return fmt.Errorf("quarantine the head: %w", err)
	}
	r.files[to] = true
	r.sides += int64(len(b))
	r.report.Quarantined = append(r.report.Quarantined, Quarantined{Name: headName, What: r.l.headBad.What, Aside: to})
	return nil
}

// writeAnew writes the distrusted segments anew, and the last one when its end is
// torn.
func (r *recovery) writeAnew() error {
	for _, ep := range r.epochs {
		for _, s := range ep.segs {
			if s.anew && s != r.seg && s != r.ruin {
				if err := r.rewriteClosed(s); err != nil {
					return err
				}
			}
		}
	}
	if r.seg == nil || r.lost != nil || !r.seg.anew && r.report.Torn == nil {
		return nil
	}
	if t := r.report.Torn; t != nil {
		name, err := r.copyAside(r.seg.name, r.tail, tornInfix, t.Offset, t.Offset+t.Bytes)
		if err != nil {
			return err
		}
		t.Aside = name
	}
	r.tell(r.seg)
	f, err := r.rewrite(r.seg, r.tail, r.seg.bytes, nil)
	if err != nil {
		return err
	}
	r.batch = r.seg.bytes // nothing is left to be written again
	r.tail, f = f, r.tail
	return f.Close()
}

// tell reports a segment of which a sync had failed.
func (r *recovery) tell(s *segment) {
	if s.dirty {
		r.report.Rewritten = append(r.report.Rewritten, canonical(s.name))
	}
}

// rewriteClosed writes a sealed segment anew.
func (r *recovery) rewriteClosed(s *segment) error {
	f, err := r.fs.Open(s.name)
	if err != nil {
		return fmt.Errorf("open %s: %w", s.name, err)
	}
	defer f.Close()
	r.tell(s)
	anew, err := r.rewrite(s, f, s.bytes, nil)
	if err != nil {
		return err
	}
	return anew.Close()
}

// ready makes the end durable and the log appendable. The last write is written
// again, byte for byte, before it is synced: if a sync of it had failed and the
// process died before it could say so, the kernel may hold its pages as clean.
func (r *recovery) ready() error {
	r.account()
	if err := r.fs.SyncDir(); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	if r.lost != nil {
		if r.tail == nil {
			return nil
		}
		f := r.tail
		r.tail = nil
		return f.Close()
	}
	b := make([]byte, r.seg.bytes-r.batch)
	if err := readFull(r.tail, b, r.batch); err != nil {
		return fmt.Errorf("read %s: %w", r.seg.name, err)
	}
	if _, err := r.tail.WriteAt(b, r.batch); err != nil {
		return fmt.Errorf("write the end of %s again: %w", r.seg.name, err)
	}
	if err := r.tail.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", r.seg.name, err)
	}
	if r.seg.seal != nil {
		if err := r.nextSegment(); err != nil {
			return err
		}
	}
	return r.finish()
}

// finish writes the head when it does not say what is there, or when a failed
// sync of the directory may have lost it, or when something is to go because of
// what it says; then it removes the files that the head gives up.
func (r *recovery) finish() error {
	if r.l.head == nil || r.dirty || len(r.l.pruned) > 0 || !bytes.Equal(r.headNow().encode(), r.l.head.encode()) {
		if err := r.writeHead(); err != nil {
			return err
		}
	}
	if len(r.l.pruned) == 0 {
		return nil
	}
	for _, name := range r.l.pruned {
		if err := r.fs.Remove(name); err != nil {
			return fmt.Errorf("remove pruned %s: %w", name, err)
		}
	}
	if err := r.fs.SyncDir(); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}
