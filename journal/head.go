package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"

	"github.com/holdfast-ev/holdfast"
)

// A headFile is what the file "head" remembers beside the segments, so that
// recovery can tell that some of them are gone. It is replaced whole, after
// what it says is durable in the segments: it may lag, it never runs ahead.
type headFile struct {
	version uint16
	gateway holdfast.GatewayID
	journal holdfast.Journal
	counter uint32 // the newest epoch's
	last    uint64 // first Seq of its last segment
	size    uint64 // records in it that were acknowledged
	root    holdfast.Hash
	note    []byte // the newest checkpoint, nil when there was none yet
	epochs  []headEpoch
}

// A headEpoch says from where on an epoch's records must be on the disk:
// everything before first was pruned.
type headEpoch struct {
	counter uint32
	epoch   holdfast.Epoch
	first   uint64
}

const (
	headMagic   = "HOLDHEAD"
	headVersion = 1
	headFixed   = 128 // bytes before the epochs and the note
	headEpochSz = 28
	maxHead     = headFixed + MaxEpochs*headEpochSz + MaxCheckpoint + 4
)

func (h *headFile) encode() []byte {
	be := binary.BigEndian
	b := make([]byte, headFixed, headFixed+len(h.epochs)*headEpochSz+len(h.note)+4)
	copy(b, headMagic)
	be.PutUint16(b[8:], headVersion)
	be.PutUint16(b[10:], uint16(len(h.epochs)))
	be.PutUint32(b[12:], h.counter)
	be.PutUint64(b[16:], h.last)
	be.PutUint64(b[24:], h.size)
	copy(b[32:], h.root[:])
	be.PutUint32(b[64:], uint32(len(h.note)))
	putString(b[68:109], string(h.gateway))
	putString(b[109:126], string(h.journal))
	for _, e := range h.epochs {
		b = be.AppendUint32(b, e.counter)
		b = append(b, e.epoch[:]...)
		b = be.AppendUint64(b, e.first)
	}
	b = append(b, h.note...)
	return be.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeHead(b []byte) (h headFile, what string) {
	be := binary.BigEndian
	switch {
	case len(b) < headFixed+4 || len(b) > maxHead:
		return h, fmt.Sprintf("%d bytes, want %d to %d", len(b), headFixed+4, maxHead)
	case string(b[:8]) != headMagic:
		return h, "not a journal's head"
	case be.Uint32(b[len(b)-4:]) != crc32.Checksum(b[:len(b)-4], castagnoli):
		return h, "checksum does not match"
	}
	if h.version = be.Uint16(b[8:]); h.version != headVersion {
		return h, ""
	}
	h.counter, h.last, h.size = be.Uint32(b[12:]), be.Uint64(b[16:]), be.Uint64(b[24:])
	copy(h.root[:], b[32:])
	epochs, notes := int(be.Uint16(b[10:])), be.Uint32(b[64:])
	gateway, ok1 := getString(b[68:109])
	journal, ok2 := getString(b[109:126])
	if !ok1 || !ok2 || uint64(len(b)) != uint64(headFixed+epochs*headEpochSz+4)+uint64(notes) {
		return h, "lengths do not add up"
	}
	h.gateway, h.journal = holdfast.GatewayID(gateway), holdfast.Journal(journal)
	rest := b[headFixed:]
	for range epochs {
		e := headEpoch{counter: be.Uint32(rest), first: be.Uint64(rest[20:])}
		copy(e.epoch[:], rest[4:])
		h.epochs = append(h.epochs, e)
		rest = rest[headEpochSz:]
	}
	if notes > 0 {
		h.note = rest[:notes:notes]
	}
	return h, ""
}

// first returns the Seq from which on the epoch must be there.
func (h *headFile) first(counter uint32) (uint64, bool) {
	for _, e := range h.epochs {
		if e.counter == counter {
			return e.first, true
		}
	}
	return 0, false
}

// readHead returns nil when there is no head, a *Damage when it does not
// verify, or another error of the file system.
func readHead(fsys FS) (*headFile, error) {
	b, err := readWhole(fsys, headName, maxHead)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	h, what := decodeHead(b)
	if what != "" {
		return nil, &Damage{Segment: headName, What: what}
	}
	if h.version != headVersion {
		return nil, fmt.Errorf("%s: %w: head format %d, this software reads %d", headName, ErrVersion, h.version, headVersion)
	}
	return &h, nil
}

// readWhole reads at most limit+1 bytes of a file.
func readWhole(fsys FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("size of %s: %w", name, err)
	}
	b := make([]byte, min(size, limit+1))
	if err := readFull(f, b, 0); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b, nil
}
