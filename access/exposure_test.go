package access_test

import (
	"encoding/json"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
)

func TestEachReservationEndsOnce(t *testing.T) {
	s := access.New()
	sums := func(name string, site, one holdfast.Micros) {
		t.Helper()
		s = restored(t, s)
		if s.Exposure() != site || s.TokenExposure(token(1)) != one {
			t.Fatalf("%s: site %d, token %d; want %d, %d", name, s.Exposure(), s.TokenExposure(token(1)), site, one)
		}
	}
	is := func(name string, got, want bool) {
		t.Helper()
		if got != want {
			t.Fatalf("%s: %v", name, got)
		}
	}
	is("reserve", s.Reserve(1, token(1), 500), true)
	is("the key again", s.Reserve(1, token(2), 900), false)
	is("reserve", s.Reserve(2, token(1), 100), true)
	is("reserve", s.Reserve(3, token(2), 50), true)
	sums("reserved", 650, 600)
	is("settle a reservation", s.Settle(1), false)
	is("release", s.Release(2), true)
	is("release twice", s.Release(2), false)
	is("spend what was released", s.Spend(2, 40), false)
	sums("released", 550, 500)
	is("spend", s.Spend(1, 320), true)
	is("spend twice", s.Spend(1, 320), false)
	is("release what was spent", s.Release(1), false)
	is("reserve under a spent key", s.Reserve(1, token(1), 1), false)
	sums("spent", 370, 320)
	if r, sp := s.Held(); r != 1 || sp != 1 {
		t.Fatalf("%d reservations, %d spends", r, sp)
	}
	is("settle", s.Settle(1), true)
	is("settle twice", s.Settle(1), false)
	sums("settled", 50, 0)
	is("spend nothing", s.Spend(3, 0), true)
	is("settle nothing", s.Settle(3), false)
	sums("empty", 0, 0)
}

func TestSettleAllLeavesReservations(t *testing.T) {
	s := access.New()
	s.Reserve(1, token(1), 100)
	s.Reserve(2, token(1), 100)
	s.Spend(2, 70)
	s.SettleAll()
	if s.Exposure() != 100 || s.TokenExposure(token(1)) != 100 {
		t.Fatalf("%d", s.Exposure())
	}
}

// Amounts that nobody should pass: sums neither overflow nor go below zero.
func TestAbsurdAmounts(t *testing.T) {
	s := access.New()
	for i, amount := range []holdfast.Micros{math.MinInt64, -1, 0, math.MaxInt64, math.MaxInt64} {
		s.Reserve(uint64(i), token(1), amount)
	}
	if got := s.Exposure(); got != 2*access.MaxAmount {
		t.Fatalf("%d", got)
	}
	s.Spend(3, math.MinInt64)
	if got := restored(t, s).Exposure(); got != access.MaxAmount {
		t.Fatalf("%d", got)
	}
}

// A session that cost more than its worst case, or that a charger began on its
// own, is a fact: it counts, and closes the door behind it.
func TestOverspendCountsAndBlocks(t *testing.T) {
	l := list(1, map[holdfast.TokenHash]access.Entry{token(1): entry(access.Always)})
	l.Policy.TokenCap = 10_000_000
	s := installed(t, l)
	s.Reserve(1, token(1), 1_000_000)
	s.Spend(1, 25_000_000)
	if d := s.Decide(site, ask(token(1), hour)); d.Accepted || d.Rule != access.RuleCapToken {
		t.Fatalf("%+v", d)
	}
	s.Settle(1)
	if d := s.Decide(site, ask(token(1), hour)); !d.Accepted {
		t.Fatalf("%+v", d)
	}
}

