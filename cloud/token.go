package cloud

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
)

// A Token is a driver's credential as the cloud keeps it: by its hash under
// each site's key, and sealed. Its value is never shown again.
type Token struct {
	ID        string             `json:"id"`    // "tok-" and 24 hex digits: a keyed hash of the value
	Label     string             `json:"label"` // what people call it; never put a card number here
	Sites     []holdfast.SiteID  `json:"sites"` // empty: every site, also those to come
	Whitelist access.Whitelist   `json:"whitelist"`
	Valid     bool               `json:"valid"` // false: revoked
	Group     string             `json:"group,omitempty"`
	Expires   holdfast.UnixMilli `json:"expires,omitempty"`
	Limits    holdfast.Limits    `json:"limits"`
	Changed   holdfast.UnixMilli `json:"changed"`
}

// A tokenDoc is what is stored of a token. Sealed is a sealed field under the
// cloud's own seal key: a site that is added later needs the value's hash.
type tokenDoc struct {
	Token
	Sealed string `json:"sealed"`
}

// A tokenAt is a token's entry on a site's list, kept under its hash there.
type tokenAt struct {
	Hash  holdfast.TokenHash `json:"hash"`
	Token string             `json:"token"`
	Entry access.Entry       `json:"entry"`
}

func (t Token) entry() access.Entry {
	return access.Entry{Whitelist: t.Whitelist, Valid: t.Valid, Group: t.Group, Expires: t.Expires, Limits: t.Limits}
}

// AboutToken names the token that an answer with t tells of.
func (t Token) AboutToken() string { return t.ID }

// at is whether the token counts at a site.
func (t Token) at(site holdfast.SiteID) bool {
	return len(t.Sites) == 0 || slices.Contains(t.Sites, site)
}

// PutToken adds a token or changes the one that has the same value.
type PutToken struct {
	Value     string             `json:"value"` // 1..[holdfast.MaxTokenLen] bytes
	Label     string             `json:"label,omitempty"`
	Sites     []holdfast.SiteID  `json:"sites,omitempty"`     // empty: every site
	Whitelist access.Whitelist   `json:"whitelist,omitempty"` // OCPI's mode; "" is ALLOWED
	Group     string             `json:"group,omitempty"`
	Expires   holdfast.UnixMilli `json:"expires,omitempty"` // 0: never
	Limits    holdfast.Limits    `json:"limits,omitzero"`
	By        string             `json:"-"`
}

func checkToken(op, value string) error {
	if n := len(value); n == 0 || n > holdfast.MaxTokenLen || (holdfast.Token{Value: value}).Normal() == "" {
		return invalid(op, "token of %d bytes, want 1 to %d", n, holdfast.MaxTokenLen)
	}
	return nil
}

func (t *PutToken) check() error {
	const op = "put token"
	if err := checkToken(op, t.Value); err != nil {
		return err
	}
	if t.Whitelist == "" {
		t.Whitelist = access.Allowed
	}
	if len(t.Label) > MaxName {
		return invalid(op, "label of %d bytes, at most %d", len(t.Label), MaxName)
	}
	t.Sites = slices.Compact(slices.Sorted(slices.Values(t.Sites)))
	// The bounds of an entry are the list's: ask it.
	l := access.List{Site: "x", Version: 1, Issued: holdfast.EarliestPlausible, Entries: map[holdfast.TokenHash]access.Entry{
		{1}: {Whitelist: t.Whitelist, Valid: true, Group: t.Group, Expires: t.Expires, Limits: t.Limits},
	}}
	if err := l.Validate(); err != nil {
		return fmt.Errorf("%s: %w: %w", op, err, ErrInvalid)
	}
	return nil
}

