package access_test

import (
	"encoding/json"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
)

// I16: versions never decrease, not over a restart either (libocpp#497: list
// version lost at restart).
func TestListRollbackIsRefused_libocpp497(t *testing.T) {
	revoked := list(5, map[holdfast.TokenHash]access.Entry{token(1): {Whitelist: access.Always}})
	s := installed(t, revoked)
	for range 2 {
		for _, version := range []uint64{1, 4, 5} {
			l := list(version, map[holdfast.TokenHash]access.Entry{token(1): entry(access.Always)})
			if err := s.InstallList(site, l, at(hour)); !errors.Is(err, access.ErrOlder) {
				t.Fatalf("version %d over 5: %v", version, err)
			}
			if d := s.Decide(site, ask(token(1), hour)); d.Rule != access.RuleRevoked || d.ListVersion != 5 {
				t.Fatalf("after version %d: %+v", version, d)
			}
		}
		if err := s.InstallList(site, revoked, at(hour)); err != nil {
			t.Fatalf("the same list once more: %v", err)
		}
		s = restored(t, s)
	}
	if err := s.InstallList(site, list(6, nil), at(hour)); err != nil || s.ListVersion() != 6 {
		t.Fatalf("version 6: %v", err)
	}
}

func TestForeignAndBadStatementsAreRefused(t *testing.T) {
	s := installed(t, list(1, nil))
	before, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	other := list(9, nil)
	other.Site = "depot-2"
	if err := s.InstallList(site, other, at(0)); !errors.Is(err, access.ErrSite) {
		t.Errorf("another site's list: %v", err)
	}
	if err := s.InstallList(site, list(0, nil), at(0)); !errors.Is(err, access.ErrInvalid) {
		t.Errorf("version 0: %v", err)
	}
	g := grant("g", token(1))
	g.Site = "depot-2"
	if err := s.InstallGrant(site, g, at(0)); !errors.Is(err, access.ErrSite) {
		t.Errorf("another site's grant: %v", err)
	}
	g = grant("g", token(1))
	g.NotBefore, g.Expires = t0-2000, t0-1000
	if err := s.InstallGrant(site, g, at(0)); !errors.Is(err, access.ErrExpired) {
		t.Errorf("an expired grant: %v", err)
	}
	if after, err := json.Marshal(s); err != nil || string(after) != string(before) {
		t.Errorf("a refused statement changed the state: %v\n%s\n%s", err, before, after)
	}
}

func TestGrantInstalls(t *testing.T) {
	s := installed(t, list(1, nil))
	g := grant("g", token(1))
	for range 2 {
		if err := s.InstallGrant(site, g, at(0)); err != nil {
			t.Fatal(err)
		}
	}
	g.Expires++
	if err := s.InstallGrant(site, g, at(0)); !errors.Is(err, access.ErrOlder) {
		t.Errorf("another content under one id: %v", err)
	}
}

func TestGrantsAreBoundedAndExpiredOnesMakeRoom(t *testing.T) {
	s := installed(t, list(1, nil))
	name := func(i int) string { return token(i).String() }
	for i := range access.MaxGrants {
		g := grant(name(i), token(i))
		if i == 0 {
			g.Expires = t0 + holdfast.UnixMilli(hour)
		}
		if err := s.InstallGrant(site, g, at(0)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.InstallGrant(site, grant("more", token(1)), at(1)); !errors.Is(err, access.ErrFull) {
		t.Fatalf("beyond the bound: %v", err)
	}
	if err := s.InstallGrant(site, grant("more", token(1)), at(2*hour)); err != nil {
		t.Fatalf("after one has expired: %v", err)
	}
	if _, ok := s.Grant(name(0)); ok {
		t.Error("the expired grant is still held")
	}
}

// What a gateway checks before it writes a record is what applying the record
// does, and checking changes nothing.
func TestCheckForetellsInstall(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := access.New()
		for step := range int64(12) {
			now := at(step * rapid.Int64Range(0, 2*hour).Draw(rt, "ms"))
			before, err := json.Marshal(s)
			if err != nil {
				rt.Fatal(err)
			}
			var check, install error
			to := rapid.SampledFrom([]holdfast.SiteID{site, site, site, "depot-2"}).Draw(rt, "site")
			if rapid.Bool().Draw(rt, "list") {
				l := list(rapid.Uint64Range(0, 5).Draw(rt, "version"), map[holdfast.TokenHash]access.Entry{token(rapid.IntRange(1, 2).Draw(rt, "content")): entry(access.Always)})
				l.Site = to
				check = s.CheckList(site, l)
				same(rt, s, before)
				install = s.InstallList(site, l, now)
			} else {
				g := grant(rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "id"), token(1))
				g.Site, g.Expires = to, t0+holdfast.UnixMilli(rapid.Int64Range(-1, 8).Draw(rt, "expires")*hour)
				check = s.CheckGrant(site, g, now)
				same(rt, s, before)
				install = s.InstallGrant(site, g, now)
			}
			if (check == nil) != (install == nil) || check != nil && check.Error() != install.Error() {
				rt.Fatalf("checked: %v; installed: %v", check, install)
			}
			if install != nil {
				same(rt, s, before)
			}
		}
	})
}

