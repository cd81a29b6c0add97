package cloud

import (
	"crypto/ecdsa"
	"fmt"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A stream is one (gateway, journal, epoch): how far it has come, and the tree
// at the size that the last verified checkpoint covers. What was received
// beyond it is in the records, so a checkpoint of any later size can be checked.
type stream struct {
	Gateway    holdfast.GatewayID `json:"gateway"`
	Journal    holdfast.Journal   `json:"journal"`
	Epoch      holdfast.Epoch     `json:"epoch"`
	Received   uint64             `json:"received"`
	Reconciled uint64             `json:"reconciled"`
	Base       []byte             `json:"base"`              // journal.Tree of size Reconciled; evidence only
	Skipped    uint64             `json:"skipped,omitempty"` // telemetry that the gateway dropped

	Parent     holdfast.Epoch `json:"parent,omitzero"`
	ParentSize uint64         `json:"parent_size,omitempty"`
	ParentRoot holdfast.Hash  `json:"parent_root,omitzero"`
	ParentDue  bool           `json:"parent_due,omitempty"` // the parent is not here as far as ParentSize

	n uint64 // the document's number; 0: not stored yet
}

// MaxEpochs bounds the epochs of one gateway's journal that the cloud takes. An
// honest gateway opens one when it is enrolled, restored or has lost history.
const MaxEpochs = 1024

func streamKey(gw holdfast.GatewayID, j holdfast.Journal, e holdfast.Epoch) string {
	return key(string(gw), string(j), e.String())
}

// streamAt reads a stream; an unknown one is empty.
func streamAt(tx Tx, gw holdfast.GatewayID, j holdfast.Journal, e holdfast.Epoch) (stream, error) {
	d, err := tx.Get(KindStream, streamKey(gw, j, e))
	if isNotFound(err) {
		return stream{Gateway: gw, Journal: j, Epoch: e}, nil
	}
	if err != nil {
		return stream{}, err
	}
	return asStream(d)
}

func asStream(d Doc) (stream, error) {
	s, err := decode[stream](d)
	s.n = d.N
	return s, err
}

// streamByNumber reads the stream that a record's row names.
func streamByNumber(tx Tx, n uint64) (stream, error) {
	docs, err := tx.List(KindStream, Query{Cursor: n + 1, Limit: 1})
	if err != nil {
		return stream{}, err
	}
	if len(docs) == 0 || docs[0].N != n {
		return stream{}, fmt.Errorf("stream number %d: %w", n, ErrNotFound)
	}
	return asStream(docs[0])
}

func (s *stream) put(tx Tx) (err error) {
	if s.n == 0 {
		have, err := tx.Count(KindStream, Fields{"gateway": string(s.Gateway)})
		if err != nil {
			return err
		}
		if have >= 2*MaxEpochs {
			return fmt.Errorf("gateway %s has %d epochs already: look at its disk and clock: %w", s.Gateway, have, ErrFull)
		}
	}
	s.n, err = put(tx, KindStream, streamKey(s.Gateway, s.Journal, s.Epoch), Fields{"gateway": string(s.Gateway)}, s)
	return err
}

func (s stream) cursor() uplink.Cursor {
	return uplink.Cursor{Journal: s.Journal, Epoch: s.Epoch, Received: s.Received, Reconciled: s.Reconciled}
}

func (s stream) origin() string {
	return journal.Identity{Gateway: s.Gateway, Journal: s.Journal, Epoch: s.Epoch}.Origin()
}

func (s stream) pos(at holdfast.Seq) holdfast.Pos {
	return holdfast.Pos{Gateway: s.Gateway, Journal: s.Journal, Epoch: s.Epoch, Seq: at}
}

// base returns the tree of size Reconciled.
func (s stream) base() (t journal.Tree, err error) {
	if s.Reconciled > 0 {
		err = t.UnmarshalBinary(s.Base)
	}
	return t, err
}

// A grower works out the tree of a stream at any size from Reconciled on: from
// the records in the store and, behind them, those of the slice at hand.
type grower struct {
	tx   Tx
	s    *stream
	more []holdfast.Hash // leaves from s.Received on
	tree journal.Tree
}

func newGrower(tx Tx, s *stream, more []holdfast.Hash) (*grower, error) {
	t, err := s.base()
	return &grower{tx, s, more, t}, err
}

// at returns the tree of a size that is not below Reconciled.
func (g *grower) at(size uint64) (journal.Tree, error) {
	if g.tree.Size() > size {
		t, err := g.s.base()
		if err != nil {
			return t, err
		}
		g.tree = t
	}
	if from := g.tree.Size(); from < g.s.Received {
		err := g.tx.Leaves(g.s.n, holdfast.Seq(from), holdfast.Seq(min(size, g.s.Received)), func(_ holdfast.Seq, leaf holdfast.Hash) error {
			g.tree.Append(leaf)
			return nil
		})
		if err != nil {
			return g.tree, err
		}
	}
	for g.tree.Size() < size {
		i := g.tree.Size() - g.s.Received
		if g.tree.Size() < g.s.Received || i >= uint64(len(g.more)) {
			return g.tree, fmt.Errorf("stream %s: record %d is missing in the store", g.s.origin(), g.tree.Size())
		}
		g.tree.Append(g.more[i])
	}
	return g.tree, nil
}

// A checkpointDoc is a verified checkpoint.
type checkpointDoc struct {
	Size uint64        `json:"size"`
	Root holdfast.Hash `json:"root"`
	Note []byte        `json:"note"`
}

func checkpointKey(s *stream, size uint64) string {
	return key(streamKey(s.Gateway, s.Journal, s.Epoch), fmt.Sprintf("%016x", size))
}

// A judgement is what a slice's checkpoints come to.
type judgement struct {
	good []checkpointDoc
	tree journal.Tree   // at the largest size in good
	bad  []badSignature // notes of this stream that nobody known has signed
}

type badSignature struct {
	size   uint64
	detail string
}

// judge verifies the checkpoints among frames. A checkpoint of another origin,
// or one that is signed and has another root than the records, contradicts what
// is known: an [*EvidenceError]. One that is not signed by a known key proves
// nothing, and is reported and passed over.
func (s *stream) judge(tx Tx, keys []*ecdsa.PublicKey, frames []journal.Frame, leaves []holdfast.Hash) (j judgement, err error) {
	g, err := newGrower(tx, s, leaves)
	if err != nil {
		return j, err
	}
	j.tree = g.tree
	for _, f := range frames {
		if f.Kind != journal.Checkpoint {
			continue
		}
		size, root, why := s.readCheckpoint(keys, f)
		if why != nil {
			if refused, ok := why.(*EvidenceError); ok {
				return j, refused
			}
			j.bad = append(j.bad, badSignature{uint64(f.Seq), why.Error()})
			continue
		}
		known, err := s.compare(tx, g, size, root)
		if err != nil {
			return j, err
		}
		if known {
			j.good = append(j.good, checkpointDoc{size, root, f.Body})
			if size > j.tree.Size() {
				j.tree = g.tree
			}
		}
	}
	return j, nil
}

// readCheckpoint checks who signed and for what.
func (s *stream) readCheckpoint(keys []*ecdsa.PublicKey, f journal.Frame) (size uint64, root holdfast.Hash, err error) {
	origin, _, _, err := journal.ReadCheckpoint(f.Body)
	if err != nil {
		return 0, root, err
	}
	if origin != s.origin() {
		return 0, root, s.contradiction(f.Seq, CodeSignature, fmt.Sprintf("a checkpoint of %s among the records of %s", clip(origin), s.origin()))
	}
	err = fmt.Errorf("gateway %s has no key", s.Gateway)
	for _, k := range keys {
		if size, root, err = journal.VerifyCheckpoint(f.Body, s.origin(), k); err == nil {
			break
		}
	}
	if err == nil && size != uint64(f.Seq) {
		err = fmt.Errorf("a frame of size %d holds a checkpoint of size %d", f.Seq, size)
	}
	return size, root, err
}

// compare holds a signed root against the records. It reports false for a size
// below Reconciled that never had a checkpoint: nothing to compare with, and
// nothing to gain.
func (s *stream) compare(tx Tx, g *grower, size uint64, root holdfast.Hash) (bool, error) {
	var ours holdfast.Hash
	code := CodeFork
	if size < s.Reconciled {
		old, err := get[checkpointDoc](tx, KindCheckpoint, checkpointKey(s, size))
		if isNotFound(err) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		ours = old.Root
	} else {
		t, err := g.at(size)
		if err != nil {
			return false, err
		}
		if ours = t.Root(); size > s.Reconciled {
			code = CodeChainGap // nobody has signed another root for this size
		}
	}
	if ours != root {
		return false, s.contradiction(holdfast.Seq(s.Reconciled), code,
			fmt.Sprintf("the gateway signed root %s for size %d, the records that it sent have root %s", root, size, ours))
	}
	return true, nil
}

func (s *stream) contradiction(at holdfast.Seq, code, detail string) *EvidenceError {
	return &EvidenceError{Code: code, Journal: s.Journal, Epoch: s.Epoch, At: at, Expected: holdfast.Seq(s.Received), Detail: detail}
}
