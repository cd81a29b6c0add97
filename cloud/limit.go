package cloud

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/power"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/statement"
	"github.com/holdfast-ev/holdfast/uplink"
)

// SiteLimits is a site's limit schedule: what the site as a whole may draw.
type SiteLimits struct {
	Site    holdfast.SiteID    `json:"site"`
	Version uint64             `json:"version"` // 0: none was set
	Issued  holdfast.UnixMilli `json:"issued"`
	Periods []power.Period     `json:"periods"`
	After   holdfast.Watts     `json:"after_w"` // outside the periods
}

// PutLimits sets a site's limit schedule.
type PutLimits struct {
	Periods []power.Period `json:"periods"` // ascending, without overlap, at most power.MaxPeriods
	After   holdfast.Watts `json:"after_w"` // outside the periods
	By      string         `json:"-"`
}

// A limitsDoc is a schedule with its statement.
type limitsDoc struct {
	SiteLimits
	Statement []byte `json:"statement"`
}

// PutLimits signs a limit schedule for a site and queues it for its gateway, in
// place of one that still waits. One that no site could obey, or that is above
// what the gateway reports as commissioned, is [ErrInvalid]; the gateway judges
// it once more, by its own configuration.
func (p *Plane) PutLimits(ctx context.Context, now holdfast.UnixMilli, site holdfast.SiteID, in PutLimits) (SiteLimits, error) {
	const op = "set limits"
	var d limitsDoc
	err := p.o.Store.Update(ctx, func(tx Tx) error {
		s, err := get[siteDoc](tx, KindSite, string(site))
		if err != nil {
			return fmt.Errorf("%s of site %s: %w", op, site, err)
		}
		last, err := limitsOf(tx, site)
		if err != nil {
			return err
		}
		// The time, so that a cloud that was restored from a backup does not give
		// out a version that a gateway has seen.
		sched := power.Schedule{Site: site, Version: max(last.Version+1, uint64(now)), Issued: now, Periods: in.Periods, After: in.After}
		if err := sched.Validate(); err != nil {
			return fmt.Errorf("%s: %w: %w", op, err, ErrInvalid)
		}
		c, err := contactOf(tx, s.Gateway)
		if err != nil {
			return err
		}
		if most := sched.Highest(); c.PowerMax > 0 && most > c.PowerMax {
			return invalid(op, "%d W is above the %d W that site %s was commissioned for", most, c.PowerMax, site)
		}
		d = limitsDoc{SiteLimits: SiteLimits{Site: site, Version: sched.Version, Issued: now, Periods: sched.Periods, After: sched.After}}
		if d.Periods == nil {
			d.Periods = []power.Period{}
		}
		if d.Statement, err = p.signLimits(sched); err != nil {
			return err
		}
		if _, err := note(tx, now, in.By, logLimits, d.SiteLimits); err != nil {
			return err
		}
		if _, err := put(tx, KindLimits, string(site), nil, d); err != nil {
			return err
		}
		return p.installLimits(tx, now, s.Gateway, d)
	})
	return d.SiteLimits, err
}

func (p *Plane) signLimits(sched power.Schedule) ([]byte, error) {
	payload, err := power.EncodeSchedule(sched)
	if err != nil {
		return nil, fmt.Errorf("limits for site %s: %w", sched.Site, err)
	}
	b, err := statement.Sign(p.o.Signer, p.o.Rand, statement.TypLimits, payload)
	if err != nil {
		return nil, fmt.Errorf("sign limits for site %s: %w", sched.Site, err)
	}
	return b, nil
}

// installLimits queues a schedule for a gateway. Only the newest waits.
func (p *Plane) installLimits(tx Tx, now holdfast.UnixMilli, gw holdfast.GatewayID, at limitsDoc) error {
	d := directiveDoc{Directive: Directive{Gateway: gw, Kind: uplink.InstallLimits}, Statement: at.Statement}
	var err error
	if d.Body, err = json.Marshal(map[string]any{"version": at.Version}); err != nil {
		return err
	}
	if err := supersede(tx, gw, uplink.InstallLimits, func(directiveDoc) bool { return true }); err != nil {
		return err
	}
	_, err = p.queue(tx, now, byCloud, d)
	return err
}

// reinstallLimits queues a site's schedule for a gateway that has none.
func (p *Plane) reinstallLimits(tx Tx, now holdfast.UnixMilli, gw gatewayDoc) error {
	d, err := limitsOf(tx, gw.Site)
	if err != nil || d.Version == 0 {
		return err
	}
	return p.installLimits(tx, now, gw.ID, d)
}

// Limits returns a site's limit schedule; its version is 0 when none was set.
func (p *Plane) Limits(ctx context.Context, site holdfast.SiteID) (out SiteLimits, err error) {
	err = p.o.Store.View(ctx, func(tx Tx) error {
		if _, err := get[siteDoc](tx, KindSite, string(site)); err != nil {
			return fmt.Errorf("limits of site %s: %w", site, err)
		}
		d, err := limitsOf(tx, site)
		out = d.SiteLimits
		return err
	})
	return out, err
}

func limitsOf(tx Tx, site holdfast.SiteID) (limitsDoc, error) {
	d, err := get[limitsDoc](tx, KindLimits, string(site))
	if isNotFound(err) {
		return limitsDoc{SiteLimits: SiteLimits{Site: site, Periods: []power.Period{}}}, nil
	}
	return d, err
}

// power keeps the latest that a gateway says of its limit.
func (f *fold) power(at holdfast.Instant, b *record.PowerLimit) error {
	c, err := contactOf(f.tx, f.gw.ID)
	if err != nil || earlier(at, c.PowerAt) {
		return err
	}
	c.PowerLimit, c.PowerMax, c.PowerSource, c.PowerAt = b.Watts, b.Max, b.Source, at
	_, err = put(f.tx, KindContact, string(f.gw.ID), nil, c)
	return err
}