// I14: exposure per token and per site never exceeds its cap, under any order
// of decisions, starts, ends and reconciliations, with restarts in between
// (cap not summed across sessions, cap reset at reboot).
func TestExposureStaysWithinCaps(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := access.Policy{
			TokenCap: holdfast.Micros(rapid.Int64Range(1, 60_000_000).Draw(rt, "token cap")),
			SiteCap:  holdfast.Micros(rapid.Int64Range(1, 120_000_000).Draw(rt, "site cap")),
			NoShrink: rapid.Bool().Draw(rt, "no shrink"), AcceptUnknown: true, MaxSessions: 1000,
		}
		l := list(1, map[holdfast.TokenHash]access.Entry{token(1): entry(access.Always), token(2): entry(access.Allowed), token(3): entry(access.AllowedOffline)})
		l.Policy = p
		s := installed(t, l)
		m := &moneyModel{state: s, open: map[uint64]holdfast.Micros{}, of: map[uint64]holdfast.TokenHash{}, spent: map[uint64]bool{}}
		for step := range rapid.IntRange(1, 60).Draw(rt, "steps") {
			m.step(rt, int64(step)*60_000)
			m.check(rt, t, p)
		}
	})
}

// moneyModel keeps its own account of what is at risk.
type moneyModel struct {
	state *access.State
	next  uint64
	open  map[uint64]holdfast.Micros // reserved or spent
	of    map[uint64]holdfast.TokenHash
	spent map[uint64]bool
}

func (m *moneyModel) step(rt *rapid.T, mono int64) {
	switch rapid.SampledFrom([]string{"decide", "decide", "decide", "release", "spend", "settle", "settle all", "restart"}).Draw(rt, "what") {
	case "decide":
		r := ask(token(rapid.IntRange(1, 4).Draw(rt, "token")), mono)
		r.Link = rapid.SampledFrom([]holdfast.LinkState{holdfast.Offline, holdfast.Online, holdfast.Syncing}).Draw(rt, "link")
		r.Cloud.Asked = true
		worst := holdfast.Micros(rapid.Int64Range(-1, 80_000_000).Draw(rt, "worst"))
		r.Worst = func(holdfast.Limits) holdfast.Micros { return worst }
		if d := m.state.Decide(site, r); d.Accepted {
			if d.Limits.Cost == 0 && d.Reserve < worst {
				rt.Fatalf("reserves %d for a worst case of %d", d.Reserve, worst)
			}
			m.state.Reserve(m.next, r.Token, d.Reserve)
			m.open[m.next], m.of[m.next] = d.Reserve, r.Token
			m.next++
		}
	case "release":
		if key := m.any(rt); m.state.Release(key) {
			delete(m.open, key)
		}
	case "spend":
		key := m.any(rt)
		cost := holdfast.Micros(rapid.Int64Range(0, int64(m.open[key])).Draw(rt, "cost"))
		if m.state.Spend(key, cost) {
			m.open[key], m.spent[key] = cost, true
		}
	case "settle":
		if key := m.any(rt); m.state.Settle(key) {
			delete(m.open, key)
		}
	case "settle all":
		m.state.SettleAll()
		for key := range m.spent {
			delete(m.open, key)
		}
	case "restart":
		b, err := json.Marshal(m.state)
		if err != nil {
			rt.Fatal(err)
		}
		m.state = access.New()
		if err := json.Unmarshal(b, m.state); err != nil {
			rt.Fatal(err)
		}
	}
}

// any draws a key that was used, or the next one, which was not.
func (m *moneyModel) any(rt *rapid.T) uint64 { return rapid.Uint64Range(0, m.next).Draw(rt, "key") }

func (m *moneyModel) check(rt *rapid.T, t *testing.T, p access.Policy) {
	var site holdfast.Micros
	tokens := map[holdfast.TokenHash]holdfast.Micros{}
	for key, amount := range m.open {
		site += amount
		tokens[m.of[key]] += amount
	}
	if m.state.Exposure() != site || site > p.SiteCap {
		rt.Fatalf("site: state %d, model %d, cap %d", m.state.Exposure(), site, p.SiteCap)
	}
	for tok, sum := range tokens {
		if m.state.TokenExposure(tok) != sum || sum > p.TokenCap {
			rt.Fatalf("token: state %d, model %d, cap %d", m.state.TokenExposure(tok), sum, p.TokenCap)
		}
	}
	restored(t, m.state)
}
