package v16_test

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/ocpp/v16"
)

const at = holdfast.UnixMilli(1777888800000) // 2026-05-04T10:00:00Z

func wh(n holdfast.WattHours) *holdfast.WattHours { return &n }
func request(n int) *int                          { return &n }
func w(n holdfast.Watts) *holdfast.Watts          { return &n }

func event(t *testing.T, action, payload string) ocpp.Event {
	t.Helper()
	ev, err := v16.Dialect{}.Event(action, []byte(payload))
	if err != nil {
		t.Fatalf("%s %s: %v", action, payload, err)
	}
	return ev
}

func same(t *testing.T, got, want ocpp.Event) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		g, _ := json.Marshal(got)
		w, _ := json.Marshal(want)
		t.Errorf("\n got %T %s\nwant %T %s", got, g, want, w)
	}
}

func TestEvents(t *testing.T) {
	card := holdfast.Token{Value: "04A1B2C3"}
	for _, c := range []struct {
		action, payload string
		want            ocpp.Event
	}{
		{"Authorize", `{"idTag":"04A1B2C3"}`, ocpp.Authorize{Token: card}},
		{"BootNotification", `{"chargePointVendor":"V","chargePointModel":"M","chargePointSerialNumber":"S","chargeBoxSerialNumber":"old","firmwareVersion":"F","imsi":"1"}`,
			ocpp.Boot{Vendor: "V", Model: "M", Serial: "S", Firmware: "F"}},
		{"BootNotification", `{"chargePointVendor":"V","chargePointModel":"M","chargeBoxSerialNumber":"old"}`, ocpp.Boot{Vendor: "V", Model: "M", Serial: "old"}},
		{"Heartbeat", `{}`, ocpp.Heartbeat{}},
		{"DataTransfer", `{"vendorId":"org.example","messageId":"m","data": "te\u0078t"}`,
			ocpp.Data{Vendor: "org.example", MessageID: "m", Data: json.RawMessage(`"te\u0078t"`)}},
		{"DataTransfer", `{"vendorId":"org.example"}`, ocpp.Data{Vendor: "org.example"}},
		{"StatusNotification", `{"connectorId":2,"errorCode":"GroundFailure","status":"Faulted","timestamp":"2026-05-04T10:00:00Z"}`,
			ocpp.Status{EVSE: 2, Connector: 1, Status: ocpp.Faulted, Detail: "Faulted", Error: "GroundFailure", At: at}},
		{"StatusNotification", `{"connectorId":0,"errorCode":"NoError","status":"Available","timestamp":""}`,
			ocpp.Status{Status: ocpp.Available, Detail: "Available"}},
		{"StartTransaction", `{"connectorId":2,"idTag":"04A1B2C3","meterStart":910031,"timestamp":"2026-05-04T10:00:00Z","reservationId":4}`,
			ocpp.Transaction{Kind: ocpp.TxStarted, EVSE: 2, Connector: 1, Token: &card, At: at, AtRaw: "2026-05-04T10:00:00Z", Reserved: request(4),
				Readings: []holdfast.Reading{{At: at, Context: holdfast.ContextBegin, Register: wh(910031)}}}},
		{"StopTransaction", `{"transactionId":17,"idTag":"04A1B2C3","meterStop":910114,"timestamp":"2026-05-04T10:00:00Z","reason":"EVDisconnected"}`,
			ocpp.Transaction{Kind: ocpp.TxEnded, ID: "17", Token: &card, At: at, AtRaw: "2026-05-04T10:00:00Z", Reason: "EVDisconnected",
				Readings: []holdfast.Reading{{At: at, Context: holdfast.ContextEnd, Register: wh(910114)}}}},
		{"MeterValues", `{"connectorId":1,"transactionId":17,"meterValue":[{"timestamp":"2026-05-04T10:00:00Z","sampledValue":[` +
			`{"value":"254780","measurand":"Energy.Active.Import.Register","unit":"Wh"},{"value":"3.5","measurand":"Power.Active.Import","unit":"kW"},` +
			`{"value":"35","measurand":"Temperature","unit":"Celsius"}]}]}`,
			ocpp.Meter{EVSE: 1, TransactionID: "17", Readings: []holdfast.Reading{{At: at, Context: holdfast.ContextPeriodic, Register: wh(254780), Power: w(3500)}}}},
		{"SecurityEventNotification", `{"type":"TamperDetectionActivated"}`, ocpp.Security{Kind: "TamperDetectionActivated"}},
		{"SecurityEventNotification", `{"type":"MemoryExhaustion","timestamp":"2026-05-04T10:00:00Z","techInfo":"heap"}`,
			ocpp.Security{Kind: "MemoryExhaustion", At: at, Detail: "heap"}},
		{"DiagnosticsStatusNotification", `{"status":"Uploading"}`, ocpp.Progress{What: "log", Status: "Uploading"}},
		{"SignedFirmwareStatusNotification", `{"status":"InvalidSignature","requestId":7}`, ocpp.Progress{What: "firmware", Status: "InvalidSignature", Request: request(7)}},
		{"SignCertificate", `{"csr":"x"}`, ocpp.Other{Action: "SignCertificate"}},
	} {
		same(t, event(t, c.action, c.payload), c.want)
	}
}

