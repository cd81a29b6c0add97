package cloud

import (
	"context"

	"github.com/holdfast-ev/holdfast"
)

// A Grant is a signed, short-lived permission for a token at a site.
type Grant struct {
	ID          string             `json:"id"`
	Site        holdfast.SiteID    `json:"site"`
	TokenID     string             `json:"token_id,omitempty"` // "" when erased
	NotBefore   holdfast.UnixMilli `json:"not_before"`
	Expires     holdfast.UnixMilli `json:"expires"`
	Limits      holdfast.Limits    `json:"limits"`
	MaxSessions int                `json:"max_sessions"`
	Statement   []byte             `json:"statement"` // statement.TypGrant
}

// IssueGrant asks for a grant.
type IssueGrant struct {
	Site        holdfast.SiteID    `json:"site"`
	Token       string             `json:"token"` // value; it need not be on any list
	NotBefore   holdfast.UnixMilli `json:"not_before,omitempty"`
	Expires     holdfast.UnixMilli `json:"expires"` // required, at most [MaxGrantMillis] ahead
	Limits      holdfast.Limits    `json:"limits,omitzero"`
	MaxSessions int                `json:"max_sessions,omitempty"` // default 1
	By          string             `json:"-"`
}

// MaxGrantMillis bounds a grant's life: 31 days.
const MaxGrantMillis = 31 * 24 * 3600_000

// IssueGrant signs a grant and queues it for the site's gateway. The statement
// is returned as well, to be carried by other ways.
func (p *Plane) IssueGrant(ctx context.Context, now holdfast.UnixMilli, g IssueGrant) (Grant, error) {
	panic("first slice")
}
