package holdfast_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"pgregory.net/rapid"
)

func TestPositionsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var e holdfast.Epoch
		copy(e[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "epoch"))
		p := holdfast.Pos{
			Gateway: holdfast.GatewayID(rapid.StringMatching(`[a-z0-9][a-z0-9-]{0,39}`).Draw(t, "gateway")),
			Journal: rapid.SampledFrom([]holdfast.Journal{holdfast.Evidence, holdfast.Telemetry}).Draw(t, "journal"),
			Epoch:   e, Seq: holdfast.Seq(rapid.Uint64().Draw(t, "seq")),
		}
		back, err := holdfast.ParsePos(p.String())
		if err != nil || back != p {
			t.Fatalf("%s came back as %v (%v)", p, back, err)
		}
	})
}

func TestMalformedNamesAreRefused(t *testing.T) {
	long := strings.Repeat("a", 60)
	tests := map[string]func() error{
		"gateway empty":   func() error { _, err := holdfast.ParseGatewayID(""); return err },
		"gateway long":    func() error { _, err := holdfast.ParseGatewayID(long); return err },
		"gateway upper":   func() error { _, err := holdfast.ParseGatewayID("Gw"); return err },
		"gateway dash":    func() error { _, err := holdfast.ParseGatewayID("-gw"); return err },
		"site path":       func() error { _, err := holdfast.ParseSiteID("../etc"); return err },
		"charger colon":   func() error { _, err := holdfast.ParseChargerID("a:b"); return err },
		"charger slash":   func() error { _, err := holdfast.ParseChargerID("a/b"); return err },
		"charger control": func() error { _, err := holdfast.ParseChargerID("a\nb"); return err },
		"charger long":    func() error { _, err := holdfast.ParseChargerID(long); return err },
		"journal":         func() error { _, err := holdfast.ParseJournal("gossip"); return err },
		"epoch upper":     func() error { _, err := holdfast.ParseEpoch(strings.Repeat("A", 32)); return err },
		"hash short":      func() error { _, err := holdfast.ParseHash("00"); return err },
		"session":         func() error { _, err := holdfast.ParseSessionID(strings.Repeat("g", 64)); return err },
		"cause":           func() error { _, err := holdfast.ParseCause("GREMLINS"); return err },
		"pos parts":       func() error { _, err := holdfast.ParsePos("a/b"); return err },
		"pos zeros": func() error {
			_, err := holdfast.ParsePos("gw/evidence/" + strings.Repeat("0", 32) + "/007")
			return err
		},
	}
	for name, f := range tests {
		if err := f(); !errors.Is(err, holdfast.ErrID) {
			t.Errorf("%s: %v, want ErrID", name, err)
		}
	}
}

func TestQuantitiesForPeople(t *testing.T) {
	for in, want := range map[fmt.Stringer]string{
		holdfast.WattHours(12345): "12.345 kWh", holdfast.WattHours(83): "0.083 kWh", holdfast.WattHours(-1500): "-1.500 kWh", holdfast.WattHours(0): "0.000 kWh",
		holdfast.Money{Currency: "EUR", Micros: 1_205_000}: "1.21 EUR", holdfast.Money{Currency: "EUR", Micros: -1_204_999}: "-1.20 EUR",
		holdfast.Money{Currency: "EUR", Micros: 4_999}: "0.00 EUR", holdfast.UnixMilli(0): "-", holdfast.UnixMilli(1): "1970-01-01T00:00:00.001Z",
	} {
		if got := in.String(); got != want {
			t.Errorf("%#v prints %q, want %q", in, got, want)
		}
	}
}

// One card is one card, however a reader spells it; two cards are two; and
// another site's key gives another hash.
func TestTokenHash(t *testing.T) {
	key, other := []byte("one site's key"), []byte("another's")
	a := holdfast.Token{Value: "04a1b2"}.Hash(key)
	if a != (holdfast.Token{Value: " 04A1B2 ", Type: "ISO14443"}).Hash(key) {
		t.Error("case, space or type made another token of it")
	}
	if a == (holdfast.Token{Value: "04A1B3"}).Hash(key) || a == (holdfast.Token{Value: "04a1b2"}).Hash(other) {
		t.Error("two tokens, or two sites, share a hash")
	}
	tok := holdfast.Token{Value: "04a1b2"}
	for _, s := range []string{fmt.Sprint(tok), fmt.Sprintf("%v %+v %#v %s", tok, tok, tok, tok)} {
		if strings.Contains(s, "04a1b2") {
			t.Errorf("printed in clear: %s", s)
		}
	}
}

// Tightening never loosens, and zero is no limit.
func TestTighten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) holdfast.Limits {
			n := rapid.Int64Range(0, 5)
			return holdfast.Limits{Seconds: n.Draw(t, name+"s"), Energy: holdfast.WattHours(n.Draw(t, name+"wh")), Power: holdfast.Watts(n.Draw(t, name+"w")), Cost: holdfast.Micros(n.Draw(t, name+"c"))}
		}
		a, b := draw("a"), draw("b")
		c := a.Tighten(b)
		for _, v := range [][3]int64{{a.Seconds, b.Seconds, c.Seconds}, {int64(a.Energy), int64(b.Energy), int64(c.Energy)}, {int64(a.Power), int64(b.Power), int64(c.Power)}, {int64(a.Cost), int64(b.Cost), int64(c.Cost)}} {
			want := min(v[0], v[1])
			if v[0] == 0 || v[1] == 0 {
				want = max(v[0], v[1])
			}
			if v[2] != want {
				t.Fatalf("%d and %d tighten to %d, want %d", v[0], v[1], v[2], want)
			}
		}
	})
}

// The leaf hash is RFC 6962's: the empty leaf's is a known value.
func TestLeafHash(t *testing.T) {
	const empty = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d" // RFC 6962 section 2.1, SHA-256(0x00)
	if got := holdfast.LeafHash(nil).String(); got != empty {
		t.Errorf("leaf hash of nothing is %s, want %s", got, empty)
	}
}