func TestEveryStatus(t *testing.T) {
	for word, want := range map[string]ocpp.ConnectorStatus{
		"Available": ocpp.Available, "Preparing": ocpp.Occupied, "Charging": ocpp.Occupied, "SuspendedEV": ocpp.Occupied,
		"SuspendedEVSE": ocpp.Occupied, "Finishing": ocpp.Occupied, "Reserved": ocpp.Reserved, "Unavailable": ocpp.Unavailable,
		"Faulted": ocpp.Faulted, "Sleeping": "", // tolerated by a lenient site: not known is not Unavailable
	} {
		ev := event(t, "StatusNotification", `{"connectorId":1,"errorCode":"NoError","status":"`+word+`"}`)
		same(t, ev, ocpp.Status{EVSE: 1, Connector: 1, Status: want, Detail: word})
	}
}

// A charger that went offline before it got a transactionId ends the session
// with -1. What it means is a rule's business; it must arrive.
func TestStopWithMinusOne_libocpp495(t *testing.T) {
	ev := event(t, "StopTransaction", `{"transactionId":-1,"idTag":"04A1B2C3","meterStop":5000,"timestamp":"2026-05-04T10:00:00Z","reason":"Local"}`)
	if got := ev.(ocpp.Transaction); got.ID != "-1" || *got.Readings[0].Register != 5000 {
		t.Errorf("got %+v", got)
	}
	for text, want := range map[string]string{"0": "0", "2147483647": "2147483647", "17.0": "17", "1e3": "1000", "-9223372036854775807": "-9223372036854775807"} {
		ev := event(t, "StopTransaction", `{"transactionId":`+text+`,"meterStop":5000,"timestamp":"2026-05-04T10:00:00Z"}`)
		if got := ev.(ocpp.Transaction).ID; got != want {
			t.Errorf("transactionId %s is %q, want %q", text, got, want)
		}
	}
}

// A charger that has not learned the time yet reports 1970. The time is kept as
// reported, so that a rule can see it, and so are the charger's own words.
func TestTimestampOf1970_MicroOcpp354(t *testing.T) {
	ev := event(t, "StartTransaction", `{"connectorId":1,"idTag":"A","meterStart":0,"timestamp":"1970-01-01T00:00:12Z"}`)
	got := ev.(ocpp.Transaction)
	if got.At != 12_000 || got.At.Plausible() || got.AtRaw != "1970-01-01T00:00:12Z" || got.Readings[0].At != 12_000 {
		t.Errorf("got %+v", got)
	}
	if zero := event(t, "StartTransaction", `{"connectorId":1,"idTag":"A","meterStart":0,"timestamp":"1970-01-01T00:00:00Z"}`).(ocpp.Transaction); zero.At != 0 || zero.AtRaw == "" {
		t.Errorf("got %+v", zero)
	}
}

