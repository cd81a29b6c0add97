package cloud

import (
	"context"
	"fmt"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
	"github.com/holdfast-ev/holdfast/statement"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A listDoc is the state of a site's access list. The list is signed when it is
// first asked for, not at every change: a thousand tokens that are added one by
// one make a thousand versions and one statement.
type listDoc struct {
	Version   uint64             `json:"version"` // of what the list says now
	Signed    uint64             `json:"signed"`  // version of Statement; 0: none
	Issued    holdfast.UnixMilli `json:"issued,omitempty"`
	Statement []byte             `json:"statement,omitempty"`
}

// raiseList notes that a site's list says something new.
func raiseList(tx Tx, site holdfast.SiteID) error {
	l, err := get[listDoc](tx, KindList, string(site))
	if err != nil && !isNotFound(err) {
		return err
	}
	l.Version++
	_, err = put(tx, KindList, string(site), nil, l)
	return err
}

// listStale reports whether the gateway's site has a list to be signed.
func listStale(tx Tx, gw holdfast.GatewayID) (bool, error) {
	g, err := get[gatewayDoc](tx, KindGateway, string(gw))
	if err != nil {
		return false, err
	}
	l, err := get[listDoc](tx, KindList, string(g.Site))
	return l.Signed < l.Version, err
}

// ListFor returns a site's access list as signed for its gateway
// (statement.TypList) with its version. It is signed when something changed
// since the last time. A list that does not change is not signed again: a
// gateway in contact knows by the contact that its list is the newest.
func (p *Plane) ListFor(ctx context.Context, now holdfast.UnixMilli, site holdfast.SiteID) (signed []byte, version uint64, err error) {
	err = p.o.Store.Update(ctx, func(tx Tx) error {
		s, err := get[siteDoc](tx, KindSite, string(site))
		if err != nil {
			return err
		}
		if err := p.freshList(tx, now, s.Gateway); err != nil {
			return err
		}
		l, err := get[listDoc](tx, KindList, string(site))
		signed, version = l.Statement, l.Signed
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return signed, version, nil
}

// freshList signs the list of gw's site if it changed, and queues it in place of
// an older one that waits.
func (p *Plane) freshList(tx Tx, now holdfast.UnixMilli, gw holdfast.GatewayID) error {
	g, err := get[gatewayDoc](tx, KindGateway, string(gw))
	if err != nil {
		return err
	}
	l, err := get[listDoc](tx, KindList, string(g.Site))
	if err != nil || l.Signed == l.Version {
		return err
	}
	if l.Statement, err = p.signList(tx, now, g.Site, l.Version); err != nil {
		return err
	}
	l.Signed, l.Issued = l.Version, now
	if _, err := put(tx, KindList, string(g.Site), nil, l); err != nil {
		return err
	}
	if err := supersede(tx, gw, uplink.InstallList, func(directiveDoc) bool { return true }); err != nil {
		return err
	}
	_, err = p.queue(tx, now, byCloud, directiveDoc{Directive: Directive{Gateway: gw, Kind: uplink.InstallList}, Statement: l.Statement})
	return err
}

// byCloud is who did what follows from something else.
const byCloud = "cloud"

func (p *Plane) signList(tx Tx, now holdfast.UnixMilli, site holdfast.SiteID, version uint64) ([]byte, error) {
	s, err := get[siteDoc](tx, KindSite, string(site))
	if err != nil {
		return nil, err
	}
	places, err := all[tokenAt](tx, KindTokenAt, Query{Where: Fields{"site": string(site)}, Oldest: true})
	if err != nil {
		return nil, err
	}
	l := access.List{Site: site, Version: version, Issued: now, Policy: s.Policy, Entries: make(map[holdfast.TokenHash]access.Entry, len(places))}
	for _, at := range places {
		l.Entries[at.Hash] = at.Entry
	}
	payload, err := access.EncodeList(&l)
	if err != nil {
		return nil, fmt.Errorf("list of site %s: %w", site, err)
	}
	signed, err := statement.Sign(p.o.Signer, p.o.Rand, statement.TypList, payload)
	if err != nil {
		return nil, fmt.Errorf("sign list of site %s: %w", site, err)
	}
	return signed, nil
}

// reinstall queues for a new gateway of a site what the one before it had.
func (p *Plane) reinstall(tx Tx, now holdfast.UnixMilli, gw gatewayDoc) error {
	if err := raiseList(tx, gw.Site); err != nil { // another content (the time of issue) needs another version
		return err
	}
	if err := p.freshList(tx, now, gw.ID); err != nil {
		return err
	}
	if err := p.reinstallLimits(tx, now, gw); err != nil {
		return err
	}
	return p.reinstallTariffs(tx, now, gw)
}
