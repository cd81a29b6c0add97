package journal

import (
	"cmp"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-ev/holdfast"
)

// A Report is what [Verify] found.
type Report struct {
	Gateway  holdfast.GatewayID `json:"gateway"`
	Journal  holdfast.Journal   `json:"journal"`
	Epochs   []EpochReport      `json:"epochs"`
	Bytes    int64              `json:"bytes"`              // read
	Torn     *Torn              `json:"torn,omitempty"`     // a crash's half-written end, which nobody was told of: no problem
	Asides   []string           `json:"asides,omitempty"`   // copies set aside by earlier recoveries
	Problems []Problem          `json:"problems,omitempty"` // empty when everything verifies
}

// OK reports whether everything verified.
func (r *Report) OK() bool { return len(r.Problems) == 0 }

// An EpochReport is one epoch of a [Report].
type EpochReport struct {
	EpochInfo
	Segments    int    `json:"segments"`
	Records     uint64 `json:"records"` // read
	Checkpoints int    `json:"checkpoints"`
	Signed      uint64 `json:"signed"` // records covered by a checkpoint that verified; the rest rests on checksums alone
	Keyed       bool   `json:"keyed"`  // a key was given, so that signatures were checked
}

// A Problem is a place where the journal is not what was written.
type Problem struct {
	Epoch   holdfast.Epoch `json:"epoch"`
	Segment string         `json:"segment"`
	Offset  int64          `json:"offset"`
	What    string         `json:"what"`
}

func (p Problem) String() string {
	return fmt.Sprintf("%s at offset %d: %s", p.Segment, p.Offset, p.What)
}

// Verify checks a whole journal: every byte's checksum, every record's place in
// its epoch's tree, every seal, the joins of segments and epochs, every
// checkpoint's root and, with the gateway's public key (nil: without), its
// signature, and what the head remembers. It only reads, takes no lock and may
// run beside the process that writes. It needs 32 bytes of memory a record. The
// error is of the file system, or [ErrNone]; what is wrong is in the Report.
func Verify(fsys FS, pub *ecdsa.PublicKey) (Report, error) {
	return VerifyProgress(fsys, pub, func(done, total int64) {})
}

// VerifyProgress is [Verify] that tells after each segment how many bytes of how
// many are done.
func VerifyProgress(fsys FS, pub *ecdsa.PublicKey, progress func(done, total int64)) (Report, error) {
	l, err := inspect(fsys)
	if err != nil {
		return Report{}, fmt.Errorf("verify: %w", err)
	}
	if len(l.epochs) == 0 && l.head == nil && l.headBad == nil {
		return Report{}, fmt.Errorf("verify: %w", ErrNone)
	}
	v := &verifier{fs: fsys, pub: pub, l: l, progress: progress, w: &walker{leaves: newLeafHasher()}}
	for _, ep := range l.epochs {
		for _, s := range ep.segs {
			v.total += s.bytes
		}
	}
	for i, ep := range l.epochs {
		if err := v.epoch(i, ep); err != nil {
			return Report{}, fmt.Errorf("verify: %w", err)
		}
	}
	v.heads()
	return v.report, nil
}

type verifier struct {
	fs       FS
	pub      *ecdsa.PublicKey
	l        *layout
	progress func(done, total int64)
	total    int64
	w        *walker
	report   Report

	// Of the epoch being read:
	at   *EpochReport
	base Tree            // at the beginning of the run of segments
	leaf []holdfast.Hash // of the run
	sign []signed
}

// A signed is a checkpoint that was read.
type signed struct {
	size    uint64
	root    holdfast.Hash
	segment string
	offset  int64
}

func (v *verifier) problem(segment string, offset int64, format string, args ...any) {
	p := Problem{Segment: segment, Offset: offset, What: fmt.Sprintf(format, args...)}
	if v.at != nil {
		p.Epoch = v.at.Epoch
	}
	v.report.Problems = append(v.report.Problems, p)
}

