package ocpp_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast/ocpp"
)

// The schemas are redistributed unmodified: their hashes are in the NOTICE.
func TestSchemasAreUnmodified(t *testing.T) {
	notice, err := os.ReadFile("schemas/NOTICE")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ocpp1_6.json", "ocpp2_0_1.json"} {
		b, err := os.ReadFile("schemas/" + name)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(b)
		if line := hex.EncodeToString(sum[:]) + "  " + name; !strings.Contains(string(notice), line) {
			t.Errorf("NOTICE does not have %q", line)
		}
	}
}

func TestEverySchemaCompiles(t *testing.T) {
	s := ocpp.NewSchemas()
	for v, want := range map[ocpp.Version]int{ocpp.V16: 39, ocpp.V201: 64} {
		actions := s.Actions(v)
		if len(actions) != want {
			t.Errorf("%s: %d actions, want %d", v, len(actions), want)
		}
		for _, a := range actions {
			// An empty answer or a missing member, never an unknown action; a
			// schema that does not compile panics.
			for _, err := range []*ocpp.Error{s.CheckCommand(v, a, []byte(`{}`)), s.CheckResult(v, a, []byte(`{}`))} {
				if err != nil && err.Code != ocpp.OccurrenceConstraintViolation {
					t.Errorf("%s %s: %v", v, a, err)
				}
			}
		}
		if again := s.Actions(v); len(again) != want {
			t.Errorf("%s: %d actions once compiled, want %d", v, len(again), want)
		}
	}
}

const (
	start16 = `{"connectorId":1,"idTag":"04A1B2C3","meterStart":12345,"timestamp":"2026-05-04T10:00:00Z"}`
	event2  = `{"eventType":"Started","timestamp":"2026-05-04T10:00:00Z","triggerReason":"Authorized","seqNo":0,` +
		`"transactionInfo":{"transactionId":"8f14e45f-ceea-467f-a3c4-1d2b3c4d5e6f","chargingState":"Charging"},` +
		`"evse":{"id":1,"connectorId":1},"idToken":{"idToken":"04A1B2C3","type":"ISO14443"},` +
		`"meterValue":[{"timestamp":"2026-05-04T10:00:00Z","sampledValue":[` +
		`{"value":12345.6,"context":"Transaction.Begin","measurand":"Energy.Active.Import.Register","unitOfMeasure":{"unit":"Wh"}},` +
		`{"value":11.04,"context":"Transaction.Begin","measurand":"Power.Active.Import","unitOfMeasure":{"unit":"kW"}}]}]}`
)

// with returns the payload with one replacement.
func with(payload, old, new string) string {
	if !strings.Contains(payload, old) {
		panic("no " + old)
	}
	return strings.Replace(payload, old, new, 1)
}

