package journal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/holdfast-ev/holdfast"
)

// frameHeader precedes each body; all numbers are big-endian.
//
//	0   u32  length of the body
//	4   u8   kind
//	5   u8   flags: bit 0 marks the first frame of a write
//	6   u16  zero
//	8   u64  seq
//	16  u32  CRC-32C over bytes 0 to 15 and the body
type frameHeader struct {
	length int
	kind   Kind
	flags  byte
	seq    uint64
	crc    uint32
}

const (
	frameHeaderLen = 20

	// flagBatch marks the first frame of each write. The journal writes only
	// after the write before was synced, so whatever lies before a frame with
	// this flag had reached the disk: recovery tells a torn write from damage
	// by it.
	flagBatch = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendFrame appends a whole frame to dst.
func appendFrame(dst []byte, k Kind, flags byte, seq uint64, body []byte) []byte {
	at := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(body)))
	dst = append(dst, byte(k), flags, 0, 0)
	dst = binary.BigEndian.AppendUint64(dst, seq)
	crc := crc32.Update(crc32.Checksum(dst[at:], castagnoli), castagnoli, body)
	dst = binary.BigEndian.AppendUint32(dst, crc)
	return append(dst, body...)
}

// parseFrameHeader reads a header and says what is wrong with it, "" for
// nothing. b holds at least frameHeaderLen bytes.
func parseFrameHeader(b []byte) (frameHeader, string) {
	n := binary.BigEndian.Uint32(b)
	h := frameHeader{kind: Kind(b[4]), flags: b[5], seq: binary.BigEndian.Uint64(b[8:]), crc: binary.BigEndian.Uint32(b[16:])}
	switch limit := h.kind.limit(); {
	case limit == 0:
		return h, fmt.Sprintf("unknown frame kind %d", b[4])
	case uint64(n) > uint64(limit):
		return h, fmt.Sprintf("%s of %d bytes, limit %d", h.kind, n, limit)
	case h.flags&^flagBatch != 0 || b[6] != 0 || b[7] != 0:
		return h, "unknown frame flags"
	}
	h.length = int(n)
	return h, ""
}

// crcOK checks a frame's bytes, header and body.
func (h *frameHeader) crcOK(frame []byte) bool {
	crc := crc32.Checksum(frame[:16], castagnoli)
	return crc32.Update(crc, castagnoli, frame[frameHeaderLen:]) == h.crc
}

// follows applies the rules of order: next is the Seq of the record that comes
// next. It returns what is wrong, "" for nothing.
func (h *frameHeader) follows(next uint64) string {
	switch {
	case h.kind == Checkpoint && h.seq > next:
		return fmt.Sprintf("checkpoint of size %d after %d records", h.seq, next)
	case h.kind != Checkpoint && h.seq != next:
		return fmt.Sprintf("%s has seq %d, want %d", h.kind, h.seq, next)
	}
	return ""
}

// ParseSlice reads a slice of an epoch: whole frames as [Log.Slice] returns
// them, the first record being first. It checks bounds, checksums and that no
// record is missing; it does not check the tree. The bodies alias b. Any error
// wraps [ErrCorrupt] and names the offset.
func ParseSlice(b []byte, first holdfast.Seq) ([]Frame, error) {
	count := 0
	for rest := b; len(rest) >= frameHeaderLen; count++ {
		n := binary.BigEndian.Uint32(rest)
		if uint64(n) > uint64(len(rest)-frameHeaderLen) {
			break
		}
		rest = rest[frameHeaderLen+int(n):]
	}
	frames := make([]Frame, 0, count)
	next := uint64(first)
	for off := 0; off < len(b); {
		h, body, what := parseFrame(b[off:])
		if what == "" && h.kind.internal() {
			what = "a " + h.kind.String() + " frame does not travel"
		}
		if what == "" {
			what = h.follows(next)
		}
		if what != "" {
			return nil, &Damage{Segment: "slice", Offset: int64(off), What: what}
		}
		frames = append(frames, Frame{Kind: h.kind, Seq: holdfast.Seq(h.seq), Body: body})
		off += frameHeaderLen + h.length
		if h.kind == Record {
			next++
		}
	}
	return frames, nil
}

// parseFrame reads the frame at the start of b.
func parseFrame(b []byte) (h frameHeader, body []byte, what string) {
	if len(b) < frameHeaderLen {
		return h, nil, fmt.Sprintf("%d bytes of a frame header", len(b))
	}
	if h, what = parseFrameHeader(b); what != "" {
		return h, nil, what
	}
	end := frameHeaderLen + h.length
	if end > len(b) {
		return h, nil, fmt.Sprintf("%s of %d bytes runs past the end", h.kind, h.length)
	}
	if !h.crcOK(b[:end]) {
		return h, nil, "checksum does not match"
	}
	return h, b[frameHeaderLen:end:end], ""
}
