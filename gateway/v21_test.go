package gateway_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/statement"
	"github.com/holdfast-ev/holdfast/uplink"
)

const boot2 = `{"reason":"PowerUp","chargingStation":{"model":"Rapid-150","vendorName":"Acme"}}`

// site21 is a site with one allowed card and a 2.1 charger on connection 1.
func site21(t *testing.T) (*bench, gateway.ConnID) {
	b := newBench(t)
	b.installed(1, "CARD1")
	c := b.connect("CP2", "ocpp2.1")
	b.call(c, "boot", "BootNotification", boot2)
	return b, c
}

func event2(kind, tx string, seq int, token, rest string) string {
	if token != "" {
		rest += fmt.Sprintf(`,"idToken":{"idToken":%q,"type":"ISO14443"}`, token)
	}
	return fmt.Sprintf(`{"eventType":%q,"timestamp":"2026-09-21T14:13:20Z","triggerReason":"Authorized","seqNo":%d,`+
		`"transactionInfo":{"transactionId":%q},"evse":{"id":1,"connectorId":1}%s}`, kind, seq, tx, rest)
}

// frames counts what a connection was sent of one type.
func (b *bench) frames(c gateway.ConnID, kind int) (out []ocpp.Frame) {
	for _, f := range b.sent[c] {
		if f.Type == kind {
			out = append(out, f)
		}
	}
	return out
}

// A SEND is never answered, whatever is wrong with it, and changes nothing.
func TestSendIsNeverAnswered_21(t *testing.T) {
	b, c := site21(t)
	before, state := len(b.sent[c]), len(b.records)
	good := `{"id":1,"pending":0,"basetime":"2026-09-21T14:13:20Z","data":[{"t":0,"v":"230"}]}`
	for _, frame := range []string{
		`[6,"s1","NotifyPeriodicEventStream",` + good + `]`,
		`[6,"s2","NotifyPeriodicEventStream",{}]`,
		`[6,"s3","NotifyPeriodicEventStream",[]]`,
		`[6,"s4","Heartbeat",{}]`, // what is called cannot be sent
		`[6,"s5","TransactionEvent",` + event2("Started", "TX-1", 0, "CARD1", "") + `]`,
		`[6,"s6","Frobnicate",{}]`,
		`[6,"","NotifyPeriodicEventStream",` + good + `]`,
		`[6,7,"NotifyPeriodicEventStream",` + good + `]`,
		`[6]`, `[6,"x"]`, `[6,"x","A",{"a":1,"a":2}]`, `[5]`, `[5,"x",9]`, `[5,"nobody","FormatViolation","",{}]`, `[5,"x","A",{},{},{}]`,
	} {
		b.step(gateway.Frame{Conn: c, Raw: []byte(frame)})
	}
	if n := len(b.sent[c]) - before; n != 0 {
		t.Errorf("%d frames were sent: %s", n, b.sent[c][before].Encode())
	}
	if n := len(b.records) - state; n != 0 {
		t.Errorf("%d records of evidence were written", n)
	}
	if n := b.g.Counters().BadFrames; n != 13 {
		t.Errorf("%d bad frames counted, want 13", n)
	}
	if f := b.call(c, "c1", "NotifyPeriodicEventStream", good); f.Code != ocpp.NotSupported {
		t.Errorf("a stream that is called is answered %s", f.Encode())
	}
}

// The frames of 2.1 mean nothing to an older charger: 2.0.1 is told so, 1.6 is
// ignored.
func TestFramesOf21AreNotSpokenToOthers(t *testing.T) {
	b := newBench(t)
	for version, answers := range map[string]int{"ocpp1.6": 0, "ocpp2.0.1": 2} {
		c := b.connect("CP1", version)
		b.step(gateway.Frame{Conn: c, Raw: []byte(`[6,"s","NotifyPeriodicEventStream",{}]`)}, gateway.Frame{Conn: c, Raw: []byte(`[5,"s","FormatViolation","",{}]`)})
		if n := len(b.frames(c, ocpp.CallError)); n != answers {
			t.Errorf("%s: %d answers, want %d", version, n, answers)
		}
	}
}