func same(rt *rapid.T, s *access.State, before []byte) {
	rt.Helper()
	if after, err := json.Marshal(s); err != nil || string(after) != string(before) {
		rt.Fatalf("the state changed: %v\n%s\n%s", err, before, after)
	}
}

// The list that was installed belongs to the state: the caller may go on using
// its own.
func TestInstalledListIsACopy(t *testing.T) {
	l := list(1, map[holdfast.TokenHash]access.Entry{token(1): {Whitelist: access.Always}})
	s := installed(t, l)
	l.Entries[token(1)] = entry(access.Always)
	if d := s.Decide(site, ask(token(1), 0)); d.Rule != access.RuleRevoked {
		t.Fatalf("%+v", d)
	}
}

// Promise 6: no wall clock between 1970 and 2106 lets an expired credential in,
// and an unproven one in the future refuses nobody.
func TestClockCannotReviveAnExpiredToken(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := list(1, map[holdfast.TokenHash]access.Entry{
			token(1): {Whitelist: access.Always, Valid: true, Expires: t0 + holdfast.UnixMilli(hour)},
			token(2): {Whitelist: access.Always, Valid: true, Expires: t0 + holdfast.UnixMilli(40*hour)},
		})
		s := installed(t, l)
		s.RaiseFloor(t0+holdfast.UnixMilli(2*hour), at(hour))
		boot := uint32(rapid.IntRange(1, 3).Draw(rt, "boot"))
		now := holdfast.Instant{
			Wall: holdfast.UnixMilli(rapid.Int64Range(0, 4_294_967_295_000).Draw(rt, "wall")), Boot: boot, Mono: rapid.Int64Range(hour, 10*hour).Draw(rt, "mono"),
			Quality: rapid.SampledFrom([]holdfast.Quality{"", "U", "I", "R", "S"}).Draw(rt, "quality"),
		}
		r := ask(token(1), 0)
		r.Now = now
		if d := s.Decide(site, r); d.Rule != access.RuleEntryExpired {
			rt.Fatalf("accepted after expiry at %+v: %+v", now, d)
		}
		r.Token = token(2)
		d := s.Decide(site, r)
		if now.Quality != holdfast.Synchronised && !d.Accepted {
			rt.Fatalf("an unproven clock refused: %+v", d)
		}
		if now.Quality == holdfast.Synchronised && d.Accepted != (now.Wall < t0+holdfast.UnixMilli(40*hour)) {
			rt.Fatalf("a trusted clock at %s: %+v", now.Wall, d)
		}
	})
}

// The proven time goes on while the box runs, also over reboots, and never
// falls (I16).
func TestFloorRunsWithTheMonotonicClock(t *testing.T) {
	s := access.New()
	if s.Floor(dumb(1, 5000)) != 0 {
		t.Fatal("a floor out of nothing")
	}
	s.RaiseFloor(t0, dumb(1, 5000))
	for _, c := range []struct {
		boot uint32
		mono int64
		want int64
	}{{1, 5000, 0}, {1, 9000, 4000}, {1, 1000, 0}, {2, 3000, 3000}} {
		if got := s.Floor(dumb(c.boot, c.mono)); got != t0+holdfast.UnixMilli(c.want) {
			t.Errorf("boot %d, %d ms: floor %s", c.boot, c.mono, got)
		}
	}
	s.Observe(dumb(1, 105_000)) // the last record of boot 1: 100 s have passed
	s.Observe(dumb(2, 7_000))
	if got := s.Floor(dumb(2, 8_000)); got != t0+108_000 {
		t.Errorf("over a reboot: floor %s, want 108 s later", got)
	}
	s.RaiseFloor(t0, dumb(2, 8_000))
	s.RaiseFloor(1, dumb(2, 8_000))
	s.RaiseFloor(holdfast.LatestPlausible+1, dumb(2, 8_000))
	if got := restored(t, s).Floor(dumb(2, 8_000)); got != t0+108_000 {
		t.Errorf("floor moved to %s", got)
	}
	if got := s.TimeAt(holdfast.Instant{Wall: 1000, Quality: holdfast.Synchronised, Boot: 2, Mono: 8000}); got != t0+108_000 {
		t.Errorf("a trusted clock in 1970: %s", got)
	}
}

