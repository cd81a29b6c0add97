package seal

import (
	"bytes"
	"fmt"
)

// boxPrefix begins a sealed file and is its additional data: what was sealed as
// a box does not open as anything else.
const boxPrefix = "hfb1\n"

// MaxBox bounds what is sealed as one box, in bytes.
const MaxBox = 16 << 20

// SealBox returns plaintext as a sealed file under the seal key kek: "hfb1", a
// line break, the nonce, ciphertext and tag (AES-256-GCM). The nonce must be
// random and used once. It panics beyond [MaxBox], which callers bound first.
func SealBox(kek [32]byte, nonce [12]byte, plaintext []byte) []byte {
	if len(plaintext) > MaxBox {
		panic(fmt.Sprintf("seal: a box of %d bytes, at most %d", len(plaintext), MaxBox))
	}
	out := append([]byte(boxPrefix), nonce[:]...)
	return aead(kek).Seal(out, nonce[:], plaintext, []byte(boxPrefix))
}

// OpenBox is the inverse of [SealBox]. Its error wraps [ErrSealed].
func OpenBox(kek [32]byte, b []byte) ([]byte, error) {
	body, ok := bytes.CutPrefix(b, []byte(boxPrefix))
	if !ok || len(body) < nonceLen+tagLen || len(body) > nonceLen+MaxBox+tagLen {
		return nil, fmt.Errorf("%w: %d bytes that are not a sealed file", ErrSealed, len(b))
	}
	pt, err := aead(kek).Open(nil, body[:nonceLen], body[nonceLen:], []byte(boxPrefix))
	if err != nil {
		return nil, fmt.Errorf("%w: file under this seal key: %v", ErrSealed, err)
	}
	return pt, nil
}
