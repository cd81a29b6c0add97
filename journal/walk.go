package journal

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"

	"github.com/holdfast-ev/holdfast"
)

const (
	readChunk  = 256 << 10 // bytes read at a time
	sectorSize = 512       // the unit in which an unsynced write may be torn
)

// A walker reads one segment's frames in order and applies every rule of the
// format to them: bounds, checksums, order and, when it has a hasher, the tree.
type walker struct {
	f    io.ReaderAt
	name string
	size int64 // bytes to walk
	off  int64 // of the next frame

	head   header
	next   uint64 // Seq of the next record
	tree   Tree   // before the next record when leaves is set, else before the first
	leaves *leafHasher
	sealed *seal // the segment's seal, once walked over
	opened bool  // the frontier was read
	batch  int64 // offset of the last frame that began a write

	stop    *uint64        // walk no further than to this size
	watch   *uint64        // note the root at this size,
	watched *holdfast.Hash // here

	raw   []byte // the last frame's bytes, valid until the next step
	buf   []byte // bytes [at, at+len(buf)) of the file
	at    int64
	chunk int64 // bytes to read at a time, 0 for readChunk
}

// open starts on a segment: it reads the header and the frontier. It keeps the
// buffer, the chunk, the watch and the hasher of the walk before. Without a hasher the
// tree is not computed and the seal is not compared with it.
func (w *walker) open(f io.ReaderAt, name string, size int64) error {
	*w = walker{f: f, name: name, size: size, leaves: w.leaves, buf: w.buf[:0], chunk: w.chunk, watch: w.watch}
	b, err := w.view(0, int(min(w.size, headerLen)))
	if err != nil {
		return err
	}
	h, what := decodeHeader(b)
	if what == "" && h.version != headerVersion {
		return fmt.Errorf("%s: %w: segment format %d, this software reads %d", w.name, ErrVersion, h.version, headerVersion)
	}
	if what == "" && segmentName(h.counter, h.first) != canonical(w.name) {
		what = "segment is that of " + segmentName(h.counter, h.first)
	}
	if what != "" {
		return w.damage(0, what)
	}
	w.head, w.next, w.off = h, h.first, headerLen
	if _, err = w.step(); err == io.EOF {
		return w.damage(headerLen, "segment has no frontier")
	}
	return err
}

func (w *walker) damage(off int64, what string) *Damage {
	return &Damage{Segment: w.name, Offset: off, What: what}
}

// view returns n bytes at off, valid until the next call.
func (w *walker) view(off int64, n int) ([]byte, error) {
	if off >= w.at && off+int64(n) <= w.at+int64(len(w.buf)) {
		return w.buf[off-w.at:][:n], nil
	}
	want := int(min(w.size-off, max(int64(n), cmp.Or(w.chunk, readChunk))))
	if cap(w.buf) < want {
		w.buf = make([]byte, want)
	}
	w.buf, w.at = w.buf[:want], off
	if err := readFull(w.f, w.buf, off); err != nil {
		w.buf = w.buf[:0]
		return nil, fmt.Errorf("read %s at offset %d: %w", w.name, off, err)
	}
	return w.buf[:n], nil
}

// step returns the next frame; its body is valid until the next call. At the
// end it returns io.EOF; where the bytes do not verify, a *Damage, and w.off
// stays at the frame's start.
func (w *walker) step() (Frame, error) {
	if w.off == w.size {
		return Frame{}, io.EOF
	}
	if w.sealed != nil {
		return Frame{}, w.damage(w.off, "bytes after the seal")
	}
	h, body, err := w.frame()
	if err != nil {
		return Frame{}, err
	}
	if w.stop != nil && h.kind == Record && w.next >= *w.stop {
		return Frame{}, io.EOF
	}
	what := h.follows(w.next)
	if what == "" && w.opened == (h.kind == kindFrontier) {
		what = "frontier is not the first frame"
	}
	if what == "" {
		what = w.take(h, body)
	}
	if what != "" {
		return Frame{}, w.damage(w.off, what)
	}
	if h.flags&flagBatch != 0 {
		w.batch = w.off
	}
	w.off += frameHeaderLen + int64(h.length)
	return Frame{Kind: h.kind, Seq: holdfast.Seq(h.seq), Body: body}, nil
}