func TestFloorNeverFalls(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := access.New()
		last := holdfast.UnixMilli(0)
		boot, mono := uint32(1), int64(0)
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			if rapid.IntRange(0, 4).Draw(rt, "reboot") == 0 {
				boot, mono = boot+1, 0
			}
			mono += rapid.Int64Range(0, 1<<40).Draw(rt, "ms")
			now := dumb(boot, mono)
			switch rapid.IntRange(0, 3).Draw(rt, "what") {
			case 0:
				s.RaiseFloor(holdfast.UnixMilli(rapid.Int64().Draw(rt, "signed")), now)
			case 1:
				s.Observe(now)
			case 2:
				l := list(s.ListVersion()+1, nil)
				l.Issued = holdfast.UnixMilli(rapid.Int64Range(int64(holdfast.EarliestPlausible), int64(holdfast.LatestPlausible)).Draw(rt, "issued"))
				if err := s.InstallList(site, l, now); err != nil {
					rt.Fatal(err)
				}
			case 3:
				s = restored(t, s)
			}
			s.Observe(now) // time that no record saw is lost at a reboot, no other
			if f := s.Floor(now); f < last {
				rt.Fatalf("the floor fell from %s to %s", last, f)
			} else {
				last = f
			}
		}
	})
}

func TestGrantNotBeforeIsJudgedAtTheProvenTime(t *testing.T) {
	s := access.New()
	s.RaiseFloor(t0, dumb(1, 0))
	g := grant("g", token(1))
	g.NotBefore = t0 + 90_000
	if err := s.InstallGrant(site, g, dumb(1, 0)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		now  holdfast.Instant
		want bool
	}{
		{dumb(1, 29_999), false}, // 30 s are left, and the leeway is 60 s
		{dumb(1, 30_000), true},
		{holdfast.Instant{Wall: t0 + 999_000, Quality: holdfast.Informative, Boot: 1, Mono: 1}, false}, // says who?
		{holdfast.Instant{Wall: t0 + 999_000, Quality: holdfast.Synchronised, Boot: 1, Mono: 1}, true},
	} {
		r := ask(token(1), 0)
		r.Now = c.now
		if d := s.Decide(site, r); d.Accepted != c.want {
			t.Errorf("%+v: %+v", c.now, d)
		}
	}
}

func TestFreshness(t *testing.T) {
	s := installed(t, list(1, nil))
	expect := func(name string, now holdfast.Instant, age int64, stage access.Stage) {
		t.Helper()
		if a, st := s.Freshness(now); a != age || st != stage {
			t.Errorf("%s: %d s, %s; want %d s, %s", name, a, st, age, stage)
		}
	}
	jumped := at(hour)
	jumped.Wall += holdfast.UnixMilli(500 * hour)
	expect("the wall clock jumps within a boot", jumped, 3600, access.Fresh)
	reboot := holdfast.Instant{Wall: t0 + holdfast.UnixMilli(30*hour), Quality: holdfast.Synchronised, Boot: 2, Mono: 60_000}
	expect("a reboot, trusted clock", reboot, 30*3600, access.Degraded)
	expect("a reboot, clock in 1970", dumb(2, 60_000), -1, access.Degraded)
	expect("a reboot, 1970, and three days up", dumb(2, 72*hour), -1, access.Hard)
	s.Observe(at(71 * hour))
	expect("71 h, then a reboot and one more hour", dumb(2, hour), -1, access.Hard)
	s = restored(t, s)
	expect("the same after a restart", dumb(2, hour), -1, access.Hard)
	s.Confirm(dumb(2, hour))
	expect("confirmed", dumb(2, hour+5000), 5, access.Fresh)
	s = restored(t, s)
	expect("confirmed, then an hour", dumb(2, 2*hour), 3600, access.Fresh)
}

// A list that was carried to the site by hand is as old as its signature.
func TestListAgeStartsAtItsIssue(t *testing.T) {
	s := access.New()
	if err := s.InstallList(site, list(1, nil), at(30*hour)); err != nil {
		t.Fatal(err)
	}
	if age, stage := s.Freshness(at(31 * hour)); age != 31*3600 || stage != access.Degraded {
		t.Errorf("%d s, %s", age, stage)
	}
	s = access.New()
	if err := s.InstallList(site, list(1, nil), dumb(1, 1000)); err != nil {
		t.Fatal(err)
	}
	if age, stage := s.Freshness(dumb(1, 1000)); age != -1 || stage != access.Degraded {
		t.Errorf("without a clock: %d s, %s", age, stage)
	}
	if f := s.Floor(dumb(1, 1000)); f != t0 {
		t.Errorf("a signed issue time proves %s", f)
	}
}

func TestSnapshotRefusesWhatCouldNotBeInstalled(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":         `{`,
		"no version":      `{}`,
		"newer version":   `{"v":2}`,
		"bad list":        `{"v":1,"list":{"site":"","version":1}}`,
		"bad grant":       `{"v":1,"grants":{"a":{"id":"a"}}}`,
		"negative floor":  `{"v":1,"clock":{"floor":-1}}`,
		"impossible age":  `{"v":1,"clock":{"age_ms":9223372036854775807}}`,
		"text as a token": `{"v":1,"held":{"1":{"token":"x"}}}`,
	} {
		if err := json.Unmarshal([]byte(text), access.New()); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}
