package cloud

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
	"github.com/holdfast-ev/holdfast/seal"
	"github.com/holdfast-ev/holdfast/uplink"
)

// ErrOutdated: what was asked for belongs to a version that is not the newest
// any more. The newest is on its way as a directive.
var ErrOutdated = errors.New("a newer version is on its way")

// Book returns a page of the tokens in clear that gw's chargers need to cope
// alone: those on the access list of its own site, in the version that gw has
// installed. Tokens that only the cloud may accept (NEVER) are not in it, and
// neither is one that was erased. [ErrOutdated] when the list says something
// newer by now: the gateway asks again when it has that.
//
// A gateway that asks for a version the first time is noted in the cloud's
// journal: who was given the drivers' tokens must be known.
func (p *Plane) Book(ctx context.Context, now holdfast.UnixMilli, gw holdfast.GatewayID, version, after uint64) (b uplink.TokenBook, err error) {
	var c Contact
	err = p.o.Store.View(ctx, func(tx Tx) error {
		if b, err = p.book(tx, gw, version, after); err != nil {
			return err
		}
		c, err = contactOf(tx, gw)
		return err
	})
	if err == nil && c.Book != version {
		err = p.o.Store.Update(ctx, func(tx Tx) error { return noteBook(tx, now, gw, version) })
	}
	if err != nil {
		return uplink.TokenBook{}, fmt.Errorf("token book of %s: %w", gw, err)
	}
	return b, nil
}

func (p *Plane) book(tx Tx, gw holdfast.GatewayID, version, after uint64) (b uplink.TokenBook, err error) {
	g, err := get[gatewayDoc](tx, KindGateway, string(gw))
	if err != nil {
		return b, err
	}
	l, err := get[listDoc](tx, KindList, string(g.Site))
	if err != nil {
		return b, err
	}
	if l.Version != version {
		return b, fmt.Errorf("list %d of site %s, asked for %d: %w", l.Version, g.Site, version, ErrOutdated)
	}
	b = uplink.TokenBook{Version: version, Tokens: []uplink.BookToken{}}
	docs, err := tx.List(KindTokenAt, Query{Where: Fields{"site": string(g.Site)}, Cursor: after, Limit: uplink.MaxBookPage + 1, Oldest: true})
	if err != nil {
		return b, err
	}
	open := newDesk(tx)
	if err := layTokens(open, docs); err != nil {
		return b, err
	}
	bytes := 0 // of JSON, at the most
	for i, d := range docs {
		if i == uplink.MaxBookPage || bytes > uplink.MaxBookBytes-worstTokenJSON {
			b.Next = docs[i-1].N
			break
		}
		value, err := p.bookValue(open, d)
		if err != nil {
			return b, err
		}
		if value != "" {
			b.Tokens = append(b.Tokens, uplink.BookToken{Value: value})
			bytes += 6*len(value) + 64
		}
	}
	return b, nil
}

// layTokens lays out the tokens of a list's entries, and the keys that they are
// sealed with: a page takes two statements, and not two for each token.
func layTokens(open *desk, entries []Doc) error {
	var ids, keys []string
	for _, d := range entries {
		at, err := decode[tokenAt](d)
		if err != nil {
			return err
		}
		ids = append(ids, at.Token)
	}
	if err := open.fetch(KindToken, ids); err != nil {
		return err
	}
	for _, id := range ids {
		doc, err := get[tokenDoc](open, KindToken, id)
		if err != nil {
			continue // told when the token is asked for
		}
		if kid, err := seal.FieldKey(doc.Sealed); err == nil {
			keys = append(keys, key("", kid.String()))
		}
	}
	return open.fetch(KindSealKey, keys)
}

// worstTokenJSON is what the longest token takes in JSON with every byte escaped.
const worstTokenJSON = 6*holdfast.MaxTokenLen + 64

// bookValue opens the token of an entry; "" for one that no charger needs.
func (p *Plane) bookValue(tx Tx, d Doc) (string, error) {
	at, err := decode[tokenAt](d)
	if err != nil {
		return "", err
	}
	if at.Entry.Whitelist == access.Never && at.Entry.Valid {
		return "", nil
	}
	doc, err := get[tokenDoc](tx, KindToken, at.Token)
	if err != nil {
		return "", err
	}
	value, err := p.unseal(tx, "", doc.Sealed)
	if isNotFound(err) {
		return "", nil // its key was destroyed: nobody can read it any more
	}
	return value, err
}

// noteBook notes, once per version, that a gateway was given its site's tokens.
func noteBook(tx Tx, now holdfast.UnixMilli, gw holdfast.GatewayID, version uint64) error {
	c, err := contactOf(tx, gw)
	if err != nil || c.Book == version {
		return err
	}
	c.Book = version
	if _, err := put(tx, KindContact, string(gw), nil, c); err != nil {
		return err
	}
	_, err = note(tx, now, string(gw), logBook, map[string]any{"gateway": gw, "list": version})
	return err
}
