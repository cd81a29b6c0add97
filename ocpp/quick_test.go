package ocpp

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// full is the verdict of the official schema alone.
func full(b *bundle, id string, payload []byte) bool {
	o, err := Decode(payload)
	return err == nil && b.schema(id).Validate(map[string]any(o)) == nil
}

// A maker makes payloads for a schema: valid ones, and with spoil such that
// have about one fault.
type maker struct {
	t     *rapid.T
	root  map[string]any
	spoil bool
	out   bytes.Buffer
}

func (m *maker) odd(name string) bool {
	return m.spoil && rapid.IntRange(0, 11).Draw(m.t, name) == 0
}

func (m *maker) value(doc map[string]any, depth int) {
	if ref, ok := doc["$ref"].(string); ok {
		name, _ := strings.CutPrefix(ref, "#/definitions/")
		doc = m.root["definitions"].(map[string]any)[name].(map[string]any)
	}
	if m.odd("kind") {
		m.out.WriteString(rapid.SampledFrom([]string{`null`, `7`, `-1.5`, `1e3`, `1.0`, `007`, `"x"`, `""`, `[]`, `{}`, `true`, `tru`, `"\u0041"`, `"ä"`, `"\n"`, "\"\x01\"", `12345678901234567890`}).Draw(m.t, "other"))
		return
	}
	switch doc["type"] {
	case "object":
		m.object(doc, depth)
	case "array":
		item, _ := doc["items"].(map[string]any)
		most := 3
		if depth > 4 {
			most = 1
		}
		m.out.WriteByte('[')
		for i := range rapid.IntRange(1, most).Draw(m.t, "elements") {
			if i > 0 {
				m.out.WriteByte(',')
			}
			m.value(item, depth+1)
		}
		m.out.WriteByte(']')
	case "string":
		if list, ok := doc["enum"].([]any); ok && !m.odd("word") {
			fmt.Fprintf(&m.out, "%q", rapid.SampledFrom(list).Draw(m.t, "enum"))
			return
		}
		length := rapid.IntRange(0, 20).Draw(m.t, "length")
		if m.odd("long") {
			length = 600
		}
		fmt.Fprintf(&m.out, `"%s"`, strings.Repeat("a", length))
	case "integer":
		fmt.Fprint(&m.out, rapid.IntRange(-5, 100).Draw(m.t, "integer"))
	case "number":
		fmt.Fprint(&m.out, rapid.SampledFrom([]string{"0", "1.5", "-3", "20.25"}).Draw(m.t, "number"))
	case "boolean":
		fmt.Fprint(&m.out, rapid.Bool().Draw(m.t, "boolean"))
	default:
		m.out.WriteString(`{}`)
	}
}

func (m *maker) object(doc map[string]any, depth int) {
	all, _ := doc["properties"].(map[string]any)
	required, _ := doc["required"].([]any)
	m.out.WriteByte('{')
	first := true
	put := func(name string) {
		if !first {
			m.out.WriteByte(',')
		}
		first = false
		fmt.Fprintf(&m.out, "%q: ", name)
		of, _ := all[name].(map[string]any)
		m.value(of, depth+1)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		must := slices.Contains(required, any(name))
		if must && !m.odd("missing") || !must && depth < 4 && rapid.IntRange(0, 3).Draw(m.t, "optional") == 0 {
			put(name)
			if m.odd("twice") {
				put(name)
			}
		}
	}
	if m.odd("unknown") {
		put("vendor")
	}
	m.out.WriteByte('}')
}

