package gateway_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/session"
)

// site2 is a site with one allowed card and a 2.0.1 charger on connection 1.
func site2(t *testing.T) (*bench, gateway.ConnID) {
	b := newBench(t)
	b.installed(1, "CARD1", "CARD2")
	c := b.connect("CP2", "ocpp2.0.1")
	b.call(c, "boot", "BootNotification", boot2)
	b.answers(c, `{"status":"Accepted"}`)
	return b, c
}

// answers gives one answer to every CALL that a connection waits for.
func (b *bench) answers(c gateway.ConnID, payload string) {
	b.t.Helper()
	for i := 0; i < len(b.sent[c]); i++ {
		if f := b.sent[c][i]; f.Type == ocpp.Call {
			b.sent[c][i].Type = 0 // answered
			b.step(gateway.Frame{Conn: c, Raw: []byte(fmt.Sprintf(`[3,%q,%s]`, f.ID, payload))})
		}
	}
}

// done returns the outcome of a directive, and fails when there is not one.
func (b *bench) done(id string) (out *record.DirectiveDone) {
	b.t.Helper()
	for _, d := range bodies[*record.DirectiveDone](b) {
		if d.ID != id {
			continue
		}
		if out != nil {
			b.t.Fatalf("directive %s has two outcomes", id)
		}
		out = d
	}
	if out == nil {
		b.t.Fatalf("directive %s has no outcome", id)
	}
	return out
}

// Nothing that may end a running session is sent unless a person forces it.
func TestRunningSessionIsSpared_L01_B12(t *testing.T) {
	for name, x := range map[string]struct{ version, kind, body, action string }{
		"reset now":        {"ocpp2.0.1", "charger.reset", `{"charger":"CP2","now":true%s}`, "Reset"},
		"reset of 1.6":     {"ocpp1.6", "charger.reset", `{"charger":"CP2"%s}`, "Reset"},
		"unlock":           {"ocpp2.0.1", "charger.unlock", `{"charger":"CP2","evse":1%s}`, "UnlockConnector"},
		"firmware at once": {"ocpp2.0.1", "charger.firmware", `{"charger":"CP2","url":"https://x/fw"%s}`, "UpdateFirmware"},
	} {
		b := newBench(t)
		b.installed(1, "CARD1")
		c := b.connect("CP2", x.version)
		b.answers(c, `{"status":"Accepted"}`)
		if x.version == "ocpp1.6" {
			b.call(c, "t1", "StartTransaction", `{"connectorId":1,"idTag":"CARD1","meterStart":0,"timestamp":"2026-09-21T14:13:20Z"}`)
		} else {
			b.call(c, "t1", "TransactionEvent", event2("Started", "TX-1", 0, "CARD1", ""))
		}
		b.directive("d1", x.kind, fmt.Sprintf(x.body, ""))
		if got := b.done("d1"); got.Outcome != "refused" || !strings.Contains(got.Detail, "session") || len(b.commands(c, x.action)) != 0 {
			t.Errorf("%s: %+v, sent %d", name, got, len(b.commands(c, x.action)))
		}
		b.directive("d2", x.kind, fmt.Sprintf(x.body, `,"force":true`))
		if n := len(b.commands(c, x.action)); n != 1 {
			t.Errorf("%s: forced, %d sent", name, n)
		}
	}
}

// What waits by itself until nobody charges needs no force: the standard's own
// default (B12 OnIdle, G03 Scheduled, firmware for later).
func TestPoliteCommandsPass(t *testing.T) {
	b, c := site2(t)
	b.call(c, "t1", "TransactionEvent", event2("Started", "TX-1", 0, "CARD1", ""))
	later := b.now.Wall + 3_600_000
	for id, x := range map[string][3]string{
		"d1": {"charger.reset", `{"charger":"CP2"}`, `"OnIdle"`},
		"d2": {"charger.availability", `{"charger":"CP2","evse":1}`, `"Inoperative"`},
		"d3": {"charger.unlock", `{"charger":"CP2","evse":2}`, `"evseId":2`},
		"d4": {"charger.firmware", fmt.Sprintf(`{"charger":"CP2","url":"https://x/fw","install_at":%d}`, later), `installDateTime`},
	} {
		b.directive(id, x[0], x[1])
		sent := b.frames(c, ocpp.Call)
		if last := sent[len(sent)-1]; !strings.Contains(string(last.Payload), x[2]) {
			t.Errorf("%s: sent %s", x[0], last.Encode())
		}
		b.answers(c, map[bool]string{true: `{"status":"Unlocked"}`, false: `{"status":"Accepted"}`}[id == "d3"])
		if got := b.done(id); got.Outcome != "done" {
			t.Errorf("%s: %+v", x[0], got)
		}
	}
}

