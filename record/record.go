// Package record is the written language of the journal: the envelope that
// every record has and the body of each kind of record, with their JSON forms.
// It is PURE, and it holds no rules: the gateway decides what to write, the
// session and access packages fold what was written, the ledger bills it.
//
// A record is hashed as the bytes it is and never re-serialised: [Encode] makes
// the bytes once, on the gateway, and everybody after that only decodes them.
// The forms are frozen: a field may be added, an existing one never changes its
// name or meaning, and [Version] rises when a reader of the version before
// would misunderstand. docs/records.md lists every kind with its journal.
package record

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/holdfast-ev/holdfast"
)

// Version is the version of the record forms that this software writes.
const Version = 1

// MaxBytes bounds an encoded record. A larger one is refused before it is
// written: the uplink and the cloud allocate by this number.
const MaxBytes = 1 << 20

// ErrRecord is wrapped by every error of [Encode] and [Decode].
var ErrRecord = errors.New("bad record")

// A Type names a kind of record.
type Type string

// A Body is the content of one kind of record.
type Body interface {
	Type() Type
}

// A Record is a decoded record.
type Record struct {
	Seq     holdfast.Seq
	At      holdfast.Instant
	Session holdfast.SessionID // zero when the record belongs to no session, or opens one
	Charger holdfast.ChargerID // "" when the record concerns no charger
	Body    Body               // a pointer to one of this package's body types; [Unknown] for a newer kind
}

// An Unknown is the body of a record whose kind this software does not know. A
// reader keeps it (it is part of the tree) and skips it.
type Unknown struct {
	Kind Type
	Data json.RawMessage
}

// Type implements [Body].
func (u *Unknown) Type() Type { return u.Kind }

// envelope is the JSON form; the field order is the order of the bytes.
type envelope struct {
	V       int                 `json:"v"`
	Type    Type                `json:"t"`
	Seq     holdfast.Seq        `json:"n"`
	At      holdfast.Instant    `json:"at"`
	Session *holdfast.SessionID `json:"s,omitempty"`
	Charger holdfast.ChargerID  `json:"c,omitempty"`
	Data    json.RawMessage     `json:"d"`
}

// Encode returns r's bytes. It fails, wrapping [ErrRecord], when they would
// exceed [MaxBytes].
func Encode(r Record) ([]byte, error) {
	b := bytes.NewBuffer(appendHead(make([]byte, 0, usualBytes), r))
	err := writeData(b, r.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: encode %s: %v", ErrRecord, r.Body.Type(), err)
	}
	b.WriteByte('}')
	if b.Len() > MaxBytes {
		return nil, fmt.Errorf("%w: %s is %d bytes, at most %d", ErrRecord, r.Body.Type(), b.Len(), MaxBytes)
	}
	return b.Bytes(), nil
}

// usualBytes is room for most records.
const usualBytes = 1024

// appendHead appends an envelope up to its data, as encoding/json would write
// the struct. It is written by hand because it is written for every message of
// every charger.
func appendHead(b []byte, r Record) []byte {
	b = strconv.AppendInt(append(b, `{"v":`...), Version, 10)
	b = appendText(append(b, `,"t":`...), string(r.Body.Type()))
	b = strconv.AppendUint(append(b, `,"n":`...), uint64(r.Seq), 10)
	b = strconv.AppendInt(append(b, `,"at":{"wall":`...), int64(r.At.Wall), 10)
	b = appendText(append(b, `,"q":`...), string(r.At.Quality))
	b = strconv.AppendUint(append(b, `,"boot":`...), uint64(r.At.Boot), 10)
	b = strconv.AppendInt(append(b, `,"mono":`...), r.At.Mono, 10)
	b = append(b, '}')
	if !r.Session.IsZero() {
		b = append(hex.AppendEncode(append(b, `,"s":"`...), r.Session[:]), '"')
	}
	if r.Charger != "" {
		b = appendText(append(b, `,"c":`...), string(r.Charger))
	}
	return append(b, `,"d":`...)
}

// appendText appends s as a JSON string. What needs an escape is rare in an
// envelope and left to encoding/json.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			quoted := &bytes.Buffer{}
			if err := writeJSON(quoted, s); err != nil {
				panic("record: a string: " + err.Error()) // it has no way to fail
			}
			return append(b, quoted.Bytes()...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

func writeData(b *bytes.Buffer, body Body) error {
	if u, ok := body.(*Unknown); ok {
		return json.Compact(b, u.Data)
	}
	return writeJSON(b, body)
}

// writeJSON is json.Marshal without HTML escaping, which would cost space in
// every raw frame and help nobody.
func writeJSON(b *bytes.Buffer, v any) error {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // Encode's newline
	return nil
}

// Decode reads a record's bytes. A kind that this software does not know comes
// back as [Unknown]; a version above [Version] is an error, because its known
// kinds may mean something else.
func Decode(b []byte) (Record, error) {
	var e envelope
	if err := json.Unmarshal(b, &e); err != nil {
		return Record{}, fmt.Errorf("%w: %v", ErrRecord, err)
	}
	if e.V < 1 || e.V > Version {
		return Record{}, fmt.Errorf("%w: record version %d, this software reads 1 to %d", ErrRecord, e.V, Version)
	}
	if e.Type == "" || len(e.Data) == 0 {
		return Record{}, fmt.Errorf("%w: no kind or no data", ErrRecord)
	}
	r := Record{Seq: e.Seq, At: e.At, Charger: e.Charger}
	if e.Session != nil {
		r.Session = *e.Session
	}
	r.Body = newBody(e.Type)
	if r.Body == nil {
		r.Body = &Unknown{Kind: e.Type, Data: e.Data}
		return r, nil
	}
	if err := json.Unmarshal(e.Data, r.Body); err != nil {
		return Record{}, fmt.Errorf("%w: %s at %d: %v", ErrRecord, e.Type, e.Seq, err)
	}
	return r, nil
}
