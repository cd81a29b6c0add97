package cloud

import (
	"context"
	"encoding/json"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A Directive is what was asked of a gateway and what became of it.
type Directive struct {
	ID      string               `json:"id"`
	Gateway holdfast.GatewayID   `json:"gateway"`
	Kind    uplink.DirectiveKind `json:"kind"`
	Queued  holdfast.UnixMilli   `json:"queued"`
	Expires holdfast.UnixMilli   `json:"expires"`           // 0: never
	Outcome string               `json:"outcome,omitempty"` // "" pending; "done", "refused", "expired" as recorded by the gateway; "superseded" by a newer install
	Detail  string               `json:"detail,omitempty"`
	Body    json.RawMessage      `json:"body,omitempty"` // without any token
}

// DirectiveLifeMillis is how long a command waits for its gateway before it is
// useless: 2 minutes. A driver who pressed a button does not want the charge to
// start tomorrow. Installs never expire.
const DirectiveLifeMillis = 120_000

// RemoteStart asks a gateway to start a session; it returns the directive's id.
// The outcome comes back as a record. The token is sealed while it waits.
func (p *Plane) RemoteStart(ctx context.Context, now holdfast.UnixMilli, site holdfast.SiteID, b uplink.StartBody, by string) (id string, err error) {
	panic("first slice")
}

// RemoteStop asks the session's gateway to stop it. [ErrNotFound] for a session
// that the cloud has not heard of.
func (p *Plane) RemoteStop(ctx context.Context, now holdfast.UnixMilli, session holdfast.SessionID, by string) (id string, err error) {
	panic("first slice")
}

// Trigger asks a charger for a message.
func (p *Plane) Trigger(ctx context.Context, now holdfast.UnixMilli, site holdfast.SiteID, b uplink.TriggerBody, by string) (id string, err error) {
	panic("first slice")
}

// Config reads (b.Keys) or writes (b.Key, b.Value) a charger's configuration.
func (p *Plane) Config(ctx context.Context, now holdfast.UnixMilli, site holdfast.SiteID, b uplink.ConfigBody, by string) (id string, err error) {
	panic("first slice")
}

// Data sends a DataTransfer to a charger.
func (p *Plane) Data(ctx context.Context, now holdfast.UnixMilli, site holdfast.SiteID, b uplink.DataBody, by string) (id string, err error) {
	panic("first slice")
}

// Directive returns one directive with its outcome, [ErrNotFound].
func (p *Plane) Directive(ctx context.Context, id string) (Directive, error) { panic("first slice") }

// Directives lists the directives of a site, or of all ("").
func (p *Plane) Directives(ctx context.Context, site holdfast.SiteID, page Page) (list []Directive, next string, err error) {
	panic("first slice")
}