// A charger that could not read our verdict may act as if it had none: that is
// evidence, coalesced however often it says so.
func TestCallResultError_21(t *testing.T) {
	b, c := site21(t)
	b.call(c, "a1", "Authorize", `{"idToken":{"idToken":"CARD1","type":"ISO14443"}}`)
	for range 50 {
		b.step(gateway.Frame{Conn: c, Raw: []byte(`[5,"a1","FormatViolation","idTokenInfo",{}]`)})
	}
	b.call(c, "h1", "Heartbeat", `{}`)
	b.step(gateway.Frame{Conn: c, Raw: []byte(`[5,"h1","InternalError","",{}]`)})
	if n := b.g.Counters().UnreadAnswers; n != 51 {
		t.Errorf("%d unread answers, want 51", n)
	}
	events := bodies[*record.SecurityEvent](b)
	if len(events) != 1 || events[0].Kind != "answer_unread" || !strings.Contains(events[0].Detail, "Authorize") {
		t.Fatalf("security events %+v, want one of an Authorize", events)
	}
	b.pass(gateway.CoalesceMillis)
	b.step(gateway.Tick{})
	if events = bodies[*record.SecurityEvent](b); len(events) != 2 || events[1].Count != 49 {
		t.Errorf("after a minute %d events, the last of %d", len(events), events[len(events)-1].Count)
	}
}

// What a 2.1 charger answers badly it is told; an older one cannot be.
func TestBadResultIsComplainedAbout_21(t *testing.T) {
	for version, complaints := range map[string]int{"ocpp2.1": 1, "ocpp2.0.1": 0} {
		b := newBench(t)
		c := b.connect("CP2", version)
		b.call(c, "boot", "BootNotification", boot2)
		b.directive("d1", "charger.trigger", `{"charger":"CP2","message":"Heartbeat"}`)
		for _, f := range b.frames(c, ocpp.Call) {
			b.step(gateway.Frame{Conn: c, Raw: []byte(fmt.Sprintf(`[3,%q,{"status":"Perhaps"}]`, f.ID))})
		}
		if n := len(b.frames(c, ocpp.CallResultError)); n < complaints || complaints == 0 && n > 0 {
			t.Errorf("%s: %d complaints, want %d", version, n, complaints)
		}
	}
}

// E16: what a grant allows, a 2.1 charger watches as well, so that the
// transaction ends in time when the gateway is gone. 2.0.1 has no word for it.
func TestE16_LimitsReachTheCharger_21(t *testing.T) {
	for version, want := range map[string]string{
		"ocpp2.1":   `{"idTokenInfo":{"status":"Accepted"},"transactionLimit":{"maxEnergy":5000,"maxTime":3600}}`,
		"ocpp2.0.1": `{"idTokenInfo":{"status":"Accepted"}}`,
	} {
		b := newBench(t)
		b.install("g1", uplink.InstallGrant, statement.TypGrant, must(access.EncodeGrant(access.Grant{
			ID: "g1", Site: "site-1", Token: holdfast.Token{Value: "APP1"}.Hash(tokenKey), NotBefore: b.now.Wall - 1000, Expires: b.now.Wall + 86_400_000,
			Limits: holdfast.Limits{Energy: 5000, Seconds: 3600},
		})))
		c := b.connect("CP2", version)
		if got := string(b.call(c, "t1", "TransactionEvent", event2("Started", "TX-1", 0, "APP1", "")).Payload); got != want {
			t.Errorf("%s: %s, want %s", version, got, want)
		}
	}
}

// A token of 255 characters is 2.1's; two spellings of it are one driver.
func TestLongTokens_21(t *testing.T) {
	long := strings.Repeat("eMAID-", 42) + "abc"
	b := newBench(t)
	b.installed(1, strings.ToUpper(long))
	auth := fmt.Sprintf(`{"idToken":{"idToken":%q,"type":"MyOwnType"}}`, long)
	if f := b.call(b.connect("CP2", "ocpp2.1"), "a1", "Authorize", auth); !strings.Contains(string(f.Payload), "Accepted") {
		t.Errorf("answered %s", f.Encode())
	}
	if f := b.call(b.connect("CP2", "ocpp2.0.1"), "a1", "Authorize", auth); f.Type != ocpp.CallError {
		t.Errorf("2.0.1 answered %s", f.Encode())
	}
}
