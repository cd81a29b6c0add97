package access

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/statement"
)

// A List is a site's access list, the payload of [statement.TypList]. It names
// every token that is to be treated otherwise than an unknown one, revoked
// tokens among them: a token that is merely left out is unknown, not revoked.
type List struct {
	Site    holdfast.SiteID              `json:"site"`
	Version uint64                       `json:"version"` // rises by at least one with each change
	Issued  holdfast.UnixMilli           `json:"issued"`  // a signed time: it raises the floor
	Entries map[holdfast.TokenHash]Entry `json:"entries"`
	Policy  Policy                       `json:"policy"`
}

// An Entry is what a list says of one token.
type Entry struct {
	Whitelist Whitelist          `json:"whitelist"`
	Valid     bool               `json:"valid"`             // false: revoked, refused everywhere and always
	Group     string             `json:"group,omitempty"`   // OCPI group_id: who may stop whose session
	Expires   holdfast.UnixMilli `json:"expires,omitempty"` // 0: with the list
	Limits    holdfast.Limits    `json:"limits"`
}

// A Policy says how a site decides when nobody can be asked. The zero value of
// every field is the default written beside it, so an empty policy is a safe
// one; there is no "unlimited".
type Policy struct {
	DegradedAfterS int64           `json:"degraded_after_s,omitempty"` // list age from which limits tighten; 0: 24 h
	HardAfterS     int64           `json:"hard_after_s,omitempty"`     // list age from which grants and ALLOWED stop; 0: 72 h
	Dark           bool            `json:"dark,omitempty"`             // the site is meant to live without a link: the list does not age
	TokenCap       holdfast.Micros `json:"token_cap,omitempty"`        // most exposure of one token; 0: 100 currency units
	SiteCap        holdfast.Micros `json:"site_cap,omitempty"`         // most exposure of the site; 0: 2,000 currency units
	MinSession     holdfast.Micros `json:"min_session,omitempty"`      // a session that could cost no more than this is not worth starting; 0: 1 currency unit
	NoShrink       bool            `json:"no_shrink,omitempty"`        // refuse a session whose worst case exceeds the caps, instead of limiting its cost to what is left
	Offline        holdfast.Limits `json:"offline"`                    // whenever the link is not ONLINE or SYNCED; 0: 12 h and 100 kWh
	Degraded       holdfast.Limits `json:"degraded"`                   // in addition, when the list is degraded; 0: 6 h and 50 kWh
	Hard           holdfast.Limits `json:"hard"`                       // in addition, when the list is past its hard age; 0: 2 h and 20 kWh
	AskAllowed     bool            `json:"ask_allowed,omitempty"`      // ask the cloud about ALLOWED tokens too, while it can be reached
	AcceptUnknown  bool            `json:"accept_unknown,omitempty"`   // accept tokens that are in no list when the cloud cannot be asked; off
	Unknown        holdfast.Limits `json:"unknown"`                    // limits of such tokens; 0: 1 h and 10 kWh
	LapseS         int64           `json:"lapse_s,omitempty"`          // an accepted token that starts no session gives back its reservation after this; 0: 120 s
	MaxSessions    int64           `json:"max_sessions,omitempty"`     // sessions of one token at once; 0: 1
}

// The defaults of [Policy].
const (
	DefaultDegradedAfterS = 24 * 3600
	DefaultHardAfterS     = 72 * 3600
	DefaultTokenCap       = holdfast.Micros(100_000_000)
	DefaultSiteCap        = holdfast.Micros(2_000_000_000)
	DefaultMinSession     = holdfast.Micros(1_000_000)
	DefaultLapseS         = 120
	DefaultMaxSessions    = 1
)

// Effective returns p with every default filled in.
func (p Policy) Effective() Policy {
	p.DegradedAfterS = cmp.Or(p.DegradedAfterS, DefaultDegradedAfterS)
	p.HardAfterS = cmp.Or(p.HardAfterS, DefaultHardAfterS)
	p.TokenCap = cmp.Or(p.TokenCap, DefaultTokenCap)
	p.SiteCap = cmp.Or(p.SiteCap, DefaultSiteCap)
	p.MinSession = cmp.Or(p.MinSession, DefaultMinSession)
	p.Offline = cmp.Or(p.Offline, holdfast.Limits{Seconds: 12 * 3600, Energy: 100_000})
	p.Degraded = cmp.Or(p.Degraded, holdfast.Limits{Seconds: 6 * 3600, Energy: 50_000})
	p.Hard = cmp.Or(p.Hard, holdfast.Limits{Seconds: 2 * 3600, Energy: 20_000})
	p.Unknown = cmp.Or(p.Unknown, holdfast.Limits{Seconds: 3600, Energy: 10_000})
	p.LapseS = cmp.Or(p.LapseS, DefaultLapseS)
	p.MaxSessions = cmp.Or(p.MaxSessions, DefaultMaxSessions)
	return p
}

