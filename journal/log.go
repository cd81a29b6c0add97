package journal

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/holdfast-ev/holdfast"
)

// A Log is an open journal. It is for one goroutine at a time; what may run
// beside it is said where it is declared ([CheckSegment], [Verify], [Scan]).
type Log struct {
	fs     FS
	o      Options
	lock   io.Closer
	leaves *leafHasher

	epochs []*epochDir
	files  map[string]bool // names of copies set aside, to find a free one
	sides  int64           // their bytes
	others int64           // bytes of the segments but the last

	seg    *segment // the last segment; nil while lost without one
	ruin   *segment // the last segment when nothing of it can be read
	tail   File     // it, open for writing; nil while lost
	tree   Tree     // with what is appended
	synced Tree     // with what is synced
	buf    []byte   // frames appended since the last Sync
	note   []byte   // the newest synced checkpoint
	signed []byte   // the newest checkpoint in buf, nil for none

	lost  *Lost
	err   error // sticky; wraps ErrFailed
	syncs uint64
}

// Create begins a journal in a directory that holds none ([ErrExists]
// otherwise). When it returns the journal is on stable storage.
func Create(fsys FS, id Identity, o Options) (*Log, error) {
	o, err := o.withDefaults()
	if err == nil {
		err = id.validate()
	}
	if err != nil {
		return nil, fmt.Errorf("create journal: %w", err)
	}
	lock, err := fsys.Lock()
	if err != nil {
		return nil, fmt.Errorf("create journal: %w", err)
	}
	l := &Log{fs: fsys, o: o, lock: lock, leaves: newLeafHasher(), files: map[string]bool{}}
	if err := l.create(id); err != nil {
		l.abandon()
		return nil, fmt.Errorf("create journal: %w", err)
	}
	return l, nil
}

func (l *Log) create(id Identity) error {
	names, err := l.fs.Names()
	if err != nil {
		return fmt.Errorf("list directory: %w", err)
	}
	for _, n := range names {
		if _, _, ok := parseSegmentName(canonical(n)); ok || n == headName {
			return fmt.Errorf("%w: %s", ErrExists, n)
		}
	}
	ep := &epochDir{counter: 1, id: id}
	if err := l.beginSegment(ep, header{id: id, counter: 1}); err != nil {
		// Nobody has seen it: take it back, so that Create can be tried again.
		_ = l.fs.Remove(segmentName(1, 0))
		return err
	}
	l.epochs = []*epochDir{ep}
	return l.writeHead()
}

// beginSegment makes h's segment the last one; it begins with the synced tree.
func (l *Log) beginSegment(ep *epochDir, h header) error {
	h.created = l.o.Clock()
	name := segmentName(h.counter, h.first)
	f, n, err := createSegment(l.fs, h, &l.synced)
	if err != nil {
		return err
	}
	l.seg = &segment{name: name, head: h, bytes: n, front: l.synced.Root(), end: h.first}
	ep.segs = append(ep.segs, l.seg)
	l.tail = f
	l.account()
	return nil
}

// nextSegment follows a sealed last segment with a new one.
func (l *Log) nextSegment() error {
	h := l.seg.head
	h.first, h.index = l.seg.end, h.index+1
	old := l.tail
	if err := l.beginSegment(l.current(), h); err != nil {
		return err
	}
	return old.Close()
}

func (l *Log) current() *epochDir { return l.epochs[len(l.epochs)-1] }

// Identity returns the current epoch's.
func (l *Log) Identity() Identity { return l.current().id }

// Next returns the Seq that the next record appended will have.
func (l *Log) Next() holdfast.Seq { return holdfast.Seq(l.tree.size) }

// Head returns the number of records of the current epoch that are on stable
// storage, and the root of their tree.
func (l *Log) Head() (size uint64, root holdfast.Hash) { return l.synced.size, l.synced.Root() }

// Lost returns what [Open] found lost, nil once a new epoch began.
func (l *Log) Lost() *Lost { return l.lost }

