package tidy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"
	"strconv"
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

// The tables of docs/messages.md are what a core writes when it is sent these
// messages: every one that a rule works on, in each case that the page tells of.
// $TX is the transaction that the last start opened.
var scripts = map[ocpp.Version]string{
	ocpp.V16: `
BootNotification {"chargePointVendor":"Acme","chargePointModel":"Wall-22"}
Heartbeat {}
StatusNotification {"connectorId":1,"errorCode":"NoError","status":"Preparing"}
Authorize {"idTag":"STRANGER"}
Authorize {"idTag":"CARD1"}
StartTransaction {"connectorId":1,"idTag":"CARD1","meterStart":100000,"timestamp":"2026-09-21T14:13:20Z"}
MeterValues {"connectorId":1,"transactionId":$TX,"meterValue":[{"timestamp":"2026-09-21T14:13:20Z","sampledValue":[{"value":"100001"}]}]}
StatusNotification {"connectorId":1,"errorCode":"NoError","status":"SuspendedEV"}
MeterValues {"connectorId":1,"transactionId":$TX,"meterValue":[{"timestamp":"2026-09-21T14:13:21Z","sampledValue":[{"value":"5"}]}]}
StopTransaction {"transactionId":$TX,"idTag":"CARD1","meterStop":6,"timestamp":"2026-09-21T14:13:22Z","reason":"Local"}
StartTransaction {"connectorId":2,"idTag":"STRANGER2","meterStart":100000,"timestamp":"2026-09-21T14:13:23Z"}
StopTransaction {"transactionId":4711,"meterStop":200000,"timestamp":"2026-09-21T14:13:24Z"}
DataTransfer {"vendorId":"x"}
SignCertificate {"csr":"x"}
DiagnosticsStatusNotification {"status":"Uploaded"}
FirmwareStatusNotification {"status":"Installed"}
LogStatusNotification {"status":"Uploaded","requestId":1}
SecurityEventNotification {"type":"FirmwareUpdated","timestamp":"2026-09-21T14:13:25Z"}
SignedFirmwareStatusNotification {"status":"Installed","requestId":1}`,
	ocpp.V201: `
BootNotification {"reason":"PowerUp","chargingStation":{"model":"Rapid-150","vendorName":"Acme"}}
Heartbeat {}
StatusNotification {"timestamp":"2026-09-21T14:13:20Z","connectorStatus":"Occupied","evseId":1,"connectorId":1}
Authorize {"idToken":{"idToken":"CARD1","type":"ISO14443"}}
TransactionEvent {"eventType":"Started","timestamp":"2026-09-21T14:13:20Z","triggerReason":"CablePluggedIn","seqNo":0,"transactionInfo":{"transactionId":"TX-9"},"evse":{"id":1,"connectorId":1},"meterValue":[{"timestamp":"2026-09-21T14:13:20Z","sampledValue":[{"value":5000,"context":"Transaction.Begin"}]}]}
TransactionEvent {"eventType":"Updated","timestamp":"2026-09-21T14:13:20Z","triggerReason":"Authorized","seqNo":1,"transactionInfo":{"transactionId":"TX-9"},"idToken":{"idToken":"CARD1","type":"ISO14443"}}
TransactionEvent {"eventType":"Updated","timestamp":"2026-09-21T14:13:20Z","triggerReason":"ChargingStateChanged","seqNo":2,"transactionInfo":{"transactionId":"TX-9","chargingState":"SuspendedEV"},"meterValue":[{"timestamp":"2026-09-21T14:13:20Z","sampledValue":[{"value":5001}]}]}
MeterValues {"evseId":1,"meterValue":[{"timestamp":"2026-09-21T14:13:20Z","sampledValue":[{"value":4}]}]}
TransactionEvent {"eventType":"Ended","timestamp":"2026-09-21T14:13:21Z","triggerReason":"EVDeparted","seqNo":3,"transactionInfo":{"transactionId":"TX-9"},"meterValue":[{"timestamp":"2026-09-21T14:13:21Z","sampledValue":[{"value":6,"context":"Transaction.End"}]}]}
TransactionEvent {"eventType":"Ended","timestamp":"2026-09-21T14:13:22Z","triggerReason":"EVDeparted","seqNo":1,"transactionInfo":{"transactionId":"TX-8"}}
TransactionEvent {"eventType":"Started","timestamp":"2026-09-21T14:13:23Z","triggerReason":"Authorized","seqNo":0,"transactionInfo":{"transactionId":"TX-10"},"evse":{"id":2,"connectorId":1},"idToken":{"idToken":"STRANGER2","type":"ISO14443"}}
DataTransfer {"vendorId":"x"}
SignCertificate {"csr":"x"}
ClearedChargingLimit {"chargingLimitSource":"EMS"}
FirmwareStatusNotification {"status":"Installed"}
LogStatusNotification {"status":"Uploaded","requestId":1}
NotifyChargingLimit {"chargingLimit":{"chargingLimitSource":"EMS"}}
NotifyReport {"requestId":1,"generatedAt":"2026-09-21T14:13:25Z","seqNo":0}
ReportChargingProfiles {"requestId":1,"evseId":1,"chargingLimitSource":"CSO","chargingProfile":[{"id":1,"stackLevel":0,"chargingProfilePurpose":"TxProfile","chargingProfileKind":"Relative","chargingSchedule":[{"id":1,"chargingRateUnit":"A","chargingSchedulePeriod":[{"startPeriod":0,"limit":6}]}]}]}
PublishFirmwareStatusNotification {"status":"Published","requestId":1,"location":["http://x"]}
ReservationStatusUpdate {"reservationId":1,"reservationUpdateStatus":"Expired"}
SecurityEventNotification {"type":"FirmwareUpdated","timestamp":"2026-09-21T14:13:25Z"}`,
}