// PutToken adds or changes a token, raises the list version of each site that
// it counts or counted at and queues the list for delivery. Putting the same
// again changes nothing. A revoked token becomes valid again.
func (p *Plane) PutToken(ctx context.Context, now holdfast.UnixMilli, t PutToken) (out Token, err error) {
	if err := t.check(); err != nil {
		return Token{}, err
	}
	id, err := p.tokenID(t.Value)
	if err != nil {
		return Token{}, err
	}
	err = p.o.Store.Update(ctx, func(tx Tx) error {
		if _, err := sitesOf(tx, "put token", t.Sites); err != nil {
			return err
		}
		old, err := get[tokenDoc](tx, KindToken, id)
		if err != nil && !isNotFound(err) {
			return err
		}
		doc := tokenDoc{Token{id, t.Label, t.Sites, t.Whitelist, true, t.Group, t.Expires, t.Limits, now}, old.Sealed}
		if doc.Sites == nil {
			doc.Sites = []holdfast.SiteID{}
		}
		if doc.Label == "" {
			doc.Label = old.Label
		}
		same := doc
		same.Changed = old.Changed
		if old.ID != "" && reflect.DeepEqual(same, old) {
			out = old.Token
			return nil
		}
		if doc.Sealed == "" {
			if doc.Sealed, err = p.sealed(tx, id, t.Value); err != nil {
				return err
			}
		}
		out = doc.Token
		return p.putToken(tx, now, t.By, logToken, doc)
	})
	if err != nil {
		return Token{}, err
	}
	return out, nil
}

// putToken stores a token and brings every site's list in line.
func (p *Plane) putToken(tx Tx, now holdfast.UnixMilli, by, kind string, doc tokenDoc) error {
	if _, err := note(tx, now, by, kind, doc.Token); err != nil {
		return err
	}
	if _, err := put(tx, KindToken, doc.ID, nil, doc); err != nil {
		return err
	}
	value, err := p.unseal(tx, "", doc.Sealed)
	if err != nil {
		return fmt.Errorf("token %s: %w", doc.ID, err)
	}
	sites, err := siteIDs(tx)
	if err != nil {
		return err
	}
	for _, site := range sites {
		if err := p.placeToken(tx, site, doc, value); err != nil {
			return err
		}
	}
	return nil
}

// placeToken puts a token on a site's list, changes it there or takes it off,
// and raises the list when that made a difference.
func (p *Plane) placeToken(tx Tx, site holdfast.SiteID, doc tokenDoc, value string) error {
	k, err := p.tokenKey(site)
	if err != nil {
		return err
	}
	hash := holdfast.Token{Value: value}.Hash(k[:])
	name := key(string(site), hash.String())
	old, err := get[tokenAt](tx, KindTokenAt, name)
	had := err == nil
	if err != nil && !isNotFound(err) {
		return err
	}
	entry := doc.entry()
	switch {
	case !doc.at(site) && !had, doc.at(site) && had && old.Entry == entry:
		return nil
	case !doc.at(site):
		if err := tx.Delete(KindTokenAt, name); err != nil {
			return err
		}
		return raiseList(tx, site)
	case !had:
		if err := roomOnList(tx, site); err != nil {
			return err
		}
	}
	if _, err := put(tx, KindTokenAt, name, Fields{"site": string(site), "token": doc.ID}, tokenAt{hash, doc.ID, entry}); err != nil {
		return err
	}
	return raiseList(tx, site)
}

func roomOnList(tx Tx, site holdfast.SiteID) error {
	n, err := tx.Count(KindTokenAt, Fields{"site": string(site)})
	if err == nil && n >= access.MaxEntries {
		err = fmt.Errorf("list of site %s has %d tokens: give tokens the sites they count at: %w", site, n, ErrFull)
	}
	return err
}

// joinTokens puts the tokens of every site on a new site's list.
func (p *Plane) joinTokens(tx Tx, site holdfast.SiteID) error {
	docs, err := all[tokenDoc](tx, KindToken, Query{Oldest: true})
	if err != nil {
		return err
	}
	for _, doc := range docs {
		if !doc.at(site) {
			continue
		}
		value, err := p.unseal(tx, "", doc.Sealed)
		if err != nil {
			return fmt.Errorf("token %s: %w", doc.ID, err)
		}
		if err := p.placeToken(tx, site, doc, value); err != nil {
			return err
		}
	}
	return nil
}

// findToken returns the id for an id or a value.
func (p *Plane) findToken(idOrValue string) (string, error) {
	if strings.HasPrefix(idOrValue, tokenPrefix) && len(idOrValue) == len(tokenPrefix)+24 {
		return idOrValue, nil
	}
	if err := checkToken("find token", idOrValue); err != nil {
		return "", err
	}
	return p.tokenID(idOrValue)
}

