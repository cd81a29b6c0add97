package ocpp_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/ocpp/v16"
	"github.com/holdfast-ev/holdfast/ocpp/v2"
)

func dialects() []ocpp.Dialect {
	return []ocpp.Dialect{v16.Dialect{}, v2.Dialect{}, v2.Dialect{Speaks: ocpp.V21}}
}

// checker gives the verdict on what we send: that of the embedded schemas and,
// when HOLDFAST_OCPP_SCHEMAS names a directory with the Open Charge Alliance's
// own files (v16/*.json, v201/*.json), of those as well.
type checker struct {
	schemas  *ocpp.Schemas
	official string
}

func newChecker() checker {
	return checker{ocpp.NewSchemas(), os.Getenv("HOLDFAST_OCPP_SCHEMAS")}
}

func (c checker) check(t *testing.T, v ocpp.Version, action string, result bool, payload []byte) {
	t.Helper()
	err := c.schemas.CheckCommand(v, action, payload)
	if result {
		err = c.schemas.CheckResult(v, action, payload)
	}
	if err != nil {
		t.Errorf("%s %s: %s: %v", v, action, payload, err)
	}
	if c.official == "" {
		return
	}
	name := map[ocpp.Version]string{ocpp.V16: "v16/", ocpp.V201: "v201/", ocpp.V21: "v21/"}[v] + action
	if result {
		name += "Response"
	} else if v != ocpp.V16 && !ocpp.Unconfirmed(action) {
		name += "Request"
	}
	text, rerr := os.ReadFile(filepath.Join(c.official, name+".json"))
	if rerr != nil {
		t.Fatal(rerr)
	}
	doc, rerr := jsonschema.UnmarshalJSON(bytes.NewReader(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))))
	if rerr != nil {
		t.Fatal(rerr)
	}
	compiler := jsonschema.NewCompiler()
	if rerr = compiler.AddResource("urn:official", doc); rerr != nil {
		t.Fatal(rerr)
	}
	value, rerr := jsonschema.UnmarshalJSON(bytes.NewReader(payload))
	if rerr != nil {
		t.Fatal(rerr)
	}
	if rerr = compiler.MustCompile("urn:official").Validate(value); rerr != nil {
		t.Errorf("%s %s: %s: official schema: %v", v, action, payload, rerr)
	}
}

// The tables know every action of the schemas, once, and the direction that the
// schemas' verdict goes by.
func TestTablesAreComplete(t *testing.T) {
	s := ocpp.NewSchemas()
	for _, d := range dialects() {
		var names []string
		for _, m := range d.Messages() {
			names = append(names, m.Action)
			if m.FromCS == (m.Event == "") || !m.FromCSMS && m.Command != "" || !m.FromCS && !m.FromCSMS {
				t.Errorf("%s: %+v contradicts itself", d.Version(), m)
			}
			err := s.CheckCall(d.Version(), m.Action, []byte(`{"\u0000":0}`))
			if ocpp.Unconfirmed(m.Action) {
				err = s.CheckSend(d.Version(), m.Action, []byte(`{"\u0000":0}`))
			}
			if refused := err.Code == ocpp.NotSupported; refused == m.FromCS {
				t.Errorf("%s %s: %v, but the table says from a charger: %v", d.Version(), m.Action, err, m.FromCS)
			}
		}
		slices.Sort(names)
		if want := s.Actions(d.Version()); !slices.Equal(names, want) {
			t.Errorf("%s: table has %v, schemas have %v", d.Version(), names, want)
		}
	}
}

