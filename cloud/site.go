package cloud

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
)

// A Site is a charging site and what the cloud knows of its link. One gateway
// serves a site.
type Site struct {
	ID          holdfast.SiteID    `json:"id"`
	Name        string             `json:"name"`
	Gateway     holdfast.GatewayID `json:"gateway"`
	Created     holdfast.UnixMilli `json:"created"`
	Enrolled    holdfast.UnixMilli `json:"enrolled"`     // 0: waiting for its gateway
	ListVersion uint64             `json:"list_version"` // of the access list that its gateway should have
	Policy      access.Policy      `json:"policy"`
	Contact     Contact            `json:"contact"`
}

// A siteDoc is what is stored of a site.
type siteDoc struct {
	ID      holdfast.SiteID    `json:"id"`
	Name    string             `json:"name"`
	Gateway holdfast.GatewayID `json:"gateway"`
	Created holdfast.UnixMilli `json:"created"`
	Policy  access.Policy      `json:"policy"`
}

// A codeDoc is an enrolment code, kept under its hash.
type codeDoc struct {
	Site    holdfast.SiteID    `json:"site"`
	Expires holdfast.UnixMilli `json:"expires"`
	Key     []byte             `json:"key,omitempty"` // PKIX form of the key that redeemed it
}

// A Contact is what a gateway last said of itself.
type Contact struct {
	Seen     holdfast.UnixMilli `json:"seen"` // last hello or upload, by the cloud's clock; 0 never
	Software string             `json:"software,omitempty"`
	Boot     uint32             `json:"boot,omitempty"`
	Link     holdfast.LinkState `json:"link,omitempty"`  // as last recorded by the gateway
	Cause    holdfast.Cause     `json:"cause,omitempty"` // of that
	Since    holdfast.Instant   `json:"since,omitzero"`  // of that, by the gateway's clock
	Backlog  uint64             `json:"backlog"`         // evidence records that its last hello announced and the cloud has not received
	Book     uint64             `json:"book,omitempty"`  // version of the access list whose tokens it was given in clear last; see [Plane.Book]

	PowerLimit  holdfast.Watts   `json:"power_limit_w,omitempty"`    // of the site, in force as last recorded; 0: none is shared
	PowerMax    holdfast.Watts   `json:"power_max_w,omitempty"`      // that the site was commissioned for
	PowerSource string           `json:"power_source,omitempty"`     // of PowerLimit: see docs/power.md
	PowerAt     holdfast.Instant `json:"power_recorded_at,omitzero"` // by the gateway's clock
}

// SilentAfterMillis is how long after its last contact a gateway counts as
// offline: it says hello at least every 30 seconds.
const SilentAfterMillis = 75_000

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
	Policy  access.Policy      `json:"policy,omitzero"`   // how it decides without a link; the zero value is safe
	By      string             `json:"-"`                 // who asks, for the cloud's journal
}

// MaxName bounds a name that people give, in bytes.
const MaxName = 200

// CodeLifeMillis is how long an enrolment code can be redeemed: 72 hours.
const CodeLifeMillis = 72 * 3600_000

// AddSite makes a site and its one-time enrolment code,
// "hf-<random>-<first 32 hex digits of the SHA-256 of the CA's certificate>".
// The code is stored hashed, works once within [CodeLifeMillis], and cannot be
// shown again. [ErrExists] when the site or the gateway id is taken.
func (p *Plane) AddSite(ctx context.Context, now holdfast.UnixMilli, a AddSite) (site Site, code string, err error) {
	if err := a.check(); err != nil {
		return Site{}, "", err
	}
	err = p.o.Store.Update(ctx, func(tx Tx) error {
		if _, err := tx.Get(KindSite, string(a.ID)); !isNotFound(err) {
			return taken("add site", "site", string(a.ID), err)
		}
		if _, err := tx.Get(KindGateway, string(a.Gateway)); !isNotFound(err) {
			return taken("add site", "gateway", string(a.Gateway), err)
		}
		doc := siteDoc{a.ID, a.Name, a.Gateway, now, a.Policy}
		n, err := note(tx, now, a.By, logSite, doc)
		if err != nil {
			return err
		}
		if _, err := put(tx, KindSite, string(a.ID), nil, doc); err != nil {
			return err
		}
		if _, err := put(tx, KindGateway, string(a.Gateway), Fields{"site": string(a.ID)}, gatewayDoc{ID: a.Gateway, Site: a.ID}); err != nil {
			return err
		}
		if code, err = p.issueCode(tx, now, a.ID); err != nil {
			return err
		}
		if err := p.joinSite(tx, now, n, a.ID); err != nil {
			return err
		}
		site, err = showSite(tx, doc)
		return err
	})
	if err != nil {
		return Site{}, "", err
	}
	return site, code, nil
}

func (a *AddSite) check() error {
	const op = "add site"
	if _, err := holdfast.ParseSiteID(string(a.ID)); err != nil {
		return fmt.Errorf("%s: %w: %w", op, err, ErrInvalid)
	}
	if a.Gateway == "" {
		a.Gateway = holdfast.GatewayID("gw-" + a.ID)
	}
	if _, err := holdfast.ParseGatewayID(string(a.Gateway)); err != nil {
		return fmt.Errorf("%s: %w: give a shorter gateway id: %w", op, err, ErrInvalid)
	}
	if a.Name == "" {
		a.Name = string(a.ID)
	}
	if len(a.Name) > MaxName {
		return invalid(op, "name of %d bytes, at most %d", len(a.Name), MaxName)
	}
	if err := a.Policy.Validate(); err != nil {
		return fmt.Errorf("%s: %w: %w", op, err, ErrInvalid)
	}
	return nil
}