// RevokeToken makes a token invalid at every site, by its id or its value
// ([ErrNotFound]). It stays on the lists as revoked, so that a gateway can tell
// "revoked" from "unknown".
func (p *Plane) RevokeToken(ctx context.Context, now holdfast.UnixMilli, idOrValue, by string) (out Token, err error) {
	id, err := p.findToken(idOrValue)
	if err != nil {
		return Token{}, err
	}
	err = p.o.Store.Update(ctx, func(tx Tx) error {
		doc, err := get[tokenDoc](tx, KindToken, id)
		if err != nil {
			return fmt.Errorf("revoke: %w", err)
		}
		if out = doc.Token; !doc.Valid {
			return nil
		}
		doc.Valid, doc.Changed = false, now
		out = doc.Token
		return p.putToken(tx, now, by, logRevoked, doc)
	})
	if err != nil {
		return Token{}, err
	}
	return out, nil
}

// EraseToken removes a token and destroys the keys of everything that was
// sealed for it, in the cloud's store and in what gateways uploaded: the records
// stay, verify, and bill, and nobody can read the token in them again. It
// returns how many keys were destroyed. By value it works for a token that the
// cloud was never told of as well. Doing it again is [ErrNotFound].
func (p *Plane) EraseToken(ctx context.Context, now holdfast.UnixMilli, idOrValue, by string) (keys int, err error) {
	id, err := p.findToken(idOrValue)
	if err != nil {
		return 0, err
	}
	err = p.o.Store.Update(ctx, func(tx Tx) error {
		names, known, err := p.namesOf(tx, id, idOrValue)
		if err != nil {
			return err
		}
		for _, name := range names {
			n, err := eraseSealKeys(tx, now, name)
			if err != nil {
				return err
			}
			keys += n
		}
		if !known && keys == 0 {
			if known, err = traced(tx, id); err != nil {
				return err
			}
		}
		if !known && keys == 0 {
			return fmt.Errorf("erase token: %w", ErrNotFound)
		}
		if err := forgetToken(tx, id); err != nil {
			return err
		}
		if err := eraseAnswers(tx, now, id); err != nil {
			return err
		}
		_, err = note(tx, now, by, logErased, map[string]any{"token": id, "keys": keys})
		return err
	})
	if err != nil && !isNotFound(err) {
		return 0, err
	}
	// Also when there was nothing (more) to erase: the attempt before may have
	// committed and been told that it failed.
	return keys, errors.Join(err, p.o.Store.Scrub(ctx))
}

// traced reports whether a token that is on no list left a grant or a kept
// answer.
func traced(tx Tx, id string) (bool, error) {
	for _, k := range []Kind{KindGrant, KindAnswer} {
		if n, err := tx.Count(k, Fields{"token": id}); err != nil || n > 0 {
			return true, err
		}
	}
	return false, nil
}

// namesOf returns what keys may be stored under for a token: its id, and its
// hash at each site.
func (p *Plane) namesOf(tx Tx, id, idOrValue string) (names []string, known bool, err error) {
	value := idOrValue
	doc, err := get[tokenDoc](tx, KindToken, id)
	switch {
	case err == nil:
		known = true
		if value, err = p.unseal(tx, "", doc.Sealed); err != nil {
			return nil, false, err
		}
	case !isNotFound(err):
		return nil, false, err
	case id == idOrValue: // an id that no longer stands for anything
		return nil, false, nil
	}
	sites, err := siteIDs(tx)
	if err != nil {
		return nil, false, err
	}
	names = []string{id}
	for _, site := range sites {
		k, err := p.tokenKey(site)
		if err != nil {
			return nil, false, err
		}
		names = append(names, holdfast.Token{Value: value}.Hash(k[:]).String())
	}
	return names, known, nil
}

// forgetToken removes a token from the tables, the lists and the grants.
func forgetToken(tx Tx, id string) error {
	places, err := tx.List(KindTokenAt, Query{Where: Fields{"token": id}})
	if err != nil {
		return err
	}
	for _, d := range places {
		if err := tx.Delete(KindTokenAt, d.Key); err != nil {
			return err
		}
		if err := raiseList(tx, holdfast.SiteID(d.Fields["site"])); err != nil {
			return err
		}
	}
	grants, err := tx.List(KindGrant, Query{Where: Fields{"token": id}})
	if err != nil {
		return err
	}
	for _, d := range grants {
		if err := tx.Delete(KindGrant, d.Key); err != nil {
			return err
		}
	}
	return tx.Delete(KindToken, id)
}

// Tokens lists the tokens.
func (p *Plane) Tokens(ctx context.Context, page Page) (tokens []Token, next string, err error) {
	return paged(ctx, p, KindToken, nil, page, func(_ Tx, d Doc) (Token, error) {
		doc, err := decode[tokenDoc](d)
		return doc.Token, err
	})
}
