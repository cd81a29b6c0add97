package cloud

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/seal"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A slice is one upload, as it is archived and noted.
type slice struct {
	Gateway holdfast.GatewayID `json:"gateway"`
	Journal holdfast.Journal   `json:"journal"`
	Epoch   holdfast.Epoch     `json:"epoch"`
	First   holdfast.Seq       `json:"first"`
	Records int                `json:"records"`
	Bytes   int                `json:"bytes"`
	Archive string             `json:"archive"` // name there
	Code    string             `json:"code,omitempty"`
	Detail  string             `json:"detail,omitempty"`

	frames []journal.Frame // without the keys
	leaves []holdfast.Hash // of the records
	keys   [][]byte        // bodies of the key frames
	bytes  []byte          // of frames

	examined *examination // when it was held against what is known already
}

// An examination is what a slice came to when the stream and the gateway were so.
type examination struct {
	st stream
	gw gatewayDoc
	j  judgement
}

// frameOverhead is what a frame takes beside its body (docs/journal.md).
const frameOverhead = 20

// readSlice parses an upload and splits off the keys: they are the only part of
// a journal that is ever destroyed, so they are not archived with the rest.
func readSlice(gw holdfast.GatewayID, j holdfast.Journal, e holdfast.Epoch, first holdfast.Seq, b []byte) (*slice, error) {
	const op = "receive"
	if len(b) == 0 || len(b) > uplink.MaxSliceBytes {
		return nil, invalid(op, "slice of %d bytes, want 1 to %d", len(b), uplink.MaxSliceBytes)
	}
	if first > maxSeq || e.IsZero() {
		return nil, invalid(op, "position %s %d", e, first)
	}
	s := &slice{Gateway: gw, Journal: j, Epoch: e, First: first, bytes: b}
	frames, err := journal.ParseSlice(b, first)
	if err != nil {
		return s, &EvidenceError{Code: CodeFrame, Journal: j, Epoch: e, At: first, Expected: first, Detail: err.Error()}
	}
	s.bytes = make([]byte, 0, len(b))
	off := 0
	for _, f := range frames {
		end := off + frameOverhead + len(f.Body)
		switch f.Kind {
		case journal.Key:
			s.keys = append(s.keys, f.Body)
		case journal.Record:
			s.leaves = append(s.leaves, holdfast.LeafHash(f.Body))
			s.Records++
			fallthrough
		default:
			s.frames = append(s.frames, f)
			s.bytes = append(s.bytes, b[off:end]...)
		}
		off = end
	}
	s.Bytes = len(s.bytes)
	s.Archive = s.name("slices")
	return s, nil
}

// maxSeq keeps sequence numbers within what every keeper can store.
const maxSeq = 1<<62 - 1

// name is the slice's name in the archive: its position and its bytes.
func (s *slice) name(area string) string {
	h := sha256.Sum256(s.bytes)
	return key(area, string(s.Gateway), string(s.Journal), s.Epoch.String(), fmt.Sprintf("%016x-%s", uint64(s.First), hex.EncodeToString(h[:8])))
}

// Receive takes one slice of a gateway's journal: decoded bytes, at most
// [uplink.MaxSliceBytes], frames of the journal's own format, the first record
// at position first.
//
// The slice is archived first and then, in one transaction, its records are
// stored, the cursor moves, the sessions it touches are folded again and the
// ledger follows. When the answer is lost the next attempt gets a
// [*PositionError] with the position to go on from. A slice that starts
// anywhere else than at the expected position is a [*PositionError] too, and so
// is one that overlaps: nothing is merged. Bytes that are no slice,
// or contradict what is known (another record at a known position, a signed root
// that is not ours, another journal's checkpoint), are an [*EvidenceError]; they
// raise an exception, are kept aside, and change nothing else.
func (p *Plane) Receive(ctx context.Context, now holdfast.UnixMilli, gw holdfast.GatewayID, j holdfast.Journal, e holdfast.Epoch, first holdfast.Seq, b []byte) (ack uplink.Ack, err error) {
	if _, err := holdfast.ParseJournal(string(j)); err != nil {
		return ack, fmt.Errorf("receive: %w: %w", err, ErrInvalid)
	}
	s, err := readSlice(gw, j, e, first, b)
	if err == nil {
		ack, err = p.receive(ctx, now, s)
	}
	if wrong := (*EvidenceError)(nil); errors.As(err, &wrong) {
		if kept := p.keepAside(ctx, now, s, wrong); kept != nil {
			return uplink.Ack{}, kept // an alarm that is not stored was not raised: the gateway tries again
		}
	}
	if err != nil {
		return uplink.Ack{}, err
	}
	return ack, nil
}

