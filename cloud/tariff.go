package cloud

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/statement"
	"github.com/holdfast-ev/holdfast/tariff"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A Tariff is one version of a tariff at the sites it counts for.
type Tariff struct {
	ID       string             `json:"id"`
	Version  uint64             `json:"version"` // 1, 2, ...
	Currency string             `json:"currency"`
	Sites    []holdfast.SiteID  `json:"sites"` // empty: every site, also those to come
	Added    holdfast.UnixMilli `json:"added"`
	Hash     holdfast.Hash      `json:"hash"` // SHA-256 of OCPI
	OCPI     json.RawMessage    `json:"ocpi"`
}

// A tariffAt is a version of a tariff as signed for one site, kept under its
// hash, which is what records name. Log is the entry of the cloud's journal
// since which it is known.
type tariffAt struct {
	ID        string          `json:"id"`
	Version   uint64          `json:"version"`
	Site      holdfast.SiteID `json:"site"`
	Hash      holdfast.Hash   `json:"hash"` // SHA-256 of Statement
	Statement []byte          `json:"statement"`
	OCPI      []byte          `json:"ocpi"` // not a raw message: bytes that are signed stay as they are
	Log       uint64          `json:"log"`
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
func (p *Plane) PutTariff(ctx context.Context, now holdfast.UnixMilli, t PutTariff) (out Tariff, err error) {
	const op = "put tariff"
	parsed, err := tariff.Parse(t.OCPI)
	if err != nil {
		return Tariff{}, fmt.Errorf("%s: %w: %w", op, err, ErrInvalid)
	}
	var compact bytes.Buffer // documents are JSON: the bytes that are signed must survive being stored
	if err := json.Compact(&compact, t.OCPI); err != nil {
		return Tariff{}, fmt.Errorf("%s: %w: %w", op, err, ErrInvalid)
	}
	sites := slices.Compact(slices.Sorted(slices.Values(t.Sites)))
	if sites == nil {
		sites = []holdfast.SiteID{}
	}
	out = Tariff{ID: parsed.ID, Version: 1, Currency: parsed.Currency, Sites: sites, Added: now, Hash: sha256.Sum256(compact.Bytes()), OCPI: compact.Bytes()}
	err = p.o.Store.Update(ctx, func(tx Tx) error {
		last, err := all[Tariff](tx, KindTariff, Query{Where: Fields{"tariff": out.ID}, Limit: 1})
		if err != nil {
			return err
		}
		if len(last) > 0 {
			if last[0].Hash == out.Hash && slices.Equal(last[0].Sites, out.Sites) {
				out = last[0]
				return nil
			}
			out.Version = last[0].Version + 1
		}
		return p.putTariff(tx, now, t.By, out)
	})
	if err != nil {
		return Tariff{}, err
	}
	return out, nil
}

func (p *Plane) putTariff(tx Tx, now holdfast.UnixMilli, by string, t Tariff) error {
	sites, err := sitesOf(tx, "put tariff", t.Sites)
	if err != nil {
		return err
	}
	n, err := note(tx, now, by, logTariff, t)
	if err != nil {
		return err
	}
	if _, err := put(tx, KindTariff, tariffKey(t.ID, t.Version), Fields{"tariff": t.ID}, t); err != nil {
		return err
	}
	for _, site := range sites {
		if err := p.placeTariff(tx, now, n, site, t); err != nil {
			return err
		}
	}
	return nil
}

func tariffKey(id string, version uint64) string { return key(id, strconv.FormatUint(version, 10)) }

// placeTariff signs a version for a site and queues it.
func (p *Plane) placeTariff(tx Tx, now holdfast.UnixMilli, n uint64, site holdfast.SiteID, t Tariff) error {
	payload, err := statement.EncodeTariff(statement.Tariff{ID: t.ID, Version: t.Version, Site: site, Issued: now, OCPI: t.OCPI})
	if err != nil {
		return fmt.Errorf("tariff %s for site %s: %w", t.ID, site, err)
	}
	signed, err := statement.Sign(p.o.Signer, p.o.Rand, statement.TypTariff, payload)
	if err != nil {
		return fmt.Errorf("sign tariff %s for site %s: %w", t.ID, site, err)
	}
	at := tariffAt{t.ID, t.Version, site, sha256.Sum256(signed), signed, t.OCPI, n}
	if err := at.put(tx); err != nil {
		return err
	}
	s, err := get[siteDoc](tx, KindSite, string(site))
	if err != nil {
		return err
	}
	return p.installTariff(tx, now, s.Gateway, at)
}

func (at tariffAt) put(tx Tx) error {
	_, err := put(tx, KindTariffAt, key(string(at.Site), at.Hash.String()), Fields{"site": string(at.Site), "tariff": at.ID}, at)
	return err
}

func (p *Plane) installTariff(tx Tx, now holdfast.UnixMilli, gw holdfast.GatewayID, at tariffAt) error {
	d := directiveDoc{Directive: Directive{Gateway: gw, Kind: uplink.InstallTariff}, Statement: at.Statement}
	var err error
	if d.Body, err = json.Marshal(map[string]any{"id": at.ID, "version": at.Version}); err != nil {
		return err
	}
	older := func(o directiveDoc) bool {
		var b struct {
			ID string `json:"id"`
		}
		return json.Unmarshal(o.Body, &b) == nil && b.ID == at.ID
	}
	if err := supersede(tx, gw, uplink.InstallTariff, older); err != nil {
		return err
	}
	_, err = p.queue(tx, now, byCloud, d)
	return err
}

// joinTariffs gives a new site the tariffs of every site.
func (p *Plane) joinTariffs(tx Tx, now holdfast.UnixMilli, n uint64, site holdfast.SiteID) error {
	list, err := latestTariffs(tx)
	if err != nil {
		return err
	}
	for _, t := range list {
		if len(t.Sites) > 0 {
			continue
		}
		if err := p.placeTariff(tx, now, n, site, t); err != nil {
			return err
		}
	}
	return nil
}

// reinstallTariffs queues a site's tariffs for a gateway that has none.
func (p *Plane) reinstallTariffs(tx Tx, now holdfast.UnixMilli, gw gatewayDoc) error {
	list, err := latestTariffs(tx)
	if err != nil {
		return err
	}
	for _, t := range list {
		signed, err := all[tariffAt](tx, KindTariffAt, Query{Where: Fields{"site": string(gw.Site), "tariff": t.ID}})
		if err != nil {
			return err
		}
		i := slices.IndexFunc(signed, func(at tariffAt) bool { return at.Version == t.Version })
		if i < 0 {
			continue // not for this site
		}
		if err := p.installTariff(tx, now, gw.ID, signed[i]); err != nil {
			return err
		}
	}
	return nil
}

// latestTariffs returns the newest version of each tariff, oldest first: the
// one that was put last goes out last, and is the one in force.
func latestTariffs(tx Tx) (out []Tariff, err error) {
	list, err := all[Tariff](tx, KindTariff, Query{})
	if err != nil {
		return nil, err
	}
	for _, t := range list {
		if !slices.ContainsFunc(out, func(o Tariff) bool { return o.ID == t.ID }) {
			out = append(out, t)
		}
	}
	slices.Reverse(out)
	return out, nil
}

// tariffsOf finds the tariffs that records of a site name, as far as they were
// known at the fold's entry of the cloud's journal. The answer to one reference never
// changes once it was found.
func (f *fold) tariffsOf(site holdfast.SiteID, failed *error) func(record.TariffRef) (*tariff.Tariff, bool) {
	return func(ref record.TariffRef) (*tariff.Tariff, bool) {
		name := tariffName{site, ref}
		if t, ok := f.tariffs[name]; ok {
			return t, true
		}
		at, err := get[tariffAt](f.tx, KindTariffAt, key(string(site), ref.Hash.String()))
		if err != nil {
			if !isNotFound(err) {
				*failed = err
			}
			return nil, false
		}
		if at.ID != ref.ID || at.Version != ref.Version || at.Log > f.n {
			return nil, false
		}
		t, err := tariff.Parse(at.OCPI)
		if err != nil {
			*failed = fmt.Errorf("tariff %s version %d, accepted once, does not parse now: %w", at.ID, at.Version, err)
			return nil, false
		}
		f.tariffs[name] = t
		return t, true
	}
}

// A tariffName is what a record calls a tariff, at a site.
type tariffName struct {
	site holdfast.SiteID
	ref  record.TariffRef
}

// tariff takes back a tariff that this cloud signed and no longer has, from the
// journal of a gateway that installed it: the store was restored from a backup.
// Sessions that waited for it are priced.
func (f *fold) tariff(b *record.StatementInstalled) error {
	if b.Kind != statement.TypTariff {
		return nil
	}
	at := tariffAt{Site: f.gw.Site, Hash: sha256.Sum256(b.Bytes), Statement: b.Bytes, Log: f.n}
	_, err := f.tx.Get(KindTariffAt, key(string(at.Site), at.Hash.String()))
	if !isNotFound(err) {
		return err
	}
	pub, ok := f.p.o.Signer.Public().(*ecdsa.PublicKey)
	if !ok {
		return fmt.Errorf("the statement key is a %T, not P-256", f.p.o.Signer.Public())
	}
	payload, err := statement.Verify(pub, statement.TypTariff, b.Bytes)
	if err != nil {
		return nil // not ours: then nothing is priced with it
	}
	t, err := statement.DecodeTariff(payload)
	if err != nil || t.Site != at.Site {
		return nil
	}
	if _, err := tariff.Parse(t.OCPI); err != nil {
		return nil
	}
	at.ID, at.Version, at.OCPI = t.ID, t.Version, t.OCPI
	return at.put(f.tx)
}

// Tariff returns the newest version of a tariff, [ErrNotFound].
func (p *Plane) Tariff(ctx context.Context, id string) (t Tariff, err error) {
	err = p.o.Store.View(ctx, func(tx Tx) error {
		last, err := all[Tariff](tx, KindTariff, Query{Where: Fields{"tariff": id}, Limit: 1})
		if err == nil && len(last) == 0 {
			err = fmt.Errorf("tariff %q: %w", clip(id), ErrNotFound)
		}
		if err == nil {
			t = last[0]
		}
		return err
	})
	return t, err
}

// Tariffs lists every version of every tariff.
func (p *Plane) Tariffs(ctx context.Context, page Page) (tariffs []Tariff, next string, err error) {
	return paged(ctx, p, KindTariff, nil, page, asStored[Tariff])
}
