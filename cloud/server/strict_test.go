package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/holdfast-ev/holdfast/uplink"
)

type sample struct {
	Name string          `json:"name"`
	N    int64           `json:"n"`
	Raw  json.RawMessage `json:"raw"`
}

func TestDecodeStrict(t *testing.T) {
	for _, c := range []struct {
		name, in, want string // want: part of the error, "" for none
		lenient        bool
	}{
		{"good", `{"name":"a","n":1,"raw":{"x":[1,2,{"y":null}]}}`, "", false},
		{"empty", ` `, "empty", false},
		{"truncated", `{"name":"a"`, "EOF", false},
		{"two values", `{"name":"a"} {}`, "after the JSON value", false},
		{"garbage after", `{"name":"a"}x`, "after the JSON value", false},
		{"unknown key", `{"nam":"a"}`, "unknown field", false},
		{"unknown key from a newer gateway", `{"name":"a","new":1}`, "", true},
		{"key twice", `{"name":"a","name":"b"}`, "twice", false},
		{"key twice in another case", `{"name":"a","NAME":"b"}`, "twice", false},
		{"key twice below", `{"raw":{"x":1,"x":2}}`, "twice", true},
		{"mistyped", `{"n":"1"}`, "cannot unmarshal", false},
		{"fraction", `{"n":1.5}`, "cannot unmarshal", false},
		{"overflow", `{"n":9223372036854775808}`, "cannot unmarshal", false},
		{"deep", `{"raw":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, "deeper", false},
		{"very deep", strings.Repeat("[", 100_000), "deeper", true},
		{"not an object", `[]`, "cannot unmarshal", false},
	} {
		var v sample
		err := decodeStrict([]byte(c.in), &v, c.lenient)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}

// What checkJSON lets through, encoding/json must read the same way in both
// directions: no panic, and nothing accepted that is not one JSON value.
func FuzzDecodeStrict(f *testing.F) {
	for _, s := range []string{`{"name":"a"}`, `{"raw":{"x":[1]}}`, `{"a":1,"A":2}`, `[[[`, `"\ud800"`, `1e999`, "\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var v map[string]json.RawMessage
		if decodeStrict(b, &v, true) == nil && !json.Valid(b) {
			t.Fatalf("accepted %q", b)
		}
	})
}

func compress(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}

func TestInflate(t *testing.T) {
	for _, n := range []int{0, 1, 100_000, uplink.MaxSliceBytes} {
		want := bytes.Repeat([]byte("holdfast"), n/8+1)[:n]
		got, err := inflate(compress(t, want))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: got %d, %v", n, len(got), err)
		}
	}
}

func TestInflateRefusesABomb(t *testing.T) {
	// 1 GiB of zeros in about 100 KiB, once with the size in the header and once
	// streamed without it.
	zeros := make([]byte, 64<<20)
	var stream bytes.Buffer
	w, _ := zstd.NewWriter(&stream, zstd.WithWindowSize(1<<20))
	for range 16 {
		w.Write(zeros)
	}
	w.Close()
	for name, bomb := range map[string][]byte{
		"stream": stream.Bytes(),
		"frame":  compress(t, zeros),
		"just":   compress(t, zeros[:uplink.MaxSliceBytes+1]),
		"frames": bytes.Repeat(compress(t, zeros[:1<<20]), 5),
	} {
		_, err := inflate(bomb)
		if p := (*Problem)(nil); !errors.As(err, &p) || p.Slug() != "too-large" {
			t.Errorf("%s (%d bytes): %v, want too-large", name, len(bomb), err)
		}
	}
}

func TestInflateRefusesGarbage(t *testing.T) {
	good := compress(t, bytes.Repeat([]byte("abc"), 1000))
	for name, b := range map[string][]byte{"text": []byte("hello"), "cut": good[:len(good)-3], "flipped": append(append([]byte{}, good[:8]...), 0xff, 0xff)} {
		_, err := inflate(b)
		if p := (*Problem)(nil); !errors.As(err, &p) || p.Slug() != "bad-request" {
			t.Errorf("%s: %v, want bad-request", name, err)
		}
	}
}

func FuzzInflate(f *testing.F) {
	f.Add(compress(f, []byte("holdfast")))
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		if out, err := inflate(b); err == nil && len(out) > uplink.MaxSliceBytes {
			t.Fatalf("%d bytes", len(out))
		}
	})
}

func TestRate(t *testing.T) {
	r := &rate{perMinute: 60}
	now := testNow
	for i := range 60 {
		if _, ok := r.allow(now); !ok {
			t.Fatalf("refused at %d", i)
		}
	}
	wait, ok := r.allow(now)
	if ok || wait <= 0 || wait > time.Second {
		t.Fatalf("allowed more than the bound, or wait %s", wait)
	}
	if _, ok := r.allow(now.Add(wait)); !ok {
		t.Fatal("refused after the wait that it named")
	}
	if _, ok := r.allow(now.Add(-time.Hour)); ok {
		t.Fatal("a clock set back fills the bucket")
	}
}
