package record_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/record"
)

// Every kind comes back as itself.
func TestEveryKindRoundTrips(t *testing.T) {
	seen := map[record.Type]bool{}
	for _, body := range record.Kinds() {
		if seen[body.Type()] {
			t.Errorf("two kinds are called %s", body.Type())
		}
		seen[body.Type()] = true
		in := record.Record{Seq: 7, At: holdfast.Instant{Wall: 1, Quality: holdfast.Synchronised, Boot: 2, Mono: 3}, Session: holdfast.SessionID{9}, Charger: "CP1", Body: body}
		b, err := record.Encode(in)
		if err != nil {
			t.Fatal(err)
		}
		out, err := record.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(in, out) {
			t.Errorf("%s: %+v came back as %+v", body.Type(), in, out)
		}
	}
}

// A kind of a later version is kept and passed over; a later version of the
// forms themselves is not read at all.
func TestNewerRecords(t *testing.T) {
	r, err := record.Decode([]byte(`{"v":1,"t":"moon.risen","n":3,"at":{"wall":1,"q":"S","boot":1,"mono":1},"d":{"x":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	if u, ok := r.Body.(*record.Unknown); !ok || u.Kind != "moon.risen" || string(u.Data) != `{"x":1}` {
		t.Errorf("body %#v", r.Body)
	}
	for _, bad := range []string{`{"v":2,"t":"gateway.booted","d":{}}`, `{"v":0}`, `[]`, ``, `{"v":1,"t":"gateway.booted","d":[]}`} {
		if _, err := record.Decode([]byte(bad)); !errors.Is(err, record.ErrRecord) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// A record that would not fit is refused before it is written.
func TestTooLarge(t *testing.T) {
	_, err := record.Encode(record.Record{Body: &record.FrameNoted{Raw: strings.Repeat("x", record.MaxBytes)}})
	if !errors.Is(err, record.ErrRecord) {
		t.Errorf("error %v", err)
	}
}

// The bytes are frozen: a change of a form shows here first.
func TestBytes(t *testing.T) {
	seq := holdfast.Seq(4)
	wh := holdfast.WattHours(1234)
	b, err := record.Encode(record.Record{Seq: 5, At: holdfast.Instant{Wall: 1_790_000_000_000, Quality: holdfast.Synchronised, Boot: 2, Mono: 77}, Charger: "CP1",
		Body: &record.SessionOpened{Decision: &seq, Nonce: "00", Source: record.StartAuthorized, EVSE: 1, Connector: 1, ClaimedAt: "2026-09-21T14:13:20Z",
			StartedAt: 1_790_000_000_000, Start: &wh, StartTrust: record.Trusted, Link: holdfast.Offline, Labels: map[string]string{"b": "2", "a": "<1>"}}})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"v":1,"t":"session.opened","n":5,"at":{"wall":1790000000000,"q":"S","boot":2,"mono":77},"c":"CP1","d":{"decision":4,"nonce":"00","source":"authorized","token":"00000000000000000000000000000000","evse":1,"connector":1,"started_at":1790000000000,"claimed_at":"2026-09-21T14:13:20Z","start":1234,"start_trust":"trusted","offline":false,"link":"OFFLINE","limits":{},"reserved":0,"labels":{"a":"<1>","b":"2"},"max_power":0}}`
	if string(b) != want {
		t.Errorf("bytes\n%s\nwant\n%s", b, want)
	}
}

// FuzzDecode: whatever is read can be written again and reads the same.
func FuzzDecode(f *testing.F) {
	for _, body := range record.Kinds() {
		b, err := record.Encode(record.Record{Body: body})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := record.Decode(b)
		if err != nil {
			return
		}
		again, err := record.Encode(r)
		if err != nil {
			if len(b) < record.MaxBytes/8 {
				t.Fatalf("%s was read and cannot be written: %v", b, err)
			}
			return
		}
		back, err := record.Decode(again)
		if err != nil {
			t.Fatal(err)
		}
		one, _ := json.Marshal(r)
		two, _ := json.Marshal(back)
		if string(one) != string(two) {
			t.Fatalf("%s reads as %s, written again as %s", b, one, two)
		}
	})
}

// The head of a record is written by hand, and is what encoding/json writes of
// the envelope, whatever the texts hold.
func TestHeadIsWhatJSONWrites(t *testing.T) {
	type envelope struct {
		V       int                 `json:"v"`
		Type    record.Type         `json:"t"`
		Seq     holdfast.Seq        `json:"n"`
		At      holdfast.Instant    `json:"at"`
		Session *holdfast.SessionID `json:"s,omitempty"`
		Charger holdfast.ChargerID  `json:"c,omitempty"`
		Data    json.RawMessage     `json:"d"`
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]*`), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
		r := record.Record{
			Seq: holdfast.Seq(rapid.Uint64().Draw(t, "seq")), Charger: holdfast.ChargerID(text.Draw(t, "charger")),
			At: holdfast.Instant{
				Wall: holdfast.UnixMilli(rapid.Int64().Draw(t, "wall")), Quality: holdfast.Quality(text.Draw(t, "quality")),
				Boot: rapid.Uint32().Draw(t, "boot"), Mono: rapid.Int64().Draw(t, "mono"),
			},
			Body: &record.Unknown{Kind: record.Type("k" + text.Draw(t, "kind")), Data: []byte(`{"x":"<&>"}`)},
		}
		if rapid.Bool().Draw(t, "of a session") {
			r.Session[rapid.IntRange(0, 31).Draw(t, "digit")] = 1 + rapid.ByteMax(254).Draw(t, "value")
		}
		e := envelope{V: record.Version, Type: r.Body.Type(), Seq: r.Seq, At: r.At, Charger: r.Charger, Data: []byte(`{"x":"<&>"}`)}
		if !r.Session.IsZero() {
			e.Session = &r.Session
		}
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(e); err != nil {
			t.Fatal(err)
		}
		have, err := record.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		if string(have)+"\n" != want.String() {
			t.Fatalf("have %s\nwant %s", have, want.String())
		}
	})
}