func TestTimestampWithoutZone_evcc10399(t *testing.T) {
	if got := event(t, "StartTransaction", `{"connectorId":1,"idTag":"A","meterStart":0,"timestamp":"2026-05-04T10:00:00"}`).(ocpp.Transaction); got.At != at {
		t.Errorf("got %v", got.At)
	}
}

func TestZoneWithoutMinutes_ocppEmulator53(t *testing.T) {
	if got := event(t, "StatusNotification", `{"connectorId":1,"errorCode":"NoError","status":"Available","timestamp":"2026-05-04T13:00:00+03"}`).(ocpp.Status); got.At != at {
		t.Errorf("got %v", got.At)
	}
}

// A start without a time, or with one that is none, cannot be told from its
// repetition: it is refused, and the charger keeps it.
func TestStartWithoutTime_MicroOcpp88(t *testing.T) {
	for payload, code := range map[string]ocpp.ErrorCode{
		`{"connectorId":1,"idTag":"A","meterStart":0}`:                    ocpp.OccurrenceConstraintViolation,
		`{"connectorId":1,"idTag":"A","meterStart":0,"timestamp":""}`:     ocpp.PropertyConstraintViolation,
		`{"connectorId":1,"idTag":"A","meterStart":0,"timestamp":"soon"}`: ocpp.PropertyConstraintViolation,
	} {
		if ev, err := (v16.Dialect{}).Event("StartTransaction", []byte(payload)); err == nil || err.Code != code || err.Pointer != "/timestamp" {
			t.Errorf("%s: %+v, %v", payload, ev, err)
		}
	}
}

// The energy of this charger is measured in its body, beside per-phase powers
// of 0: none of it is at the outlet, none of it is billed.
func TestRegisterInTheBody_evcc16966(t *testing.T) {
	ev := event(t, "MeterValues", `{"connectorId":1,"transactionId":1730229549,"meterValue":[{"timestamp":"2024-10-29T20:49:53Z","sampledValue":[`+
		`{"value":"227.20","context":"Sample.Periodic","format":"Raw","measurand":"Voltage","phase":"L1-N","location":"Body","unit":"V"},`+
		`{"value":"0.00","context":"Sample.Periodic","format":"Raw","measurand":"Power.Active.Import","phase":"L1-N","location":"Body","unit":"kW"},`+
		`{"value":"2331810","context":"Sample.Periodic","format":"Raw","measurand":"Energy.Active.Import.Register","location":"Body","unit":"Wh"}]}]}`)
	if got := ev.(ocpp.Meter); len(got.Readings) != 0 {
		t.Errorf("got %+v", got.Readings)
	}
}

// Clock-aligned values come without a transactionId and count all the same.
func TestMeterValuesWithoutTransaction_citrineos1025(t *testing.T) {
	ev := event(t, "MeterValues", `{"connectorId":1,"meterValue":[{"timestamp":"2026-05-04T10:00:00Z","sampledValue":[{"value":"0","context":"Sample.Clock"}]}]}`)
	same(t, ev, ocpp.Meter{EVSE: 1, Readings: []holdfast.Reading{{At: at, Context: holdfast.ContextClock, Register: wh(0)}}})
}

// A kWh register with more decimals than a float of Wh keeps, and a placeholder
// zero, which only a rule can tell from a new meter.
func TestTransactionData(t *testing.T) {
	ev := event(t, "StopTransaction", `{"transactionId":1,"meterStop":733300,"timestamp":"2026-05-04T10:00:00Z","transactionData":[`+
		`{"timestamp":"2026-05-04T09:00:00Z","sampledValue":[{"value":"0.00","context":"Transaction.Begin","unit":"kWh"}]},`+
		`{"timestamp":"2026-05-04T10:00:00Z","sampledValue":[{"value":"733.300999","context":"Transaction.End","unit":"kWh"},`+
		`{"value":"OCMF|{\"FV\":\"1.0\"}|{\"SD\":\"30\"}","format":"SignedData","context":"Transaction.End"}]}]}`)
	same(t, ev, ocpp.Transaction{Kind: ocpp.TxEnded, ID: "1", At: at, AtRaw: "2026-05-04T10:00:00Z", Readings: []holdfast.Reading{
		{At: at - 3_600_000, Context: holdfast.ContextBegin, Register: wh(0)},
		{At: at, Context: holdfast.ContextEnd, Register: wh(733300), Signed: `OCMF|{"FV":"1.0"}|{"SD":"30"}`},
		{At: at, Context: holdfast.ContextEnd, Register: wh(733300)},
	}})
}