// frame reads and checks the frame at w.off on its own.
func (w *walker) frame() (h frameHeader, body []byte, err error) {
	left := w.size - w.off
	b, err := w.view(w.off, int(min(left, frameHeaderLen)))
	if err != nil {
		return h, nil, err
	}
	if len(b) == frameHeaderLen {
		if h, what := parseFrameHeader(b); what == "" && int64(h.length) <= left-frameHeaderLen {
			if b, err = w.view(w.off, frameHeaderLen+h.length); err != nil {
				return h, nil, err
			}
		}
	}
	h, body, what := parseFrame(b)
	if what != "" {
		return h, nil, w.damage(w.off, what)
	}
	w.raw = b
	return h, body, nil
}

// take applies a frame to the walker's state.
func (w *walker) take(h frameHeader, body []byte) (what string) {
	switch h.kind {
	case kindFrontier:
		if err := w.tree.UnmarshalBinary(body); err != nil {
			return err.Error()
		}
		if w.tree.size != w.head.first {
			return fmt.Sprintf("frontier of size %d in a segment from %d", w.tree.size, w.head.first)
		}
		w.opened = true
		w.note()
	case Record:
		if w.leaves != nil {
			w.tree.Append(w.leaves.leaf(body))
		}
		w.next++
		w.note()
	case kindSeal:
		s, what := decodeSeal(body)
		if what != "" {
			return what
		}
		if w.leaves != nil && s.tree != w.tree {
			return "seal's tree is not the tree of the records"
		}
		w.sealed = &s
	}
	return ""
}

// note keeps the root that is being watched for.
func (w *walker) note() {
	if w.watch != nil && w.tree.size == *w.watch {
		root := w.tree.Root()
		w.watched = &root
	}
}

// end walks to the end and returns the damage found, nil for none. Any error is
// of the file system.
func (w *walker) end() (*Damage, error) {
	for {
		if _, err := w.step(); err != nil {
			return damageOf(err)
		}
	}
}

// damageOf sorts out what ended a walk: the end, damage, or the file system.
func damageOf(err error) (*Damage, error) {
	d := (*Damage)(nil)
	switch {
	case errors.As(err, &d):
		return d, nil
	case err == io.EOF:
		return nil, nil
	}
	return nil, err
}

// A verdict says what the bytes from a damaged place to the end of the last
// segment are.
type verdict struct {
	torn   bool   // a write that never was synced
	why    string // if not torn
	frames int    // frames with a good checksum after the damage
}

// judge decides whether the bytes from off to the end, where no valid frame
// begins, are a torn write or damaged history. A write begins only after the
// one before it was synced, so:
//
//   - a frame that begins a write after the damage proves that the damaged
//     bytes had been synced;
//   - a power cut leaves out whole sectors, which read as zeros, or the end of
//     the file. Bytes with neither were changed after they had been written.
func judge(f io.ReaderAt, size, off int64, next uint64) (verdict, error) {
	b := make([]byte, size-off)
	if err := readFull(f, b, off); err != nil {
		return verdict{}, err
	}
	var v verdict
	synced := false
	most := next + uint64(len(b)/frameHeaderLen) // no Seq beyond it can be in b
	for i := 1; i+frameHeaderLen <= len(b); {
		h, what := parseFrameHeader(b[i:])
		if what == "" && (h.seq > most || h.seq < next && h.kind != Checkpoint) {
			what = "out of reach"
		}
		if what == "" {
			_, _, what = parseFrame(b[i:])
		}
		if what != "" {
			i++
			continue
		}
		v.frames++
		synced = synced || h.flags&flagBatch != 0
		i += frameHeaderLen + h.length
	}
	switch {
	case synced:
		v.why = "a later write follows it"
	case v.frames == 0 && runsPastEnd(b) || missesSector(b, off):
		v.torn = true
	default:
		v.why = "no sector of it is missing"
	}
	return v, nil
}

// runsPastEnd reports whether b is the beginning of a frame.
func runsPastEnd(b []byte) bool {
	if len(b) < frameHeaderLen {
		return true
	}
	h, what := parseFrameHeader(b)
	return what == "" && frameHeaderLen+h.length > len(b)
}

// missesSector reports whether a sector's share of b, which lies at off, reads
// as zeros.
func missesSector(b []byte, off int64) bool {
	var zeros [sectorSize]byte
	for len(b) > 0 {
		n := min(int64(len(b)), sectorSize-off%sectorSize)
		if bytes.Equal(b[:n], zeros[:n]) {
			return true
		}
		b, off = b[n:], off+n
	}
	return false
}
