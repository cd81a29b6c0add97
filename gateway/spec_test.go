package gateway_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/session"
)

// The clauses of OCPP 2.0.1 that the gateway relies on or owes a charger, by use
// case, against the real core. Where a test case of part 6 for a CSMS asks the
// same, it is named. They run here and not in package ocpp, which knows no core.

func (b *bench) says(what string, f ocpp.Frame, parts ...string) {
	b.t.Helper()
	for _, p := range parts {
		if f.Type != ocpp.CallResult || !strings.Contains(string(f.Payload), p) {
			b.t.Errorf("%s: answered %s, want %s in it", what, f.Encode(), p)
		}
	}
}

// ask sends a directive and answers the command that comes of it.
func (b *bench) ask(c gateway.ConnID, kind, body, action, answer string) (sent ocpp.Frame, done *record.DirectiveDone) {
	b.t.Helper()
	id := fmt.Sprint("spec-", len(b.records))
	b.directive(id, kind, body)
	f := b.commands(c, action)
	if len(f) == 0 {
		b.t.Fatalf("%s: no %s was sent: %+v", kind, action, b.done(id))
	}
	b.answers(c, answer)
	return f[len(f)-1], b.done(id)
}

// TC_B_01_CSMS: B01.FR.02, a status, an interval and the time.
func TestB01_ColdBoot(t *testing.T) {
	b := newBench(t)
	c := b.connect("CP2", "ocpp2.0.1")
	b.says("boot", b.call(c, "b1", "BootNotification", boot2), `"status":"Accepted"`, `"interval":300`, `"currentTime":"2026-09-21T14:13:20.000Z"`)
}

// TC_B_07_CSMS: what is unknown does not hide what is known.
func TestB06_GetVariables(t *testing.T) {
	b, c := site2(t)
	sent, done := b.ask(c, "charger.get", `{"charger":"CP2","keys":["A.B","A.C"]}`, "GetVariables", `{"getVariableResult":[`+
		`{"attributeStatus":"Accepted","attributeValue":"5","component":{"name":"A"},"variable":{"name":"B"}},`+
		`{"attributeStatus":"UnknownVariable","component":{"name":"A"},"variable":{"name":"C"}}]}`)
	if !strings.Contains(string(sent.Payload), `"variable":{"name":"C"}`) || done.Outcome != "done" || string(done.Result) != `{"A.B":"5"}` {
		t.Errorf("%+v %s", done, done.Result)
	}
}

// TC_B_09_CSMS: a variable that needs a reboot was set.
func TestB05_SetVariables(t *testing.T) {
	b, c := site2(t)
	_, done := b.ask(c, "charger.set", `{"charger":"CP2","key":"A.B","value":"1"}`, "SetVariables",
		`{"setVariableResult":[{"attributeStatus":"RebootRequired","component":{"name":"A"},"variable":{"name":"B"}}]}`)
	if done.Outcome != "done" || !strings.Contains(done.Detail, "RebootRequired") {
		t.Errorf("%+v", done)
	}
}

// TC_B_20_CSMS and TC_B_21_CSMS: OnIdle, with and without a transaction.
func TestB11_B12_ResetWaitsForIdle(t *testing.T) {
	b, c := site2(t)
	sent, done := b.ask(c, "charger.reset", `{"charger":"CP2"}`, "Reset", `{"status":"Accepted"}`)
	if string(sent.Payload) != `{"type":"OnIdle"}` || done.Outcome != "done" {
		t.Errorf("%s, %+v", sent.Payload, done)
	}
	b.call(c, "t1", "TransactionEvent", event2("Started", "TX-1", 0, "CARD1", ""))
	if _, done = b.ask(c, "charger.reset", `{"charger":"CP2"}`, "Reset", `{"status":"Scheduled"}`); done.Outcome != "done" || !strings.Contains(done.Detail, "Scheduled") {
		t.Errorf("%+v", done)
	}
}

