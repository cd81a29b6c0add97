package record_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

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
