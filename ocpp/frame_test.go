package ocpp_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/holdfast-ev/holdfast/ocpp"
)

func TestParseFrames(t *testing.T) {
	obj := json.RawMessage(`{"a":1}`)
	none := json.RawMessage(`{}`)
	for _, c := range []struct {
		raw  string
		want ocpp.Frame
	}{
		{`[2,"19223201","Heartbeat",{}]`, ocpp.Frame{Type: ocpp.Call, ID: "19223201", Action: "Heartbeat", Payload: none}},
		{` [ 2 , "x" , "Heartbeat" , {"a":1} ] `, ocpp.Frame{Type: ocpp.Call, ID: "x", Action: "Heartbeat", Payload: obj}},
		{`[2,"\u0078","Heart\u0062eat",null]`, ocpp.Frame{Type: ocpp.Call, ID: "x", Action: "Heartbeat", Payload: none}},
		{`[3,"x",{"a":1}]`, ocpp.Frame{Type: ocpp.CallResult, ID: "x", Payload: obj}},
		{`[3,"x",null]`, ocpp.Frame{Type: ocpp.CallResult, ID: "x", Payload: none}},
		{`[4,"x","OccurenceConstraintViolation","why",{"a":1}]`, ocpp.Frame{Type: ocpp.CallError, ID: "x",
			Code: ocpp.OccurrenceConstraintViolation, Description: "why", Details: obj}},
		{`[4,"x","FormationViolation",""]`, ocpp.Frame{Type: ocpp.CallError, ID: "x", Code: ocpp.FormatViolation, Details: none}},
		{`[4,"x","Vendor-specific","",null]`, ocpp.Frame{Type: ocpp.CallError, ID: "x", Code: "Vendor-specific", Details: none}},
		{`[4,"-1","InternalError"]`, ocpp.Frame{Type: ocpp.CallError, ID: "-1", Code: ocpp.InternalError, Details: none}},
	} {
		for _, v := range ocpp.Versions() {
			got, err := ocpp.Parse(v, []byte(c.raw))
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s %s:\n got %+v, %v\nwant %+v", v, c.raw, got, err, c.want)
			}
		}
	}
}

