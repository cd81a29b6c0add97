package cloud

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
	"github.com/holdfast-ev/holdfast/statement"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A Grant is a signed, short-lived permission for a token at a site.
type Grant struct {
	ID          string             `json:"id"`
	Site        holdfast.SiteID    `json:"site"`
	TokenID     string             `json:"token_id"`
	NotBefore   holdfast.UnixMilli `json:"not_before"`
	Expires     holdfast.UnixMilli `json:"expires"`
	Limits      holdfast.Limits    `json:"limits"`
	MaxSessions int64              `json:"max_sessions"` // 0: as the site's policy says
	Statement   []byte             `json:"statement"`    // statement.TypGrant
}

// AboutToken names the token that an answer with g tells of.
func (g Grant) AboutToken() string { return g.TokenID }

// IssueGrant asks for a grant.
type IssueGrant struct {
	Site        holdfast.SiteID    `json:"site"`
	Token       string             `json:"token"`                // value; it need not be on any list
	NotBefore   holdfast.UnixMilli `json:"not_before,omitempty"` // 0: now
	Expires     holdfast.UnixMilli `json:"expires"`              // required, at most [MaxGrantMillis] ahead
	Limits      holdfast.Limits    `json:"limits,omitzero"`
	MaxSessions int64              `json:"max_sessions,omitempty"` // 0: as the site's policy says
	By          string             `json:"-"`
}

const (
	// MaxGrantMillis bounds a grant's life: 31 days.
	MaxGrantMillis = 31 * 24 * 3600_000
	// AskGrantMillis is the life of a grant that answers an online
	// authorisation: 10 minutes, enough to plug in.
	AskGrantMillis = 10 * 60_000
)

// IssueGrant signs a grant and queues it for the site's gateway. The statement
// is returned as well, to be carried by other ways.
func (p *Plane) IssueGrant(ctx context.Context, now holdfast.UnixMilli, g IssueGrant) (out Grant, err error) {
	const op = "issue grant"
	if err := checkToken(op, g.Token); err != nil {
		return Grant{}, err
	}
	if g.Expires <= now || g.Expires > now+MaxGrantMillis {
		return Grant{}, invalid(op, "expires %s, want a time within 31 days", g.Expires)
	}
	if g.NotBefore == 0 {
		g.NotBefore = now / 1000 * 1000 // whole seconds: rounded up it would lie ahead
	}
	k, err := p.tokenKey(g.Site)
	if err != nil {
		return Grant{}, err
	}
	tokenID, err := p.tokenID(g.Token)
	if err != nil {
		return Grant{}, err
	}
	a := access.Grant{
		Token: holdfast.Token{Value: g.Token}.Hash(k[:]), Site: g.Site, NotBefore: g.NotBefore, Expires: g.Expires,
		Limits: g.Limits, MaxSessions: g.MaxSessions,
	}
	err = p.o.Store.Update(ctx, func(tx Tx) error {
		s, err := get[siteDoc](tx, KindSite, string(g.Site))
		if err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
		if out, err = p.signGrant(tx, now, g.By, tokenID, a); err != nil {
			return err
		}
		d := directiveDoc{Directive: Directive{Gateway: s.Gateway, Kind: uplink.InstallGrant, Expires: out.Expires}, Statement: out.Statement}
		if d.Body, err = json.Marshal(map[string]string{"id": out.ID}); err != nil {
			return err
		}
		_, err = p.queue(tx, now, g.By, d)
		return err
	})
	if err != nil {
		return Grant{}, err
	}
	return out, nil
}

// signGrant gives a an id and the list version, signs and stores it.
func (p *Plane) signGrant(tx Tx, now holdfast.UnixMilli, by, tokenID string, a access.Grant) (out Grant, err error) {
	l, err := get[listDoc](tx, KindList, string(a.Site))
	if err != nil {
		return out, err
	}
	if a.ID, err = p.randomHex(10); err != nil {
		return out, err
	}
	a.ListVersion = l.Version
	payload, err := access.EncodeGrant(a)
	if err != nil {
		return out, fmt.Errorf("issue grant: %w: %w", err, ErrInvalid)
	}
	signed, err := statement.Sign(p.o.Signer, p.o.Rand, statement.TypGrant, payload)
	if err != nil {
		return out, fmt.Errorf("sign grant: %w", err)
	}
	out = Grant{a.ID, a.Site, tokenID, a.NotBefore, a.Expires, a.Limits, a.MaxSessions, signed}
	if _, err := note(tx, now, by, logGrant, out); err != nil {
		return out, err
	}
	_, err = put(tx, KindGrant, a.ID, Fields{"site": string(a.Site), "token": tokenID}, out)
	return out, err
}

// Authorize answers an online authorisation: a short-lived grant, or a refusal
// with a reason. A refusal is an answer, not an error.
func (p *Plane) Authorize(ctx context.Context, now holdfast.UnixMilli, gw holdfast.GatewayID, ask uplink.Ask) (told uplink.Told, err error) {
	err = p.o.Store.Update(ctx, func(tx Tx) error {
		g, err := get[gatewayDoc](tx, KindGateway, string(gw))
		if err != nil {
			return err
		}
		at, err := get[tokenAt](tx, KindTokenAt, key(string(g.Site), ask.Token.String()))
		if err != nil && !isNotFound(err) {
			return err
		}
		if told = verdict(now, at, err == nil); !told.Accepted {
			return nil
		}
		grant, err := p.signGrant(tx, now, string(gw), at.Token, access.Grant{
			Token: ask.Token, Site: g.Site, NotBefore: now / 1000 * 1000, Expires: (now + AskGrantMillis) / 1000 * 1000, Limits: at.Entry.Limits,
		})
		told.Grant = grant.Statement
		return err
	})
	if err != nil {
		return uplink.Told{}, fmt.Errorf("authorize at %s: %w", gw, err)
	}
	return told, nil
}

func verdict(now holdfast.UnixMilli, at tokenAt, known bool) uplink.Told {
	switch e := at.Entry; {
	case !known:
		return uplink.Told{Status: access.StatusInvalid, Reason: "The operator does not know this token."}
	case !e.Valid:
		return uplink.Told{Status: access.StatusBlocked, Reason: "The operator has revoked this token."}
	case e.Expires != 0 && now >= e.Expires:
		return uplink.Told{Status: access.StatusExpired, Reason: "The token expired at " + e.Expires.String() + "."}
	}
	return uplink.Told{Accepted: true, Status: access.StatusAccepted, Reason: "The operator accepts this token."}
}