// Every action that a charger may send gets an answer, and every other one is
// refused.
func TestEveryActionIsAnswered(t *testing.T) {
	c := newChecker()
	for _, d := range dialects() {
		for _, m := range d.Messages() {
			ev, err := d.Event(m.Action, []byte(samplePayload(d.Version(), m.Action)))
			if !m.FromCS {
				if err == nil || err.Code != ocpp.NotSupported {
					t.Errorf("%s %s from a charger: %v, %v", d.Version(), m.Action, ev, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s %s: %v", d.Version(), m.Action, err)
				continue
			}
			if name := strings.TrimPrefix(reflect.TypeOf(ev).String(), "ocpp."); name != m.Event {
				t.Errorf("%s %s: event %s, table says %s", d.Version(), m.Action, name, m.Event)
			}
			for _, a := range answersTo(ev) {
				if ocpp.Unconfirmed(m.Action) {
					continue // a SEND has no answer
				}
				c.check(t, d.Version(), m.Action, true, d.Answer(m.Action, ev, a))
			}
		}
		if _, err := d.Event("Frobnicate", []byte(`{}`)); err == nil || err.Code != ocpp.NotImplemented {
			t.Errorf("%s: %v for an unknown action", d.Version(), err)
		}
	}
}

// samplePayload is a payload that an event can be read from.
func samplePayload(v ocpp.Version, action string) string {
	if v != ocpp.V16 && action == "StatusNotification" {
		return `{"timestamp":"2026-05-04T10:00:00Z","connectorStatus":"Occupied","evseId":1,"connectorId":1}`
	}
	switch action {
	case "Authorize":
		if v == ocpp.V16 {
			return `{"idTag":"A"}`
		}
		return `{"idToken":{"idToken":"A","type":"Central"}}`
	case "DataTransfer":
		return `{"vendorId":"x"}`
	case "DiagnosticsStatusNotification", "FirmwareStatusNotification", "SignedFirmwareStatusNotification", "LogStatusNotification", "PublishFirmwareStatusNotification":
		return `{"status":"Idle"}`
	case "NotifyReport":
		return `{"requestId":1,"seqNo":0}`
	case "ReportChargingProfiles":
		return `{"requestId":1,"evseId":1,"chargingLimitSource":"CSO","chargingProfile":[]}`
	case "ReservationStatusUpdate":
		return `{"reservationId":1,"reservationUpdateStatus":"Expired"}`
	case "SecurityEventNotification":
		return `{"type":"StartupOfTheDevice","timestamp":"2026-05-04T10:00:00Z"}`
	case "MeterValues":
		return `{"connectorId":1,"evseId":1,"meterValue":[]}`
	case "StartTransaction":
		return start16
	case "StatusNotification":
		return `{"connectorId":1,"errorCode":"NoError","status":"Available"}`
	case "StopTransaction":
		return `{"transactionId":1,"meterStop":2,"timestamp":"2026-05-04T10:00:00Z"}`
	case "TransactionEvent":
		return event2
	case "VatNumberValidation":
		return `{"vatNumber":"NL1"}`
	case "GetCertificateChainStatus":
		return `{"certificateStatusRequests":[{"source":"CRL","urls":["http://x"],"certificateHashData":{"hashAlgorithm":"SHA512","issuerNameHash":"a","issuerKeyHash":"b","serialNumber":"c"}}]}`
	}
	return `{}`
}

// answersTo lists answers of every shape that fit an event.
func answersTo(ev ocpp.Event) (out []ocpp.Answer) {
	const now = holdfast.UnixMilli(1777888800123)
	var verdicts []ocpp.AuthAnswer
	for _, s := range []ocpp.AuthStatus{ocpp.AuthAccepted, ocpp.AuthBlocked, ocpp.AuthExpired, ocpp.AuthInvalid,
		ocpp.AuthConcurrentTx, ocpp.AuthNoCredit, "Unheard", ""} {
		verdicts = append(verdicts, ocpp.AuthAnswer{Status: s}, ocpp.AuthAnswer{Status: s, Expires: now, Group: "GROUP"},
			ocpp.AuthAnswer{Status: s, Group: strings.Repeat("G", 37)})
	}
	switch ev.(type) {
	case ocpp.Boot:
		for _, s := range []string{"Accepted", "Pending", "Rejected"} {
			out = append(out, ocpp.BootAnswer{Status: s, Now: now, IntervalS: 300})
		}
	case ocpp.Heartbeat:
		out = append(out, ocpp.TimeAnswer{Now: now})
	case ocpp.Authorize:
		for _, v := range verdicts {
			out = append(out, v)
		}
	case ocpp.Transaction:
		out = append(out, ocpp.TxAnswer{}, ocpp.TxAnswer{ID: 1<<31 - 1})
		for i := range verdicts {
			out = append(out, ocpp.TxAnswer{ID: 7, Auth: &verdicts[i]})
		}
	case ocpp.Data:
		for _, s := range []string{"Accepted", "Rejected", "UnknownMessageId", "UnknownVendorId"} {
			out = append(out, ocpp.DataAnswer{Status: s})
		}
		out = append(out, ocpp.Done{})
	default:
		out = append(out, ocpp.Done{})
	}
	return out
}

func TestAnswers(t *testing.T) {
	const now = holdfast.UnixMilli(1777888800123)
	accepted := &ocpp.AuthAnswer{Status: ocpp.AuthAccepted, Expires: now, Group: "FLEET"}
	broke := &ocpp.AuthAnswer{Status: ocpp.AuthNoCredit}
	for _, c := range []struct {
		d      ocpp.Dialect
		action string
		a      ocpp.Answer
		want   string
	}{
		{v16.Dialect{}, "BootNotification", ocpp.BootAnswer{Status: "Accepted", Now: now, IntervalS: 300},
			`{"status":"Accepted","currentTime":"2026-05-04T10:00:00.123Z","interval":300}`},
		{v16.Dialect{}, "Heartbeat", ocpp.TimeAnswer{Now: now}, `{"currentTime":"2026-05-04T10:00:00.123Z"}`},
		{v16.Dialect{}, "Authorize", *accepted, `{"idTagInfo":{"status":"Accepted","expiryDate":"2026-05-04T10:00:00.123Z","parentIdTag":"FLEET"}}`},
		{v16.Dialect{}, "Authorize", *broke, `{"idTagInfo":{"status":"Blocked"}}`},
		{v16.Dialect{}, "StartTransaction", ocpp.TxAnswer{ID: 17, Auth: accepted},
			`{"idTagInfo":{"status":"Accepted","expiryDate":"2026-05-04T10:00:00.123Z","parentIdTag":"FLEET"},"transactionId":17}`},
		{v16.Dialect{}, "StartTransaction", ocpp.TxAnswer{ID: 17}, `{"idTagInfo":{"status":"Invalid"},"transactionId":17}`},
		{v16.Dialect{}, "StopTransaction", ocpp.TxAnswer{}, `{}`},
		{v16.Dialect{}, "StopTransaction", ocpp.TxAnswer{Auth: broke}, `{"idTagInfo":{"status":"Blocked"}}`},
		{v16.Dialect{}, "SignCertificate", ocpp.Done{}, `{"status":"Rejected"}`},
		{v16.Dialect{}, "MeterValues", ocpp.Done{}, `{}`},
		{v2.Dialect{}, "BootNotification", ocpp.BootAnswer{Status: "Pending", Now: now, IntervalS: 10},
			`{"currentTime":"2026-05-04T10:00:00.123Z","interval":10,"status":"Pending"}`},
		{v2.Dialect{}, "Authorize", *broke, `{"idTokenInfo":{"status":"NoCredit"}}`},
		{v2.Dialect{}, "TransactionEvent", ocpp.TxAnswer{ID: 17, Auth: accepted},
			`{"idTokenInfo":{"status":"Accepted","cacheExpiryDateTime":"2026-05-04T10:00:00.123Z","groupIdToken":{"idToken":"FLEET","type":"Central"}}}`},
		{v2.Dialect{}, "TransactionEvent", ocpp.TxAnswer{}, `{}`},
		{v2.Dialect{}, "NotifyEVChargingNeeds", ocpp.Done{}, `{"status":"Rejected"}`},
		{v2.Dialect{}, "Get15118EVCertificate", ocpp.Done{}, `{"status":"Failed","exiResponse":""}`},
	} {
		if got := string(c.d.Answer(c.action, ocpp.Other{}, c.a)); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.d.Version(), c.action, got, c.want)
		}
	}
	for _, d := range dialects() {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: a boot answered with a verdict does not panic", d.Version())
				}
			}()
			d.Answer("BootNotification", ocpp.Boot{}, ocpp.AuthAnswer{})
		}()
	}
}