func (v *verifier) epoch(i int, ep *epochDir) error {
	v.report.Epochs = append(v.report.Epochs, EpochReport{EpochInfo: EpochInfo{Identity: ep.id, Reason: ep.reason, First: holdfast.Seq(ep.first)}, Keyed: v.pub != nil})
	v.at = &v.report.Epochs[i]
	v.at.Size = ep.first
	if v.report.Gateway == "" {
		v.report.Gateway, v.report.Journal = ep.id.Gateway, ep.id.Journal
	}
	if ep.id.Gateway != v.report.Gateway || ep.id.Journal != v.report.Journal {
		v.problem(segmentName(ep.counter, ep.first), 112, "epoch %s belongs to another journal than the one before it", ep.id.Origin())
	}
	if i > 0 && v.l.epochs[i-1].counter+1 == ep.counter && ep.id.Parent != v.l.epochs[i-1].id.Epoch {
		v.problem(segmentName(ep.counter, ep.first), 32, "epoch names parent %s, but follows %s", ep.id.Parent, v.l.epochs[i-1].id.Epoch)
	}
	v.base, v.leaf, v.sign = Tree{}, v.leaf[:0], nil
	for j, s := range ep.segs {
		if s.bad == nil {
			v.at.Segments++
			if err := v.segment(i, s, j == len(ep.segs)-1); err != nil {
				return err
			}
		}
		if s.bad != nil { // now, or since inspect
			v.problem(s.name, s.bad.Offset, "%s", s.bad.What)
		}
	}
	v.run()
	for _, g := range ep.gaps {
		what := "records %d to %d are not there"
		if g.aside != "" {
			what += "; a damaged copy is in " + g.aside
		}
		v.problem(segmentName(ep.counter, g.from), 0, what, g.from, g.to-1)
	}
	return nil
}

// segment walks one segment. When it does not continue the run, the run so far
// is checked and a new one begins.
func (v *verifier) segment(i int, s *segment, last bool) error {
	f, err := v.fs.Open(s.name)
	if err != nil {
		return fmt.Errorf("open %s: %w", s.name, err)
	}
	defer f.Close()
	newest := last && i == len(v.l.epochs)-1
	if h := v.l.head; newest && h != nil && h.counter == s.head.counter {
		v.w.watch = &h.size
	}
	err = v.w.open(f, s.name, s.bytes)
	v.w.watch = nil
	if d := (*Damage)(nil); errors.As(err, &d) {
		s.bad = d
		return nil
	}
	if err != nil {
		return err
	}
	if n := v.base.size + uint64(len(v.leaf)); n != s.head.first || n == 0 {
		v.run()
		v.base, v.leaf = v.w.tree, v.leaf[:0]
	}
	damage, err := v.frames(s)
	if err != nil {
		return err
	}
	v.at.Size, v.at.Root = v.w.tree.size, v.w.tree.Root()
	s.end = v.w.tree.size
	v.report.Bytes += v.w.off
	v.progress(v.report.Bytes, v.total)
	switch {
	case newest:
		return v.tail(s, f, damage)
	case s.seal == nil && damage != nil && v.w.tree.size == v.l.epochs[i+1].id.ParentSize:
		return nil // a NewEpoch was interrupted before it sealed this one
	case s.seal == nil && (v.w.tree.size != v.l.epochs[i+1].id.ParentSize || v.w.tree.Root() != v.l.epochs[i+1].id.ParentRoot):
		damage = cmp.Or(damage, v.w.damage(v.w.off, "its end is not the one that the next epoch names"))
	}
	s.bad = damage
	return nil
}

// frames walks the frames of one segment and collects leaves and checkpoints.
func (v *verifier) frames(s *segment) (*Damage, error) {
	for {
		off := v.w.off
		fr, err := v.w.step()
		if err != nil {
			return damageOf(err)
		}
		switch fr.Kind {
		case Record:
			v.at.Records++
			v.leaf = append(v.leaf, v.w.leaves.sum)
		case Checkpoint:
			v.checkpoint(s, off, fr)
		}
	}
}

