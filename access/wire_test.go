package access_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
	"github.com/holdfast-ev/holdfast/internal/vector"
	"github.com/holdfast-ev/holdfast/statement"
)

func sampleList() *access.List {
	l := list(12, map[holdfast.TokenHash]access.Entry{
		token(1): {Whitelist: access.Always, Valid: true, Group: "fleet-a", Expires: t0 + 86_400_000, Limits: holdfast.Limits{Seconds: 7200, Energy: 30_000, Power: 11_000, Cost: 25_000_000}},
		token(2): entry(access.Allowed),
		token(3): entry(access.AllowedOffline),
		token(4): entry(access.Never),
		token(5): {Whitelist: access.Always},
	})
	l.Policy = access.Policy{
		DegradedAfterS: 3600, HardAfterS: 7200, Dark: true, TokenCap: 40_000_000, SiteCap: 400_000_000, MinSession: 500_000, NoShrink: true,
		Offline: holdfast.Limits{Energy: 40_000}, Degraded: holdfast.Limits{Energy: 20_000}, Hard: holdfast.Limits{Energy: 10_000}, AskAllowed: true,
		AcceptUnknown: true, Unknown: holdfast.Limits{Seconds: 900}, LapseS: 60, MaxSessions: 2,
	}
	return l
}

func sampleGrant() access.Grant {
	return access.Grant{
		ID: "01JZX3T9R8Q7", Token: token(1), Site: site, NotBefore: t0, Expires: t0 + 86_400_000,
		Limits: holdfast.Limits{Energy: 50_000, Cost: 30_000_000}, Tariff: "ac-2026", MaxSessions: 1, ListVersion: 12,
	}
}

func TestVectors(t *testing.T) {
	type file struct {
		About     string     `json:"about"`
		KeyID     string     `json:"key_id"` // private key: statement/testdata
		Typ       string     `json:"typ"`
		Value     any        `json:"value"`
		Payload   vector.Hex `json:"payload"`
		Statement vector.Hex `json:"statement"`
	}
	key := vector.Key(t)
	for _, c := range []struct {
		name, about, typ string
		value            any
		encode           func() ([]byte, error)
	}{
		{"list.json", "An access list with every field of the policy and an entry of each mode.", statement.TypList, sampleList(),
			func() ([]byte, error) { return access.EncodeList(sampleList()) }},
		{"list_empty.json", "The smallest list: everything at its default.", statement.TypList, list(1, nil),
			func() ([]byte, error) { return access.EncodeList(list(1, nil)) }},
		{"grant.json", "A grant with every claim.", statement.TypGrant, sampleGrant(),
			func() ([]byte, error) { return access.EncodeGrant(sampleGrant()) }},
	} {
		payload, err := c.encode()
		if err != nil {
			t.Fatal(err)
		}
		signed, err := statement.Sign(key, nil, c.typ, payload)
		if err != nil {
			t.Fatal(err)
		}
		vector.Check(t, c.name, file{c.about, statement.KeyID(&key.PublicKey), c.typ, c.value, payload, signed})
		t.Logf("%s: payload %d bytes, signed %d", c.name, len(payload), len(signed))
	}
}

func TestListRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		entries := map[holdfast.TokenHash]access.Entry{}
		for range rapid.IntRange(0, 20).Draw(rt, "n") {
			tok := holdfast.TokenHash(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(rt, "token"))
			entries[tok] = access.Entry{
				Whitelist: rapid.SampledFrom([]access.Whitelist{access.Always, access.Allowed, access.AllowedOffline, access.Never}).Draw(rt, "mode"),
				Valid:     rapid.Bool().Draw(rt, "valid"), Group: rapid.StringN(0, 9, access.MaxName).Draw(rt, "group"),
				Expires: rapid.SampledFrom([]holdfast.UnixMilli{0, t0}).Draw(rt, "expires"), Limits: drawLimits(rt),
			}
		}
		l := list(rapid.Uint64Min(1).Draw(rt, "version"), entries)
		l.Policy.Offline, l.Policy.Dark = drawLimits(rt), rapid.Bool().Draw(rt, "dark")
		b, err := access.EncodeList(l)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := access.DecodeList(b)
		if err != nil {
			rt.Fatal(err)
		}
		if got.Site != l.Site || got.Version != l.Version || got.Issued != l.Issued || got.Policy != l.Policy || len(got.Entries) != len(entries) {
			rt.Fatalf("%+v", got)
		}
		for tok, e := range entries {
			if got.Entries[tok] != e {
				rt.Fatalf("%v: %+v, want %+v", tok, got.Entries[tok], e)
			}
		}
	})
}

func drawLimits(rt *rapid.T) holdfast.Limits {
	return holdfast.Limits{
		Seconds: rapid.Int64Range(0, access.MaxSeconds).Draw(rt, "s"), Energy: holdfast.WattHours(rapid.Int64Range(0, int64(access.MaxEnergy)).Draw(rt, "wh")),
		Cost: holdfast.Micros(rapid.Int64Range(0, access.MaxAmount).Draw(rt, "cost")),
	}
}