func TestCommands(t *testing.T) {
	c := newChecker()
	card := holdfast.Token{Value: "04A1B2C3"}
	for _, x := range []struct {
		cmd           ocpp.Command
		v21           string // where 2.1 differs from 2.0.1
		v16, v2       string // action and payload; "": ErrUnsupported, "!": ErrCommand
		answer, value string
	}{
		{cmd: ocpp.RemoteStart{EVSE: 2, Token: card, RemoteID: 9},
			v16: `RemoteStartTransaction {"connectorId":2,"idTag":"04A1B2C3"}`,
			v2:  `RequestStartTransaction {"evseId":2,"remoteStartId":9,"idToken":{"idToken":"04A1B2C3","type":"Central"}}`},
		{cmd: ocpp.RemoteStart{Token: holdfast.Token{Value: strings.Repeat("A", 21), Type: "eMAID"}},
			v16: `!`, v2: `RequestStartTransaction {"remoteStartId":0,"idToken":{"idToken":"AAAAAAAAAAAAAAAAAAAAA","type":"eMAID"}}`},
		{cmd: ocpp.RemoteStart{Token: holdfast.Token{Value: strings.Repeat("A", 37)}}, v16: `!`, v2: `!`,
			v21: `RequestStartTransaction {"remoteStartId":0,"idToken":{"idToken":"` + strings.Repeat("A", 37) + `","type":"Central"}}`},
		{cmd: ocpp.RemoteStart{Token: holdfast.Token{Value: strings.Repeat("A", 256)}}, v16: `!`, v2: `!`},
		{cmd: ocpp.RemoteStart{}, v16: `!`, v2: `!`},
		{cmd: ocpp.RemoteStart{EVSE: -1, Token: card}, v16: `!`, v2: `!`},
		{cmd: ocpp.RemoteStop{ID: "-1"}, v16: `RemoteStopTransaction {"transactionId":-1}`, v2: `RequestStopTransaction {"transactionId":"-1"}`},
		{cmd: ocpp.RemoteStop{ID: "8f14e45f"}, v16: `!`, v2: `RequestStopTransaction {"transactionId":"8f14e45f"}`},
		{cmd: ocpp.RemoteStop{ID: "2147483648"}, v16: `!`, v2: `RequestStopTransaction {"transactionId":"2147483648"}`},
		{cmd: ocpp.RemoteStop{}, v16: `!`, v2: `!`},
		{cmd: ocpp.Trigger{Message: "StatusNotification", EVSE: 1},
			v16: `TriggerMessage {"requestedMessage":"StatusNotification","connectorId":1}`,
			v2:  `TriggerMessage {"evse":{"id":1,"connectorId":1},"requestedMessage":"StatusNotification"}`},
		{cmd: ocpp.Trigger{Message: "MeterValues", EVSE: 1},
			v16: `TriggerMessage {"requestedMessage":"MeterValues","connectorId":1}`,
			v2:  `TriggerMessage {"evse":{"id":1},"requestedMessage":"MeterValues"}`},
		{cmd: ocpp.Trigger{Message: "Heartbeat"}, v16: `TriggerMessage {"requestedMessage":"Heartbeat"}`, v2: `TriggerMessage {"requestedMessage":"Heartbeat"}`},
		{cmd: ocpp.Trigger{Message: "TransactionEvent"}, v16: ``, v2: `TriggerMessage {"requestedMessage":"TransactionEvent"}`},
		{cmd: ocpp.Trigger{Message: "DiagnosticsStatusNotification"}, v16: `TriggerMessage {"requestedMessage":"DiagnosticsStatusNotification"}`, v2: ``},
		{cmd: ocpp.GetConfig{}, v16: `GetConfiguration {}`, v2: ``},
		{cmd: ocpp.GetConfig{Keys: []string{"OCPPCommCtrlr.MessageAttempts[TransactionEvent]", "Tariff[de].Note"}},
			v16: `GetConfiguration {"key":["OCPPCommCtrlr.MessageAttempts[TransactionEvent]","Tariff[de].Note"]}`,
			v2: `GetVariables {"getVariableData":[{"component":{"name":"OCPPCommCtrlr"},"variable":{"name":"MessageAttempts","instance":"TransactionEvent"}},` +
				`{"component":{"name":"Tariff","instance":"de"},"variable":{"name":"Note"}}]}`},
		{cmd: ocpp.GetConfig{Keys: []string{"HeartbeatInterval"}}, v16: `GetConfiguration {"key":["HeartbeatInterval"]}`, v2: `!`},
		{cmd: ocpp.GetConfig{Keys: []string{"A.B]"}}, v16: `GetConfiguration {"key":["A.B]"]}`, v2: `GetVariables {"getVariableData":[{"component":{"name":"A"},"variable":{"name":"B]"}}]}`},
		{cmd: ocpp.GetConfig{Keys: []string{"A[x.B"}}, v16: `GetConfiguration {"key":["A[x.B"]}`, v2: `!`},
		{cmd: ocpp.GetConfig{Keys: []string{""}}, v16: `!`, v2: `!`},
		{cmd: ocpp.SetConfig{Key: "AuthCtrlr.Enabled", Value: ""},
			v16: `ChangeConfiguration {"key":"AuthCtrlr.Enabled","value":""}`,
			v2:  `SetVariables {"setVariableData":[{"attributeValue":"","component":{"name":"AuthCtrlr"},"variable":{"name":"Enabled"}}]}`},
		{cmd: ocpp.SetConfig{Key: "A.B", Value: strings.Repeat("v", 501)}, v16: `!`,
			v2: `SetVariables {"setVariableData":[{"attributeValue":"` + strings.Repeat("v", 501) + `","component":{"name":"A"},"variable":{"name":"B"}}]}`},
		{cmd: ocpp.SetConfig{Key: "A.B", Value: strings.Repeat("v", 1001)}, v16: `!`, v2: `!`},
		{cmd: ocpp.SendData{Vendor: "org.example", MessageID: "m", Data: json.RawMessage(`{"a": 1.50}`)},
			v16: `DataTransfer {"vendorId":"org.example","messageId":"m","data":"{\"a\": 1.50}"}`,
			v2:  `DataTransfer {"vendorId":"org.example","messageId":"m","data":{"a":1.50}}`},
		{cmd: ocpp.SendData{Vendor: "org.example", Data: json.RawMessage(`"text"`)},
			v16: `DataTransfer {"vendorId":"org.example","data":"text"}`, v2: `DataTransfer {"vendorId":"org.example","data":"text"}`},
		{cmd: ocpp.SendData{Vendor: "org.example"}, v16: `DataTransfer {"vendorId":"org.example"}`, v2: `DataTransfer {"vendorId":"org.example"}`},
		{cmd: ocpp.SendData{}, v16: `!`, v2: `!`},
		{cmd: nil, v16: ``, v2: ``},
	} {
		for i, want := range []string{x.v16, x.v2, x.v2} {
			d := dialects()[i]
			if x.v21 != "" && d.Version() == ocpp.V21 {
				want = x.v21
			}
			action, payload, err := d.Command(x.cmd)
			switch {
			case want == "" && !errors.Is(err, ocpp.ErrUnsupported), want == "!" && !errors.Is(err, ocpp.ErrCommand):
				t.Errorf("%s %+v: %s %s, %v", d.Version(), x.cmd, action, payload, err)
			case want == "" || want == "!":
				if strings.Contains(err.Error(), "AAAA") {
					t.Errorf("%s: the error tells a token: %v", d.Version(), err)
				}
			case err != nil || action+" "+string(payload) != want:
				t.Errorf("%s %+v:\n got %s %s, %v\nwant %s", d.Version(), x.cmd, action, payload, err, want)
			default:
				c.check(t, d.Version(), action, false, payload)
			}
		}
	}
}

