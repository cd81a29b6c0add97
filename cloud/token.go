package cloud

import (
	"context"

	"github.com/holdfast-ev/holdfast"
)

// A Token is a driver's credential as the cloud keeps it: by its hash under
// each site's key, and sealed. Its value is never shown again.
type Token struct {
	ID        string             `json:"id"`    // 16 hex digits, not derived from the value
	Label     string             `json:"label"` // what people call it; never put a card number here
	Sites     []holdfast.SiteID  `json:"sites"` // empty: every site, also those to come
	Whitelist string             `json:"whitelist"`
	Valid     bool               `json:"valid"`
	Group     string             `json:"group,omitempty"`
	Expires   holdfast.UnixMilli `json:"expires,omitempty"`
	Limits    holdfast.Limits    `json:"limits"`
	Changed   holdfast.UnixMilli `json:"changed"`
}

// PutToken adds a token or changes the one that has the same value.
type PutToken struct {
	Value     string             `json:"value"` // 1..[holdfast.MaxTokenLen] bytes
	Label     string             `json:"label,omitempty"`
	Sites     []holdfast.SiteID  `json:"sites,omitempty"`     // empty: every site
	Whitelist string             `json:"whitelist,omitempty"` // OCPI: ALWAYS, ALLOWED (default), ALLOWED_OFFLINE, NEVER
	Group     string             `json:"group,omitempty"`
	Expires   holdfast.UnixMilli `json:"expires,omitempty"` // 0: never
	Limits    holdfast.Limits    `json:"limits,omitzero"`
	By        string             `json:"-"`
}

// PutToken adds or changes a token, raises the list version of each site that
// it counts at and queues the list for delivery. Putting the same again changes
// nothing. A revoked token becomes valid again.
func (p *Plane) PutToken(ctx context.Context, now holdfast.UnixMilli, t PutToken) (Token, error) {
	panic("first slice")
}

// RevokeToken makes a token invalid at every site, by its id or its value
// ([ErrNotFound]). It stays on the lists as revoked, so that a gateway can tell
// "revoked" from "unknown".
func (p *Plane) RevokeToken(ctx context.Context, now holdfast.UnixMilli, idOrValue, by string) (Token, error) {
	panic("first slice")
}

// EraseToken removes a token and destroys the keys of everything that was
// sealed for it, in the cloud's store and in what gateways uploaded: the records
// stay, verify, and bill, and nobody can read the token in them again. It
// returns how many keys were destroyed. Doing it again is [ErrNotFound].
func (p *Plane) EraseToken(ctx context.Context, now holdfast.UnixMilli, idOrValue, by string) (keys int, err error) {
	panic("first slice")
}

// Tokens lists the tokens.
func (p *Plane) Tokens(ctx context.Context, page Page) (tokens []Token, next string, err error) {
	panic("first slice")
}

// ListFor returns a site's access list as signed for its gateway
// (statement.TypList) with its version. It is signed anew when something
// changed and when the last one is older than [ListRefreshMillis], so that a
// gateway in contact never sees its list grow old.
func (p *Plane) ListFor(ctx context.Context, now holdfast.UnixMilli, site holdfast.SiteID) (statement []byte, version uint64, err error) {
	panic("first slice")
}

// ListRefreshMillis is how old a list may be before it is signed again
// unchanged: 6 hours, a quarter of the age at which gateways start to tighten.
const ListRefreshMillis = 6 * 3600_000
