package access_test

import (
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
)

// tokens of the table below
var (
	tAlways    = token(1)
	tAllowed   = token(2)
	tOffline   = token(3)
	tNever     = token(4)
	tRevoked   = token(5)
	tExpired   = token(6)
	tStranger  = token(7)
	tGranted   = token(8) // in no list, valid grant
	tGrantOld  = token(9)
	tGrantSoon = token(10)
)

func world(t *testing.T, p access.Policy) *access.State {
	l := list(7, map[holdfast.TokenHash]access.Entry{
		tAlways: entry(access.Always), tAllowed: entry(access.Allowed), tOffline: entry(access.AllowedOffline), tNever: entry(access.Never),
		tRevoked: {Whitelist: access.Always, Valid: false},
		tExpired: {Whitelist: access.Always, Valid: true, Expires: t0 + 1000},
	})
	l.Policy = p
	s := installed(t, l)
	old, soon := grant("g-old", tGrantOld), grant("g-soon", tGrantSoon)
	old.Expires = t0 + 5000
	soon.NotBefore = t0 + holdfast.UnixMilli(500*hour)
	revoked := grant("g-revoked", tRevoked)
	for _, g := range []access.Grant{grant("g-1", tGranted), old, soon, revoked, grant("g-never", tNever)} {
		if err := s.InstallGrant(site, g, at(0)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

type want struct{ rule, then, status string }

// TestRules walks every rule of the table, and fails when one was not hit.
func TestRules(t *testing.T) {
	hit := map[string]bool{}
	check := func(name string, d access.Decision, w want) {
		t.Helper()
		hit[d.Rule] = true
		then := "refuse"
		switch {
		case d.Accepted && d.Ask:
			t.Fatalf("%s: accepted and to be asked", name)
		case d.Accepted:
			then = "accept"
		case d.Ask:
			then = "ask"
		}
		if got := (want{d.Rule, then, d.Status}); got != w {
			t.Errorf("%s: got %v, want %v (%s)", name, got, w, d.Reason)
		}
		if then != "accept" && (d.Limits != holdfast.Limits{} || d.Reserve != 0 || d.LapsesIn != 0) {
			t.Errorf("%s: not accepted, but limits %v, reserve %d", name, d.Limits, d.Reserve)
		}
		if d.Reason == "" || d.Source == "" {
			t.Errorf("%s: without reason or source: %+v", name, d)
		}
		for _, r := range access.Rules() {
			if r.Name == d.Rule && (r.Then != then || r.Status != d.Status && r.Status != "as told") {
				t.Errorf("%s: the table says %s %q, the decision %s %q", name, r.Then, r.Status, then, d.Status)
			}
		}
	}
	online := func(r access.Request) access.Request { r.Link = holdfast.Online; return r }
	asked := func(r access.Request) access.Request {
		r.Link, r.Cloud = holdfast.Online, access.Told{Asked: true}
		return r
	}
	told := func(r access.Request, grant string) access.Request {
		r.Link, r.Cloud = holdfast.Online, access.Told{Asked: true, Grant: grant}
		return r
	}
	minute, stale := int64(60_000), 80*hour

	plain := world(t, access.Policy{})
	for _, c := range []struct {
		name string
		r    access.Request
		w    want
	}{
		{"no token", ask(holdfast.TokenHash{}, minute), want{"token.missing", "refuse", "Invalid"}},
		{"revoked, though it has a grant", ask(tRevoked, minute), want{"list.revoked", "refuse", "Blocked"}},
		{"the cut-out has tripped", with(ask(tAlways, minute), func(r *access.Request) { r.CutOut = true }), want{"site.cutout", "refuse", "Blocked"}},
		{"no power for the charger", with(ask(tAlways, minute), func(r *access.Request) { r.NoPower = true }), want{"site.power", "refuse", "Blocked"}},
		{"revoked online", online(ask(tRevoked, minute)), want{"list.revoked", "refuse", "Blocked"}},
		{"revoked, the cloud granted before", told(ask(tRevoked, minute), "g-revoked"), want{"list.revoked", "refuse", "Blocked"}},
		{"expired entry", ask(tExpired, minute), want{"list.expired", "refuse", "Expired"}},
		{"always offline", ask(tAlways, minute), want{"list.always", "accept", "Accepted"}},
		{"always online", online(ask(tAlways, minute)), want{"list.always", "accept", "Accepted"}},
		{"always, stale", ask(tAlways, stale), want{"list.always", "accept", "Accepted"}},
		{"allowed offline", ask(tAllowed, minute), want{"list.allowed", "accept", "Accepted"}},
		{"allowed online", online(ask(tAllowed, minute)), want{"list.allowed", "accept", "Accepted"}},
		{"allowed, stale", ask(tAllowed, stale), want{"list.allowed.stale", "refuse", "Invalid"}},
		{"allowed, stale, online", online(ask(tAllowed, stale)), want{"list.allowed.ask", "ask", ""}},
		{"allowed, stale, no answer", asked(ask(tAllowed, stale)), want{"list.allowed.stale", "refuse", "Invalid"}},
		{"allowed_offline offline", ask(tOffline, minute), want{"list.allowed_offline", "accept", "Accepted"}},
		{"allowed_offline online", online(ask(tOffline, minute)), want{"list.allowed_offline.ask", "ask", ""}},
		{"allowed_offline, no answer", asked(ask(tOffline, minute)), want{"list.allowed_offline", "accept", "Accepted"}},
		{"allowed_offline, stale", ask(tOffline, stale), want{"list.allowed_offline", "accept", "Accepted"}},
		{"never offline, though it has a grant", ask(tNever, minute), want{"list.never", "refuse", "Invalid"}},
		{"never online", online(ask(tNever, minute)), want{"list.never.ask", "ask", ""}},
		{"never, no answer", asked(ask(tNever, minute)), want{"list.never", "refuse", "Invalid"}},
		{"never, granted this time", told(ask(tNever, minute), "g-never"), want{"cloud.granted", "accept", "Accepted"}},
		{"never, another token's grant", told(ask(tNever, minute), "g-1"), want{"list.never", "refuse", "Invalid"}},
		{"never, a grant that is not here", told(ask(tNever, minute), "g-none"), want{"list.never", "refuse", "Invalid"}},
		{"grant offline", ask(tGranted, minute), want{"grant.valid", "accept", "Accepted"}},
		{"grant online", online(ask(tGranted, minute)), want{"grant.valid", "accept", "Accepted"}},
		{"grant, stale", ask(tGranted, stale), want{"grant.stale", "refuse", "Invalid"}},
		{"grant, stale, online", online(ask(tGranted, stale)), want{"unknown.ask", "ask", ""}},
		{"grant, expired", ask(tGrantOld, minute), want{"grant.expired", "refuse", "Expired"}},
		{"grant, not yet", ask(tGrantSoon, minute), want{"grant.not_yet", "refuse", "Invalid"}},
		{"unknown offline", ask(tStranger, minute), want{"unknown", "refuse", "Invalid"}},
		{"unknown online", online(ask(tStranger, minute)), want{"unknown.ask", "ask", ""}},
		{"unknown while syncing", func() access.Request { r := ask(tStranger, minute); r.Link = holdfast.Syncing; return r }(), want{"unknown.ask", "ask", ""}},
		{"unknown, no answer", asked(ask(tStranger, minute)), want{"unknown", "refuse", "Invalid"}},
		{"no space", func() access.Request { r := ask(tAlways, minute); r.Space = false; return r }(), want{"space", "refuse", "Blocked"}},
		{"no space, revoked", func() access.Request { r := ask(tRevoked, minute); r.Space = false; return r }(), want{"list.revoked", "refuse", "Blocked"}},
		{"charging already", func() access.Request { r := ask(tAlways, minute); r.LiveSessions = 1; return r }(), want{"token.busy", "refuse", "ConcurrentTx"}},
		{"refused by the cloud", func() access.Request {
			r := ask(tAlways, minute)
			r.Cloud = access.Told{Asked: true, Refused: "Blocked", Reason: "Unpaid."}
			return r
		}(), want{"cloud.refused", "refuse", "Blocked"}},
	} {
		check(c.name, plain.Decide(site, c.r), c.w)
	}

	asking := world(t, access.Policy{AskAllowed: true})
	check("allowed online, policy asks", asking.Decide(site, online(ask(tAllowed, minute))), want{"list.allowed.ask", "ask", ""})
	check("allowed offline, policy asks", asking.Decide(site, ask(tAllowed, minute)), want{"list.allowed", "accept", "Accepted"})

	open := world(t, access.Policy{AcceptUnknown: true})
	check("unknown, accepted", open.Decide(site, ask(tStranger, minute)), want{"unknown.accepted", "accept", "Accepted"})
	check("unknown, accepted, online", open.Decide(site, online(ask(tStranger, minute))), want{"unknown.ask", "ask", ""})
	check("unknown, accepted, stale", open.Decide(site, ask(tStranger, stale)), want{"unknown.stale", "refuse", "Invalid"})

	dark := world(t, access.Policy{Dark: true})
	check("dark site, year two, allowed", dark.Decide(site, ask(tAllowed, 999*hour)), want{"list.allowed", "accept", "Accepted"})
	check("dark site, year two, grant", dark.Decide(site, ask(tGranted, 999*hour)), want{"grant.valid", "accept", "Accepted"})
	check("dark site, revoked", dark.Decide(site, ask(tRevoked, 999*hour)), want{"list.revoked", "refuse", "Blocked"})

	check("no list", access.New().Decide(site, ask(tAlways, minute)), want{"list.none", "refuse", "Invalid"})
	check("no list, online", access.New().Decide(site, online(ask(tAlways, minute))), want{"unknown.ask", "ask", ""})

	strict := world(t, access.Policy{NoShrink: true, TokenCap: 10_000_000, SiteCap: 15_000_000, Offline: holdfast.Limits{Energy: 10_000}})
	check("within the caps", strict.Decide(site, ask(tAlways, minute)), want{"list.always", "accept", "Accepted"})
	strict.Reserve(1, tAlways, 6_000_000)
	check("the token's cap", strict.Decide(site, ask(tAlways, minute)), want{"cap.token", "refuse", "NoCredit"})
	strict.Reserve(2, tOffline, 6_000_000)
	check("the site's cap", strict.Decide(site, ask(tAllowed, minute)), want{"cap.site", "refuse", "NoCredit"})

	full := world(t, access.Policy{})
	for i := range uint64(access.MaxHeld) {
		full.Reserve(i, token(100), 0)
	}
	check("nothing more can be held", full.Decide(site, ask(tAlways, minute)), want{"cap.full", "refuse", "NoCredit"})

	for _, r := range access.Rules() {
		if !hit[r.Name] {
			t.Errorf("rule %s was never hit", r.Name)
		}
	}
}

func TestLimitsTightenWithLinkAndAge(t *testing.T) {
	p := access.Policy{
		Offline: holdfast.Limits{Energy: 40_000, Seconds: 9000}, Degraded: holdfast.Limits{Energy: 20_000}, Hard: holdfast.Limits{Energy: 5_000, Power: 11_000},
	}
	l := list(1, map[holdfast.TokenHash]access.Entry{token(1): {Whitelist: access.Always, Valid: true, Limits: holdfast.Limits{Energy: 60_000, Seconds: 8000}}})
	l.Policy = p
	s := installed(t, l)
	for _, c := range []struct {
		name string
		link holdfast.LinkState
		mono int64
		want holdfast.Limits
	}{
		{"online", holdfast.Online, hour, holdfast.Limits{Energy: 60_000, Seconds: 8000}},
		{"synced", holdfast.Synced, hour, holdfast.Limits{Energy: 60_000, Seconds: 8000}},
		{"syncing", holdfast.Syncing, hour, holdfast.Limits{Energy: 40_000, Seconds: 8000}},
		{"offline", holdfast.Offline, hour, holdfast.Limits{Energy: 40_000, Seconds: 8000}},
		{"unknown link", "", hour, holdfast.Limits{Energy: 40_000, Seconds: 8000}},
		{"just not degraded", holdfast.Offline, 24*hour - 1, holdfast.Limits{Energy: 40_000, Seconds: 8000}},
		{"degraded", holdfast.Offline, 24 * hour, holdfast.Limits{Energy: 20_000, Seconds: 8000}},
		{"just not hard", holdfast.Offline, 72*hour - 1, holdfast.Limits{Energy: 20_000, Seconds: 8000}},
		{"hard", holdfast.Offline, 72 * hour, holdfast.Limits{Energy: 5_000, Seconds: 8000, Power: 11_000}},
	} {
		r := ask(token(1), c.mono)
		r.Link = c.link
		d := s.Decide(site, r)
		if !d.Accepted || d.Limits != c.want {
			t.Errorf("%s: accepted %v with %+v, want %+v", c.name, d.Accepted, d.Limits, c.want)
		}
		if d.Reserve != holdfast.Micros(d.Limits.Energy)*500 {
			t.Errorf("%s: reserves %d for %d Wh", c.name, d.Reserve, d.Limits.Energy)
		}
		if d.ListAgeS != c.mono/1000 || d.ListVersion != 1 {
			t.Errorf("%s: list %d of age %d s", c.name, d.ListVersion, d.ListAgeS)
		}
	}
}

// The cloud's own word is not tightened by the age of the list, but while the
// backlog drains offline limits still hold.
func TestCloudGrantIsNotStale(t *testing.T) {
	s := installed(t, list(1, map[holdfast.TokenHash]access.Entry{token(1): entry(access.Never)}))
	g := grant("g", token(1))
	g.Limits = holdfast.Limits{Energy: 70_000}
	if err := s.InstallGrant(site, g, at(80*hour)); err != nil {
		t.Fatal(err)
	}
	r := ask(token(1), 80*hour)
	r.Link, r.Cloud = holdfast.Online, access.Told{Asked: true, Grant: "g"}
	if d := s.Decide(site, r); !d.Accepted || d.Limits != g.Limits || d.Source != access.SourceCloud || d.GrantID != "g" || d.Expires != g.Expires {
		t.Errorf("%+v", d)
	}
}

func TestShrinkToWhatIsLeft(t *testing.T) {
	l := list(1, map[holdfast.TokenHash]access.Entry{token(1): entry(access.Always), token(2): entry(access.Always)})
	l.Policy = access.Policy{TokenCap: 20_000_000, SiteCap: 50_000_000}
	s := installed(t, l)
	s.Reserve(1, token(1), 12_500_000)
	d := s.Decide(site, ask(token(1), hour))
	if !d.Accepted || d.Limits.Cost != 7_500_000 || d.Reserve != 7_500_000 {
		t.Fatalf("12.50 of 20 are held: %+v", d)
	}
	s.Reserve(2, token(1), 6_600_000)
	if d = s.Decide(site, ask(token(1), hour)); d.Accepted || d.Rule != access.RuleCapToken {
		t.Fatalf("0.90 is left, less than a session is worth: %+v", d)
	}
	r := ask(token(2), hour)
	r.Worst = nil
	if d = s.Decide(site, r); !d.Accepted || d.Limits.Cost != 20_000_000 || d.Reserve != 20_000_000 {
		t.Fatalf("no price is known: all of the cap is reserved: %+v", d)
	}
	r.Worst = func(holdfast.Limits) holdfast.Micros { return 1 << 62 }
	if d = s.Decide(site, r); !d.Accepted || d.Reserve != 20_000_000 {
		t.Fatalf("no bound: all of the cap is reserved: %+v", d)
	}
}

// A cost limit of the entry bounds the worst case.
func TestCostLimitBoundsTheReservation(t *testing.T) {
	s := installed(t, list(1, map[holdfast.TokenHash]access.Entry{token(1): {Whitelist: access.Always, Valid: true, Limits: holdfast.Limits{Cost: 3_000_000}}}))
	if d := s.Decide(site, ask(token(1), hour)); !d.Accepted || d.Reserve != 3_000_000 || d.Limits.Cost != 3_000_000 {
		t.Fatalf("%+v", d)
	}
}

func TestMaxSessions(t *testing.T) {
	l := list(1, map[holdfast.TokenHash]access.Entry{token(1): entry(access.Always)})
	l.Policy.MaxSessions = 3
	s := installed(t, l)
	g := grant("fleet", token(2))
	g.MaxSessions = 5
	if err := s.InstallGrant(site, g, at(0)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		token holdfast.TokenHash
		most  int64
	}{{token(1), 3}, {token(2), 5}} {
		for live := range c.most + 2 {
			r := ask(c.token, hour)
			r.LiveSessions = live
			if d := s.Decide(site, r); d.Accepted != (live < c.most) {
				t.Errorf("%d of %d run: %+v", live, c.most, d)
			}
		}
	}
}

// Of several grants the valid one that lasts longest counts, whatever order a
// map gives them in.
func TestBestGrant(t *testing.T) {
	s := installed(t, list(1, nil))
	for i, expires := range []int64{30, 900, 20, 900} {
		g := grant(string(rune('a'+i)), token(1))
		g.Expires = t0 + holdfast.UnixMilli(expires*hour)
		if i == 3 {
			g.NotBefore = t0 + holdfast.UnixMilli(800*hour)
		}
		if err := s.InstallGrant(site, g, at(0)); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		if d := s.Decide(site, ask(token(1), hour)); d.GrantID != "b" {
			t.Fatalf("%+v", d)
		}
	}
}

func TestDecideForAnotherSite(t *testing.T) {
	s := installed(t, list(1, nil))
	if err := s.InstallGrant(site, grant("g", token(1)), at(0)); err != nil {
		t.Fatal(err)
	}
	if d := s.Decide("depot-2", ask(token(1), hour)); d.Accepted {
		t.Fatalf("a grant for another site: %+v", d)
	}
}

func BenchmarkDecide(b *testing.B) {
	entries := map[holdfast.TokenHash]access.Entry{}
	for i := range access.MaxEntries {
		entries[token(i)] = entry(access.Always)
	}
	s := installed(b, list(1, entries))
	for i := range 256 {
		if err := s.InstallGrant(site, grant(token(i).String(), token(i)), at(0)); err != nil {
			b.Fatal(err)
		}
	}
	r := ask(token(77), hour)
	for b.Loop() {
		if d := s.Decide(site, r); !d.Accepted {
			b.Fatal(d)
		}
	}
}

func with(r access.Request, change func(*access.Request)) access.Request {
	change(&r)
	return r
}
