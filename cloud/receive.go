package cloud

import (
	"context"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/uplink"
)

// Receive takes one slice of a gateway's journal: decoded bytes, at most
// [uplink.MaxSliceBytes], frames of the journal's own format, the first record
// at position first.
//
// The slice is archived first and then, in one transaction, its records are
// stored, the cursor moves, the sessions it touches are folded again and the
// ledger follows. When the answer is lost the next attempt gets a
// [*PositionError] with the position to go on from. A slice that starts
// anywhere else than at the expected position is a [*PositionError] too, and so
// is one that overlaps: nothing is merged. Bytes that contradict what is known
// (another record at a known position, a checkpoint whose root is not ours, a
// signature that does not verify) are an [*EvidenceError]; they raise an
// exception, are kept aside, and change nothing else.
func (p *Plane) Receive(ctx context.Context, now holdfast.UnixMilli, gw holdfast.GatewayID, j holdfast.Journal, e holdfast.Epoch, first holdfast.Seq, slice []byte) (uplink.Ack, error) {
	panic("first slice")
}

// Rebuild drops every fold (records, cursors, sessions, CDRs, ledger,
// exceptions, outcomes) and folds the archive again in the order in which it was
// received. The result is the same, row for row. It runs in one transaction and
// stops uploads while it does.
func (p *Plane) Rebuild(ctx context.Context) error { panic("first slice") }