// The CBOR forms. Keys are frozen: docs/statements.md.
type wireList struct {
	Site    holdfast.SiteID    `cbor:"1,keyasint"`
	Version uint64             `cbor:"2,keyasint"`
	Issued  holdfast.UnixMilli `cbor:"3,keyasint"`
	Policy  wirePolicy         `cbor:"4,keyasint"`
	Entries []wireEntry        `cbor:"5,keyasint"` // ascending by token
}

type wireEntry struct {
	Token     holdfast.TokenHash `cbor:"1,keyasint"`
	Whitelist uint8              `cbor:"2,keyasint"` // index into whitelists
	Valid     bool               `cbor:"3,keyasint"`
	Group     string             `cbor:"4,keyasint,omitempty"`
	Expires   holdfast.UnixMilli `cbor:"5,keyasint,omitempty"`
	Limits    *wireLimits        `cbor:"6,keyasint,omitempty"`
}

type wireLimits struct {
	Seconds int64              `cbor:"1,keyasint,omitempty"`
	Energy  holdfast.WattHours `cbor:"2,keyasint,omitempty"`
	Power   holdfast.Watts     `cbor:"3,keyasint,omitempty"`
	Cost    holdfast.Micros    `cbor:"4,keyasint,omitempty"`
}

type wirePolicy struct {
	DegradedAfterS int64           `cbor:"1,keyasint,omitempty"`
	HardAfterS     int64           `cbor:"2,keyasint,omitempty"`
	Dark           bool            `cbor:"3,keyasint,omitempty"`
	TokenCap       holdfast.Micros `cbor:"4,keyasint,omitempty"`
	SiteCap        holdfast.Micros `cbor:"5,keyasint,omitempty"`
	MinSession     holdfast.Micros `cbor:"6,keyasint,omitempty"`
	NoShrink       bool            `cbor:"7,keyasint,omitempty"`
	Offline        *wireLimits     `cbor:"8,keyasint,omitempty"`
	Degraded       *wireLimits     `cbor:"9,keyasint,omitempty"`
	Hard           *wireLimits     `cbor:"10,keyasint,omitempty"`
	AskAllowed     bool            `cbor:"11,keyasint,omitempty"`
	AcceptUnknown  bool            `cbor:"12,keyasint,omitempty"`
	Unknown        *wireLimits     `cbor:"13,keyasint,omitempty"`
	LapseS         int64           `cbor:"14,keyasint,omitempty"`
	MaxSessions    int64           `cbor:"15,keyasint,omitempty"`
}

// modes is the wire number of each whitelist mode: its place in this list, from
// 1.
func modes() []Whitelist { return []Whitelist{"", Always, Allowed, AllowedOffline, Never} }

func toWire(l holdfast.Limits) *wireLimits {
	if l == (holdfast.Limits{}) {
		return nil
	}
	return (*wireLimits)(&wireLimits{l.Seconds, l.Energy, l.Power, l.Cost})
}

func (w *wireLimits) limits() holdfast.Limits {
	if w == nil {
		return holdfast.Limits{}
	}
	return holdfast.Limits{Seconds: w.Seconds, Energy: w.Energy, Power: w.Power, Cost: w.Cost}
}

func (p Policy) wire() wirePolicy {
	return wirePolicy{
		p.DegradedAfterS, p.HardAfterS, p.Dark, p.TokenCap, p.SiteCap, p.MinSession, p.NoShrink,
		toWire(p.Offline), toWire(p.Degraded), toWire(p.Hard), p.AskAllowed, p.AcceptUnknown, toWire(p.Unknown),
		p.LapseS, p.MaxSessions,
	}
}

func (w wirePolicy) policy() Policy {
	return Policy{
		w.DegradedAfterS, w.HardAfterS, w.Dark, w.TokenCap, w.SiteCap, w.MinSession, w.NoShrink,
		w.Offline.limits(), w.Degraded.limits(), w.Hard.limits(), w.AskAllowed, w.AcceptUnknown, w.Unknown.limits(),
		w.LapseS, w.MaxSessions,
	}
}

// EncodeList returns l's payload for [statement.Sign].
func EncodeList(l *List) ([]byte, error) {
	if err := l.Validate(); err != nil {
		return nil, err
	}
	w := wireList{Site: l.Site, Version: l.Version, Issued: l.Issued, Policy: l.Policy.wire()}
	for token, e := range l.Entries {
		mode := slices.Index(modes(), e.Whitelist)
		w.Entries = append(w.Entries, wireEntry{token, uint8(mode), e.Valid, e.Group, e.Expires, toWire(e.Limits)})
	}
	slices.SortFunc(w.Entries, func(a, b wireEntry) int { return bytes.Compare(a.Token[:], b.Token[:]) })
	return statement.Marshal(w)
}

