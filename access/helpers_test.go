package access_test

import (
	"encoding/json"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
)

const (
	site = holdfast.SiteID("depot-1")
	t0   = holdfast.UnixMilli(1_790_000_000_000)
	hour = int64(3600_000) // ms
)

// at is an instant with a synchronised clock that agrees with the monotonic one.
func at(mono int64) holdfast.Instant {
	return holdfast.Instant{Wall: t0 + holdfast.UnixMilli(mono), Quality: holdfast.Synchronised, Boot: 1, Mono: mono}
}

// dumb is an instant of a clock that nobody set.
func dumb(boot uint32, mono int64) holdfast.Instant {
	return holdfast.Instant{Wall: holdfast.UnixMilli(mono), Quality: holdfast.Unknown, Boot: boot, Mono: mono}
}

func token(n int) holdfast.TokenHash { return holdfast.TokenHash{0: byte(n), 1: byte(n >> 8), 15: 1} }

func list(version uint64, entries map[holdfast.TokenHash]access.Entry) *access.List {
	return &access.List{Site: site, Version: version, Issued: t0, Entries: entries}
}

func entry(w access.Whitelist) access.Entry { return access.Entry{Whitelist: w, Valid: true} }

func grant(id string, tok holdfast.TokenHash) access.Grant {
	return access.Grant{ID: id, Token: tok, Site: site, NotBefore: t0, Expires: t0 + holdfast.UnixMilli(1000*hour)}
}

// installed is a state with l confirmed at t0.
func installed(t testing.TB, l *access.List) *access.State {
	t.Helper()
	s := access.New()
	if err := s.InstallList(site, l, at(0)); err != nil {
		t.Fatal(err)
	}
	s.Confirm(at(0))
	return s
}

// ask is an ordinary request: offline, room, 0.50 per kWh.
func ask(tok holdfast.TokenHash, mono int64) access.Request {
	return access.Request{Now: at(mono), Link: holdfast.Offline, Token: tok, Charger: "CP1", EVSE: 1, Space: true, Worst: halfPerKWh}
}

// halfPerKWh prices energy at 0.50 a kWh and knows no bound without one.
func halfPerKWh(l holdfast.Limits) holdfast.Micros {
	if l.Energy == 0 {
		return -1
	}
	return holdfast.Micros(l.Energy) * 500
}

// restored is s after a snapshot and a restart; it fails unless nothing changed.
func restored(t testing.TB, s *access.State) *access.State {
	t.Helper()
	a, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	r := access.New()
	if err := json.Unmarshal(a, r); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) {
		t.Fatalf("a restored state differs:\n%s\n%s", a, b)
	}
	return r
}