// What a shape accepts the official schema accepts, for every schema of every
// version and for payloads with and without faults; and a shape accepts most of
// what is valid, or it would be of no use.
func TestShapesAcceptNothingElse(t *testing.T) {
	s := NewSchemas()
	valid, accepted := 0, 0
	for _, v := range []Version{V16, V201, V21} {
		b := s.of(v)
		for _, id := range slices.Sorted(maps.Keys(b.documents)) {
			doc, err := Decode(b.documents[id])
			if err != nil {
				t.Fatal(err)
			}
			sh := b.shape(id)
			rapid.Check(t, func(rt *rapid.T) {
				m := maker{t: rt, root: doc, spoil: rapid.Bool().Draw(rt, "spoil")}
				m.value(doc, 0)
				payload := m.out.Bytes()
				ok, want := sh.accepts(payload), full(b, id, payload)
				if ok && !want {
					rt.Fatalf("%s %s: accepted, and not valid: %s", v, id, payload)
				}
				if want {
					valid++
				}
				if ok {
					accepted++
				}
			})
		}
	}
	t.Logf("%d valid payloads, %d of them accepted at once", valid, accepted)
	if accepted < valid*3/4 {
		t.Errorf("only %d of %d valid payloads were accepted at once", accepted, valid)
	}
}

// The messages of a charging day are accepted at once.
func TestShapesOfTheDay(t *testing.T) {
	s := NewSchemas()
	for _, c := range []struct {
		v          Version
		id, action string
	}{
		{V16, `{"idTag":"04A1B2C3"}`, "Authorize"},
		{V16, `{"connectorId":1,"idTag":"04A1B2C3","meterStart":12345,"timestamp":"2026-05-04T10:00:00Z"}`, "StartTransaction"},
		{V16, `{"connectorId":1,"errorCode":"NoError","status":"Charging"}`, "StatusNotification"},
		{V16, `{"connectorId":1,"transactionId":7,"meterValue":[{"timestamp":"2026-05-04T10:00:00Z","sampledValue":[{"value":"1","measurand":"Energy.Active.Import.Register","unit":"Wh"}]}]}`, "MeterValues"},
		{V16, `{"meterStop":1,"timestamp":"2026-05-04T10:00:00Z","transactionId":7}`, "StopTransaction"},
		{V201, `{"eventType":"Started","timestamp":"2026-05-04T10:00:00Z","triggerReason":"Authorized","seqNo":0,"transactionInfo":{"transactionId":"a","chargingState":"Charging"},` +
			`"evse":{"id":1,"connectorId":1},"idToken":{"idToken":"04A1B2C3","type":"ISO14443"},"meterValue":[{"timestamp":"2026-05-04T10:00:00Z","sampledValue":[{"value":12345.6,"unitOfMeasure":{"unit":"kWh","multiplier":0}}]}]}`, "TransactionEvent"},
		{V201, `{"timestamp":"2026-05-04T10:00:00Z","connectorStatus":"Occupied","evseId":1,"connectorId":1}`, "StatusNotification"},
	} {
		id, _ := names(c.v, c.action)
		if sh := s.of(c.v).shape(id); sh == nil || !sh.accepts([]byte(c.id)) {
			t.Errorf("%s %s went to the full schema", c.v, c.action)
		}
	}
}

// FuzzShapes: any bytes at all.
func FuzzShapes(f *testing.F) {
	f.Add("StartTransaction", []byte(`{"connectorId":1,"idTag":"04A1B2C3","meterStart":12345,"timestamp":"2026-05-04T10:00:00Z"}`))
	f.Add("MeterValues", []byte(`{"connectorId":1,"meterValue":[{"timestamp":"","sampledValue":[{"value":"50","unit":"Hertz"}]}]}`))
	f.Add("SetChargingProfile", []byte(`{"connectorId":1,"csChargingProfiles":{"chargingProfileId":1,"stackLevel":0,"chargingProfilePurpose":"TxProfile","chargingProfileKind":"Absolute","chargingSchedule":{"chargingRateUnit":"A","chargingSchedulePeriod":[{"startPeriod":0,"limit":16.1}]}}}`))
	s := NewSchemas()
	f.Fuzz(func(t *testing.T, action string, payload []byte) {
		for _, v := range []Version{V16, V201, V21} {
			id, _ := names(v, action)
			if sh := s.of(v).shape(id); sh != nil && sh.accepts(payload) && !full(s.of(v), id, payload) {
				t.Fatalf("%s %s: accepted, and not valid: %s", v, id, payload)
			}
		}
	})
}
