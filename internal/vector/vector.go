// Package vector keeps the test vectors of signed and sealed formats: JSON files
// under a package's testdata, for implementers in other languages and against
// a change of bytes that nobody meant. Tests alone import it.
//
// A vector is checked byte for byte. `go test -rewrite` writes the file anew
// instead, which is right for a new vector and wrong for an old one: frozen
// formats do not change.
package vector

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write test vectors anew instead of checking them")

// Hex is bytes that a vector shows in hex.
type Hex []byte

// MarshalText implements encoding.TextMarshaler.
func (h Hex) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hex) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

// Check compares v, as indented JSON, with testdata/name.
func Check(t testing.TB, name string, v any) {
	t.Helper()
	got, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatalf("vector %s: %v", name, err)
	}
	got = append(got, '\n')
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("vector %s: %v", name, err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("vector %s: bytes changed\n got %s\nwant %s", name, got, want)
	}
}

// PrivateKey is the P-256 scalar of [Key]. It is published: it signs vectors.
const PrivateKey = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721" // RFC 6979 appendix A.2.5

// Key is the key that signs vectors.
func Key(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	raw, err := hex.DecodeString(PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
