package seal_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-ev/holdfast/internal/vector"
	"github.com/holdfast-ev/holdfast/seal"
)

func testKey() (k seal.Key, kek [32]byte) {
	var random [40]byte
	for i := range random {
		random[i] = byte(i)
	}
	for i := range kek {
		kek[i] = byte(0xa0 + i)
	}
	return seal.NewKey(random), kek
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		random := [40]byte(rapid.SliceOfN(rapid.Byte(), 40, 40).Draw(t, "random"))
		nonce := [12]byte(rapid.SliceOfN(rapid.Byte(), 12, 12).Draw(t, "nonce"))
		text := string(rapid.SliceOfN(rapid.Byte(), 0, seal.MaxPlaintext).Draw(t, "token"))
		k := seal.NewKey(random)
		s := seal.Seal(k, nonce, text)
		if len(s) > seal.MaxField || !seal.IsSealed(s) {
			t.Fatalf("%d bytes: %s", len(s), s)
		}
		if strings.ContainsAny(s, "\"\\\x00 <>&") {
			t.Fatalf("not at home in JSON: %s", s)
		}
		if kid, err := seal.FieldKey(s); err != nil || kid != k.ID {
			t.Fatalf("key of the field: %s, %v", kid, err)
		}
		if got, err := seal.Open(k, s); err != nil || got != text {
			t.Fatalf("%q, %v", got, err)
		}
		_, kek := testKey()
		frame := seal.Wrap(kek, k, nonce)
		if got, err := seal.Unwrap(kek, frame); err != nil || got != k || len(frame) > seal.MaxKeyFrame {
			t.Fatalf("%v, %v, %d bytes", got, err, len(frame))
		}
	})
}

func TestLongTextIsCut(t *testing.T) {
	k, _ := testKey()
	got, err := seal.Open(k, seal.Seal(k, [12]byte{}, strings.Repeat("x", seal.MaxPlaintext+1)))
	if err != nil || len(got) != seal.MaxPlaintext {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
}

func TestEveryChangedCharacterIsRefused(t *testing.T) {
	k, kek := testKey()
	s := seal.Seal(k, [12]byte{1}, "04A2B3C4D5E6F7")
	for i := range len(s) {
		bad := []byte(s)
		bad[i] ^= 1
		if got, err := seal.Open(k, string(bad)); !errors.Is(err, seal.ErrSealed) {
			t.Fatalf("character %d: opened to %q, %v", i, got, err)
		}
	}
	frame := seal.Wrap(kek, k, [12]byte{2})
	for i := range frame {
		bad := bytes.Clone(frame)
		bad[i] ^= 1
		if _, err := seal.Unwrap(kek, bad); !errors.Is(err, seal.ErrSealed) {
			t.Fatalf("key frame byte %d: %v", i, err)
		}
	}
}

func TestAnotherKeyDoesNotOpen(t *testing.T) {
	k, kek := testKey()
	other := k
	other.Secret[0] ^= 1
	s := seal.Seal(k, [12]byte{}, "x")
	if _, err := seal.Open(other, s); !errors.Is(err, seal.ErrSealed) {
		t.Errorf("another secret: %v", err)
	}
	renamed := k
	renamed.ID[0] ^= 1
	if _, err := seal.Open(renamed, s); !errors.Is(err, seal.ErrSealed) {
		t.Errorf("another id: %v", err)
	}
	// The same ciphertext under another key's name: additional data forbids it.
	moved := strings.Replace(s, k.ID.String(), renamed.ID.String(), 1)
	if _, err := seal.Open(renamed, moved); !errors.Is(err, seal.ErrSealed) {
		t.Errorf("moved field: %v", err)
	}
	kek[0] ^= 1
	if _, err := seal.Unwrap(kek, seal.Wrap([32]byte{}, k, [12]byte{})); !errors.Is(err, seal.ErrSealed) {
		t.Errorf("another seal key: %v", err)
	}
}

func TestMalformed(t *testing.T) {
	k, kek := testKey()
	good := seal.Seal(k, [12]byte{}, "x")
	for _, s := range []string{
		"", "hfs1.", "hfs1..", "04A2B3C4", "hfs2" + good[4:], strings.ToUpper(good), good + "=", good + "\n", good[:len(good)-30],
		"hfs1.000102030405060g." + good[22:], "hfs1.0001." + good[22:], good + strings.Repeat("A", seal.MaxField),
	} {
		if _, err := seal.Open(k, s); !errors.Is(err, seal.ErrSealed) {
			t.Errorf("%q opened: %v", s, err)
		}
	}
	frame := string(seal.Wrap(kek, k, [12]byte{}))
	for _, s := range []string{
		"", "{}", "null", " " + frame, frame + "\n", strings.Replace(frame, "kid", "KID", 1),
		strings.Replace(frame, `{`, `{"x":1,`, 1), strings.Replace(frame, `"kid"`, `"kid":"","kid"`, 1), frame + strings.Repeat(" ", seal.MaxKeyFrame),
	} {
		if _, err := seal.Unwrap(kek, []byte(s)); !errors.Is(err, seal.ErrSealed) {
			t.Errorf("%q unwrapped: %v", s, err)
		}
	}
}

func TestKeysDoNotPrint(t *testing.T) {
	k, _ := testKey()
	for _, s := range []string{fmt.Sprint(k), fmt.Sprintf("%+v", k), fmt.Sprintf("%#v", k)} {
		if strings.Contains(s, "0809") || strings.Contains(s, "0x8") || strings.Contains(s, " 8 9") {
			t.Errorf("the secret is printed: %s", s)
		}
	}
}

func TestVectors(t *testing.T) {
	k, kek := testKey()
	nonce := [12]byte{0: 1, 11: 2}
	field, frame := seal.Seal(k, nonce, "04A2B3C4D5E6F7"), seal.Wrap(kek, k, nonce)
	vector.Check(t, "sealed.json", struct {
		About     string     `json:"about"`
		SealKey   vector.Hex `json:"seal_key"`
		KeyID     string     `json:"key_id"`
		Secret    vector.Hex `json:"secret"`
		Nonce     vector.Hex `json:"nonce"`
		Plaintext string     `json:"plaintext"`
		Field     string     `json:"field"`
		KeyFrame  string     `json:"key_frame"`
	}{
		"A sealed field, and its key wrapped under the gateway's seal key with the same nonce.",
		kek[:], k.ID.String(), k.Secret[:], nonce[:], "04A2B3C4D5E6F7", field, string(frame),
	})
}

func FuzzOpen(f *testing.F) {
	k, _ := testKey()
	good := seal.Seal(k, [12]byte{}, "04A2B3C4D5E6F7")
	f.Add(good)
	f.Add("hfs1.0001020304050607.AAAA")
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := seal.Open(k, s); err == nil && s != good {
			t.Fatalf("a field that nobody sealed opened to %q: %s", got, s)
		}
		if _, err := seal.FieldKey(s); err != nil && !errors.Is(err, seal.ErrSealed) {
			t.Fatal(err)
		}
	})
}

func FuzzUnwrap(f *testing.F) {
	k, kek := testKey()
	good := seal.Wrap(kek, k, [12]byte{})
	f.Add(good)
	f.Add([]byte(`{"kid":"0001020304050607","wrapped":"AAAA"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := seal.Unwrap(kek, b); err == nil && !bytes.Equal(b, good) {
			t.Fatalf("a key frame that nobody wrapped: %s from %s", got, b)
		}
		if _, err := seal.WrappedKey(b); err != nil && !errors.Is(err, seal.ErrSealed) {
			t.Fatal(err)
		}
	})
}