// Whatever an operator calls, what a rule owns is not sent behind its back.
func TestCallRefusesWhatARuleOwns(t *testing.T) {
	for _, version := range []string{"ocpp1.6", "ocpp2.0.1", "ocpp2.1"} {
		b := newBench(t)
		c := b.connect("CP2", version)
		b.answers(c, `{"status":"Accepted"}`)
		before := len(b.sent[c])
		for i, action := range []string{"SetChargingProfile", "ClearChargingProfile", "SendLocalList", "RequestStartTransaction", "RemoteStartTransaction",
			"RequestStopTransaction", "RemoteStopTransaction", "Reset", "ChangeConfiguration", "SetVariables", "UpdateFirmware", "TriggerMessage",
			"UpdateDynamicSchedule", "SetDefaultTariff", "CostUpdated", "Heartbeat", "StatusNotification", "Frobnicate", ""} {
			id := fmt.Sprint("d", i)
			b.directive(id, "charger.call", fmt.Sprintf(`{"charger":"CP2","action":%q,"payload":{}}`, action))
			if got := b.done(id); got.Outcome != "refused" {
				t.Errorf("%s %s: %+v", version, action, got)
			}
		}
		if n := len(b.sent[c]) - before; n != 0 {
			t.Errorf("%s: %d frames were sent", version, n)
		}
	}
}

func TestCallSendsTheRest(t *testing.T) {
	b, c := site2(t)
	b.directive("d1", "charger.call", `{"charger":"CP2","action":"GetInstalledCertificateIds","payload":{}}`)
	b.answers(c, `{"status":"NotFound"}`)
	if got := b.done("d1"); got.Outcome != "refused" || string(got.Result) != `{"status":"NotFound"}` {
		t.Errorf("%+v %s", got, got.Result)
	}
	b.directive("d2", "charger.call", `{"charger":"CP2","action":"SetMonitoringLevel","payload":{"severity":"high"}}`)
	if got := b.done("d2"); got.Outcome != "refused" || !strings.Contains(got.Detail, "severity") {
		t.Errorf("a payload that breaks its schema: %+v", got)
	}
	network := `{"charger":"CP2","action":"SetNetworkProfile","payload":{"configurationSlot":1,"connectionData":{"messageTimeout":30,"ocppCsmsUrl":"wss://x","ocppInterface":"Wired0","ocppVersion":"OCPP20","ocppTransport":"JSON","securityProfile":0}}}`
	b.directive("d3", "charger.call", network)
	if got := b.done("d3"); got.Outcome != "refused" || !strings.Contains(got.Detail, "allow_weaker_security") {
		t.Errorf("a lower security profile: %+v", got)
	}
	b.directive("d4", "charger.call", strings.Replace(network, `"securityProfile":0`, `"securityProfile":2`, 1))
	b.answers(c, `{"status":"Accepted"}`)
	if got := b.done("d4"); got.Outcome != "done" {
		t.Errorf("a higher security profile: %+v", got)
	}
}

// A report comes in parts after its answer; the directive's outcome holds them
// all, without a secret, and once.
func TestReportIsGathered_B07(t *testing.T) {
	b, c := site2(t)
	b.directive("d1", "charger.report", `{"charger":"CP2","base":"FullInventory"}`)
	var asked struct {
		Request int `json:"requestId"`
	}
	f := b.commands(c, "GetBaseReport")
	if len(f) != 1 || json.Unmarshal(f[0].Payload, &asked) != nil {
		t.Fatalf("asked %d times", len(f))
	}
	b.answers(c, `{"status":"Accepted"}`)
	b.directive("d1", "charger.report", `{"charger":"CP2","base":"FullInventory"}`) // delivered again meanwhile
	part := func(seq int, more bool, name, value string) {
		b.call(c, fmt.Sprint("r", seq), "NotifyReport", fmt.Sprintf(`{"requestId":%d,"generatedAt":"2026-09-21T14:13:20Z","seqNo":%d,"tbc":%v,"reportData":[`+
			`{"component":{"name":"SecurityCtrlr"},"variable":{"name":%q},"variableAttribute":[{"value":%q}]}]}`, asked.Request, seq, more, name, value))
	}
	part(0, true, "Identity", "CP2")
	part(1, false, "BasicAuthPassword", "hunter2")
	got := b.done("d1")
	if got.Outcome != "done" || string(got.Result) != `{"SecurityCtrlr.BasicAuthPassword":"(hidden)","SecurityCtrlr.Identity":"CP2"}` {
		t.Errorf("%+v %s", got, got.Result)
	}
	if n := len(b.commands(c, "GetBaseReport")); n > 1 {
		t.Errorf("asked %d times", n)
	}
}

