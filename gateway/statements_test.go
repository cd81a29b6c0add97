package gateway_test

import (
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/statement"
	"github.com/holdfast-ev/holdfast/uplink"
)

func lastOutcome(b *bench) *record.DirectiveDone {
	b.t.Helper()
	done := bodies[*record.DirectiveDone](b)
	if len(done) == 0 {
		b.t.Fatal("no outcome")
	}
	return done[len(done)-1]
}

func list(b *bench, site holdfast.SiteID, version uint64, tokens ...string) []byte {
	l := &access.List{Site: site, Version: version, Issued: b.now.Wall, Entries: map[holdfast.TokenHash]access.Entry{}}
	for _, name := range tokens {
		l.Entries[holdfast.Token{Value: name}.Hash(tokenKey)] = access.Entry{Valid: true, Whitelist: access.Allowed}
	}
	return must(access.EncodeList(l))
}

// What must not be installed is refused with a reason that is on record, and
// what is installed stays in force (invariant I16: versions never fall).
func TestBadStatementsAreRefusedAndChangeNothing(t *testing.T) {
	signed := func(typ string, payload []byte) []byte { return must(statement.Sign(cloudKey, nil, typ, payload)) }
	tests := []struct {
		name string
		kind uplink.DirectiveKind
		st   func(b *bench) []byte
		why  string
	}{
		{"older version", uplink.InstallList, func(b *bench) []byte { return signed(statement.TypList, list(b, "site-1", 4, "X")) }, "4"},
		{"same version, other content", uplink.InstallList, func(b *bench) []byte { return signed(statement.TypList, list(b, "site-1", 5, "X")) }, "5"},
		{"other site", uplink.InstallList, func(b *bench) []byte { return signed(statement.TypList, list(b, "site-2", 9, "X")) }, "site-2"},
		{"other key", uplink.InstallList, func(b *bench) []byte {
			return must(statement.Sign(testKey("thief"), nil, statement.TypList, list(b, "site-1", 9, "X")))
		}, "signature"},
		{"grant as list", uplink.InstallList, func(b *bench) []byte { return signed(statement.TypGrant, list(b, "site-1", 9, "X")) }, "kind"},
		{"one bit off", uplink.InstallList, func(b *bench) []byte {
			st := signed(statement.TypList, list(b, "site-1", 9, "X"))
			st[len(st)/2] ^= 1
			return st
		}, ""},
		{"garbage", uplink.InstallTariff, func(*bench) []byte { return []byte("not a statement") }, "malformed"},
		{"expired grant", uplink.InstallGrant, func(b *bench) []byte {
			return signed(statement.TypGrant, must(access.EncodeGrant(access.Grant{ID: "g", Token: holdfast.TokenHash{1}, Site: "site-2", NotBefore: 1_700_000_000_000, Expires: 1_700_000_100_000})))
		}, "site"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			b.installed(5, "CARD1")
			c := b.connect("CP1", "ocpp1.6")
			b.step(gateway.Directives{List: []uplink.Directive{{ID: "bad", Kind: tc.kind, Statement: tc.st(b)}}})
			if o := lastOutcome(b); o.ID != "bad" || o.Outcome != "refused" || !strings.Contains(o.Detail, tc.why) {
				t.Errorf("outcome %+v, want refused because of %q", o, tc.why)
			}
			if v := b.g.State().Access.ListVersion(); v != 5 {
				t.Errorf("list version %d is in force, want 5", v)
			}
			if f := b.call(c, "a", "Authorize", `{"idTag":"CARD1"}`); !strings.Contains(string(f.Payload), "Accepted") {
				t.Errorf("the list in force no longer decides: %s", f.Payload)
			}
		})
	}
}

// A directive has one outcome, however often it is delivered, also after a kill.
func TestDirectiveIsDoneOnce(t *testing.T) {
	b := newBench(t)
	d := uplink.Directive{ID: "l1", Kind: uplink.InstallList, Statement: must(statement.Sign(cloudKey, nil, statement.TypList, list(b, "site-1", 1, "CARD1")))}
	b.step(gateway.Directives{List: []uplink.Directive{d, d}})
	b.crash()
	b.step(gateway.Directives{List: []uplink.Directive{d}})
	if n := len(bodies[*record.DirectiveDone](b)); n != 1 {
		t.Errorf("%d outcomes, want 1", n)
	}
	b.step(gateway.Directives{List: []uplink.Directive{{ID: "old", Kind: uplink.TriggerCharger, Expires: b.now.Wall - 1}}})
	if o := lastOutcome(b); o.Outcome != "expired" {
		t.Errorf("outcome %+v, want expired", o)
	}
	b.step(gateway.Directives{List: []uplink.Directive{{ID: "new", Kind: "charger.levitate"}}})
	if o := lastOutcome(b); o.Outcome != "refused" {
		t.Errorf("outcome %+v, want refused", o)
	}
}

// No record holds a token in clear, whatever the message: fields are sealed and
// frames have their tokens replaced.
func TestNoTokenInClear(t *testing.T) {
	b := newBench(t)
	const secret = "04A1B2C3D4E5F6"
	b.installed(1, secret)
	c := b.connect("CP1", "ocpp1.6")
	var all []byte
	take := func() {
		for _, a := range b.last.Records {
			all = append(all, a.Bytes...)
		}
	}
	for i, m := range [][2]string{
		{"Authorize", `{"idTag":"` + secret + `"}`},
		{"StartTransaction", `{"connectorId":1,"idTag":"` + secret + `","meterStart":1,"timestamp":"` + t0 + `"}`},
		{"DataTransfer", `{"vendorId":"v","data":"x"}`},
		{"StopTransaction", `{"transactionId":77,"idTag":"` + secret + `","meterStop":1,"timestamp":"` + t0 + `"}`},
		{"Authorize", `{"idTag":"` + strings.ToLower(secret) + `"}`},
		{"Authorize", `{"idTag":"0BADCARD"}`},
	} {
		b.call(c, string(rune('a'+i)), m[0], m[1])
		take()
	}
	for _, clear := range []string{secret, strings.ToLower(secret), "0BADCARD"} {
		if strings.Contains(string(all), clear) {
			t.Errorf("a record holds the token %q in clear", clear)
		}
	}
	if !strings.Contains(string(all), "hfs1.") {
		t.Error("nothing is sealed at all")
	}
}