// TC_C_02_CSMS, TC_C_06_CSMS: C01.FR.07, an unknown and a blocked driver.
func TestC01_Authorization(t *testing.T) {
	b := newBench(t)
	b.installed(1, "CARD1", "STOLEN:revoked")
	c := b.connect("CP2", "ocpp2.0.1")
	for card, want := range map[string]string{"CARD1": "Accepted", "card1": "Accepted", "STOLEN": "Blocked", "NOBODY": "Invalid"} {
		f := b.call(c, "a-"+card, "Authorize", fmt.Sprintf(`{"idToken":{"idToken":%q,"type":"ISO14443"}}`, card))
		b.says("authorize "+card, f, `"status":"`+want+`"`)
	}
}

// A driver who is authorised twice is one authorisation: the decision that waits is
// the one that a start rests on.
func TestC01_AuthorizedOnce(t *testing.T) {
	b, c := site2(t)
	auth := `{"idToken":{"idToken":"CARD1","type":"ISO14443"}}`
	b.call(c, "a1", "Authorize", auth)
	b.call(c, "a2", "Authorize", auth)
	b.call(c, "t1", "TransactionEvent", event2("Started", "TX-1", 0, "CARD1", ""))
	if n := len(bodies[*record.AccessDecided](b)); n != 1 {
		t.Errorf("%d decisions", n)
	}
}

// TC_C_37_CSMS.
func TestC11_ClearCache(t *testing.T) {
	b, c := site2(t)
	if _, done := b.ask(c, "charger.clear_cache", `{"charger":"CP2"}`, "ClearCache", `{"status":"Rejected"}`); done.Outcome != "refused" {
		t.Errorf("%+v", done)
	}
}

// TC_E_09_CSMS, TC_E_03_CSMS: a transaction that begins with the cable is opened
// without a driver and gets one later.
func TestE02_CablePluginFirst(t *testing.T) {
	b, c := site2(t)
	b.says("started", b.call(c, "t1", "TransactionEvent", event2("Started", "TX-1", 0, "", "")), `{}`)
	b.says("updated", b.call(c, "t2", "TransactionEvent", event2("Updated", "TX-1", 1, "CARD1", "")), `"status":"Accepted"`)
	if s := only(b); s.Token() != (holdfast.Token{Value: "CARD1"}).Hash(tokenKey) {
		t.Error("the driver is not on the session")
	}
}

// TC_E_04_CSMS, TC_E_53_CSMS: the first event has seqNo 0 and names the driver.
func TestE03_IdTokenFirst(t *testing.T) {
	b, c := site2(t)
	b.says("started", b.call(c, "t1", "TransactionEvent", event2("Started", "TX-1", 0, "CARD1", "")), `"status":"Accepted"`)
}

// E04: a transaction that began while the charger was offline is recorded as one,
// whatever the verdict is now: its events say so.
func TestE04_Offline(t *testing.T) {
	b, c := site2(t)
	b.call(c, "t1", "TransactionEvent", event2("Started", "TX-1", 0, "NOBODY", `,"offline":true`))
	s := only(b)
	if !s.Opened.Offline || !s.Running() {
		t.Errorf("offline %v, running %v", s.Opened.Offline, s.Running())
	}
	if n := len(b.commands(c, "RequestStopTransaction")); n != 1 {
		t.Errorf("a driver who may not charge is stopped by %d commands", n)
	}
}

// TC_E_15_CSMS, TC_E_21_CSMS: the end, by the driver or remotely.
func TestE06_Stop(t *testing.T) {
	b, c := site2(t)
	b.call(c, "t1", "TransactionEvent", event2("Started", "TX-1", 0, "CARD1", ""))
	b.says("ended", b.call(c, "t2", "TransactionEvent", event2("Ended", "TX-1", 1, "CARD1", "")), `"status":"Accepted"`)
	if s := only(b); s.Running() {
		t.Error("the session runs on")
	}
}

