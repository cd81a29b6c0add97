package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/holdfast-ev/holdfast"
)

// A header is the first 256 bytes of a segment; docs/journal.md has the table.
type header struct {
	version uint16
	id      Identity
	counter uint32 // of the epoch in this directory, from 1
	index   uint32 // of the segment in its epoch, from 0
	first   uint64 // Seq of the first record
	created holdfast.UnixMilli
	reason  string // why the epoch began
}

const (
	headerLen     = 256
	headerVersion = 1
	headerMagic   = "HOLDJRNL"
)

func (h *header) encode() []byte {
	b := make([]byte, headerLen)
	copy(b, headerMagic)
	be := binary.BigEndian
	be.PutUint16(b[8:], headerVersion)
	be.PutUint16(b[10:], headerLen)
	be.PutUint32(b[12:], h.counter)
	copy(b[16:], h.id.Epoch[:])
	copy(b[32:], h.id.Parent[:])
	be.PutUint64(b[48:], h.id.ParentSize)
	copy(b[56:], h.id.ParentRoot[:])
	be.PutUint64(b[88:], h.first)
	be.PutUint32(b[96:], h.index)
	be.PutUint64(b[104:], uint64(h.created))
	putString(b[112:153], string(h.id.Gateway))
	putString(b[153:170], string(h.id.Journal))
	putString(b[170:170+1+MaxReason], h.reason)
	be.PutUint32(b[252:], crc32.Checksum(b[:252], castagnoli))
	return b
}

// decodeHeader returns what is wrong with b, "" for nothing. Of another version
// than headerVersion only the version is read.
func decodeHeader(b []byte) (h header, what string) {
	be := binary.BigEndian
	switch {
	case len(b) < headerLen:
		return h, fmt.Sprintf("segment header of %d bytes, want %d", len(b), headerLen)
	case string(b[:8]) != headerMagic:
		return h, "not a journal segment"
	case be.Uint32(b[252:]) != crc32.Checksum(b[:252], castagnoli):
		return h, "segment header's checksum does not match"
	case be.Uint16(b[8:]) == headerVersion && be.Uint16(b[10:]) != headerLen:
		return h, fmt.Sprintf("segment header says that it has %d bytes, want %d", be.Uint16(b[10:]), headerLen)
	}
	if h.version = be.Uint16(b[8:]); h.version != headerVersion {
		return h, ""
	}
	h.counter, h.first, h.index = be.Uint32(b[12:]), be.Uint64(b[88:]), be.Uint32(b[96:])
	h.created = holdfast.UnixMilli(be.Uint64(b[104:]))
	copy(h.id.Epoch[:], b[16:])
	copy(h.id.Parent[:], b[32:])
	h.id.ParentSize = be.Uint64(b[48:])
	copy(h.id.ParentRoot[:], b[56:])
	gateway, ok1 := getString(b[112:153])
	journal, ok2 := getString(b[153:170])
	reason, ok3 := getString(b[170 : 170+1+MaxReason])
	h.id.Gateway, h.id.Journal, h.reason = holdfast.GatewayID(gateway), holdfast.Journal(journal), reason
	if !ok1 || !ok2 || !ok3 {
		return h, "segment header holds a name that is too long"
	}
	if err := h.id.validate(); err != nil {
		return h, "segment header: " + err.Error()
	}
	return h, ""
}

// putString stores a length byte and s in a field of fixed size.
func putString(field []byte, s string) {
	field[0] = byte(copy(field[1:], s))
}

func getString(field []byte) (string, bool) {
	n := int(field[0])
	if n > len(field)-1 {
		return "", false
	}
	return string(field[1 : 1+n]), true
}

// A seal is the body of a sealed segment's last frame.
type seal struct {
	root holdfast.Hash
	tree Tree // its size is the Seq after the segment's last record
}

const maxSealBody = 32 + MaxFrontierBytes + 4

// appendSeal appends the seal frame of t. Its last four bytes are its own
// length, so that a reader finds it from the end of the file.
func appendSeal(dst []byte, t *Tree) []byte {
	root := t.Root()
	body := make([]byte, 0, maxSealBody)
	body = t.AppendFrontier(append(body, root[:]...))
	body = binary.BigEndian.AppendUint32(body, uint32(frameHeaderLen+len(body)+4))
	return appendFrame(dst, kindSeal, flagBatch, t.size, body)
}

func decodeSeal(body []byte) (s seal, what string) {
	if len(body) < 32+8+4 {
		return s, fmt.Sprintf("seal of %d bytes", len(body))
	}
	copy(s.root[:], body)
	if err := s.tree.UnmarshalBinary(body[32 : len(body)-4]); err != nil {
		return s, "seal: " + err.Error()
	}
	if n := binary.BigEndian.Uint32(body[len(body)-4:]); int(n) != frameHeaderLen+len(body) {
		return s, "seal does not tell its own length"
	}
	if s.tree.Root() != s.root {
		return s, "seal's root is not the root of its tree"
	}
	return s, ""
}

