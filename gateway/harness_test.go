package gateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/ocpp"
	v16 "github.com/holdfast-ev/holdfast/ocpp/v16"
	v2 "github.com/holdfast-ev/holdfast/ocpp/v2"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/statement"
	"github.com/holdfast-ev/holdfast/uplink"
)

// epoch is the wall clock at mono 0 of the first boot in every test.
const epoch holdfast.UnixMilli = 1_790_000_000_000 // 2026-09-21T14:13:20Z

var (
	evidenceEpoch  = holdfast.Epoch{0xe1}
	telemetryEpoch = holdfast.Epoch{0x7e}
	tokenKey       = []byte("a token hash key for tests, 32 b")
)

// testKey is a fixed P-256 key, so that signatures and with them session ids
// are the same in every run (RFC 6979).
func testKey(name string) *ecdsa.PrivateKey {
	sum := sha256.Sum256([]byte(name))
	k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), sum[:])
	if err != nil {
		panic(err)
	}
	return k
}

var (
	cloudKey = testKey("cloud")
	schemas  = ocpp.NewSchemas() // compiled once; tests here run one at a time
)

// A bench drives one core by hand and asserts after every step that folding the
// records gives the state that the core is in.
type bench struct {
	t       testing.TB
	cfg     gateway.Config
	g       *gateway.Gateway
	now     holdfast.Instant
	records [][]byte // evidence
	next    map[holdfast.Journal]holdfast.Seq
	shadow  *gateway.State
	sent    map[gateway.ConnID][]ocpp.Frame // what each connection was sent, newest last
	last    gateway.Ready
	conns   gateway.ConnID
}

func newBench(t testing.TB) *bench {
	b := &bench{
		t: t, now: holdfast.Instant{Wall: epoch, Quality: holdfast.Synchronised, Boot: 1},
		next:   map[holdfast.Journal]holdfast.Seq{},
		shadow: gateway.NewState(), sent: map[gateway.ConnID][]ocpp.Frame{},
		cfg: gateway.Config{
			Gateway: "gw-1", Site: "site-1", Software: "test",
			Chargers: map[holdfast.ChargerID]gateway.ChargerConfig{"CP1": {MaxPower: 22_000}, "CP2": {MaxPower: 150_000}, "CP3": {}},
			TokenKey: tokenKey, SealKey: [32]byte{5}, StatementKey: &cloudKey.PublicKey, Seed: [32]byte{1},
			Dialects: []ocpp.Dialect{v16.Dialect{}, v2.Dialect{}, v2.Dialect{Speaks: ocpp.V21}}, Schemas: schemas,
		},
	}
	b.boot(&record.EpochOpened{Reason: record.EpochEnrolment})
	return b
}

// boot starts a core on what the records say.
func (b *bench) boot(newEpoch *record.EpochOpened) {
	b.t.Helper()
	heads := []uplink.Head{
		{Journal: holdfast.Evidence, Epoch: evidenceEpoch, Size: uint64(b.next[holdfast.Evidence])},
		{Journal: holdfast.Telemetry, Epoch: telemetryEpoch, Size: uint64(b.next[holdfast.Telemetry])},
	}
	state := gateway.NewState()
	for _, raw := range b.records {
		r, err := record.Decode(raw)
		if err != nil {
			b.t.Fatal(err)
		}
		if err := state.Apply(r, holdfast.LeafHash(raw)); err != nil {
			b.t.Fatal(err)
		}
	}
	g, err := gateway.New(b.cfg, state, heads)
	if err != nil {
		b.t.Fatal(err)
	}
	b.g = g
	nonce := fmt.Sprintf("%032x", b.now.Boot)
	g.Begin(b.now, gateway.Start{Boot: b.now.Boot, Nonce: nonce, NewEpoch: newEpoch})
	b.drain()
}

// crash loses everything but the records, and boots again.
func (b *bench) crash() {
	b.now.Boot++
	b.now.Mono = 0
	b.cfg.Seed[0]++
	b.boot(nil)
}

func (b *bench) pass(ms int64) {
	b.now.Mono += ms
	b.now.Wall += holdfast.UnixMilli(ms)
}

// step steps inputs and takes what they demand, as the loop does.
func (b *bench) step(in ...gateway.Input) gateway.Ready {
	b.t.Helper()
	for _, i := range in {
		b.g.Step(b.now, i)
	}
	return b.drain()
}

func (b *bench) drain() gateway.Ready {
	b.t.Helper()
	r := b.g.Ready()
	dirty := map[holdfast.Journal]bool{}
	for _, a := range r.Records {
		if a.Key || a.Checkpoint {
			continue
		}
		if a.Seq != b.next[a.Journal] {
			b.t.Fatalf("%s record %d, want %d", a.Journal, a.Seq, b.next[a.Journal])
		}
		b.next[a.Journal]++
		dirty[a.Journal] = true
		if a.Journal == holdfast.Evidence {
			b.fold(a.Bytes)
		}
	}
	for _, s := range r.Sends {
		f, bad := ocpp.Parse(ocpp.V21, s.Raw) // it reads every frame that there is
		if bad != nil {
			b.t.Fatalf("sent a bad frame %s: %v", s.Raw, bad)
		}
		b.sent[s.Conn] = append(b.sent[s.Conn], f)
	}
	b.g.Advance()
	for j := range dirty {
		e := evidenceEpoch
		if j == holdfast.Telemetry {
			e = telemetryEpoch
		}
		b.g.Step(b.now, gateway.Committed{Journal: j, Epoch: e, Size: uint64(b.next[j])})
	}
	b.compare()
	b.last = r
	return r
}