// Append adds a frame to the next Sync's write. The body is copied. It fails,
// and changes nothing, with ErrFull when the directory would exceed
// Options.MaxBytes, with ErrLost before a new epoch began, with ErrFailed after
// a failure, and when the body is too large for its kind or is a checkpoint of
// another journal or of more records than there are.
func (l *Log) Append(k Kind, body []byte) error {
	if err := l.writable(); err != nil {
		return fmt.Errorf("append %s: %w", k, err)
	}
	limit := k.limit()
	if limit == 0 || k.internal() {
		return fmt.Errorf("append: kind %d is not for callers", byte(k))
	}
	size := frameHeaderLen + len(body)
	switch {
	case len(body) > limit:
		return fmt.Errorf("append %s of %d bytes: limit %d", k, len(body), limit)
	case len(l.buf)+size > MaxBatch:
		return fmt.Errorf("append %s: %d bytes wait for a sync, limit %d", k, len(l.buf), MaxBatch)
	case l.bytes()+int64(len(l.buf)+size)+closing > l.o.MaxBytes:
		return fmt.Errorf("append %s: %d of %d bytes used: %w", k, l.bytes()+int64(len(l.buf)), l.o.MaxBytes, ErrFull)
	}
	seq := l.tree.size
	if k == Checkpoint {
		n, err := l.checkNote(body)
		if err != nil {
			return fmt.Errorf("append checkpoint: %w", err)
		}
		seq, l.signed = n, slices.Clone(body)
	}
	flags := byte(0)
	if len(l.buf) == 0 {
		flags = flagBatch
	}
	l.buf = appendFrame(l.buf, k, flags, seq, body)
	if k == Record {
		l.tree.Append(l.leaves.leaf(body))
	}
	return nil
}

// closing is what Append leaves for a seal, the next segment's beginning and
// the head, in bytes.
const closing = 2*MaxFrontierBytes + headerLen + 16<<10

// checkNote returns a checkpoint's size. It checks the root when the size is
// one that is at hand; [Verify] checks all of them.
func (l *Log) checkNote(note []byte) (uint64, error) {
	origin, size, root, err := ReadCheckpoint(note)
	if err != nil {
		return 0, err
	}
	if origin != l.Identity().Origin() {
		return 0, fmt.Errorf("%w: of %s, this is %s", ErrCheckpoint, origin, l.Identity().Origin())
	}
	if size > l.tree.size {
		return 0, fmt.Errorf("%w: of size %d, the journal has %d", ErrCheckpoint, size, l.tree.size)
	}
	if size == l.tree.size && root != l.tree.Root() || size == l.synced.size && root != l.synced.Root() {
		return 0, fmt.Errorf("%w: root %s is not that of size %d", ErrCheckpoint, root, size)
	}
	return size, nil
}

func (l *Log) writable() error {
	if l.err != nil {
		return l.err
	}
	if l.lost != nil {
		return fmt.Errorf("%w (begin a new epoch): %s", ErrLost, l.lost)
	}
	return nil
}

// Sync makes everything appended durable with one write and one sync; nothing
// appended is nothing to do. When it returns nil the frames survive any crash.
// An error is final for this Log ([ErrFailed]): the frames may be on the disk or
// not, nobody may be told of them, and the journal must be opened again. Open
// then writes the segment anew, because a disk that failed a sync once cannot be
// asked a second time about the same bytes.
func (l *Log) Sync() error {
	if l.err != nil || len(l.buf) == 0 {
		return l.err
	}
	if l.seg.bytes >= l.o.SegmentBytes && l.synced.size > l.seg.head.first {
		if err := l.rotate(); err != nil {
			return l.fail("begin the next segment", err)
		}
	}
	if _, err := l.tail.WriteAt(l.buf, l.seg.bytes); err != nil {
		return l.fail("write", err)
	}
	if err := l.tail.Sync(); err != nil {
		return l.fail("sync", err)
	}
	l.seg.bytes += int64(len(l.buf))
	l.seg.end, l.synced = l.tree.size, l.tree
	l.syncs++
	if l.buf = l.buf[:0]; cap(l.buf) > MaxBody {
		l.buf = nil
	}
	if l.signed == nil {
		return nil
	}
	l.note, l.signed = l.signed, nil
	if err := l.writeHead(); err != nil {
		return l.fail("write the head", err)
	}
	return nil
}

// rotate seals the last segment and begins the next. If the process dies
// between the two, Open finds a sealed last segment and begins the next.
func (l *Log) rotate() error {
	if err := l.sealSegment(l.seg, l.tail, l.seg.bytes, &l.synced); err != nil {
		return err
	}
	if err := l.nextSegment(); err != nil {
		return err
	}
	return l.writeHead()
}

// fail makes err final.
func (l *Log) fail(op string, err error) error {
	l.err = fmt.Errorf("%w: %s: %w", ErrFailed, op, err)
	l.abandon()
	return l.err
}

// abandon marks the last segment dirty and lets go of everything.
func (l *Log) abandon() {
	if l.seg != nil && l.tail != nil {
		l.mark(l.seg)
	}
	l.release()
}

// mark renames a segment of which a write or a sync failed, so that an Open by
// this or another process writes it anew. The mark needs no sync: it lives
// exactly as long as the kernel's doubtful copy of the file's pages does. If even
// the rename fails, Open still writes the last write of the last segment again.
func (l *Log) mark(s *segment) {
	if !s.dirty {
		_ = l.fs.Rename(s.name, dirtyName(s.name))
		s.dirty = true
	}
}