// TC_E_16_CSMS: a driver who may not charge is told so in the answer,
// and the transaction is stopped.
func TestE05_Deauthorized(t *testing.T) {
	b, c := site2(t)
	b.says("started", b.call(c, "t1", "TransactionEvent", event2("Started", "TX-1", 0, "NOBODY", "")), `"status":"Invalid"`)
	if n := len(b.commands(c, "RequestStopTransaction")); n != 1 {
		t.Errorf("%d commands to stop", n)
	}
}

// E13: an event that comes again, because its answer was lost, is answered again
// and is no second session or stop.
func TestE13_RetriesAreOne(t *testing.T) {
	b, c := site2(t)
	for i := range 3 {
		b.call(c, fmt.Sprint("s", i), "TransactionEvent", event2("Started", "TX-1", 0, "CARD1", ""))
	}
	for i := range 3 {
		b.call(c, fmt.Sprint("e", i), "TransactionEvent", event2("Ended", "TX-1", 1, "CARD1", ""))
	}
	if opened, ended := bodies[*record.SessionOpened](b), bodies[*record.SessionEnded](b); len(opened) != 1 || len(ended) != 1 {
		t.Errorf("%d sessions, %d ends", len(opened), len(ended))
	}
}

// TC_E_30_CSMS, TC_E_31_CSMS: as a directive, with the answer in its result.
func TestE14_TransactionStatusOnRequest(t *testing.T) {
	b, c := site2(t)
	b.call(c, "t1", "TransactionEvent", event2("Started", "TX-1", 0, "CARD1", ""))
	sent, done := b.ask(c, "charger.transaction_status", fmt.Sprintf(`{"session":%q}`, only(b).ID), "GetTransactionStatus", `{"ongoingIndicator":true,"messagesInQueue":true}`)
	if string(sent.Payload) != `{"transactionId":"TX-1"}` || done.Outcome != "done" || !strings.Contains(done.Detail, "Ongoing+Queued") {
		t.Errorf("%s %+v", sent.Payload, done)
	}
	b.answers(c, `{}`)
	if !only(b).Running() {
		t.Error("a transaction that goes on was closed")
	}
}

// TC_F_01_CSMS, TC_F_02_CSMS: an id for the start, and it is found
// again on the session.
func TestF01_F02_RemoteStart(t *testing.T) {
	b, c := site2(t)
	sent, done := b.ask(c, "session.start", `{"charger":"CP2","evse":1,"token":"CARD1","token_type":"ISO14443"}`, "RequestStartTransaction", `{"status":"Accepted","transactionId":"TX-1"}`)
	if done.Outcome != "done" {
		t.Fatalf("%+v", done)
	}
	_, number, _ := strings.Cut(string(sent.Payload), `"remoteStartId":`)
	number, _, _ = strings.Cut(number, ",")
	b.call(c, "t1", "TransactionEvent", strings.Replace(event2("Started", "TX-1", 0, "CARD1", ""), `"transactionId":"TX-1"`, `"transactionId":"TX-1","remoteStartId":`+number, 1))
	if s := only(b); s.Opened.Source != record.StartRemote || s.Labels[gateway.LabelRemote] != number {
		t.Errorf("source %s, label %s", s.Opened.Source, s.Labels[gateway.LabelRemote])
	}
}

// TC_F_06_CSMS.
func TestF05_Unlock(t *testing.T) {
	b, c := site2(t)
	if sent, done := b.ask(c, "charger.unlock", `{"charger":"CP2","evse":1}`, "UnlockConnector", `{"status":"UnlockFailed"}`); string(sent.Payload) != `{"evseId":1,"connectorId":1}` || done.Outcome != "refused" {
		t.Errorf("%s %+v", sent.Payload, done)
	}
}

// TC_F_23_CSMS, TC_F_27_CSMS: F06.FR.12, a connector is named for a status.
func TestF06_Trigger(t *testing.T) {
	b, c := site2(t)
	sent, done := b.ask(c, "charger.trigger", `{"charger":"CP2","message":"StatusNotification","evse":1}`, "TriggerMessage", `{"status":"NotImplemented"}`)
	if !strings.Contains(string(sent.Payload), `"connectorId":1`) || done.Outcome != "refused" {
		t.Errorf("%s %+v", sent.Payload, done)
	}
}

