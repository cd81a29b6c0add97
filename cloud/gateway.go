package cloud

import (
	"context"
	"crypto/x509"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A Gateway is one gateway's standing: who it is and how far its journals are.
type Gateway struct {
	ID       holdfast.GatewayID `json:"id"`
	Site     holdfast.SiteID    `json:"site"`
	Enrolled holdfast.UnixMilli `json:"enrolled"` // 0: not yet
	KeyHash  string             `json:"key,omitempty"`
	Contact  Contact            `json:"contact"`
	Cursors  []uplink.Cursor    `json:"cursors"` // of every (journal, epoch) known, oldest first
}

// Enrol redeems a one-time code. Redeeming it again with the same key returns
// the same identity with a fresh certificate (the answer may have been lost);
// with another key it is [ErrCode]. [ErrInvalid] for a CSR that is not P-256 or
// does not verify.
func (p *Plane) Enrol(ctx context.Context, now holdfast.UnixMilli, e uplink.Enrol) (uplink.Enrolled, error) {
	panic("first slice")
}

// Admit names the gateway behind a client certificate that the TLS layer has
// already verified against the CA. It refuses ([ErrForbidden]) a gateway that is
// unknown and a certificate whose key is not the one enrolled last: a replaced
// gateway is locked out by its successor's enrolment. Call it once a connection,
// and again when the connection is older than a minute.
func (p *Plane) Admit(ctx context.Context, cert *x509.Certificate) (holdfast.GatewayID, error) {
	panic("first slice")
}

// Hello answers a gateway's opening call: a cursor for each head, in the order
// of the heads; the cloud's time signed and bound to the nonce; the directives
// that are due. [ErrInvalid] for more than [MaxHeads] heads or a bad nonce,
// [ErrForbidden] when h.Gateway is not gw. The caller adds LaterMillis.
func (p *Plane) Hello(ctx context.Context, now holdfast.UnixMilli, gw holdfast.GatewayID, h uplink.Hello) (uplink.Welcome, error) {
	panic("first slice")
}

// MaxHeads bounds the heads of one hello.
const MaxHeads = 64

// Due returns the directives that gw has not reported done and that have not
// expired: what a [uplink.Knock] carries. They are delivered again until the
// gateway's record of the outcome arrives.
func (p *Plane) Due(ctx context.Context, now holdfast.UnixMilli, gw holdfast.GatewayID) ([]uplink.Directive, error) {
	panic("first slice")
}

// Authorize answers an online authorisation: a short-lived grant, or a refusal
// with a reason. A refusal is an answer, not an error.
func (p *Plane) Authorize(ctx context.Context, now holdfast.UnixMilli, gw holdfast.GatewayID, ask uplink.Ask) (uplink.Told, error) {
	panic("first slice")
}

// Gateway returns one gateway, [ErrNotFound].
func (p *Plane) Gateway(ctx context.Context, id holdfast.GatewayID) (Gateway, error) {
	panic("first slice")
}

// Gateways lists the gateways.
func (p *Plane) Gateways(ctx context.Context, page Page) (gateways []Gateway, next string, err error) {
	panic("first slice")
}