// script returns what a version's core is sent: 2.1 keeps all of 2.0.1.
func script(v ocpp.Version) string {
	if v == ocpp.V21 {
		return scripts[ocpp.V201]
	}
	return scripts[v]
}

// TestMessagesDoc compares docs/messages.md with what a core writes.
func TestMessagesDoc(t *testing.T) {
	for _, d := range []ocpp.Dialect{v16.Dialect{}, v2.Dialect{}, v2.Dialect{Speaks: ocpp.V21}} {
		wrote := play(t, d, script(d.Version()))
		var b strings.Builder
		b.WriteString("| message | evidence | telemetry |\n|---|---|---|\n")
		for _, m := range d.Messages() {
			if !m.FromCS {
				continue
			}
			kinds := wrote[m.Action]
			if m.Event == "Other" {
				kinds = wrote["SignCertificate"] // one rule for them all
			} else if _, played := wrote[m.Action]; !played {
				t.Errorf("%s %s: a rule works on it and the script does not send it", d.Version(), m.Action)
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", m.Action, list(kinds, holdfast.Evidence), list(kinds, holdfast.Telemetry))
		}
		compareBlock(t, "docs/messages.md", "messages "+string(d.Version()), b.String())
	}
}

func list(kinds []record.Type, j holdfast.Journal) string {
	var out []string
	for _, k := range kinds {
		if record.JournalOf(k) == j {
			out = append(out, "`"+string(k)+"`")
		}
	}
	if out == nil {
		return "-"
	}
	return strings.Join(out, ", ")
}

// play sends a script to a new core and returns the kinds that each action wrote,
// in the order of record.Kinds.
func play(t *testing.T, d ocpp.Dialect, script string) map[string][]record.Type {
	t.Helper()
	c := newCore(t, d)
	got := map[string]map[record.Type]bool{}
	for i, line := range strings.Split(strings.TrimSpace(script), "\n") {
		action, payload, _ := strings.Cut(line, " ")
		payload = strings.ReplaceAll(payload, "$TX", c.tx)
		if got[action] == nil {
			got[action] = map[record.Type]bool{}
		}
		for _, k := range c.step(gateway.Frame{Conn: 1, Raw: []byte(fmt.Sprintf(`[2,"m%d",%q,%s]`, i, action, payload))}) {
			got[action][k] = true
		}
		if strings.Contains(c.answer, `[4,`) {
			t.Errorf("%s %s is answered %s", d.Version(), line, c.answer)
		}
	}
	out := map[string][]record.Type{}
	for action, kinds := range got {
		out[action] = []record.Type{}
		for _, b := range record.Kinds() {
			if kinds[b.Type()] {
				out[action] = append(out[action], b.Type())
			}
		}
	}
	return out
}

// A core is a gateway with one charger and a list that knows CARD1.
type core struct {
	t      *testing.T
	g      *gateway.Gateway
	now    holdfast.Instant
	next   map[holdfast.Journal]uint64
	answer string // the last frames
	tx     string
}

func newCore(t *testing.T, d ocpp.Dialect) *core {
	t.Helper()
	sum := sha256.Sum256([]byte("cloud"))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), sum[:])
	if err != nil {
		t.Fatal(err)
	}
	tokenKey := []byte("a token hash key for tests, 32 b")
	evidence, telemetry := holdfast.Epoch{1}, holdfast.Epoch{2}
	g, err := gateway.New(gateway.Config{
		Gateway: "gw-1", Site: "site-1", Software: "test", Chargers: map[holdfast.ChargerID]gateway.ChargerConfig{"CP1": {MaxPower: 150_000}},
		TokenKey: tokenKey, SealKey: [32]byte{5}, StatementKey: &key.PublicKey, Seed: [32]byte{1}, Dialects: []ocpp.Dialect{d}, Schemas: ocpp.NewSchemas(),
	}, gateway.NewState(), []uplink.Head{{Journal: holdfast.Evidence, Epoch: evidence}, {Journal: holdfast.Telemetry, Epoch: telemetry}})
	if err != nil {
		t.Fatal(err)
	}
	c := &core{t: t, g: g, next: map[holdfast.Journal]uint64{}, now: holdfast.Instant{Wall: 1_790_000_000_000, Quality: holdfast.Synchronised, Boot: 1}}
	g.Begin(c.now, gateway.Start{Boot: 1, Nonce: fmt.Sprintf("%032x", 1), NewEpoch: &record.EpochOpened{Reason: record.EpochEnrolment}})
	payload, err := access.EncodeList(&access.List{Site: "site-1", Version: 1, Issued: c.now.Wall, Entries: map[holdfast.TokenHash]access.Entry{
		holdfast.Token{Value: "CARD1"}.Hash(tokenKey): {Valid: true, Whitelist: access.Allowed},
	}})
	if err != nil {
		t.Fatal(err)
	}
	st, err := statement.Sign(key, nil, statement.TypList, payload)
	if err != nil {
		t.Fatal(err)
	}
	c.step(gateway.Directives{List: []uplink.Directive{{ID: "list-1", Kind: uplink.InstallList, Statement: st}}})
	c.step(gateway.Connected{Conn: 1, Charger: "CP1", Version: string(d.Version()), Proved: true})
	return c
}

var transactionID = regexp.MustCompile(`"transactionId":(\d+)`)

// step steps one input and returns the kinds of record that it wrote.
func (c *core) step(in gateway.Input) (kinds []record.Type) {
	c.t.Helper()
	c.now.Wall += 100
	c.now.Mono += 100
	c.g.Step(c.now, in)
	r := c.g.Ready()
	for _, a := range r.Records {
		if a.Key || a.Checkpoint {
			continue
		}
		c.next[a.Journal]++
		back, err := record.Decode(a.Bytes)
		if err != nil {
			c.t.Fatal(err)
		}
		kinds = append(kinds, back.Body.Type())
	}
	c.answer = ""
	for _, s := range r.Sends {
		c.answer += string(s.Raw) + "\n"
		if m := transactionID.FindStringSubmatch(string(s.Raw)); m != nil && strings.HasPrefix(string(s.Raw), "[3,") {
			if n, err := strconv.Atoi(m[1]); err == nil && n > 0 {
				c.tx = m[1]
			}
		}
	}
	c.g.Advance()
	return slices.Compact(kinds)
}