// TC_G_03_CSMS, TC_G_11_CSMS: what runs ends first, so nothing is
// forced.
func TestG03_ChangeAvailability(t *testing.T) {
	b, c := site2(t)
	b.call(c, "t1", "TransactionEvent", event2("Started", "TX-1", 0, "CARD1", ""))
	sent, done := b.ask(c, "charger.availability", `{"charger":"CP2","evse":1}`, "ChangeAvailability", `{"status":"Scheduled"}`)
	if string(sent.Payload) != `{"evse":{"id":1},"operationalStatus":"Inoperative"}` || done.Outcome != "done" || !only(b).Running() {
		t.Errorf("%s %+v", sent.Payload, done)
	}
}

// H01: every refusal of a reservation comes back as what it is.
func TestH01_ReservationRefused(t *testing.T) {
	for _, status := range []string{"Faulted", "Occupied", "Rejected", "Unavailable"} {
		b, c := site2(t)
		_, done := b.ask(c, "charger.reserve", fmt.Sprintf(`{"charger":"CP2","evse":1,"id":9,"token":"CARD1","expires":%d}`, b.now.Wall+60_000), "ReserveNow", `{"status":"`+status+`"}`)
		if done.Outcome != "refused" || !strings.Contains(done.Detail, status) || len(bodies[*record.ChargerReserved](b)) != 0 {
			t.Errorf("%s: %+v", status, done)
		}
	}
}

// H02: a reservation is cancelled by its id.
func TestH02_CancelReservation(t *testing.T) {
	b, c := site2(t)
	if sent, done := b.ask(c, "charger.cancel_reservation", `{"charger":"CP2","id":9}`, "CancelReservation", `{"status":"Accepted"}`); string(sent.Payload) != `{"reservationId":9}` || done.Outcome != "done" {
		t.Errorf("%s %+v", sent.Payload, done)
	}
}

// TC_J_01_CSMS, TC_J_02_CSMS: clock-aligned values are answered whether or not a
// transaction runs, and those of one belong to it.
func TestJ01_ClockAlignedValues(t *testing.T) {
	b, c := site2(t)
	value := func(wh int) string {
		return fmt.Sprintf(`{"evseId":1,"meterValue":[{"timestamp":"2026-09-21T14:13:20Z","sampledValue":[{"value":%d,"context":"Sample.Clock"}]}]}`, wh)
	}
	b.says("no transaction", b.call(c, "m1", "MeterValues", value(1000)), `{}`)
	b.call(c, "t1", "TransactionEvent", event2("Started", "TX-1", 0, "CARD1", `,"meterValue":[{"timestamp":"2026-09-21T14:13:20Z","sampledValue":[{"value":1000,"context":"Transaction.Begin"}]}]`))
	b.says("a transaction", b.call(c, "m2", "MeterValues", value(1500)), `{}`)
	if st := b.g.Status(b.now); len(st.Sessions) != 1 || st.Sessions[0].Energy != 500 {
		t.Errorf("sessions %+v", st.Sessions)
	}
}

// K08: the schedule comes back in the charger's words.
func TestK08_CompositeSchedule(t *testing.T) {
	b, c := site2(t)
	answer := `{"status":"Accepted","schedule":{"evseId":1,"duration":3600,"scheduleStart":"2026-09-21T14:13:20Z","chargingRateUnit":"A","chargingSchedulePeriod":[{"startPeriod":0,"limit":16.5}]}}`
	sent, done := b.ask(c, "charger.composite", `{"charger":"CP2","evse":1,"duration_s":3600,"unit":"A"}`, "GetCompositeSchedule", answer)
	if string(sent.Payload) != `{"duration":3600,"chargingRateUnit":"A","evseId":1}` || string(done.Result) != answer {
		t.Errorf("%s %s", sent.Payload, done.Result)
	}
}