// A report that never ends, or of a charger that goes away, has an outcome too,
// and one that is too long is bounded.
func TestReportThatDoesNotEnd(t *testing.T) {
	b, c := site2(t)
	b.directive("d1", "charger.report", `{"charger":"CP2","base":"FullInventory"}`)
	request := b.commands(c, "GetBaseReport")[0].Payload
	b.answers(c, `{"status":"Accepted"}`)
	number := strings.Split(strings.SplitAfter(string(request), ":")[1], ",")[0]
	for i := range 40 {
		var list []string
		for j := range 20 {
			list = append(list, fmt.Sprintf(`{"component":{"name":"C%d"},"variable":{"name":"V%d"},"variableAttribute":[{"value":"%s"}]}`, i, j, strings.Repeat("x", 2000)))
		}
		b.call(c, fmt.Sprint("r", i), "NotifyReport", fmt.Sprintf(`{"requestId":%s,"generatedAt":"2026-09-21T14:13:20Z","seqNo":%d,"tbc":true,"reportData":[%s]}`, number, i, strings.Join(list, ",")))
	}
	b.pass(gateway.CollectMillis)
	b.step(gateway.Tick{})
	got := b.done("d1")
	if got.Outcome != "done" || len(got.Result) > gateway.MaxValuesBytes || len(got.Result) < gateway.MaxValuesBytes/2 || !strings.Contains(got.Detail, "left out") {
		t.Errorf("%s %q, %d bytes", got.Outcome, got.Detail, len(got.Result))
	}
	b.directive("d2", "charger.report", `{"charger":"CP2","base":"FullInventory"}`)
	b.answers(c, `{"status":"Accepted"}`)
	b.step(gateway.Disconnected{Conn: c})
	if got := b.done("d2"); got.Outcome != "unknown" {
		t.Errorf("%+v", got)
	}
}

// A04: a charger's security events are evidence, and inventing kinds or
// repeating them fills no disk.
func TestSecurityEventsAreEvidence_A04(t *testing.T) {
	b, c := site2(t)
	for i := range 200 {
		b.call(c, fmt.Sprint("s", i), "SecurityEventNotification", fmt.Sprintf(`{"type":"Invented%d","timestamp":"2026-09-21T14:13:20Z"}`, i))
		b.call(c, fmt.Sprint("t", i), "SecurityEventNotification", `{"type":"TamperDetectionActivated","timestamp":"2026-09-21T14:13:20Z","techInfo":"lid"}`)
	}
	events := bodies[*record.ChargerSecurity](b)
	if len(events) != 2 || events[0].Critical || !events[1].Critical || events[1].Kind != "TamperDetectionActivated" || events[1].Detail != "lid" {
		t.Fatalf("%d records of 400 events: %+v", len(events), events)
	}
	b.pass(gateway.CoalesceMillis)
	b.step(gateway.Tick{})
	total := 0
	for _, e := range bodies[*record.ChargerSecurity](b) {
		total += e.Count
	}
	if total != 400 {
		t.Errorf("%d events accounted for, want 400", total)
	}
}

func TestFirmwareProgressIsEvidence_L01(t *testing.T) {
	b, c := site2(t)
	for i, status := range []string{"Downloading", "Downloading", "Downloaded", "Installed", "Nonsense1"} {
		b.call(c, fmt.Sprint("f", i), "FirmwareStatusNotification", fmt.Sprintf(`{"status":%q,"requestId":7}`, status))
	}
	var words []string
	for _, f := range bodies[*record.ChargerFirmware](b) {
		words = append(words, fmt.Sprint(f.Status, *f.Request))
	}
	if got := strings.Join(words, " "); got != "Downloading7 Downloaded7 Installed7" {
		t.Errorf("evidence of %s", got)
	}
}