// Error codes per kind of violation: OCPP-J 1.6 table 7, 2.0.1 part 4 table 8.
func TestViolations(t *testing.T) {
	s := ocpp.NewSchemas()
	for _, c := range []struct {
		name      string
		v         ocpp.Version
		action    string
		payload   string
		code      string // "": accepted
		pointer   string
		tolerable bool
	}{
		{"start", ocpp.V16, "StartTransaction", start16, "", "", false},
		{"event", ocpp.V201, "TransactionEvent", event2, "", "", false},
		{"unknown action", ocpp.V16, "Frobnicate", `{}`, "NotImplemented", "", false},
		{"unknown action", ocpp.V201, "StartTransaction", start16, "NotImplemented", "", false},
		{"action in another case", ocpp.V16, "heartbeat", `{}`, "NotImplemented", "", false},
		{"action of a result", ocpp.V16, "Heartbeat.conf", `{}`, "NotImplemented", "", false},
		{"unknown version", "ocpp1.5", "Heartbeat", `{}`, "NotImplemented", "", false},
		{"only a CSMS sends it", ocpp.V16, "RemoteStopTransaction", `{}`, "NotSupported", "", false},
		{"only a CSMS sends it", ocpp.V201, "SetVariables", `{"setVariableData":7}`, "NotSupported", "", false},
		{"integer for text", ocpp.V16, "StartTransaction", with(start16, `"04A1B2C3"`, `12`), "TypeConstraintViolation", "/idTag", false},
		{"text for integer", ocpp.V16, "StartTransaction", with(start16, `12345`, `"12345"`), "TypeConstraintViolation", "/meterStart", false},
		{"fraction for integer", ocpp.V16, "StartTransaction", with(start16, `12345`, `1.5`), "TypeConstraintViolation", "/meterStart", false},
		{"whole number with a point", ocpp.V16, "StartTransaction", with(start16, `12345`, `12345.0`), "", "", false},
		{"null for text", ocpp.V16, "StartTransaction", with(start16, `"04A1B2C3"`, `null`), "TypeConstraintViolation", "/idTag", false},
		{"object for array, lbbrhzn/ocpp 1144", ocpp.V16, "MeterValues", `{"connectorId":1,"meterValue":{"timestamp":"2024-04-16T17:28:55.000Z","sampledValue":[]}}`,
			"TypeConstraintViolation", "/meterValue", false},
		{"text for number", ocpp.V201, "TransactionEvent", with(event2, `12345.6`, `"12345.6"`), "TypeConstraintViolation",
			"/meterValue/0/sampledValue/0/value", false},
		{"missing", ocpp.V16, "StartTransaction", with(start16, `"connectorId":1,`, ``), "OccurenceConstraintViolation", "", false},
		{"missing", ocpp.V201, "TransactionEvent", with(event2, `"seqNo":0,`, ``), "OccurrenceConstraintViolation", "", false},
		{"missing inside", ocpp.V201, "TransactionEvent", with(event2, `,"type":"ISO14443"`, ``), "OccurrenceConstraintViolation", "/idToken", false},
		{"empty array", ocpp.V201, "MeterValues", `{"evseId":1,"meterValue":[]}`, "OccurrenceConstraintViolation", "/meterValue", true},
		{"unknown member", ocpp.V16, "StartTransaction", with(start16, `{`, `{"vendor":1,`), "FormationViolation", "", true},
		{"unknown member", ocpp.V201, "TransactionEvent", with(event2, `{`, `{"vendor":1,`), "ProtocolError", "", true},
		{"too long", ocpp.V16, "StartTransaction", with(start16, `04A1B2C3`, strings.Repeat("A", 21)), "PropertyConstraintViolation", "/idTag", true},
		{"20 characters of 3 bytes", ocpp.V16, "StartTransaction", with(start16, `04A1B2C3`, strings.Repeat("中", 20)), "", "", false},
		{"unlisted word", ocpp.V16, "StatusNotification", `{"connectorId":1,"errorCode":"NoError","status":"Sleeping"}`, "PropertyConstraintViolation", "/status", true},
		{"unlisted word", ocpp.V201, "TransactionEvent", with(event2, `"ISO14443"`, `"RFID"`), "PropertyConstraintViolation", "/idToken/type", true},
		{"out of range", ocpp.V201, "NotifyEVChargingNeeds", `{"evseId":1,"chargingNeeds":{"requestedEnergyTransfer":"DC","dcChargingParameters":` +
			`{"evMaxCurrent":1,"evMaxVoltage":1,"stateOfCharge":101}}}`, "PropertyConstraintViolation", "/chargingNeeds/dcChargingParameters/stateOfCharge", true},
		{"the gravest counts", ocpp.V16, "StartTransaction", `{"vendor":1,"connectorId":"1","idTag":"` + strings.Repeat("A", 21) + `"}`,
			"TypeConstraintViolation", "/connectorId", false},
		{"an enum and a missing member", ocpp.V16, "StatusNotification", `{"connectorId":1,"status":"Sleeping"}`, "OccurenceConstraintViolation", "", false},
		{"time without zone, evcc 10399", ocpp.V16, "StartTransaction", with(start16, `10:00:00Z`, `10:00:00`), "", "", false},
		{"no time at all is for a rule", ocpp.V16, "StartTransaction", with(start16, `2026-05-04T10:00:00Z`, `soon`), "", "", false},
		{"unit Hertz, 1.6 errata", ocpp.V16, "MeterValues", `{"connectorId":1,"meterValue":[{"timestamp":"","sampledValue":[{"value":"50","unit":"Hertz","measurand":"Frequency"}]}]}`, "", "", false},
		{"unit Celsius, 1.6 errata", ocpp.V16, "MeterValues", `{"connectorId":1,"meterValue":[{"timestamp":"","sampledValue":[{"value":"50","unit":"Celsius"},{"value":"50","unit":"Celcius"}]}]}`, "", "", false},
		{"Hertz elsewhere", ocpp.V16, "StatusNotification", `{"connectorId":1,"errorCode":"NoError","status":"Hertz"}`, "PropertyConstraintViolation", "/status", true},
		{"custom data", ocpp.V201, "Heartbeat", `{"customData":{"vendorId":"x","any":{"thing":1}}}`, "", "", false},
		{"payload is no object", ocpp.V201, "Heartbeat", `[]`, "FormatViolation", "", false},
		{"duplicate key", ocpp.V201, "Heartbeat", `{"customData":{"vendorId":"x","vendorId":"y"}}`, "FormatViolation", "", false},
	} {
		for range 20 { // a verdict does not depend on the order of a map
			err := s.CheckCall(c.v, c.action, []byte(c.payload))
			if err == nil {
				if c.code != "" {
					t.Errorf("%s, %s: accepted, want %s", c.name, c.v, c.code)
				}
				continue
			}
			got := string(err.Frame(c.v, "1").Code)
			if got != c.code || err.Pointer != c.pointer || err.Tolerable != c.tolerable {
				t.Errorf("%s, %s: %s at %q, tolerable %v (%v); want %s at %q, %v",
					c.name, c.v, got, err.Pointer, err.Tolerable, err, c.code, c.pointer, c.tolerable)
				break
			}
			if strings.Contains(err.Error(), "04A1B2C3") || strings.Contains(err.Error(), "AAAA") {
				t.Errorf("%s, %s: the error tells a token: %v", c.name, c.v, err)
			}
		}
	}
}

