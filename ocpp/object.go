package ocpp

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
)

// An Object is a decoded JSON object. Its methods read a member by its exact
// name and never fail: what is absent or of another type reads as zero, and
// the callers ask where that matters. A nil Object has no members.
type Object map[string]any

// Decode reads a payload that [Parse] let through, or any other bytes: it
// checks them as strictly.
func Decode(payload []byte) (Object, *Error) {
	v, err := decode(payload)
	if err != nil {
		return nil, &Error{Code: FormatViolation, Description: err.Error()}
	}
	o, ok := v.(map[string]any)
	if !ok {
		return nil, &Error{Code: FormatViolation, Description: "the payload is not an object"}
	}
	return o, nil
}

// Has reports whether the member is there and not null.
func (o Object) Has(name string) bool { return o[name] != nil }

// Text returns a string member.
func (o Object) Text(name string) string {
	s, _ := o[name].(string)
	return s
}

// Number returns a number member's own digits; a string member reads as them
// too, because 1.6 sends meter values so.
func (o Object) Number(name string) string {
	switch v := o[name].(type) {
	case json.Number:
		return string(v)
	case string:
		return v
	}
	return ""
}

// Integer returns a number member that is whole, however it is written (1.0 and
// 1e2 are integers to JSON Schema).
func (o Object) Integer(name string) (int64, bool) {
	n, ok := o[name].(json.Number)
	if !ok {
		return 0, false
	}
	return wholeNumber(string(n))
}

// Int is Integer for what fits 32 bits, as OCPP's integers do.
func (o Object) Int(name string) (int, bool) {
	n, ok := o.Integer(name)
	if !ok || n < math.MinInt32 || n > math.MaxInt32 {
		return 0, false
	}
	return int(n), true
}

// Bool returns a boolean member.
func (o Object) Bool(name string) bool {
	b, _ := o[name].(bool)
	return b
}

// Object returns an object member.
func (o Object) Object(name string) Object {
	m, _ := o[name].(map[string]any)
	return m
}

// Objects returns the objects in an array member.
func (o Object) Objects(name string) []Object {
	list, _ := o[name].([]any)
	out := make([]Object, 0, len(list))
	for _, v := range list {
		if m, ok := v.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// Raw returns the member's own bytes in payload, which o was decoded from; nil
// when there is none.
func (o Object) Raw(payload []byte, name string) json.RawMessage {
	if _, ok := o[name]; !ok {
		return nil
	}
	s := scanner{b: payload}
	if s.peek() != '{' {
		return nil
	}
	for s.i++; s.peek() == '"'; s.i++ {
		from := s.i
		if s.skipText() != nil {
			return nil
		}
		found := string(unquote(payload[from:s.i])) == name
		if s.peek() != ':' {
			return nil
		}
		s.i++
		s.space()
		from = s.i
		if _, err := s.value(); err != nil {
			return nil
		}
		if found {
			return json.RawMessage(payload[from:s.i])
		}
		if s.peek() != ',' {
			return nil
		}
	}
	return nil
}

// Marshal encodes a payload of ours: compact, and without HTML escapes. It
// panics on what JSON cannot hold, which our payload types cannot contain.
func Marshal(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("ocpp: payload: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// ValidJSON reports whether b is one JSON text within this package's bounds.
func ValidJSON(b []byte) bool {
	_, err := decode(b)
	return err == nil
}

// JoinKey writes a 2.0.1 variable's name as "Component[instance].Variable[instance]".
func JoinKey(component, componentInstance, variable, variableInstance string) string {
	return withInstance(component, componentInstance) + "." + withInstance(variable, variableInstance)
}

func withInstance(name, instance string) string {
	if instance == "" {
		return name
	}
	return name + "[" + instance + "]"
}

// decimalID is a number as 1.6 transaction ids are written.
func decimalID(n int64) string { return strconv.FormatInt(n, 10) }

// TransactionID returns a 1.6 transactionId in decimal: -1 is "-1", because
// what it means is a rule's business.
func (o Object) TransactionID(name string) (string, bool) {
	n, ok := o.Integer(name)
	if !ok {
		return "", false
	}
	return decimalID(n), true
}