// Names. A segment is <epoch counter, 8 hex>-<first seq, 16 hex>.seg, so that
// names sort in the order of the records. Beside it may lie
//
//	.dirty    the segment itself after a failed sync, to be written anew
//	.torn-N   bytes cut off its end, N counting from 0
//	.bad-N    a copy of it as it was when it did not verify
//	.tmp      a file being written; removed by recovery
const (
	segSuffix   = ".seg"
	dirtySuffix = ".dirty"
	tmpSuffix   = ".tmp"
	tornInfix   = ".torn-"
	badInfix    = ".bad-"
	headName    = "head"
)

func segmentName(counter uint32, first uint64) string {
	return fmt.Sprintf("%08x-%016x%s", counter, first, segSuffix)
}

// parseSegmentName accepts exactly what segmentName returns.
func parseSegmentName(name string) (counter uint32, first uint64, ok bool) {
	base, ok := strings.CutSuffix(name, segSuffix)
	if !ok || len(base) != 8+1+16 {
		return 0, 0, false
	}
	c, err1 := strconv.ParseUint(base[:8], 16, 32)
	f, err2 := strconv.ParseUint(base[9:], 16, 64)
	if err1 != nil || err2 != nil || segmentName(uint32(c), f) != name {
		return 0, 0, false
	}
	return uint32(c), f, true
}

// segmentOf returns which segment a copy set aside is of.
func segmentOf(aside string) (counter uint32, first uint64, ok bool) {
	base, _, ok := strings.Cut(aside, segSuffix+".")
	if !ok {
		return 0, 0, false
	}
	return parseSegmentName(base + segSuffix)
}

// canonical returns the segment's proper name, whether it is marked dirty or
// not.
func canonical(name string) string {
	if base, ok := strings.CutSuffix(name, dirtySuffix); ok {
		return base + segSuffix
	}
	return name
}

// dirtyName is the inverse.
func dirtyName(name string) string {
	return strings.TrimSuffix(name, segSuffix) + dirtySuffix
}

// writeFile makes a whole file appear under name, durably and in one step:
// write NAME.tmp, sync it, rename it, sync the directory. If the process dies
// before the rename the old file is there; after it, the new one. The file is
// returned open.
func writeFile(fsys FS, name string, parts ...[]byte) (File, error) {
	f, err := createTemp(fsys, name+tmpSuffix)
	if err != nil {
		return nil, err
	}
	off := int64(0)
	for _, p := range parts {
		if _, err := f.WriteAt(p, off); err != nil {
			return nil, errors.Join(fmt.Errorf("write %s: %w", name, err), f.Close())
		}
		off += int64(len(p))
	}
	if err := publish(fsys, f, name); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func createTemp(fsys FS, tmp string) (File, error) {
	f, err := fsys.Create(tmp)
	if errors.Is(err, fs.ErrExist) {
		if err := fsys.Remove(tmp); err != nil {
			return nil, fmt.Errorf("remove stale %s: %w", tmp, err)
		}
		f, err = fsys.Create(tmp)
	}
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", tmp, err)
	}
	return f, nil
}

// publish makes name.tmp, open as f, durable under name.
func publish(fsys FS, f File, name string) error {
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", name+tmpSuffix, err)
	}
	if err := fsys.Rename(name+tmpSuffix, name); err != nil {
		return fmt.Errorf("rename %s: %w", name+tmpSuffix, err)
	}
	if err := fsys.SyncDir(); err != nil {
		return fmt.Errorf("sync directory after rename to %s: %w", name, err)
	}
	return nil
}

// createSegment writes a new segment that begins with the tree t and returns
// it open, with its length.
func createSegment(fsys FS, h header, t *Tree) (File, int64, error) {
	frontier := appendFrame(nil, kindFrontier, flagBatch, h.first, t.AppendFrontier(nil))
	f, err := writeFile(fsys, segmentName(h.counter, h.first), h.encode(), frontier)
	if err != nil {
		return nil, 0, fmt.Errorf("begin segment: %w", err)
	}
	return f, int64(headerLen + len(frontier)), nil
}

// copyRange copies the bytes [from, to) of src to dst at off.
func copyRange(dst File, off int64, src io.ReaderAt, from, to int64) error {
	buf := make([]byte, min(to-from, readChunk))
	for from < to {
		n := min(to-from, int64(len(buf)))
		if err := readFull(src, buf[:n], from); err != nil {
			return err
		}
		if _, err := dst.WriteAt(buf[:n], off); err != nil {
			return err
		}
		from, off = from+n, off+n
	}
	return nil
}

// readFull reads exactly len(b) bytes at off.
func readFull(r io.ReaderAt, b []byte, off int64) error {
	if n, err := r.ReadAt(b, off); n < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	return nil
}
