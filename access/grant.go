package access

import (
	"bytes"
	"encoding/hex"
	"fmt"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/statement"
)

// A Grant is a short-lived permission for one token at one site, the payload of
// [statement.TypGrant]: a CWT claims set (RFC 8392). It may stand for a token
// that no list names, and it says more than a list entry does: the cloud
// looked at this very token at that time.
type Grant struct {
	ID          string             `json:"id"` // names it for ever; also what a charger may carry instead of it
	Token       holdfast.TokenHash `json:"token"`
	Site        holdfast.SiteID    `json:"site"`
	NotBefore   holdfast.UnixMilli `json:"not_before"` // whole seconds: rounded up when encoded
	Expires     holdfast.UnixMilli `json:"expires"`    // whole seconds: cut when encoded; bounds the start of a session, not its end
	Limits      holdfast.Limits    `json:"limits"`
	Tariff      string             `json:"tariff,omitempty"`       // id of the tariff to price by; "": the site's
	MaxSessions int64              `json:"max_sessions,omitempty"` // sessions of the token at once; 0: as the policy says
	ListVersion uint64             `json:"list_version,omitempty"` // the list that its issuer knew
}

// wireGrant is the claims set: registered claims, and private ones below -65536
// (RFC 8392 section 9.1).
type wireGrant struct {
	Subject     string          `cbor:"2,keyasint"` // token hash, hex
	Audience    holdfast.SiteID `cbor:"3,keyasint"`
	ExpiresS    int64           `cbor:"4,keyasint"`
	NotBeforeS  int64           `cbor:"5,keyasint"`
	ID          []byte          `cbor:"7,keyasint"` // cti
	Limits      *wireLimits     `cbor:"-65537,keyasint,omitempty"`
	Tariff      string          `cbor:"-65538,keyasint,omitempty"`
	MaxSessions int64           `cbor:"-65539,keyasint,omitempty"`
	ListVersion uint64          `cbor:"-65540,keyasint,omitempty"`
}

// EncodeGrant returns g's payload for [statement.Sign].
func EncodeGrant(g Grant) ([]byte, error) {
	if err := g.Validate(); err != nil {
		return nil, err
	}
	return statement.Marshal(wireGrant{
		Subject: g.Token.String(), Audience: g.Site, ID: []byte(g.ID),
		ExpiresS: int64(g.Expires) / 1000, NotBeforeS: (int64(g.NotBefore) + 999) / 1000,
		Limits: toWire(g.Limits), Tariff: g.Tariff, MaxSessions: g.MaxSessions, ListVersion: g.ListVersion,
	})
}

// DecodeGrant reads the payload of a verified [statement.TypGrant]. It wraps
// [ErrInvalid] or [statement.ErrMalformed].
func DecodeGrant(payload []byte) (Grant, error) {
	var w wireGrant
	if err := statement.Unmarshal(payload, &w); err != nil {
		return Grant{}, fmt.Errorf("grant: %w", err)
	}
	const mostS = int64(holdfast.LatestPlausible) / 1000
	if w.ExpiresS < 0 || w.ExpiresS > mostS || w.NotBeforeS < 0 || w.NotBeforeS > mostS {
		return Grant{}, fmt.Errorf("%w: grant: times %d to %d s", ErrInvalid, w.NotBeforeS, w.ExpiresS)
	}
	token, err := holdfast.ParseTokenHash(w.Subject)
	if err != nil {
		return Grant{}, fmt.Errorf("%w: grant: subject: %v", ErrInvalid, err)
	}
	g := Grant{
		ID: string(w.ID), Token: token, Site: w.Audience,
		NotBefore: holdfast.UnixMilli(w.NotBeforeS * 1000), Expires: holdfast.UnixMilli(w.ExpiresS * 1000),
		Limits: w.Limits.limits(), Tariff: w.Tariff, MaxSessions: w.MaxSessions, ListVersion: w.ListVersion,
	}
	if again, err := EncodeGrant(g); err != nil {
		return Grant{}, err
	} else if !bytes.Equal(again, payload) {
		return Grant{}, fmt.Errorf("grant: %w: not in deterministic encoding", statement.ErrMalformed)
	}
	return g, nil
}

// Validate checks every bound of g. It wraps [ErrInvalid].
func (g Grant) Validate() error {
	if g.ID == "" || len(g.ID) > MaxName {
		return fmt.Errorf("%w: grant id of %d bytes, want 1 to %d", ErrInvalid, len(g.ID), MaxName)
	}
	for i := range len(g.ID) {
		if g.ID[i] <= ' ' || g.ID[i] > '~' {
			return fmt.Errorf("%w: grant id %s: want printable ASCII", ErrInvalid, hex.EncodeToString([]byte(g.ID)))
		}
	}
	if g.Token.IsZero() {
		return fmt.Errorf("%w: grant %s is for no token", ErrInvalid, g.ID)
	}
	if _, err := holdfast.ParseSiteID(string(g.Site)); err != nil {
		return fmt.Errorf("%w: grant %s: %v", ErrInvalid, g.ID, err)
	}
	if !g.NotBefore.Plausible() || !g.Expires.Plausible() || g.Expires <= g.NotBefore {
		return fmt.Errorf("%w: grant %s: valid %s to %s", ErrInvalid, g.ID, g.NotBefore, g.Expires)
	}
	if g.MaxSessions < 0 || g.MaxSessions > 1000 || len(g.Tariff) > MaxName {
		return fmt.Errorf("%w: grant %s: %d sessions, tariff id of %d bytes", ErrInvalid, g.ID, g.MaxSessions, len(g.Tariff))
	}
	if err := checkLimits("limits", g.Limits); err != nil {
		return fmt.Errorf("%w: grant %s: %v", ErrInvalid, g.ID, err)
	}
	return nil
}