func TestCheckResult(t *testing.T) {
	s := ocpp.NewSchemas()
	if err := s.CheckResult(ocpp.V16, "TriggerMessage", []byte(`{"status":"Accepted"}`)); err != nil {
		t.Error(err)
	}
	if err := s.CheckResult(ocpp.V201, "TriggerMessage", []byte(`{"status":"accepted"}`)); err == nil || err.Code != ocpp.PropertyConstraintViolation {
		t.Error(err)
	}
	if err := s.CheckResult(ocpp.V201, "Nothing", []byte(`{}`)); err == nil || err.Code != ocpp.NotImplemented {
		t.Error(err)
	}
}

func TestSealTokens(t *testing.T) {
	seal := func(tok string) string { return "<" + tok + ">" }
	for _, c := range []struct{ raw, want string }{
		{`[2,"1","Authorize",{"idTag" : "04A1"}]`, `[2,"1","Authorize",{"idTag" : "<04A1>"}]`},
		{`[3,"1",{"idTagInfo":{"status":"Accepted","parentIdTag":"G\u0041\""}}]`, `[3,"1",{"idTagInfo":{"status":"Accepted","parentIdTag":"<GA\">"}}]`},
		{`[2,"1","Authorize",{"idToken":{"idToken":"04A1","type":"ISO14443","additionalInfo":[{"additionalIdToken":"X","type":"t"}]},"certificate":"c"}]`,
			`[2,"1","Authorize",{"idToken":{"idToken":"<04A1>","type":"ISO14443","additionalInfo":[{"additionalIdToken":"<X>","type":"t"}]},"certificate":"c"}]`},
		{`[2,"1","SendLocalList",{"localAuthorizationList":[{"idTag":"A"},{"idTag":"B","idTagInfo":{"parentIdTag":"C"}}]}]`,
			`[2,"1","SendLocalList",{"localAuthorizationList":[{"idTag":"<A>"},{"idTag":"<B>","idTagInfo":{"parentIdTag":"<C>"}}]}]`},
		{`{"IDTAG":"A","id\u0054ag":"B","IdTag":12,"idtag":null,"idToken":""}`, `{"IDTAG":"<A>","id\u0054ag":"<B>","IdTag":"<12>","idtag":null,"idToken":""}`},
		{`[2,"idTag","idToken",{"a":"idTag","value":1.50e+01}]`, `[2,"idTag","idToken",{"a":"idTag","value":1.50e+01}]`},
		{`[2,"1","Authorize",{"idTag":"04`, ``},
		{`[2,"1","Authorize",{"idTag":"04"}] {"idTag":"05"}`, ``},
		{"{\"idTag\":\"\xff\"}", ``},
	} {
		if got := string(ocpp.SealTokens([]byte(c.raw), seal)); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.raw, got, c.want)
		}
	}
}

func FuzzSealTokens(f *testing.F) {
	f.Add([]byte(`[2,"1","Authorize",{"idToken":{"idToken":"SECRET","type":"ISO14443"}}]`))
	f.Add([]byte(`{"idTag":"SECRET","b":{"parentIdTag":"SECRET","c":[{"IDTAG":7}]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var sealed int
		got := ocpp.SealTokens(raw, func(string) string { sealed++; return "" })
		if got == nil {
			return
		}
		if sealed == 0 && string(got) != string(raw) {
			t.Fatalf("nothing sealed, %q became %q", raw, got)
		}
		again := ocpp.SealTokens(got, func(tok string) string { t.Fatalf("%q is left in %q", tok, got); return "" })
		if string(again) != string(got) {
			t.Fatalf("%q became %q", got, again)
		}
	})
}