// H01, H03: a reservation is evidence without the token; whose start it was is
// on the session, and another driver's start is the charger's decision.
func TestReservation_H01_H03(t *testing.T) {
	b, c := site2(t)
	b.directive("d1", "charger.reserve", fmt.Sprintf(`{"charger":"CP2","evse":1,"id":9,"token":"CARD1","expires":%d}`, b.now.Wall+600_000))
	b.answers(c, `{"status":"Accepted"}`)
	b.call(c, "n1", "StatusNotification", `{"timestamp":"2026-09-21T14:13:20Z","connectorStatus":"Reserved","evseId":1,"connectorId":1}`)
	if st := b.g.Status(b.now); st.Chargers[1].Connectors[1] != ocpp.Reserved {
		t.Errorf("status %+v", st.Chargers[1])
	}
	b.call(c, "t1", "TransactionEvent", event2("Started", "TX-1", 0, "CARD1", `,"reservationId":9`))
	b.call(c, "t2", "TransactionEvent", event2("Ended", "TX-1", 1, "", ""))
	b.call(c, "u1", "ReservationStatusUpdate", `{"reservationId":10,"reservationUpdateStatus":"Expired"}`)
	if got := bodies[*record.SessionOpened](b)[0].Labels[gateway.LabelReservation]; got != "9" {
		t.Errorf("label %q", got)
	}
	kept := bodies[*record.ChargerReserved](b)
	if len(kept) != 2 || kept[0].Token != (holdfast.Token{Value: "CARD1"}).Hash(tokenKey) || kept[1].Status != "Expired" {
		t.Errorf("reservations %+v", kept)
	}
	for _, raw := range b.records {
		if strings.Contains(string(raw), "CARD1") {
			t.Errorf("a record tells the token: %s", raw)
		}
	}
	for id, expires := range map[string]int64{"d2": int64(b.now.Wall) - 1, "d3": int64(b.now.Wall) + gateway.MaxReservationMillis + 1} {
		b.directive(id, "charger.reserve", fmt.Sprintf(`{"charger":"CP2","evse":1,"id":9,"token":"CARD1","expires":%d}`, expires))
		if got := b.done(id); got.Outcome != "refused" {
			t.Errorf("%s: %+v", id, got)
		}
	}
}

// E14: a charger that has come back is asked whether its transaction still runs.
func TestE14_GoneTransactionIsClosed(t *testing.T) {
	for answer, running := range map[string]bool{
		`{"ongoingIndicator":true,"messagesInQueue":false}`:  true,
		`{"ongoingIndicator":false,"messagesInQueue":true}`:  true, // its end waits to be sent
		`{"messagesInQueue":false}`:                          true, // nothing was said: nothing is guessed
		`{"ongoingIndicator":false,"messagesInQueue":false}`: false,
		`{"ongoingIndicator":7}`:                             true,
	} {
		b, c := site2(t)
		b.call(c, "t1", "TransactionEvent", event2("Started", "TX-1", 0, "CARD1", ""))
		b.step(gateway.Disconnected{Conn: c})
		b.pass(1000)
		c = b.connect("CP2", "ocpp2.0.1")
		asked := b.commands(c, "GetTransactionStatus")
		if len(asked) != 1 || string(asked[0].Payload) != `{"transactionId":"TX-1"}` {
			t.Fatalf("asked %d times", len(asked))
		}
		b.step(gateway.Frame{Conn: c, Raw: []byte(fmt.Sprintf(`[3,%q,%s]`, asked[0].ID, answer))})
		s := only(b)
		if s.Running() != running {
			t.Errorf("%s: running %v", answer, s.Running())
		}
		if !running && s.Ended.Reason != session.ReasonGone {
			t.Errorf("%s: reason %s", answer, s.Ended.Reason)
		}
		again := b.connect("CP2", "ocpp2.0.1")
		if n := len(b.commands(again, "GetTransactionStatus")); n != 0 {
			t.Errorf("%s: a charger that flaps is asked again at once", answer)
		}
	}
}

// A05, B09: who has come over TLS does not come back without, not even after a
// restart; configuration permits it.
func TestSecurityProfileIsNotLowered_A05(t *testing.T) {
	b := newBench(t)
	connect := func(profile int) bool {
		b.conns++
		b.step(gateway.Connected{Conn: b.conns, Charger: "CP1", Version: "ocpp1.6", Proved: true, Profile: profile, Remote: "192.0.2.1"})
		for _, c := range b.last.Closes {
			if c.Conn == b.conns {
				return false
			}
		}
		return true
	}
	if !connect(1) || !connect(2) || connect(1) || !connect(2) {
		t.Error("profiles 1, 2 and 2 are welcome, 1 after 2 is not")
	}
	b.crash()
	if connect(1) {
		t.Error("a restart forgets the profile")
	}
	if n := len(bodies[*record.ChargerSecured](b)); n != 1 {
		t.Errorf("%d records of the profile", n)
	}
	if events := bodies[*record.SecurityEvent](b); len(events) == 0 || events[0].Kind != "profile_downgrade" {
		t.Errorf("security events %+v", events)
	}
	b.cfg.AllowWeaker = true
	b.crash()
	if !connect(1) {
		t.Error("the configuration does not permit it")
	}
}