// The answers that OCPP-J 1.6 section 4.2.3 and OCPP 2.0.1 part 4 sections
// 4.2.3 and 4.3 give to frames that are none. "" is no answer at all.
func TestParseRefuses(t *testing.T) {
	deep := func(n int) string {
		return `[2,"x","Heartbeat",{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}]`
	}
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"k%d":{"k0":0}`, i)
		}
		return b.String()[1:]
	}
	if _, err := ocpp.Parse(ocpp.V16, []byte(`[2,"x","A",{`+many(40)+`}]`)); err != nil {
		t.Errorf("40 names: %v", err)
	}
	id36, id37 := strings.Repeat("i", 36), strings.Repeat("i", 37)
	if _, err := ocpp.Parse(ocpp.V16, []byte(`[2,"`+id36+`","Heartbeat",{}]`)); err != nil {
		t.Errorf("an id of 36 characters: %v", err)
	}
	if _, err := ocpp.Parse(ocpp.V16, []byte(deep(ocpp.MaxDepth-2))); err != nil {
		t.Errorf("a depth of %d: %v", ocpp.MaxDepth, err)
	}
	for _, c := range []struct{ name, raw, id, v16, v201 string }{
		{"empty", ``, "-1", "FormationViolation", "RpcFrameworkError"},
		{"not json", `hello`, "-1", "FormationViolation", "RpcFrameworkError"},
		{"object", `{"a":1}`, "-1", "FormationViolation", "RpcFrameworkError"},
		{"empty array", `[]`, "-1", "FormationViolation", "RpcFrameworkError"},
		{"type only", `[2]`, "-1", "FormationViolation", "RpcFrameworkError"},
		{"type is text", `["2","x","Heartbeat",{}]`, "x", "FormationViolation", "RpcFrameworkError"},
		{"type is no integer", `[2.5,"x","Heartbeat",{}]`, "x", "FormationViolation", "RpcFrameworkError"},
		{"unknown type", `[5,"x","Heartbeat",{}]`, "x", "", "MessageTypeNotSupported"},
		{"huge type", `[99,"x"]`, "x", "", "MessageTypeNotSupported"},
		{"id is a number", `[2,7,"Heartbeat",{}]`, "-1", "FormationViolation", "RpcFrameworkError"},
		{"id is null", `[2,null,"Heartbeat",{}]`, "-1", "FormationViolation", "RpcFrameworkError"},
		{"id is empty", `[2,"","Heartbeat",{}]`, "-1", "FormationViolation", "RpcFrameworkError"},
		{"id is too long", `[2,"` + id37 + `","Heartbeat",{}]`, id37, "FormationViolation", "RpcFrameworkError"},
		{"id is absurd", `[2,"` + strings.Repeat("i", 300) + `","Heartbeat",{}]`, "-1", "FormationViolation", "RpcFrameworkError"},
		{"no payload", `[2,"x","Heartbeat"]`, "x", "FormationViolation", "RpcFrameworkError"},
		{"no action", `[2,"x"]`, "x", "FormationViolation", "RpcFrameworkError"},
		{"action is an object", `[2,"x",{},{}]`, "x", "FormationViolation", "RpcFrameworkError"},
		{"one element more", `[2,"x","Heartbeat",{},{}]`, "x", "FormationViolation", "RpcFrameworkError"},
		{"many elements more", `[2,"x","Heartbeat",{},1,2,3]`, "x", "FormationViolation", "RpcFrameworkError"},
		{"payload is an array", `[2,"x","Heartbeat",[]]`, "x", "FormationViolation", "ProtocolError"},
		{"payload is text", `[2,"x","Heartbeat","{}"]`, "x", "FormationViolation", "ProtocolError"},
		{"payload breaks off", `[2,"x","Heartbeat",{"a":`, "x", "FormationViolation", "FormatViolation"},
		{"payload is not json", `[2,"x","Heartbeat",{a:1}]`, "x", "FormationViolation", "FormatViolation"},
		{"duplicate key", `[2,"x","Authorize",{"idTag":"A","idTag":"B"}]`, "x", "FormationViolation", "FormatViolation"},
		{"duplicate key, escaped", `[2,"x","Authorize",{"idTag":"A","id\u0054ag":"B"}]`, "x", "FormationViolation", "FormatViolation"},
		{"duplicate key, nested", `[2,"x","Authorize",{"a":[{"b":{"c":1,"c":1}}]}]`, "x", "FormationViolation", "FormatViolation"},
		{"duplicate key among many", `[2,"x","A",{` + many(40) + `,"k39":1}]`, "x", "FormationViolation", "FormatViolation"},
		{"deep", deep(ocpp.MaxDepth - 1), "x", "FormationViolation", "FormatViolation"},
		{"deep, 10,000", deep(10_000), "x", "FormationViolation", "FormatViolation"},
		{"huge exponent", `[2,"x","StartTransaction",{"meterStart":1e1000000000}]`, "x", "FormationViolation", "FormatViolation"},
		{"huge number", `[2,"x","StartTransaction",{"meterStart":` + strings.Repeat("9", 65) + `}]`, "x", "FormationViolation", "FormatViolation"},
		{"control character", "[2,\"x\",\"Heartbeat\",{\"a\":\"\n\"}]", "x", "FormationViolation", "FormatViolation"},
		{"bad escape", `[2,"x","Heartbeat",{"a":"\q"}]`, "x", "FormationViolation", "FormatViolation"},
		{"bad number", `[2,"x","Heartbeat",{"a":01}]`, "x", "FormationViolation", "FormatViolation"},
		{"not utf-8", "[2,\"x\",\"Heartbeat\",{\"a\":\"\xff\"}]", "-1", "FormationViolation", "RpcFrameworkError"},
		{"data behind", `[2,"x","Heartbeat",{}] [2]`, "x", "FormationViolation", "RpcFrameworkError"},
		{"too large", `[2,"x","Heartbeat",{"a":"` + strings.Repeat("a", ocpp.MaxFrameBytes) + `"}]`, "-1", "FormationViolation", "RpcFrameworkError"},
		{"result without payload", `[3,"x"]`, "x", "", ""},
		{"result with an array", `[3,"x",[]]`, "x", "", ""},
		{"error without code", `[4,"x"]`, "x", "", ""},
		{"error breaks off", `[4,"x","Inter`, "x", "", ""},
	} {
		for v, want := range map[ocpp.Version]string{ocpp.V16: c.v16, ocpp.V201: c.v201} {
			f, err := ocpp.Parse(v, []byte(c.raw))
			if err == nil {
				t.Errorf("%s, %s: accepted as %+v", c.name, v, f)
				continue
			}
			if err.ID != c.id || err.Mute != (want == "") {
				t.Errorf("%s, %s: id %q, mute %v; want %q, %v", c.name, v, err.ID, err.Mute, c.id, want == "")
			}
			if got := string(err.Frame(v, err.ID).Code); want != "" && got != want {
				t.Errorf("%s, %s: %s (%v), want %s", c.name, v, got, err, want)
			}
		}
	}
}

func TestErrorFrame(t *testing.T) {
	e := &ocpp.Error{Code: ocpp.OccurrenceConstraintViolation, Pointer: "/idTag", Description: strings.Repeat("ü", 200)}
	f := e.Frame(ocpp.V201, "7")
	if len(f.Description) > 255 || !utf8.ValidString(f.Description) || !strings.HasPrefix(f.Description, "/idTag: üü") {
		t.Errorf("description of %d bytes: %s", len(f.Description), f.Description)
	}
	got := string((&ocpp.Error{Code: ocpp.NotSupported, Description: "no"}).Frame(ocpp.V16, "7").Encode())
	if want := `[4,"7","NotSupported","no",{}]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Each code is spelled as its version spells it, and read back from either.
func TestErrorCodes(t *testing.T) {
	for _, c := range []struct{ code, v16 ocpp.ErrorCode }{
		{ocpp.FormatViolation, "FormationViolation"},
		{ocpp.GenericError, "GenericError"},
		{ocpp.InternalError, "InternalError"},
		{ocpp.MessageTypeNotSupported, "GenericError"},
		{ocpp.NotImplemented, "NotImplemented"},
		{ocpp.NotSupported, "NotSupported"},
		{ocpp.OccurrenceConstraintViolation, "OccurenceConstraintViolation"},
		{ocpp.PropertyConstraintViolation, "PropertyConstraintViolation"},
		{ocpp.ProtocolError, "ProtocolError"},
		{ocpp.RPCFrameworkError, "FormationViolation"},
		{ocpp.SecurityError, "SecurityError"},
		{ocpp.TypeConstraintViolation, "TypeConstraintViolation"},
	} {
		if got := c.code.In(ocpp.V16); got != c.v16 {
			t.Errorf("%s in 1.6: %s, want %s", c.code, got, c.v16)
		}
		if got := c.code.In(ocpp.V201); got != c.code {
			t.Errorf("%s in 2.0.1: %s", c.code, got)
		}
	}
}

func TestFramesRoundTrip(t *testing.T) {
	text := rapid.StringOf(rapid.RuneFrom(nil, &unicodeAll))
	id := rapid.StringMatching(`[ -~]{1,36}`)
	payload := rapid.Custom(func(t *rapid.T) json.RawMessage {
		m := rapid.MapOf(text, rapid.OneOf(text.AsAny(), rapid.Int32().AsAny(), rapid.Bool().AsAny())).Draw(t, "members")
		b, _ := json.Marshal(m)
		return b
	})
	rapid.Check(t, func(t *rapid.T) {
		f := ocpp.Frame{Type: rapid.IntRange(ocpp.Call, ocpp.CallError).Draw(t, "type"), ID: id.Draw(t, "id")}
		switch f.Type {
		case ocpp.Call:
			f.Action, f.Payload = text.Draw(t, "action"), payload.Draw(t, "payload")
		case ocpp.CallResult:
			f.Payload = payload.Draw(t, "payload")
		default:
			f.Code, f.Description, f.Details = ocpp.GenericError, text.Draw(t, "description"), payload.Draw(t, "details")
		}
		got, err := ocpp.Parse(ocpp.V201, f.Encode())
		if err != nil || !reflect.DeepEqual(got, f) {
			t.Fatalf("%s: %+v, %v; want %+v", f.Encode(), got, err, f)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`[2,"x","Heartbeat",{}]`, `[3,"x",{"a":[1,-2.5e3,true,false,null,"\ud83d\ude00\u0000"]}]`, `[4,"x","GenericError","",{}]`,
		`[5,"x","FormatViolation","",{}]`, `[6,"x","NotifyPeriodicEventStream",{"id":1}]`, `[6,"x"]`, `[5,"x",7]`,
		`[2,"x","A",{"a":1,"b":{"a":1}}]`, `[2,"x","A",{"a":1,"\u0061":1}]`, `[[[[[[[[`, `[2,"\ud800","A",null]`, `[]`, ` [ 2 ,`,
		`[2,"x","A",{"0":0,"1":0,"2":0,"3":0,"4":0,"5":0,"6":0,"7":0,"8":0,"9":0,"a":0,"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"0":1}]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, v := range ocpp.Versions() {
			got, err := ocpp.Parse(v, raw)
			if err != nil {
				if err.ID == "" || err.Code == "" || !utf8.ValidString(err.Frame(v, err.ID).Description) {
					t.Fatalf("incomplete error %+v", err)
				}
				if _, e := ocpp.Parse(v, err.Frame(v, "x").Encode()); e != nil {
					t.Fatalf("our own CALLERROR does not parse: %v", e)
				}
				continue
			}
			if !json.Valid(raw) || duplicates(raw) {
				t.Fatalf("accepted %q", raw)
			}
			again, err := ocpp.Parse(v, got.Encode())
			if err != nil || !reflect.DeepEqual(again, got) {
				t.Fatalf("%q: %+v, then %+v, %v", raw, got, again, err)
			}
		}
	})
}

// duplicates finds duplicate member names with another reader of JSON than the
// one under test.
func duplicates(raw []byte) bool {
	d := json.NewDecoder(bytes.NewReader(raw))
	var walk func() bool
	walk = func() bool {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) || err != nil {
			return false
		}
		switch tok {
		case json.Delim('{'):
			seen := map[string]bool{}
			for d.More() {
				name, _ := d.Token()
				if s, _ := name.(string); seen[s] {
					return true
				} else {
					seen[s] = true
				}
				if walk() {
					return true
				}
			}
			_, _ = d.Token()
		case json.Delim('['):
			for d.More() {
				if walk() {
					return true
				}
			}
			_, _ = d.Token()
		}
		return false
	}
	return walk()
}
