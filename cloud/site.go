package cloud

import (
	"context"

	"github.com/holdfast-ev/holdfast"
)

// A Site is a charging site and what the cloud knows of its link. One gateway
// serves a site.
type Site struct {
	ID          holdfast.SiteID    `json:"id"`
	Name        string             `json:"name"`
	Gateway     holdfast.GatewayID `json:"gateway"`
	Created     holdfast.UnixMilli `json:"created"`
	Enrolled    holdfast.UnixMilli `json:"enrolled"` // 0: waiting for its gateway
	ListVersion uint64             `json:"list_version"`
	Contact     Contact            `json:"contact"`
}

// A Contact is what a gateway last said of itself.
type Contact struct {
	Seen     holdfast.UnixMilli `json:"seen"` // last hello or upload, by the cloud's clock; 0 never
	Software string             `json:"software,omitempty"`
	Boot     uint32             `json:"boot,omitempty"`
	Link     holdfast.LinkState `json:"link,omitempty"`  // as last recorded by the gateway
	Cause    holdfast.Cause     `json:"cause,omitempty"` // of that
	Since    holdfast.UnixMilli `json:"since,omitempty"` // of that, by the gateway's clock
	Backlog  uint64             `json:"backlog"`         // evidence records that its last hello announced and the cloud has not received
}

// SilentAfterMillis is how long after its last contact a gateway counts as
// offline: it says hello at least every minute.
const SilentAfterMillis = 150_000

// LinkAt is the link state as the cloud sees it at now: a gateway that has been
// silent for [SilentAfterMillis] is OFFLINE whatever it said before; "" when it
// was never seen.
func (c Contact) LinkAt(now holdfast.UnixMilli) holdfast.LinkState {
	switch {
	case c.Seen == 0:
		return ""
	case now-c.Seen > SilentAfterMillis:
		return holdfast.Offline
	case c.Backlog > 0:
		return holdfast.Syncing
	case c.Link == holdfast.Offline || c.Link == "":
		return holdfast.Online
	}
	return c.Link
}

// AddSite asks for a new site.
type AddSite struct {
	ID      holdfast.SiteID    `json:"id"`
	Name    string             `json:"name,omitempty"`    // default: the id
	Gateway holdfast.GatewayID `json:"gateway,omitempty"` // default: "gw-" + id
	By      string             `json:"-"`                 // who asks, for the cloud's journal
}

// CodeLifeMillis is how long an enrolment code can be redeemed: 72 hours.
const CodeLifeMillis = 72 * 3600_000

// AddSite makes a site and its one-time enrolment code,
// "hf-<random>-<first 16 hex digits of the SHA-256 of the CA's certificate>".
// The code is stored hashed, works once within [CodeLifeMillis], and cannot be
// shown again. [ErrExists] when the site or the gateway id is taken.
func (p *Plane) AddSite(ctx context.Context, now holdfast.UnixMilli, a AddSite) (Site, string, error) {
	panic("first slice")
}

// NewCode makes a further one-time code for a site, for a gateway that has to be
// replaced or whose code expired. Older codes of the site stop working. The
// gateway in service keeps working until the new code is redeemed.
func (p *Plane) NewCode(ctx context.Context, now holdfast.UnixMilli, site holdfast.SiteID, by string) (string, error) {
	panic("first slice")
}

// Site returns one site, [ErrNotFound].
func (p *Plane) Site(ctx context.Context, id holdfast.SiteID) (Site, error) { panic("first slice") }

// Sites lists the sites.
func (p *Plane) Sites(ctx context.Context, page Page) (sites []Site, next string, err error) {
	panic("first slice")
}