// checkpoint checks a note by itself; run checks its root.
func (v *verifier) checkpoint(s *segment, off int64, fr Frame) {
	origin, size, root, err := ReadCheckpoint(fr.Body)
	if want := v.at.Origin(); err == nil && origin != want {
		err = fmt.Errorf("%w of %s, want %s", ErrCheckpoint, origin, want)
	}
	if err == nil && size != uint64(fr.Seq) {
		err = fmt.Errorf("%w: of size %d in a frame that says %d", ErrCheckpoint, size, fr.Seq)
	}
	if err == nil && v.pub != nil {
		_, _, err = VerifyCheckpoint(fr.Body, origin, v.pub)
	}
	if err != nil {
		v.problem(s.name, off, "%v", err)
		return
	}
	v.at.Checkpoints++
	v.sign = append(v.sign, signed{size, root, s.name, off})
}

// run compares the checkpoints with the roots of an unbroken run of segments.
func (v *verifier) run() {
	slices.SortStableFunc(v.sign, func(a, b signed) int { return cmp.Compare(a.size, b.size) })
	tree, leaves := v.base, v.leaf
	for _, c := range v.sign {
		if c.size < tree.size {
			continue // its records were pruned, or are in another run
		}
		for tree.size < c.size && len(leaves) > 0 {
			tree.Append(leaves[0])
			leaves = leaves[1:]
		}
		if tree.size != c.size {
			continue
		}
		if tree.Root() != c.root {
			v.problem(c.segment, c.offset, "checkpoint of size %d signs root %s, the records have %s", c.size, c.root, tree.Root())
			continue
		}
		v.at.Signed = max(v.at.Signed, c.size)
	}
	v.sign = v.sign[:0]
}

// tail judges the end of the newest epoch and compares it with the head.
func (v *verifier) tail(s *segment, f File, damage *Damage) error {
	if damage != nil {
		verdict, err := judge(f, s.bytes, damage.Offset, v.w.next)
		if err != nil {
			return fmt.Errorf("read %s: %w", s.name, err)
		}
		if !verdict.torn {
			s.bad = damage
			return nil
		}
		v.report.Torn = &Torn{Segment: s.name, Offset: damage.Offset, Bytes: s.bytes - damage.Offset}
	}
	h := v.l.head
	switch {
	case h == nil || h.counter != s.head.counter:
	case h.last > s.head.first:
		v.problem(segmentName(h.counter, h.last), 0, "segment is missing")
	case h.size > v.w.tree.size:
		v.report.Torn = nil // somebody was told of it
		v.problem(s.name, v.w.off, "ends after %d records, but %d were acknowledged", v.w.tree.size, h.size)
	case v.w.watched != nil && *v.w.watched != h.root:
		v.problem(s.name, v.w.off, "the root of the first %d records is not the one that the head remembers", h.size)
	}
	return nil
}

// heads checks the head file and lists what was set aside.
func (v *verifier) heads() {
	h := v.l.head
	switch {
	case v.l.headBad != nil:
		v.at = nil
		v.problem(headName, 0, "%s", v.l.headBad.What)
	case len(v.l.epochs) == 0:
		v.problem(headName, 0, "is there, but no segment is")
	case h == nil:
		if len(v.report.Epochs) > 1 || v.report.Epochs[0].Records > 0 {
			v.problem(headName, 0, "is missing")
		}
	default:
		v.headNote(h)
	}
	for _, a := range v.l.asides {
		v.report.Asides = append(v.report.Asides, a.name)
	}
}

// headNote checks the head's copy of the newest checkpoint and that the epoch it
// names is there.
func (v *verifier) headNote(h *headFile) {
	n := len(v.l.epochs)
	newest := v.l.epochs[n-1]
	v.at = &v.report.Epochs[n-1]
	if newest.counter == h.counter && len(newest.segs) == 0 {
		v.problem(segmentName(h.counter, h.last), 0, "every segment of the epoch is missing")
	}
	if len(h.note) == 0 || h.counter != newest.counter {
		return
	}
	_, size, _, err := ReadCheckpoint(h.note)
	if err == nil && v.pub != nil {
		_, _, err = VerifyCheckpoint(h.note, newest.id.Origin(), v.pub)
	}
	if err != nil {
		v.problem(headName, 0, "%v", err)
	} else if size > h.size {
		v.problem(headName, 24, "remembers %d records and a checkpoint of %d", h.size, size)
	}
}