// DecodeList reads the payload of a verified [statement.TypList]. It wraps
// [ErrInvalid] or [statement.ErrMalformed].
func DecodeList(payload []byte) (*List, error) {
	var w wireList
	if err := statement.Unmarshal(payload, &w); err != nil {
		return nil, fmt.Errorf("access list: %w", err)
	}
	l := &List{Site: w.Site, Version: w.Version, Issued: w.Issued, Policy: w.Policy.policy()}
	l.Entries = make(map[holdfast.TokenHash]Entry, len(w.Entries))
	for i, e := range w.Entries {
		if e.Whitelist == 0 || int(e.Whitelist) >= len(modes()) {
			return nil, fmt.Errorf("%w: list entry %d: whitelist %d, want 1 to %d", ErrInvalid, i, e.Whitelist, len(modes())-1)
		}
		l.Entries[e.Token] = Entry{modes()[e.Whitelist], e.Valid, e.Group, e.Expires, e.Limits.limits()}
	}
	// One encoding for one list: no entry twice, none out of order, no empty map.
	if again, err := EncodeList(l); err != nil {
		return nil, err
	} else if !bytes.Equal(again, payload) {
		return nil, fmt.Errorf("access list: %w: entries repeated, out of order or with empty limits", statement.ErrMalformed)
	}
	return l, nil
}

// Validate checks every bound of l. It wraps [ErrInvalid].
func (l *List) Validate() error {
	if _, err := holdfast.ParseSiteID(string(l.Site)); err != nil {
		return fmt.Errorf("%w: list: %v", ErrInvalid, err)
	}
	if l.Version == 0 {
		return fmt.Errorf("%w: list version 0, versions start at 1", ErrInvalid)
	}
	if !l.Issued.Plausible() {
		return fmt.Errorf("%w: list issued %s, want 2020 to 2106", ErrInvalid, l.Issued)
	}
	if len(l.Entries) > MaxEntries {
		return fmt.Errorf("%w: list of %d tokens, at most %d", ErrInvalid, len(l.Entries), MaxEntries)
	}
	if err := l.validateEntries(); err != nil {
		return err
	}
	if err := l.Policy.Validate(); err != nil {
		return fmt.Errorf("%w: list: %v", ErrInvalid, err)
	}
	return nil
}

// validateEntries names the first bad entry in the order of the wire, not of the
// map: what it says may end up in a record, and records are reproducible.
func (l *List) validateEntries() error {
	var first holdfast.TokenHash
	var bad error
	for token, e := range l.Entries {
		if err := e.validate(); err != nil && (bad == nil || bytes.Compare(token[:], first[:]) < 0) {
			first, bad = token, err
		}
	}
	if bad != nil {
		return fmt.Errorf("%w: list entry %s: %v", ErrInvalid, first, bad)
	}
	return nil
}

func (e Entry) validate() error {
	if slices.Index(modes(), e.Whitelist) < 1 {
		return fmt.Errorf("whitelist %q, want ALWAYS, ALLOWED, ALLOWED_OFFLINE or NEVER", e.Whitelist)
	}
	if len(e.Group) > MaxName {
		return fmt.Errorf("group of %d bytes, at most %d", len(e.Group), MaxName)
	}
	if e.Expires != 0 && !e.Expires.Plausible() {
		return fmt.Errorf("expires %s, want 2020 to 2106", e.Expires)
	}
	return checkLimits("limits", e.Limits)
}

// Validate checks every bound of p. What it refuses is a mistake of a person:
// negative numbers, a degraded age above the hard one.
func (p Policy) Validate() error {
	for _, n := range []struct {
		name  string
		value int64
		most  int64
	}{
		{"degraded_after_s", p.DegradedAfterS, MaxSeconds},
		{"hard_after_s", p.HardAfterS, MaxSeconds},
		{"token_cap", int64(p.TokenCap), MaxAmount},
		{"site_cap", int64(p.SiteCap), MaxAmount},
		{"min_session", int64(p.MinSession), MaxAmount},
		{"lapse_s", p.LapseS, MaxSeconds},
		{"max_sessions", p.MaxSessions, 1000},
	} {
		if n.value < 0 || n.value > n.most {
			return fmt.Errorf("policy %s %d, want 0 to %d", n.name, n.value, n.most)
		}
	}
	if e := p.Effective(); e.DegradedAfterS > e.HardAfterS {
		return fmt.Errorf("policy degraded_after_s %d is above hard_after_s %d", e.DegradedAfterS, e.HardAfterS)
	}
	return cmp.Or(
		checkLimits("policy offline", p.Offline), checkLimits("policy degraded", p.Degraded),
		checkLimits("policy hard", p.Hard), checkLimits("policy unknown", p.Unknown),
	)
}

func checkLimits(what string, l holdfast.Limits) error {
	if l.Seconds < 0 || l.Seconds > MaxSeconds || l.Energy < 0 || l.Energy > MaxEnergy ||
		l.Power < 0 || l.Power > MaxPower || l.Cost < 0 || l.Cost > MaxAmount {
		return fmt.Errorf("%s out of range: %d s, %d Wh, %d W, %d micros", what, l.Seconds, l.Energy, l.Power, l.Cost)
	}
	return nil
}