// release closes the files and the lock. What it drops was synced or is lost
// anyway, so its errors say nothing.
func (l *Log) release() {
	if l.tail != nil {
		_ = l.tail.Close()
		l.tail = nil
	}
	_ = l.lock.Close()
	if l.err == nil {
		l.err = fmt.Errorf("%w: closed", ErrFailed)
	}
}

// Close stops cleanly: the head then remembers every record, so that the next
// Open notices if one is gone. Frames appended and not synced are dropped.
func (l *Log) Close() error {
	if l.err != nil {
		return nil
	}
	if l.lost == nil {
		if err := l.writeHead(); err != nil {
			return l.fail("close", err)
		}
	}
	l.release()
	return nil
}

// headNow is what the head should say now.
func (l *Log) headNow() *headFile {
	ep := l.current()
	h := &headFile{gateway: ep.id.Gateway, journal: ep.id.Journal, counter: ep.counter,
		last: l.seg.head.first, size: l.synced.size, root: l.synced.Root(), note: l.note}
	for _, e := range l.epochs {
		h.epochs = append(h.epochs, headEpoch{e.counter, e.id.Epoch, e.first})
	}
	return h
}

func (l *Log) writeHead() error {
	f, err := writeFile(l.fs, headName, l.headNow().encode())
	if err != nil {
		return err
	}
	return f.Close()
}

// sealSegment ends s, open as f, after its first valid bytes. A segment that is
// as it should be gets its seal appended; one that goes on after valid, or is
// marked dirty, is kept aside and written anew.
func (l *Log) sealSegment(s *segment, f File, valid int64, t *Tree) error {
	frame := appendSeal(nil, t)
	if err := l.putSeal(s, f, valid, frame); err != nil {
		l.mark(s)
		return fmt.Errorf("seal %s: %w", s.name, err)
	}
	s.bytes, s.end = valid+int64(len(frame)), t.size
	s.seal = &seal{root: t.Root(), tree: *t}
	l.account()
	return nil
}

func (l *Log) putSeal(s *segment, f File, valid int64, frame []byte) error {
	size, err := f.Size()
	if err != nil {
		return err
	}
	if size == valid && !s.anew && !s.dirty {
		if _, err := f.WriteAt(frame, valid); err != nil {
			return err
		}
		return f.Sync()
	}
	if size > valid {
		if _, err := l.copyAside(s.name, f, badInfix, 0, size); err != nil {
			return err
		}
	}
	anew, err := l.rewrite(s, f, valid, frame)
	if err != nil {
		return err
	}
	return anew.Close()
}

// rewrite replaces s, open as f, by a new file of its first valid bytes and
// more, and returns it open.
func (l *Log) rewrite(s *segment, f io.ReaderAt, valid int64, more []byte) (File, error) {
	name := canonical(s.name)
	anew, err := createTemp(l.fs, name+tmpSuffix)
	if err != nil {
		return nil, err
	}
	err = copyRange(anew, 0, f, 0, valid)
	if err == nil && len(more) > 0 {
		_, err = anew.WriteAt(more, valid)
	}
	if err == nil {
		err = publish(l.fs, anew, name)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write %s anew: %w", name, err), anew.Close())
	}
	if s.dirty {
		if err := l.fs.Remove(dirtyName(name)); err != nil {
			return nil, errors.Join(fmt.Errorf("remove the mark of %s: %w", name, err), anew.Close())
		}
	}
	s.name, s.dirty, s.anew = name, false, false
	return anew, nil
}

// copyAside keeps bytes [lo, hi) of a file in a file of their own and returns
// its name. If the newest copy with that infix holds the same bytes already (a
// crash came after it), it is that one.
func (l *Log) copyAside(name string, f io.ReaderAt, infix string, lo, hi int64) (string, error) {
	b := make([]byte, hi-lo)
	if err := readFull(f, b, lo); err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	last, to := "", asideName(name, infix, 0)
	for n := 1; l.files[to]; n++ {
		last, to = to, asideName(name, infix, n)
	}
	if last != "" {
		have, err := readWhole(l.fs, last, int64(len(b)))
		if err == nil && slices.Equal(have, b) {
			return last, nil
		}
	}
	aside, err := writeFile(l.fs, to, b)
	if err != nil {
		return "", fmt.Errorf("keep the end of %s: %w", name, err)
	}
	l.files[to] = true
	l.sides += int64(len(b))
	return to, aside.Close()
}

func asideName(name, infix string, n int) string {
	return fmt.Sprintf("%s%s%d", canonical(name), infix, n)
}

// freeName returns the first name of its kind that is not taken.
func (l *Log) freeName(name, infix string) string {
	for n := 0; ; n++ {
		if c := asideName(name, infix, n); !l.files[c] {
			return c
		}
	}
}