// A register that is none leaves the session open to a rule, and is never 0.
func TestUnreadableRegister(t *testing.T) {
	for _, meter := range []string{"-1", "1e30", strings.Repeat("9", 20), `"n/a"`} {
		got := event(t, "StartTransaction", `{"connectorId":1,"idTag":"A","meterStart":`+meter+`,"timestamp":"2026-05-04T10:00:00Z"}`).(ocpp.Transaction)
		if len(got.Readings) != 1 || got.Readings[0].Register != nil {
			t.Errorf("meterStart %s: %+v", meter, got.Readings)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		action, payload string
		code            ocpp.ErrorCode
		pointer         string
	}{
		{"Authorize", `{}`, ocpp.OccurrenceConstraintViolation, "/idTag"},
		{"Authorize", `{"idTag":7}`, ocpp.TypeConstraintViolation, "/idTag"},
		{"Authorize", `{"IDTAG":"A"}`, ocpp.OccurrenceConstraintViolation, "/idTag"}, // another name
		{"Authorize", `{"idTag":"` + strings.Repeat("A", 256) + `"}`, ocpp.PropertyConstraintViolation, "/idTag"},
		{"Authorize", `[]`, ocpp.FormatViolation, ""},
		{"DataTransfer", `{}`, ocpp.OccurrenceConstraintViolation, "/vendorId"},
		{"StatusNotification", `{"status":"Available"}`, ocpp.OccurrenceConstraintViolation, "/connectorId"},
		{"StatusNotification", `{"connectorId":-1}`, ocpp.PropertyConstraintViolation, "/connectorId"},
		{"MeterValues", `{"connectorId":4294967297}`, ocpp.PropertyConstraintViolation, "/connectorId"},
		{"StartTransaction", `{"connectorId":1,"idTag":"A","timestamp":"2026-05-04T10:00:00Z"}`, ocpp.OccurrenceConstraintViolation, "/meterStart"},
		{"StopTransaction", `{"meterStop":1,"timestamp":"2026-05-04T10:00:00Z"}`, ocpp.OccurrenceConstraintViolation, "/transactionId"},
		{"StopTransaction", `{"transactionId":1.5,"meterStop":1,"timestamp":"2026-05-04T10:00:00Z"}`, ocpp.PropertyConstraintViolation, "/transactionId"},
		{"StopTransaction", `{"transactionId":1e30,"meterStop":1,"timestamp":"2026-05-04T10:00:00Z"}`, ocpp.PropertyConstraintViolation, "/transactionId"},
		{"StopTransaction", `{"transactionId":1,"timestamp":"2026-05-04T10:00:00Z"}`, ocpp.OccurrenceConstraintViolation, "/meterStop"},
		{"RemoteStartTransaction", `{"idTag":"A"}`, ocpp.NotSupported, ""},
		{"TransactionEvent", `{}`, ocpp.NotImplemented, ""},
	} {
		if ev, err := (v16.Dialect{}).Event(c.action, []byte(c.payload)); err == nil || err.Code != c.code || err.Pointer != c.pointer {
			t.Errorf("%s %.80s: %+v, %v; want %s at %q", c.action, c.payload, ev, err, c.code, c.pointer)
		}
	}
}

// Whatever a start and its stop say, both arrive digit for digit.
func TestTransactionsArriveWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id, begin, end := rapid.Int32().Draw(t, "id"), rapid.Int64Range(0, 1<<53).Draw(t, "begin"), rapid.Int64Range(0, 1<<53).Draw(t, "end")
		tag := rapid.StringMatching(`[ -~]{0,20}`).Draw(t, "tag")
		when := holdfast.UnixMilli(rapid.Int64Range(1, 4294967295000).Draw(t, "when"))
		stop, _ := json.Marshal(map[string]any{"transactionId": id, "meterStop": end, "idTag": tag, "timestamp": ocpp.FormatTime(when)})
		start, _ := json.Marshal(map[string]any{"connectorId": 1, "meterStart": begin, "idTag": tag, "timestamp": ocpp.FormatTime(when)})
		a, err := v16.Dialect{}.Event("StartTransaction", start)
		if err != nil {
			t.Fatal(err)
		}
		b, err := v16.Dialect{}.Event("StopTransaction", stop)
		if err != nil {
			t.Fatal(err)
		}
		from, to := a.(ocpp.Transaction), b.(ocpp.Transaction)
		if *from.Readings[0].Register != holdfast.WattHours(begin) || *to.Readings[0].Register != holdfast.WattHours(end) ||
			to.ID != strconv.Itoa(int(id)) || from.Token.Value != tag || to.Token.Value != tag || from.At != when || to.At != when {
			t.Fatalf("%s %s became %+v %+v", start, stop, from, to)
		}
	})
}