func (b *bench) fold(raw []byte) {
	b.t.Helper()
	b.records = append(b.records, raw)
	r, err := record.Decode(raw)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.shadow.Apply(r, holdfast.LeafHash(raw)); err != nil {
		b.t.Fatalf("fold %s: %v", raw, err)
	}
}

// compare asserts fold(journal) == state.
func (b *bench) compare() {
	b.t.Helper()
	want, err := json.Marshal(b.shadow)
	if err != nil {
		b.t.Fatal(err)
	}
	have, _, err := b.g.Snapshot()
	if err != nil {
		b.t.Fatal(err)
	}
	for name, s := range map[string]*gateway.State{"state": b.g.State(), "fold": b.shadow} {
		if diff := s.IndexDiff(); diff != "" {
			b.t.Fatalf("the index of the %s is not what going through all of it finds: %s", name, diff)
		}
	}
	if string(want) != string(have) {
		b.t.Fatalf("the fold of the journal differs from the state\nfold:  %s\nstate: %s", want, have)
	}
	back, err := gateway.ParseSnapshot(have)
	if err != nil {
		b.t.Fatal(err)
	}
	again, err := json.Marshal(back)
	if err != nil || string(again) != string(have) {
		b.t.Fatalf("a snapshot does not survive a round trip (%v)\nbefore: %s\nafter:  %s", err, have, again)
	}
}

func (b *bench) connect(id holdfast.ChargerID, version string) gateway.ConnID {
	b.t.Helper()
	b.conns++
	b.step(gateway.Connected{Conn: b.conns, Charger: id, Version: version, Proved: true, Remote: "192.0.2.1"})
	return b.conns
}

// call sends a CALL and returns the answer to it, or a zero frame when none
// came yet.
func (b *bench) call(c gateway.ConnID, id, action, payload string) ocpp.Frame {
	b.t.Helper()
	b.step(gateway.Frame{Conn: c, Raw: []byte(fmt.Sprintf(`[2,%q,%q,%s]`, id, action, payload))})
	for _, f := range b.sent[c] {
		if f.ID == id && f.Type != ocpp.Call {
			return f
		}
	}
	return ocpp.Frame{}
}

// installed gives the site a list, valid for the tokens named, and a tariff.
func (b *bench) installed(version uint64, tokens ...string) {
	b.t.Helper()
	l := &access.List{Site: "site-1", Version: version, Issued: b.now.Wall, Entries: map[holdfast.TokenHash]access.Entry{}}
	for _, spec := range tokens {
		name, mode, _ := strings.Cut(spec, ":")
		e := access.Entry{Valid: mode != "revoked", Whitelist: access.Allowed}
		if mode != "" && mode != "revoked" {
			e.Whitelist = access.Whitelist(mode)
		}
		l.Entries[holdfast.Token{Value: name}.Hash(tokenKey)] = e
	}
	b.install(fmt.Sprintf("list-%d", version), uplink.InstallList, statement.TypList, must(access.EncodeList(l)))
}

func (b *bench) install(id string, kind uplink.DirectiveKind, typ string, payload []byte) {
	b.t.Helper()
	st, err := statement.Sign(cloudKey, nil, typ, payload)
	if err != nil {
		b.t.Fatal(err)
	}
	b.step(gateway.Directives{List: []uplink.Directive{{ID: id, Kind: kind, Statement: st}}})
}

const tariffJSON = `{"country_code":"DE","party_id":"HFT","id":"T1","currency":"EUR","elements":[{"price_components":[` +
	`{"type":"ENERGY","price":0.50,"vat":19.0,"step_size":1},{"type":"TIME","price":1.00,"vat":19.0,"step_size":1}]}],"last_updated":"2026-01-01T00:00:00Z"}`

func (b *bench) tariff() {
	b.t.Helper()
	b.install("tariff-1", uplink.InstallTariff, statement.TypTariff, must(statement.EncodeTariff(statement.Tariff{
		ID: "T1", Version: 1, Site: "site-1", Issued: b.now.Wall, OCPI: []byte(tariffJSON),
	})))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// txID is the transaction id of the last answer to a StartTransaction.
func (b *bench) txID() (id int) {
	for c := gateway.ConnID(1); c <= b.conns; c++ {
		for _, f := range b.sent[c] {
			var a struct {
				TransactionID int `json:"transactionId"`
			}
			if f.Type == ocpp.CallResult && json.Unmarshal(f.Payload, &a) == nil && a.TransactionID != 0 {
				id = a.TransactionID
			}
		}
	}
	return id
}

// commands returns the CALLs that a connection was sent with an action.
func (b *bench) commands(c gateway.ConnID, action string) (out []ocpp.Frame) {
	for _, f := range b.sent[c] {
		if f.Type == ocpp.Call && f.Action == action {
			out = append(out, f)
		}
	}
	return out
}

// bodies decodes the evidence of one kind.
func bodies[B record.Body](b *bench) (out []B) {
	b.t.Helper()
	for _, raw := range b.records {
		r, err := record.Decode(raw)
		if err != nil {
			b.t.Fatal(err)
		}
		if body, ok := r.Body.(B); ok {
			out = append(out, body)
		}
	}
	return out
}

func (b *bench) directive(id, kind, body string) {
	b.t.Helper()
	b.step(gateway.Directives{List: []uplink.Directive{{ID: id, Kind: uplink.DirectiveKind(kind), Body: json.RawMessage(body)}}})
}
