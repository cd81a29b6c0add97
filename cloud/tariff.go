package cloud

import (
	"context"
	"encoding/json"

	"github.com/holdfast-ev/holdfast"
)

// A Tariff is one version of a tariff at the sites it counts for.
type Tariff struct {
	ID       string             `json:"id"`
	Version  uint64             `json:"version"` // 1, 2, ...
	Hash     holdfast.Hash      `json:"hash"`    // SHA-256 of the signed statement: what records name
	Currency string             `json:"currency"`
	Sites    []holdfast.SiteID  `json:"sites"` // empty: every site, also those to come
	Added    holdfast.UnixMilli `json:"added"`
	OCPI     json.RawMessage    `json:"ocpi"`
}

// PutTariff sets the tariff of sites.
type PutTariff struct {
	Sites []holdfast.SiteID `json:"sites,omitempty"` // empty: every site
	OCPI  json.RawMessage   `json:"ocpi"`            // an OCPI 2.2.1 Tariff object; its id is the tariff's id
	By    string            `json:"-"`
}

// PutTariff adds the next version of a tariff and queues it for the gateways of
// its sites; sessions that start after a gateway installed it are priced with
// it. Putting the same bytes again for the same sites returns the version that
// exists. What package tariff refuses is [ErrInvalid] with its reason.
func (p *Plane) PutTariff(ctx context.Context, now holdfast.UnixMilli, t PutTariff) (Tariff, error) {
	panic("first slice")
}

// Tariffs lists every version of every tariff.
func (p *Plane) Tariffs(ctx context.Context, page Page) (tariffs []Tariff, next string, err error) {
	panic("first slice")
}
