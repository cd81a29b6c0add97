package keyfile

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var (
	cheap = Cost{Time: 1, MemoryKiB: 64, Threads: 1}
	words = []byte("correct horse")
)

func created(t *testing.T) (name string, key *ecdsa.PrivateKey) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "device.key")
	key, err := Create(name, words, cheap)
	if err != nil {
		t.Fatal(err)
	}
	return name, key
}

func TestCreateThenOpen(t *testing.T) {
	name, key := created(t)
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	got, err := Open(name, words)
	if err != nil || !got.Equal(key) {
		t.Fatalf("opened another key: %v", err)
	}
	// The key contract: a crypto.Signer whose signatures verify.
	digest := sha256.Sum256([]byte("x"))
	var signer crypto.Signer = got
	sig, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil || !ecdsa.VerifyASN1(&key.PublicKey, digest[:], sig) {
		t.Fatalf("sign: %v", err)
	}
}

func TestDefaultCost(t *testing.T) {
	name := filepath.Join(t.TempDir(), "device.key")
	key, err := Create(name, words, Cost{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Open(name, words); err != nil || !got.Equal(key) {
		t.Fatal(err)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parse(b)
	if err != nil || (Cost{f.Time, f.MemoryKiB, f.Threads}) != DefaultCost() {
		t.Fatalf("%+v, %v", f, err)
	}
}

func TestPrivateKeyIsNotInTheFile(t *testing.T) {
	name, key := created(t)
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parse(b)
	if err != nil {
		t.Fatal(err)
	}
	scalar, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(f.Sealed, scalar[:8]) || bytes.Contains(b, scalar[:8]) {
		t.Fatal("the scalar is in clear")
	}
}

func TestKeyIsNeverReplaced(t *testing.T) {
	name, key := created(t)
	if _, err := Create(name, words, cheap); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("%v", err)
	}
	if got, err := Open(name, words); err != nil || !got.Equal(key) {
		t.Fatalf("the key changed: %v", err)
	}
}

func TestWrongPassphrase(t *testing.T) {
	name, _ := created(t)
	for _, p := range []string{"", "correct horsf", "correct horse "} {
		if _, err := Open(name, []byte(p)); !errors.Is(err, ErrPassphrase) {
			t.Errorf("%q: %v", p, err)
		}
	}
	if _, err := Create(filepath.Join(t.TempDir(), "k"), []byte("short"), cheap); err == nil {
		t.Error("a passphrase of 5 bytes was taken")
	}
}

func TestFilesThatOthersCanReadAreRefused(t *testing.T) {
	name, _ := created(t)
	for _, c := range []struct {
		mode fs.FileMode
		ok   bool
	}{{0o600, true}, {0o400, true}, {0o440, true}, {0o640, true}, {0o644, false}, {0o604, false}, {0o660, false}, {0o602, false}, {0o601, false}} {
		if err := os.Chmod(name, c.mode); err != nil {
			t.Fatal(err)
		}
		_, err := Open(name, words)
		if c.ok && err != nil || !c.ok && !errors.Is(err, ErrPermissions) {
			t.Errorf("mode %04o: %v", c.mode, err)
		}
		if !c.ok && !strings.Contains(err.Error(), "chmod 600 "+name) {
			t.Errorf("mode %04o: no hint in %v", c.mode, err)
		}
		if _, err := Passphrase(name); (err == nil) != c.ok {
			t.Errorf("passphrase, mode %04o: %v", c.mode, err)
		}
	}
}

func TestPassphraseFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "passphrase")
	for text, want := range map[string]string{
		"correct horse": "correct horse", "correct horse\n": "correct horse", "correct horse\r\n": "correct horse", " spaces stay ": " spaces stay ",
		"short\n": "", "": "", strings.Repeat("x", MaxFile+1): "",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Passphrase(name)
		if string(got) != want || (err == nil) != (want != "") {
			t.Errorf("%.20q: %q, %v", text, got, err)
		}
	}
	if _, err := Passphrase(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if _, err := Passphrase(t.TempDir()); err == nil {
		t.Error("a folder was read")
	}
}

func TestDamagedFiles(t *testing.T) {
	name, _ := created(t)
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	change := func(fn func(*file)) []byte {
		f, err := parse(good)
		if err != nil {
			t.Fatal(err)
		}
		fn(f)
		b, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for what, c := range map[string]struct {
		bytes []byte
		want  error
	}{
		"empty":             {nil, ErrMalformed},
		"cut":               {good[:len(good)/2], ErrMalformed},
		"unknown field":     {append([]byte(`{"x":1,`), good[1:]...), ErrMalformed},
		"another format":    {change(func(f *file) { f.Format = "holdfast-key-v2" }), ErrMalformed},
		"another kdf":       {change(func(f *file) { f.KDF = "none" }), ErrMalformed},
		"another cipher":    {change(func(f *file) { f.Cipher = "none" }), ErrMalformed},
		"short salt":        {change(func(f *file) { f.Salt = f.Salt[1:] }), ErrMalformed},
		"no passes":         {change(func(f *file) { f.Time = 0 }), ErrMalformed},
		"a planted cost":    {change(func(f *file) { f.MemoryKiB = 1 << 31 }), ErrMalformed},
		"too many passes":   {change(func(f *file) { f.Time = 1 << 31 }), ErrMalformed},
		"no threads":        {change(func(f *file) { f.Threads = 0 }), ErrMalformed},
		"flipped bit":       {change(func(f *file) { f.Sealed[0] ^= 1 }), ErrPassphrase},
		"another nonce":     {change(func(f *file) { f.Nonce[0] ^= 1 }), ErrPassphrase},
		"another public":    {change(func(f *file) { f.Public[40] ^= 1 }), ErrPassphrase},
		"a cheaper cost":    {change(func(f *file) { f.MemoryKiB /= 2 }), ErrPassphrase},
		"more than allowed": {bytes.Repeat([]byte(" "), MaxFile+1), ErrMalformed},
	} {
		if err := os.WriteFile(name, c.bytes, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(name, words); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
}

func TestPublicPEM(t *testing.T) {
	_, key := created(t)
	b, err := PublicPEM(&key.PublicKey)
	if err != nil || !strings.HasPrefix(string(b), "-----BEGIN PUBLIC KEY-----\n") {
		t.Fatalf("%s, %v", b, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"format":"holdfast-key-v1","kdf":"argon2id","cipher":"xchacha20poly1305"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := parse(b)
		if err != nil {
			return
		}
		if k.MemoryKiB > 1<<10 || k.Time > 2 {
			return // within bounds, but too slow to fuzz
		}
		if _, err := k.open(words); err == nil {
			t.Fatal("opened a key that nobody sealed")
		}
	})
}