func FuzzEvent(f *testing.F) {
	f.Add("StartTransaction", []byte(`{"connectorId":1,"idTag":"A","meterStart":1,"timestamp":"2026-05-04T10:00:00Z"}`))
	f.Add("StopTransaction", []byte(`{"transactionId":-1,"meterStop":1e3,"timestamp":"1970-01-01T00:00:00","transactionData":[{"timestamp":"x","sampledValue":[{"value":"1"}]}]}`))
	f.Add("MeterValues", []byte(`{"connectorId":0,"meterValue":[{"sampledValue":[{"value":"1","format":"SignedData"},7]},null]}`))
	f.Add("StatusNotification", []byte(`{"connectorId":1,"status":"Preparing"}`))
	f.Add("Authorize", []byte(`{"idTag":""}`))
	f.Add("BootNotification", []byte(`{"chargePointVendor":{}}`))
	f.Add("DataTransfer", []byte(`{"vendorId":"v","data":[1, 2]}`))
	schemas := ocpp.NewSchemas()
	f.Fuzz(func(t *testing.T, action string, payload []byte) {
		strict := schemas.CheckCall(ocpp.V16, action, payload)
		ev, err := v16.Dialect{}.Event(action, payload)
		if (ev == nil) == (err == nil) {
			t.Fatalf("%s %q: %v, %v", action, payload, ev, err)
		}
		if strict != nil && strict.Tolerable && err != nil && err.Code == ocpp.TypeConstraintViolation {
			t.Fatalf("%s %q: tolerable (%v), but %v", action, payload, strict, err)
		}
		tx, _ := ev.(ocpp.Transaction)
		meter, _ := ev.(ocpp.Meter)
		for _, r := range append(tx.Readings, meter.Readings...) {
			if r.Register != nil && *r.Register < 0 {
				t.Fatalf("%s %q: register %d", action, payload, *r.Register)
			}
		}
	})
}

func BenchmarkStartTransaction(b *testing.B) {
	raw := []byte(`[2,"19223201","StartTransaction",{"connectorId":1,"idTag":"04A1B2C3","meterStart":12345,"timestamp":"2026-05-04T10:00:00Z"}]`)
	schemas, d := ocpp.NewSchemas(), v16.Dialect{}
	b.ReportAllocs()
	for b.Loop() {
		f, err := ocpp.Parse(ocpp.V16, raw)
		if err == nil {
			err = schemas.CheckCall(ocpp.V16, f.Action, f.Payload)
		}
		if err == nil {
			_, err = d.Event(f.Action, f.Payload)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