// K09: the profiles come in parts, from each source.
func TestK09_ChargingProfiles(t *testing.T) {
	b, c := site2(t)
	b.directive("d1", "charger.profiles", `{"charger":"CP2"}`)
	sent := b.commands(c, "GetChargingProfiles")[0]
	_, number, _ := strings.Cut(string(sent.Payload), `"requestId":`)
	number, _, _ = strings.Cut(number, ",")
	b.answers(c, `{"status":"Accepted"}`)
	part := `{"requestId":` + number + `,"chargingLimitSource":"CSO","evseId":1,"tbc":%v,"chargingProfile":[{"id":%d,"stackLevel":0,"chargingProfilePurpose":"TxDefaultProfile",` +
		`"chargingProfileKind":"Relative","chargingSchedule":[{"id":1,"chargingRateUnit":"A","chargingSchedulePeriod":[{"startPeriod":0,"limit":6}]}]}]}`
	b.call(c, "p1", "ReportChargingProfiles", fmt.Sprintf(part, true, 1))
	b.call(c, "p2", "ReportChargingProfiles", fmt.Sprintf(part, false, 2))
	if done := b.done("d1"); done.Outcome != "done" || strings.Count(string(done.Result), "chargingProfilePurpose") != 2 {
		t.Errorf("%+v %s", done, done.Result)
	}
}

// TC_L_01_CSMS, TC_L_05_CSMS: a signed image; a certificate that the charger does
// not accept is its refusal.
func TestL01_SecureFirmwareUpdate(t *testing.T) {
	b, c := site2(t)
	body := `{"charger":"CP2","url":"https://x/fw","signature":"c2ln","certificate":"PEM"}`
	sent, done := b.ask(c, "charger.firmware", body, "UpdateFirmware", `{"status":"InvalidCertificate"}`)
	if !strings.Contains(string(sent.Payload), `"signature":"c2ln"`) || done.Outcome != "refused" || !strings.Contains(done.Detail, "InvalidCertificate") {
		t.Errorf("%s %+v", sent.Payload, done)
	}
	if _, done = b.ask(c, "charger.firmware", body, "UpdateFirmware", `{"status":"AcceptedCanceled"}`); done.Outcome != "done" {
		t.Errorf("%+v", done)
	}
}

// TC_N_25_CSMS, TC_N_35_CSMS: the log that is asked for, and the progress of its
// upload, which is telemetry.
func TestN01_GetLog(t *testing.T) {
	b, c := site2(t)
	sent, done := b.ask(c, "charger.log", `{"charger":"CP2","url":"https://x/up","security":true}`, "GetLog", `{"status":"Accepted","filename":"s.log"}`)
	if !strings.Contains(string(sent.Payload), `"logType":"SecurityLog"`) || done.Outcome != "done" || !strings.Contains(string(done.Result), "s.log") || !strings.Contains(done.Detail, "request ") {
		t.Errorf("%s %+v %s", sent.Payload, done, done.Result)
	}
	before := len(b.records)
	b.says("progress", b.call(c, "l1", "LogStatusNotification", `{"status":"Uploaded","requestId":1}`), `{}`)
	if len(b.records) != before {
		t.Error("the progress of an upload is evidence")
	}
}

// TC_P_02_CSMS.
func TestP02_DataTransferToTheCSMS(t *testing.T) {
	b, c := site2(t)
	b.says("data", b.call(c, "d1", "DataTransfer", `{"vendorId":"org.example","messageId":"m"}`), `"status":"UnknownVendorId"`)
}

// A session that a driver left is closed by nobody but the charger, or by what is
// known of it: a reason of ours never looks like one of the charger's.
func TestE14_ReasonIsOurs(t *testing.T) {
	if !strings.HasPrefix(session.ReasonGone, session.ReasonPrefix) {
		t.Errorf("reason %q", session.ReasonGone)
	}
}
