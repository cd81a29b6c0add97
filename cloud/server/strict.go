package server

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// maxJSONDepth bounds the nesting of a request.
const maxJSONDepth = 16

// decodeStrict reads exactly one JSON value from b into v. It refuses what
// encoding/json would let through in silence: a key given twice (the two ends
// of the wire could read different values), bytes after the value, nesting
// beyond maxJSONDepth and, unless lenient, keys that v does not have. Gateways
// are read leniently, because a site may run a newer version than its cloud;
// people's requests are not, because an unknown key there is a typing error.
func decodeStrict(b []byte, v any, lenient bool) error {
	if len(bytes.TrimSpace(b)) == 0 {
		return errors.New("the body is empty, want a JSON object")
	}
	if err := checkJSON(b); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	if !lenient {
		dec.DisallowUnknownFields()
	}
	return dec.Decode(v)
}

// checkJSON walks b once.
func checkJSON(b []byte) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := checkValue(dec, 0); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("there are bytes after the JSON value, at offset %d", dec.InputOffset())
	}
	return nil
}

func checkValue(dec *json.Decoder, depth int) error {
	if depth > maxJSONDepth {
		return fmt.Errorf("nested deeper than %d", maxJSONDepth)
	}
	t, err := dec.Token()
	if err != nil {
		return err
	}
	switch t {
	case json.Delim('{'):
		return checkObject(dec, depth)
	case json.Delim('['):
		for dec.More() {
			if err := checkValue(dec, depth+1); err != nil {
				return err
			}
		}
		_, err = dec.Token()
	}
	return err
}

func checkObject(dec *json.Decoder, depth int) error {
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		key, _ := t.(string)
		// encoding/json matches keys without regard to case, so "a" and "A"
		// are one key here too.
		folded := strings.ToLower(key)
		if seen[folded] {
			return fmt.Errorf("key %q is given twice", clip(key))
		}
		seen[folded] = true
		if err := checkValue(dec, depth+1); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return err
}

// checkShape holds a request against the type that it is read into, as the
// OpenAPI document shows it: keys are spelled as they are there, those that are
// required are given, and none is null. encoding/json would read all three as
// if nothing were wrong.
func checkShape(b []byte, t reflect.Type, at string) error {
	raw := reflect.TypeFor[json.RawMessage]()
	switch {
	case t == raw:
		return nil
	case string(bytes.TrimSpace(b)) == "null":
		return kindInvalid.because("%s is null: leave it out instead", at)
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return nil
	case t.Kind() == reflect.Pointer:
		return checkShape(b, t.Elem(), at)
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		var items []json.RawMessage
		if err := json.Unmarshal(b, &items); err != nil {
			return err
		}
		for i, item := range items {
			if err := checkShape(item, t.Elem(), fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case t.Kind() == reflect.Struct:
		return checkKeys(b, t, at)
	}
	return nil
}

func checkKeys(b []byte, t reflect.Type, at string) error {
	var given map[string]json.RawMessage
	if err := json.Unmarshal(b, &given); err != nil {
		return err
	}
	for _, f := range jsonFields(t) {
		v, ok := given[f.key]
		if !ok && f.required(true) {
			return kindInvalid.because("key %q of %s is missing", f.key, at)
		}
		delete(given, f.key)
		if !ok {
			continue
		}
		if err := checkShape(v, f.Type, fmt.Sprintf("key %q", f.key)); err != nil {
			return err
		}
	}
	for key := range given {
		return kindBadRequest.because("key %q of %s is not known here", clip(key), at)
	}
	return nil
}

// clip shortens what a stranger sent before it goes into a message.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}