func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		d       ocpp.Dialect
		cmd     ocpp.Command
		payload string
		want    ocpp.Outcome
	}{
		{v16.Dialect{}, ocpp.RemoteStart{}, `{"status":"Accepted"}`, ocpp.Outcome{Accepted: true, Status: "Accepted"}},
		{v16.Dialect{}, ocpp.RemoteStop{}, `{"status":"Rejected"}`, ocpp.Outcome{Status: "Rejected"}},
		{v16.Dialect{}, ocpp.Trigger{}, `{"status":"NotImplemented"}`, ocpp.Outcome{Status: "NotImplemented"}},
		{v16.Dialect{}, ocpp.SetProfile{}, `{"status":"NotSupported"}`, ocpp.Outcome{Status: "NotSupported"}},
		{v16.Dialect{}, ocpp.SetConfig{}, `{"status":"RebootRequired"}`, ocpp.Outcome{Accepted: true, Status: "RebootRequired"}},
		{v16.Dialect{}, ocpp.GetConfig{}, `{"configurationKey":[{"key":"A","readonly":false,"value":"1"},{"key":"B","readonly":true}],"unknownKey":["C"]}`,
			ocpp.Outcome{Accepted: true, Values: map[string]string{"A": "1", "B": ""}}},
		{v16.Dialect{}, ocpp.GetConfig{}, `{}`, ocpp.Outcome{Accepted: true, Values: map[string]string{}}},
		{v2.Dialect{}, ocpp.RemoteStart{}, `{"status":"Accepted","transactionId":"x"}`, ocpp.Outcome{Accepted: true, Status: "Accepted"}},
		{v2.Dialect{}, ocpp.SendData{}, `{"status":"UnknownVendorId"}`, ocpp.Outcome{Status: "UnknownVendorId"}},
		{v2.Dialect{}, ocpp.SetConfig{}, `{"setVariableResult":[{"attributeStatus":"RebootRequired","component":{"name":"A"},"variable":{"name":"B"}}]}`,
			ocpp.Outcome{Accepted: true, Status: "RebootRequired", Values: map[string]string{}}},
		{v2.Dialect{}, ocpp.GetConfig{}, `{"getVariableResult":[` +
			`{"attributeStatus":"Accepted","attributeValue":"5","component":{"name":"A","instance":"i"},"variable":{"name":"B","instance":"j"}},` +
			`{"attributeStatus":"UnknownVariable","component":{"name":"A"},"variable":{"name":"C"}}]}`,
			ocpp.Outcome{Accepted: true, Status: "UnknownVariable", Values: map[string]string{"A[i].B[j]": "5"}}},
	} {
		if got, err := c.d.Outcome(c.cmd, []byte(c.payload)); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s %T %s: %+v, %v; want %+v", c.d.Version(), c.cmd, c.payload, got, err, c.want)
		}
	}
	for _, d := range dialects() {
		for _, bad := range []string{`{}`, `[]`, `{"status"`} {
			if got, err := d.Outcome(ocpp.RemoteStop{}, []byte(bad)); err == nil {
				t.Errorf("%s: %s is read as %+v", d.Version(), bad, got)
			}
		}
	}
	if got, err := (v2.Dialect{}).Outcome(ocpp.GetConfig{}, []byte(`{"getVariableResult":[]}`)); err == nil {
		t.Errorf("an empty result is read as %+v", got)
	}
}

