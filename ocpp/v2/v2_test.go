package v2_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/ocpp/v2"
)

const at = holdfast.UnixMilli(1777888800000) // 2026-05-04T10:00:00Z

const started = `{"eventType":"Started","timestamp":"2026-05-04T10:00:00Z","triggerReason":"Authorized","seqNo":0,` +
	`"transactionInfo":{"transactionId":"8f14e45f-ceea-467f-a3c4-1d2b3c4d5e6f","chargingState":"Charging","remoteStartId":9},` +
	`"evse":{"id":2,"connectorId":1},"idToken":{"idToken":"04A1B2C3","type":"ISO14443"},` +
	`"meterValue":[{"timestamp":"2026-05-04T10:00:00Z","sampledValue":[` +
	`{"value":12345.6,"context":"Transaction.Begin","measurand":"Energy.Active.Import.Register","unitOfMeasure":{"unit":"Wh"}},` +
	`{"value":11.04,"context":"Transaction.Begin","measurand":"Power.Active.Import","unitOfMeasure":{"unit":"kW"}}]}]}`

func wh(n holdfast.WattHours) *holdfast.WattHours { return &n }
func w(n holdfast.Watts) *holdfast.Watts          { return &n }
func num(n int) *int                              { return &n }

func same(t *testing.T, action, payload string, want ocpp.Event) {
	t.Helper()
	got, err := v2.Dialect{}.Event(action, []byte(payload))
	if err != nil || !reflect.DeepEqual(got, want) {
		g, _ := json.Marshal(got)
		w, _ := json.Marshal(want)
		t.Errorf("%s:\n got %T %s, %v\nwant %T %s", action, got, g, err, want, w)
	}
}

func TestEvents(t *testing.T) {
	card := holdfast.Token{Value: "04A1B2C3", Type: "ISO14443"}
	for _, c := range []struct {
		action, payload string
		want            ocpp.Event
	}{
		{"Authorize", `{"idToken":{"idToken":"04A1B2C3","type":"ISO14443"}}`, ocpp.Authorize{Token: card}},
		{"BootNotification", `{"reason":"PowerUp","chargingStation":{"vendorName":"V","model":"M","serialNumber":"S","firmwareVersion":"F"}}`,
			ocpp.Boot{Vendor: "V", Model: "M", Serial: "S", Firmware: "F", Reason: "PowerUp"}},
		{"Heartbeat", `{}`, ocpp.Heartbeat{}},
		{"DataTransfer", `{"vendorId":"org.example","data":{"a": 1.50}}`, ocpp.Data{Vendor: "org.example", Data: json.RawMessage(`{"a": 1.50}`)}},
		{"StatusNotification", `{"timestamp":"2026-05-04T10:00:00Z","connectorStatus":"Occupied","evseId":2,"connectorId":3}`,
			ocpp.Status{EVSE: 2, Connector: 3, Status: ocpp.Occupied, Detail: "Occupied", At: at}},
		{"StatusNotification", `{"timestamp":"","connectorStatus":"Charging","evseId":2,"connectorId":3}`,
			ocpp.Status{EVSE: 2, Connector: 3, Detail: "Charging"}},
		{"TransactionEvent", started, ocpp.Transaction{Kind: ocpp.TxStarted, ID: "8f14e45f-ceea-467f-a3c4-1d2b3c4d5e6f", EVSE: 2, Connector: 1,
			Token: &card, At: at, AtRaw: "2026-05-04T10:00:00Z", SeqNo: num(0), Trigger: "Authorized", State: "Charging", RemoteID: num(9),
			Readings: []holdfast.Reading{{At: at, Context: holdfast.ContextBegin, Register: wh(12345), Power: w(11040)}}}},
		{"TransactionEvent", `{"eventType":"Ended","timestamp":"2026-05-04T10:00:00Z","triggerReason":"EVDeparted","seqNo":41,"offline":true,` +
			`"transactionInfo":{"transactionId":"t","stoppedReason":"EVDisconnected"}}`,
			ocpp.Transaction{Kind: ocpp.TxEnded, ID: "t", At: at, AtRaw: "2026-05-04T10:00:00Z", SeqNo: num(41), Offline: true,
				Trigger: "EVDeparted", Reason: "EVDisconnected"}},
		{"TransactionEvent", `{"eventType":"Updated","timestamp":"2026-05-04T10:00:00Z","triggerReason":"MeterValuePeriodic","seqNo":7,"evse":{"id":1},` +
			`"transactionInfo":{"transactionId":"t"},"idToken":{"idToken":"","type":"NoAuthorization"}}`,
			ocpp.Transaction{Kind: ocpp.TxUpdated, ID: "t", EVSE: 1, At: at, AtRaw: "2026-05-04T10:00:00Z", SeqNo: num(7), Trigger: "MeterValuePeriodic",
				Token: &holdfast.Token{Type: "NoAuthorization"}}},
		{"MeterValues", `{"evseId":0,"meterValue":[{"timestamp":"2026-05-04T10:00:00Z","sampledValue":[` +
			`{"value":1.5,"unitOfMeasure":{"multiplier":3},"context":"Sample.Clock"},{"value":8e1,"measurand":"SoC","location":"EV"}]}]}`,
			ocpp.Meter{Readings: []holdfast.Reading{{At: at, Context: holdfast.ContextClock, Register: wh(1500)},
				{At: at, Context: holdfast.ContextPeriodic, SoC: num(80)}}}},
		{"MeterValues", `{"evseId":1,"meterValue":[{"timestamp":"2026-05-04T10:00:00Z","sampledValue":[{"value":7,"context":"Transaction.End",` +
			`"signedMeterValue":{"signedMeterData":"T0NNRnw=","signingMethod":"ECDSA-secp256r1-SHA256","encodingMethod":"OCMF","publicKey":"b2Nh"}}]}]}`,
			ocpp.Meter{EVSE: 1, Readings: []holdfast.Reading{{At: at, Context: holdfast.ContextEnd, Register: wh(7), Signed: "T0NNRnw="}}}},
		{"MeterValues", `{"evseId":1,"meterValue":[{"timestamp":"2026-05-04T10:00:00Z","sampledValue":[{"value":7,"unitOfMeasure":{"multiplier":0.5}}]}]}`,
			ocpp.Meter{EVSE: 1, Readings: []holdfast.Reading{{At: at, Context: holdfast.ContextPeriodic}}}},
		{"MeterValues", `{"evseId":1,"meterValue":[{"timestamp":"later","sampledValue":[{"value":7}]}]}`,
			ocpp.Meter{EVSE: 1, Readings: []holdfast.Reading{{Context: holdfast.ContextPeriodic, Register: wh(7)}}}},
		{"NotifyEvent", `{}`, ocpp.Other{Action: "NotifyEvent"}},
	} {
		same(t, c.action, c.payload, c.want)
	}
}

