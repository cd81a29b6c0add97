package seal

import (
	"bytes"
	"errors"
	"testing"
)

// TestBox: a box opens under its key alone, and not after any change.
func TestBox(t *testing.T) {
	kek, text := [32]byte{1}, []byte("a book of tokens")
	box := SealBox(kek, [12]byte{2}, text)
	if bytes.Contains(box, text) {
		t.Fatal("the text is in clear")
	}
	back, err := OpenBox(kek, box)
	if err != nil || !bytes.Equal(back, text) {
		t.Fatalf("%q, %v", back, err)
	}
	if _, err := OpenBox([32]byte{3}, box); !errors.Is(err, ErrSealed) {
		t.Errorf("under another key: %v", err)
	}
	for i := range box {
		bad := bytes.Clone(box)
		bad[i] ^= 1
		if _, err := OpenBox(kek, bad); !errors.Is(err, ErrSealed) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := OpenBox(kek, box[:i]); !errors.Is(err, ErrSealed) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
}