func taken(op, what, id string, err error) error {
	if err == nil {
		err = ErrExists
	}
	return fmt.Errorf("%s: %s %q: %w", op, what, id, err)
}

// joinSite gives a new site what counts at every site. n is the entry of the
// cloud's journal that it follows from.
func (p *Plane) joinSite(tx Tx, now holdfast.UnixMilli, n uint64, site holdfast.SiteID) error {
	if _, err := put(tx, KindList, string(site), nil, listDoc{Version: 1}); err != nil {
		return err
	}
	if err := p.joinTokens(tx, site); err != nil {
		return err
	}
	return p.joinTariffs(tx, now, n, site)
}

// issueCode makes a code for site and voids the older ones.
func (p *Plane) issueCode(tx Tx, now holdfast.UnixMilli, site holdfast.SiteID) (string, error) {
	old, err := tx.List(KindCode, Query{Where: Fields{"site": string(site)}})
	if err != nil {
		return "", err
	}
	for _, d := range old {
		if err := tx.Delete(KindCode, d.Key); err != nil {
			return "", err
		}
	}
	random, err := p.randomHex(16)
	if err != nil {
		return "", err
	}
	ca := sha256.Sum256(p.o.CACertificate)
	code := "hf-" + random + "-" + hex.EncodeToString(ca[:16])
	_, err = put(tx, KindCode, codeKey(code), Fields{"site": string(site)}, codeDoc{Site: site, Expires: now + CodeLifeMillis})
	return code, err
}

// codeKey is what a code is stored under. It has 128 random bits, so a fast
// hash without salt keeps it as safe as a slow one would.
func codeKey(code string) string {
	h := sha256.Sum256([]byte(code))
	return hex.EncodeToString(h[:])
}

// NewCode makes a further one-time code for a site, for a gateway that has to be
// replaced or whose code expired. Older codes of the site stop working. The
// gateway in service keeps working until the new code is redeemed.
func (p *Plane) NewCode(ctx context.Context, now holdfast.UnixMilli, site holdfast.SiteID, by string) (code string, err error) {
	err = p.o.Store.Update(ctx, func(tx Tx) error {
		if _, err := tx.Get(KindSite, string(site)); err != nil {
			return fmt.Errorf("new code: %w", err)
		}
		if _, err := note(tx, now, by, logCode, map[string]string{"site": string(site)}); err != nil {
			return err
		}
		code, err = p.issueCode(tx, now, site)
		return err
	})
	if err != nil {
		return "", err
	}
	return code, nil
}

// SetPolicy changes how a site decides without a link; it goes out with the
// site's next list.
func (p *Plane) SetPolicy(ctx context.Context, now holdfast.UnixMilli, site holdfast.SiteID, policy access.Policy, by string) error {
	if err := policy.Validate(); err != nil {
		return fmt.Errorf("set policy: %w: %w", err, ErrInvalid)
	}
	return p.o.Store.Update(ctx, func(tx Tx) error {
		doc, err := get[siteDoc](tx, KindSite, string(site))
		if err != nil {
			return fmt.Errorf("set policy: %w", err)
		}
		doc.Policy = policy
		if _, err := note(tx, now, by, logPolicy, doc); err != nil {
			return err
		}
		if _, err := put(tx, KindSite, string(site), nil, doc); err != nil {
			return err
		}
		return raiseList(tx, site)
	})
}

// Site returns one site, [ErrNotFound].
func (p *Plane) Site(ctx context.Context, id holdfast.SiteID) (site Site, err error) {
	err = p.o.Store.View(ctx, func(tx Tx) error {
		doc, err := get[siteDoc](tx, KindSite, string(id))
		if err != nil {
			return err
		}
		site, err = showSite(tx, doc)
		return err
	})
	return site, err
}

// Sites lists the sites.
func (p *Plane) Sites(ctx context.Context, page Page) (sites []Site, next string, err error) {
	return paged(ctx, p, KindSite, nil, page, func(tx Tx, d Doc) (Site, error) {
		doc, err := decode[siteDoc](d)
		if err != nil {
			return Site{}, err
		}
		return showSite(tx, doc)
	})
}

func showSite(tx Tx, doc siteDoc) (Site, error) {
	gw, err := get[gatewayDoc](tx, KindGateway, string(doc.Gateway))
	if err != nil {
		return Site{}, err
	}
	list, err := get[listDoc](tx, KindList, string(doc.ID))
	if err != nil {
		return Site{}, err
	}
	contact, err := contactOf(tx, doc.Gateway)
	if err != nil {
		return Site{}, err
	}
	return Site{doc.ID, doc.Name, doc.Gateway, doc.Created, gw.Enrolled, list.Version, doc.Policy, contact}, nil
}

// siteIDs lists every site's id.
func siteIDs(tx Tx) ([]holdfast.SiteID, error) {
	docs, err := tx.List(KindSite, Query{Oldest: true})
	if err != nil {
		return nil, err
	}
	out := make([]holdfast.SiteID, len(docs))
	for i, d := range docs {
		out[i] = holdfast.SiteID(d.Key)
	}
	return out, nil
}

// sitesOf checks that the sites named exist; none named means every site.
func sitesOf(tx Tx, op string, named []holdfast.SiteID) ([]holdfast.SiteID, error) {
	if len(named) == 0 {
		return siteIDs(tx)
	}
	for _, s := range named {
		if _, err := tx.Get(KindSite, string(s)); err != nil {
			return nil, fmt.Errorf("%s: %w", op, err)
		}
	}
	return named, nil
}