// E13 and E04: a replayed event says so, keeps its number and its own time,
// however old.
func TestReplayedEvent_E04(t *testing.T) {
	payload := strings.NewReplacer(`"seqNo":0`, `"seqNo":12,"offline":true`, `"timestamp":"2026-05-04T10:00:00Z","trigger`, `"timestamp":"1970-01-02T00:00:00","trigger`).Replace(started)
	ev, err := v2.Dialect{}.Event("TransactionEvent", []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	if got := ev.(ocpp.Transaction); !got.Offline || *got.SeqNo != 12 || got.At != 86_400_000 || got.AtRaw != "1970-01-02T00:00:00" {
		t.Errorf("got %+v", got)
	}
}

// A member under another name is another member. The schema refuses it; a
// lenient site goes on, and encoding/json would now let IDTOKEN win.
func TestNamesAreExact(t *testing.T) {
	const payload = `{"idToken":{"idToken":"04A1B2C3","IDTOKEN":"EVIL","type":"ISO14443"}}`
	if err := ocpp.NewSchemas().CheckCall(ocpp.V201, "Authorize", []byte(payload)); err == nil || !err.Tolerable {
		t.Fatalf("verdict %v, want a tolerable one", err)
	}
	same(t, "Authorize", payload, ocpp.Authorize{Token: holdfast.Token{Value: "04A1B2C3", Type: "ISO14443"}})
}

func TestRefusals(t *testing.T) {
	change := func(old, new string) string {
		if !strings.Contains(started, old) {
			t.Fatalf("no %s", old)
		}
		return strings.Replace(started, old, new, 1)
	}
	for _, c := range []struct {
		action, payload string
		code            ocpp.ErrorCode
		pointer         string
	}{
		{"Authorize", `{}`, ocpp.OccurrenceConstraintViolation, "/idToken"},
		{"Authorize", `{"idToken":"A"}`, ocpp.TypeConstraintViolation, "/idToken"},
		{"Authorize", `{"idToken":{"type":"Central"}}`, ocpp.OccurrenceConstraintViolation, "/idToken/idToken"},
		{"Authorize", `{"idToken":{"idToken":"` + strings.Repeat("A", 256) + `"}}`, ocpp.PropertyConstraintViolation, "/idToken/idToken"},
		{"DataTransfer", `{}`, ocpp.OccurrenceConstraintViolation, "/vendorId"},
		{"StatusNotification", `{"evseId":1}`, ocpp.OccurrenceConstraintViolation, "/connectorId"},
		{"MeterValues", `{"evseId":-1}`, ocpp.PropertyConstraintViolation, "/evseId"},
		{"TransactionEvent", change(`"Started"`, `"Paused"`), ocpp.PropertyConstraintViolation, "/eventType"},
		{"TransactionEvent", change(`"8f14e45f-ceea-467f-a3c4-1d2b3c4d5e6f"`, `""`), ocpp.PropertyConstraintViolation, "/transactionInfo/transactionId"},
		{"TransactionEvent", change(`"2026-05-04T10:00:00Z","trigger`, `"soon","trigger`), ocpp.PropertyConstraintViolation, "/timestamp"},
		{"TransactionEvent", change(`"id":2`, `"id":-2`), ocpp.PropertyConstraintViolation, "/evse/id"},
		{"TransactionEvent", change(`"connectorId":1`, `"connectorId":-1`), ocpp.PropertyConstraintViolation, "/evse/connectorId"},
		{"TransactionEvent", `null`, ocpp.FormatViolation, ""},
		{"RequestStartTransaction", `{}`, ocpp.NotSupported, ""},
		{"StartTransaction", `{}`, ocpp.NotImplemented, ""},
	} {
		if ev, err := (v2.Dialect{}).Event(c.action, []byte(c.payload)); err == nil || err.Code != c.code || err.Pointer != c.pointer {
			t.Errorf("%s %.80s: %+v, %v; want %s at %q", c.action, c.payload, ev, err, c.code, c.pointer)
		}
	}
}

func FuzzEvent(f *testing.F) {
	f.Add("TransactionEvent", []byte(started))
	f.Add("TransactionEvent", []byte(`{"eventType":"Ended","timestamp":"1970-01-01T00:00:00","seqNo":1e3,"transactionInfo":{"transactionId":"t"},"evse":{}}`))
	f.Add("MeterValues", []byte(`{"evseId":0,"meterValue":[{"sampledValue":[{"value":1e99,"unitOfMeasure":{"multiplier":-99}},7]},null]}`))
	f.Add("StatusNotification", []byte(`{"evseId":1,"connectorId":1,"connectorStatus":"Available"}`))
	f.Add("Authorize", []byte(`{"idToken":{"idToken":"","type":"NoAuthorization"}}`))
	f.Add("BootNotification", []byte(`{"chargingStation":[]}`))
	f.Add("DataTransfer", []byte(`{"vendorId":"v","data":null}`))
	f.Add("NotifyReport", []byte(`{"requestId":1,"seqNo":0,"reportData":[{"component":{"name":"A","evse":{"id":-1}},"variable":{},"variableAttribute":[{"value":"1"},null]}]}`))
	f.Add("GetCertificateChainStatus", []byte(`{"certificateStatusRequests":[{},{},{},{},{"certificateHashData":{"issuerNameHash":"\ud83d\ude00"}}]}`))
	f.Add("VatNumberValidation", []byte(`{"vatNumber":"0123456789012345678901234567890"}`))
	schemas := ocpp.NewSchemas()
	f.Fuzz(func(t *testing.T, action string, payload []byte) {
		for _, d := range []v2.Dialect{{}, {Speaks: ocpp.V21}} {
			fuzzEvent(t, schemas, d, action, payload)
		}
	})
}

func fuzzEvent(t *testing.T, schemas *ocpp.Schemas, d v2.Dialect, action string, payload []byte) {
	t.Helper()
	strict := schemas.CheckCall(d.Version(), action, payload)
	ev, err := d.Event(action, payload)
	if other, ok := ev.(ocpp.Other); ok {
		if out := d.Answer(action, ev, ocpp.Done{}); schemas.CheckResult(d.Version(), action, out) != nil && !ocpp.Unconfirmed(action) {
			t.Fatalf("%s %q is answered %s (%v)", action, payload, out, other.Asked)
		}
	}
	if (ev == nil) == (err == nil) {
		t.Fatalf("%s %q: %v, %v", action, payload, ev, err)
	}
	if strict != nil && strict.Tolerable && err != nil && err.Code == ocpp.TypeConstraintViolation {
		t.Fatalf("%s %q: tolerable (%v), but %v", action, payload, strict, err)
	}
	tx, _ := ev.(ocpp.Transaction)
	meter, _ := ev.(ocpp.Meter)
	if _, ok := ev.(ocpp.Transaction); ok && (tx.ID == "" || tx.Kind == "") {
		t.Fatalf("%s %q: %+v", action, payload, tx)
	}
	for _, r := range append(tx.Readings, meter.Readings...) {
		if r.Register != nil && *r.Register < 0 {
			t.Fatalf("%s %q: register %d", action, payload, *r.Register)
		}
	}
}

func BenchmarkTransactionEvent(b *testing.B) {
	raw := []byte(`[2,"19223201","TransactionEvent",` + started + `]`)
	schemas, d := ocpp.NewSchemas(), v2.Dialect{}
	b.ReportAllocs()
	for b.Loop() {
		f, err := ocpp.Parse(ocpp.V201, raw)
		if err == nil {
			err = schemas.CheckCall(ocpp.V201, f.Action, f.Payload)
		}
		if err == nil {
			_, err = d.Event(f.Action, f.Payload)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
