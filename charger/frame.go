package charger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// OCPP-J message types (OCPP-J 1.6 section 4.1.3, 2.0.1 part 4 section 4.1.2).
const (
	typeCall   = 2
	typeResult = 3
	typeError  = 4
)

// frame is one OCPP-J message, either way.
type frame struct {
	typ     int
	id      string
	action  string          // CALL
	payload json.RawMessage // CALL, CALLRESULT
	code    string          // CALLERROR
	text    string          // CALLERROR
}

// A callError is the other side's CALLERROR, or ours to it.
type callError struct {
	Code, Text string
}

func (e *callError) Error() string {
	if e.Text == "" {
		return "CALLERROR " + e.Code
	}
	return "CALLERROR " + e.Code + ": " + e.Text
}

func encodeCall(id string, r request) ([]byte, error) {
	return marshal([]any{typeCall, id, r.action, r.payload})
}

func encodeResult(id string, payload any) ([]byte, error) {
	return marshal([]any{typeResult, id, payload})
}

func encodeError(id string, e *callError) ([]byte, error) {
	return marshal([]any{typeError, id, e.Code, e.Text, struct{}{}})
}

// marshal is json.Marshal without HTML escapes: a charger's firmware has none.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode frame: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

var errFrame = errors.New("not an OCPP-J message")

// decodeFrame reads what the other side sent.
func decodeFrame(raw []byte) (frame, error) {
	var part []json.RawMessage
	if err := json.Unmarshal(raw, &part); err != nil {
		return frame{}, fmt.Errorf("%w: %v", errFrame, err)
	}
	if len(part) < 3 {
		return frame{}, fmt.Errorf("%w: %d elements", errFrame, len(part))
	}
	var f frame
	if err := unmarshalAll(part[:2], &f.typ, &f.id); err != nil {
		return frame{}, err
	}
	switch {
	case f.typ == typeCall && len(part) == 4:
		f.payload = part[3]
		return f, unmarshalAll(part[2:3], &f.action)
	case f.typ == typeResult && len(part) == 3:
		f.payload = part[2]
		return f, nil
	case f.typ == typeError && len(part) >= 4:
		return f, unmarshalAll(part[2:4], &f.code, &f.text)
	}
	return frame{}, fmt.Errorf("%w: type %d with %d elements", errFrame, f.typ, len(part))
}

func unmarshalAll(part []json.RawMessage, into ...any) error {
	for i, p := range part {
		if err := json.Unmarshal(p, into[i]); err != nil {
			return fmt.Errorf("%w: element: %v", errFrame, err)
		}
	}
	return nil
}