func (p *Plane) receive(ctx context.Context, now holdfast.UnixMilli, s *slice) (ack uplink.Ack, err error) {
	// Look before writing: a storm of repetitions must not cost a file each.
	err = p.o.Store.View(ctx, func(tx Tx) error {
		f, err := p.newFold(tx, now, 0, s.Gateway)
		if err != nil {
			return err
		}
		st, j, err := f.examine(s)
		s.examined = &examination{st, f.gw, j}
		return err
	})
	if err != nil {
		return ack, err
	}
	if err := p.o.Archive.Put(ctx, s.Archive, s.bytes); err != nil {
		return ack, fmt.Errorf("receive %s %s at %d: archive: %w", s.Gateway, s.Journal, s.First, err)
	}
	err = p.o.Store.Update(ctx, func(tx Tx) error {
		if ack, err = p.take(tx, now, s); err != nil {
			return err
		}
		if err := seen(tx, now, s); err != nil {
			return err
		}
		ack.Directives, err = p.refresh(tx, now, s.Gateway)
		return err
	})
	if err != nil {
		return uplink.Ack{}, fmt.Errorf("receive %s %s at %d: %w", s.Gateway, s.Journal, s.First, err)
	}
	return ack, nil
}

// take notes a slice in the cloud's journal and folds it.
func (p *Plane) take(tx Tx, now holdfast.UnixMilli, s *slice) (uplink.Ack, error) {
	f, err := p.newFold(tx, now, 0, s.Gateway)
	if err != nil {
		return uplink.Ack{}, err
	}
	st, j, err := f.examine(s)
	if err != nil {
		return uplink.Ack{}, err
	}
	f.begin()
	if err := f.fetchSealKeys(s.keys); err != nil {
		return uplink.Ack{}, err
	}
	for _, body := range s.keys {
		if err := addSealKey(f.tx, s.Gateway, body); err != nil {
			return uplink.Ack{}, fmt.Errorf("key frame: %w: %w", err, ErrInvalid)
		}
	}
	fresh, err := f.news(st, s, j)
	if err != nil {
		return uplink.Ack{}, err
	}
	if !fresh {
		return uplink.Ack{Received: st.Received, Reconciled: st.Reconciled}, f.desk.flush()
	}
	if f.n, err = note(tx, now, string(s.Gateway), logSlice, s); err != nil {
		return uplink.Ack{}, err
	}
	if st, err = f.slice(s, st, j); err != nil {
		return uplink.Ack{}, err
	}
	return uplink.Ack{Received: st.Received, Reconciled: st.Reconciled}, f.desk.flush()
}

// fetchSealKeys reads the keys that a slice brings again, in one go.
func (f *fold) fetchSealKeys(bodies [][]byte) error {
	var names []string
	for _, body := range bodies {
		if kid, err := seal.WrappedKey(body); err == nil {
			names = append(names, key(string(f.gw.ID), kid.String()))
		}
	}
	return f.desk.fetch(KindSealKey, names)
}

// news reports whether a slice says anything that is not known. A checkpoint
// that came before, or lies before the cursor, does not: gateways show the last
// one again after every hello.
func (f *fold) news(st stream, s *slice, j judgement) (bool, error) {
	if s.Records > 0 || j.tree.Size() > st.Reconciled {
		return true, nil
	}
	if len(j.bad) == 0 {
		return false, nil
	}
	_, err := f.tx.Get(KindException, badSignatureKey(&st))
	if isNotFound(err) {
		return true, nil
	}
	return false, err
}

// seen notes the contact.
func seen(tx Tx, now holdfast.UnixMilli, s *slice) error {
	c, err := contactOf(tx, s.Gateway)
	if err != nil {
		return err
	}
	c.Seen = now
	if s.Journal == holdfast.Evidence {
		c.Backlog -= min(c.Backlog, uint64(s.Records))
	}
	_, err = put(tx, KindContact, string(s.Gateway), nil, c)
	return err
}

// maxAside bounds the refused slices that are kept for one site and code: the
// first few tell the story, and nobody can fill the archive with garbage.
const maxAside = 32

// keepAside archives bytes that contradict what is known, once for each epoch
// and code, and raises the exception. Bytes that are no frames are not archived:
// there may be keys among them, which could then not be erased, and the gateway
// has its own copy.
func (p *Plane) keepAside(ctx context.Context, now holdfast.UnixMilli, s *slice, wrong *EvidenceError) error {
	s.Code, s.Detail, s.Archive, s.Bytes = wrong.Code, wrong.Detail, s.name("refused"), len(s.bytes)
	if s.Code == CodeFrame {
		s.Archive = ""
	}
	known := false
	err := p.o.Store.View(ctx, func(tx Tx) error {
		gw, err := get[gatewayDoc](tx, KindGateway, string(s.Gateway))
		if err != nil {
			return err
		}
		have, err := tx.Count(KindException, Fields{"site": string(gw.Site), "code": s.Code})
		if err != nil {
			return err
		}
		_, err = tx.Get(KindException, s.exceptionKey())
		if known = err == nil || have >= maxAside; isNotFound(err) {
			err = nil
		}
		return err
	})
	if err != nil || known {
		return err
	}
	if s.Archive != "" {
		if err := p.o.Archive.Put(ctx, s.Archive, s.bytes); err != nil {
			return fmt.Errorf("keep refused slice of %s aside: %w", s.Gateway, err)
		}
	}
	return p.o.Store.Update(ctx, func(tx Tx) error {
		n, err := note(tx, now, string(s.Gateway), logRefused, s)
		if err != nil {
			return err
		}
		f, err := p.newFold(tx, now, n, s.Gateway)
		if err != nil {
			return err
		}
		return f.refused(s)
	})
}