// The largest list fits into a statement, and so into a record and a directive.
func TestLargestListFits(t *testing.T) {
	entries := map[holdfast.TokenHash]access.Entry{}
	for i := range access.MaxEntries {
		e := entry(access.AllowedOffline)
		e.Expires = t0
		entries[token(i)] = e
	}
	b, err := access.EncodeList(list(1, entries))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := statement.Sign(vector.Key(t), nil, statement.TypList, b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := access.DecodeList(b); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d entries: %d bytes signed", len(entries), len(signed))
	entries[token(access.MaxEntries)] = entry(access.Always)
	if _, err := access.EncodeList(list(1, entries)); !errors.Is(err, access.ErrInvalid) {
		t.Fatalf("one more: %v", err)
	}
}

// Grant times are whole seconds on the wire: a permission never grows by
// rounding.
func TestGrantTimesRoundInwards(t *testing.T) {
	g := sampleGrant()
	g.NotBefore, g.Expires = t0+1, t0+86_400_999
	b, err := access.EncodeGrant(g)
	if err != nil {
		t.Fatal(err)
	}
	got, err := access.DecodeGrant(b)
	if err != nil || got.NotBefore != t0+1000 || got.Expires != t0+86_400_000 {
		t.Fatalf("%s to %s, %v", got.NotBefore, got.Expires, err)
	}
}

func TestInvalidListsAndGrants(t *testing.T) {
	for name, change := range map[string]func(*access.List){
		"no site":      func(l *access.List) { l.Site = "" },
		"1970":         func(l *access.List) { l.Issued = 5 },
		"another mode": func(l *access.List) { l.Entries[token(2)] = entry("SOMETIMES") },
		"no mode":      func(l *access.List) { l.Entries[token(2)] = access.Entry{Valid: true} },
		"long group": func(l *access.List) {
			l.Entries[token(2)] = access.Entry{Whitelist: access.Always, Group: strings.Repeat("x", 37)}
		},
		"expiry in 1970": func(l *access.List) { l.Entries[token(2)] = access.Entry{Whitelist: access.Always, Expires: 1} },
		"negative limit": func(l *access.List) {
			l.Entries[token(2)] = access.Entry{Whitelist: access.Always, Limits: holdfast.Limits{Energy: -1}}
		},
		"negative cap":      func(l *access.List) { l.Policy.TokenCap = -1 },
		"cap beyond bounds": func(l *access.List) { l.Policy.SiteCap = access.MaxAmount + 1 },
		"negative seconds":  func(l *access.List) { l.Policy.Hard.Seconds = -1 },
		"degraded > hard":   func(l *access.List) { l.Policy.DegradedAfterS, l.Policy.HardAfterS = 10, 5 },
		"hard < default":    func(l *access.List) { l.Policy.DegradedAfterS, l.Policy.HardAfterS = 0, 5 },
		"absurd sessions":   func(l *access.List) { l.Policy.MaxSessions = 1001 },
	} {
		l := sampleList()
		change(l)
		if _, err := access.EncodeList(l); !errors.Is(err, access.ErrInvalid) {
			t.Errorf("list, %s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*access.Grant){
		"no id":              func(g *access.Grant) { g.ID = "" },
		"id with a space":    func(g *access.Grant) { g.ID = "a b" },
		"long id":            func(g *access.Grant) { g.ID = strings.Repeat("x", 37) },
		"no token":           func(g *access.Grant) { g.Token = holdfast.TokenHash{} },
		"no site":            func(g *access.Grant) { g.Site = "" },
		"no expiry":          func(g *access.Grant) { g.Expires = 0 },
		"no beginning":       func(g *access.Grant) { g.NotBefore = 0 },
		"ends before begins": func(g *access.Grant) { g.Expires = g.NotBefore },
		"negative limit":     func(g *access.Grant) { g.Limits.Cost = -1 },
		"negative sessions":  func(g *access.Grant) { g.MaxSessions = -1 },
		"long tariff":        func(g *access.Grant) { g.Tariff = strings.Repeat("x", 37) },
	} {
		g := sampleGrant()
		change(&g)
		if _, err := access.EncodeGrant(g); !errors.Is(err, access.ErrInvalid) {
			t.Errorf("grant, %s: %v", name, err)
		}
	}
}

func FuzzDecodeList(f *testing.F) {
	for _, l := range []*access.List{list(1, nil), sampleList()} {
		b, err := access.EncodeList(l)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := access.DecodeList(b)
		if err != nil {
			return
		}
		if again, err := access.EncodeList(l); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("one list, two encodings: %x, %x (%v)", b, again, err)
		}
	})
}

func FuzzDecodeGrant(f *testing.F) {
	b, err := access.EncodeGrant(sampleGrant())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := access.DecodeGrant(b)
		if err != nil {
			return
		}
		if again, err := access.EncodeGrant(g); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("one grant, two encodings: %x, %x (%v)", b, again, err)
		}
	})
}

func FuzzUnmarshalState(f *testing.F) {
	f.Add([]byte(`{"v":1,"grants":{},"clock":{"floor":0},"held":{"7":{"token":"01000000000000000000000000000001","amount":5}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := access.New()
		if s.UnmarshalJSON(b) != nil {
			return
		}
		s = restored(t, s)
		s.Decide(site, ask(token(1), 1))
	})
}

// docs/access.md shows the table that the code follows.
func TestDocumentedRules(t *testing.T) {
	text, err := os.ReadFile("../docs/access.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for line := range strings.Lines(string(text)) {
		cell := strings.Split(line, "|")
		if len(cell) == 7 && strings.HasPrefix(strings.TrimSpace(cell[2]), "`") {
			documented = append(documented, strings.Join(trim(cell[2:6]), " | "))
		}
	}
	var coded []string
	for _, r := range access.Rules() {
		status := r.Status
		if status == "" {
			status = "-"
		}
		coded = append(coded, strings.Join([]string{"`" + r.Name + "`", r.When, r.Then, status}, " | "))
	}
	if got, want := strings.Join(documented, "\n"), strings.Join(coded, "\n"); got != want {
		t.Errorf("docs/access.md has\n%s\nthe code has\n%s", got, want)
	}
}

func trim(cells []string) []string {
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells
}