var rewrite = flag.Bool("rewrite", false, "rewrite the tables in docs/ocpp.md")

// docs/ocpp.md holds the tables of messages as the code has them.
func TestDocumentedTables(t *testing.T) {
	const path = "../docs/ocpp.md"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	for _, d := range dialects() {
		head, tail := fmt.Sprintf("<!-- messages %s -->\n", d.Version()), "<!-- end -->"
		before, rest, ok := strings.Cut(doc, head)
		table, after, ok2 := strings.Cut(rest, tail)
		if !ok || !ok2 {
			t.Fatalf("%s has no table for %s", path, d.Version())
		}
		if table != tableOf(d) && !*rewrite {
			t.Errorf("%s: the table for %s differs from the code; run go test ./ocpp -rewrite", path, d.Version())
		}
		doc = before + head + tableOf(d) + tail + after
	}
	if *rewrite {
		if err := os.WriteFile(path, []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func tableOf(d ocpp.Dialect) string {
	var b strings.Builder
	b.WriteString("| action | from a charger | to a charger |\n|---|---|---|\n")
	for _, m := range d.Messages() {
		from, to := "refused: NotSupported", "-"
		switch {
		case ocpp.Unconfirmed(m.Action):
			from = "journaled; a SEND has no answer"
		case m.Event == "Other":
			from = "answered and journaled"
			if answer := string(d.Answer(m.Action, ocpp.Other{}, ocpp.Done{})); answer != "{}" {
				from += ": `" + answer + "`"
			}
		case m.FromCS:
			from = "rule: `" + m.Event + "`"
		}
		switch {
		case m.Command == "Invoke":
			to = "on request: `Invoke`"
		case m.Command != "":
			to = "command: `" + strings.ReplaceAll(m.Command, ", ", "`, `") + "`"
		case m.FromCSMS:
			to = "forwarded later"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", m.Action, from, to)
	}
	return b.String()
}
