package access

import (
	"testing"

	"github.com/holdfast-ev/holdfast"
)

// TestLocals: chargers are told what the site itself would accept without the
// cloud, in the order of use; what is told about ALLOWED tokens ends by itself
// before the list passes its hard age, and shrinks here at that age.
func TestLocals(t *testing.T) {
	const hour = 3_600_000
	now := holdfast.Instant{Wall: 1_790_000_000_000, Quality: holdfast.Synchronised, Boot: 1}
	entry := func(w Whitelist) Entry { return Entry{Whitelist: w, Valid: true, Group: "G"} }
	ends := entry(AllowedOffline)
	ends.Expires = now.Wall + hour
	l := &List{Site: "s", Version: 3, Issued: now.Wall, Entries: map[holdfast.TokenHash]Entry{
		{1}: entry(Allowed), {2}: entry(Never), {3}: ends, {4}: entry(Always), {5}: {Whitelist: Always},
	}}
	s := New()
	if out, _ := s.Locals(now); out != nil {
		t.Fatalf("without a list: %v", out)
	}
	if err := s.InstallList("s", l, now); err != nil {
		t.Fatal(err)
	}
	s.Confirm(now)
	out, next := s.Locals(now)
	if next != now.Wall+hour || len(out) != 4 {
		t.Fatalf("%v, next %s", out, next)
	}
	for i, want := range []Local{
		{Token: holdfast.TokenHash{4}, Rank: LocalAlways, Group: "G"},
		{Token: holdfast.TokenHash{3}, Rank: LocalOffline, Group: "G", Expires: now.Wall + hour},
		{Token: holdfast.TokenHash{1}, Rank: LocalAllowed, Group: "G", Expires: out[2].Expires},
		{Token: holdfast.TokenHash{5}, Rank: LocalBlocked},
	} {
		if out[i] != want {
			t.Errorf("entry %d: %+v, want %+v", i, out[i], want)
		}
	}
	if left := int64(out[2].Expires - now.Wall); left < 48*hour || left > 72*hour {
		t.Errorf("ALLOWED ends after %d ms, want between 48 h and 72 h", left)
	}

	key := s.LocalKey(now)
	later := now
	for h := int64(1); h <= 80; h++ { // the cloud is away
		later.Mono, later.Wall = h*hour, now.Wall+holdfast.UnixMilli(h*hour)
		k := s.LocalKey(later)
		if k.Ends != key.Ends {
			t.Fatalf("after %d h the end moved from %s to %s though nobody confirmed the list", h, key.Ends, k.Ends)
		}
		out, _ := s.Locals(later)
		for _, e := range out {
			if e.Rank == LocalAllowed && (e.Expires <= later.Wall || k.Stage == Hard) {
				t.Fatalf("after %d h ALLOWED is told as valid until %s", h, e.Expires)
			}
		}
		if h == 80 && (len(out) != 2 || out[0].Rank != LocalAlways || out[1].Rank != LocalBlocked) {
			t.Errorf("past the hard age: %v, want ALWAYS and the revoked one", out)
		}
	}
	s.Confirm(later)
	if k := s.LocalKey(later); k.Ends <= key.Ends || k.Stage != Fresh {
		t.Errorf("after contact: %+v", k)
	}

	dark := *l
	dark.Version, dark.Policy.Dark = 4, true
	if err := s.InstallList("s", &dark, later); err != nil {
		t.Fatal(err)
	}
	if k := s.LocalKey(later); k.Ends != 0 {
		t.Errorf("a dark site's entries end at %s", k.Ends)
	}
}

// TestLocalsAfterABootOfUnknownLength: an age that nobody knows counts as
// degraded at the least.
func TestLocalsAfterABootOfUnknownLength(t *testing.T) {
	now := holdfast.Instant{Wall: 1_790_000_000_000, Quality: holdfast.Synchronised, Boot: 1}
	s := New()
	l := &List{Site: "s", Version: 1, Issued: now.Wall, Entries: map[holdfast.TokenHash]Entry{{1}: {Whitelist: Allowed, Valid: true}}}
	if err := s.InstallList("s", l, now); err != nil {
		t.Fatal(err)
	}
	s.Confirm(now)
	before := s.LocalKey(now)
	after := s.LocalKey(holdfast.Instant{Boot: 2, Mono: 1000, Quality: holdfast.Unknown})
	if after.Stage != Degraded || after.Ends >= before.Ends {
		t.Errorf("after the boot %+v, before %+v", after, before)
	}
}
