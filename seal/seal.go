// Package seal hides the driver's token in what is kept. It is PURE: keys and
// nonces are arguments.
//
// A journal keeps OCPP frames verbatim and for ever, and a bare RFID UID opens
// charging like a password. So each token value in a record is replaced, before
// the record is hashed, by a sealed field:
//
//	hfs1.<kid>.<base64url, no padding, of nonce || ciphertext || tag>
//
// kid is the 16 hex digits of the token's own random key; the cipher is
// AES-256-GCM with a 12-byte nonce and a 16-byte tag, and "hfs1.<kid>" as
// additional data, so that a field moved under another key's name does not
// open. What the Merkle tree hashes is the ciphertext.
//
// The key itself is in a key frame beside the journal, wrapped under the
// gateway's seal key:
//
//	{"kid":"<16 hex digits>","wrapped":"<base64url of nonce || ciphertext || tag>"}
//
// with "hfk1.<kid>" as additional data. Key frames are not leaves of the tree.
// To erase a driver, destroy the key frames of the driver's tokens: the records
// stay, verify as before, and say nothing any more.
//
// A nonce must never be used twice with one key. Nonces are random (96 bits):
// below 2^32 uses of one key the risk of a repetition is under 2^-32 (NIST SP
// 800-38D section 8.3), far above what one token is used.
package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/holdfast-ev/holdfast"
)

const (
	fieldPrefix = "hfs1."
	wrapPrefix  = "hfk1."
	nonceLen    = 12
	tagLen      = 16
	kidHexLen   = 16

	// MaxPlaintext bounds what is sealed, in bytes.
	MaxPlaintext = holdfast.MaxTokenLen
	// MaxField bounds a sealed field, in bytes.
	MaxField = len(fieldPrefix) + kidHexLen + 1 + (nonceLen+MaxPlaintext+tagLen)*4/3 + 1
	// MaxKeyFrame bounds a key frame's body, in bytes.
	MaxKeyFrame = 256
)

// ErrSealed is wrapped by every error of [Open] and [Unwrap]: the text is
// malformed, or another key is needed, or a bit has changed. AEAD cannot tell
// the last two apart.
var ErrSealed = errors.New("cannot open sealed data")

// A KeyID names a key. It is random and says nothing about the token.
type KeyID [8]byte

// String returns 16 lower-case hex digits.
func (k KeyID) String() string { return hex.EncodeToString(k[:]) }

// ParseKeyID is the inverse of [KeyID.String].
func ParseKeyID(s string) (k KeyID, err error) {
	if len(s) != kidHexLen || strings.ToLower(s) != s {
		return k, fmt.Errorf("%w: key id %q, want %d lower-case hex digits", ErrSealed, clip(s), kidHexLen)
	}
	if _, err := hex.Decode(k[:], []byte(s)); err != nil {
		return KeyID{}, fmt.Errorf("%w: key id %q: %v", ErrSealed, s, err)
	}
	return k, nil
}

// A Key seals the values of one token.
type Key struct {
	ID     KeyID
	Secret [32]byte
}

// String hides the secret.
func (k Key) String() string { return "seal key " + k.ID.String() }

// GoString hides the secret from %#v.
func (k Key) GoString() string { return k.String() }

// NewKey makes a key from 40 random bytes.
func NewKey(random [40]byte) (k Key) {
	copy(k.ID[:], random[:8])
	copy(k.Secret[:], random[8:])
	return k
}

// Seal returns plaintext as a sealed field. The nonce must be random and used
// once. Text beyond [MaxPlaintext] is cut: no dialect of OCPP allows a longer
// token, and a frame with one is refused before it gets here.
func Seal(k Key, nonce [12]byte, plaintext string) string {
	if len(plaintext) > MaxPlaintext {
		plaintext = plaintext[:MaxPlaintext]
	}
	head := fieldPrefix + k.ID.String()
	ct := aead(k.Secret).Seal(nonce[:], nonce[:], []byte(plaintext), []byte(head))
	return head + "." + base64.RawURLEncoding.EncodeToString(ct)
}

// IsSealed reports whether s looks like a sealed field.
func IsSealed(s string) bool { return strings.HasPrefix(s, fieldPrefix) }

// FieldKey returns the id of the key that opens the sealed field s.
func FieldKey(s string) (KeyID, error) {
	kid, _, err := splitField(s)
	return kid, err
}

// Open returns the plaintext of a sealed field.
func Open(k Key, s string) (string, error) {
	kid, body, err := splitField(s)
	if err != nil {
		return "", err
	}
	if kid != k.ID {
		return "", fmt.Errorf("%w: field needs key %s, got %s", ErrSealed, kid, k.ID)
	}
	pt, err := aead(k.Secret).Open(nil, body[:nonceLen], body[nonceLen:], []byte(fieldPrefix+kid.String()))
	if err != nil {
		return "", fmt.Errorf("%w: field under key %s: %v", ErrSealed, kid, err)
	}
	return string(pt), nil
}

func splitField(s string) (kid KeyID, body []byte, err error) {
	if len(s) > MaxField {
		return kid, nil, fmt.Errorf("%w: field of %d bytes, at most %d", ErrSealed, len(s), MaxField)
	}
	rest, ok := strings.CutPrefix(s, fieldPrefix)
	id, text, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 {
		return kid, nil, fmt.Errorf("%w: %q is not hfs1.<kid>.<data>", ErrSealed, clip(s))
	}
	if kid, err = ParseKeyID(id); err != nil {
		return kid, nil, err
	}
	body, err = decode64(text)
	return kid, body, err
}

// decode64 accepts one encoding only: RawURLEncoding alone would skip line
// breaks.
func decode64(text string) ([]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || base64.RawURLEncoding.EncodeToString(b) != text {
		return nil, fmt.Errorf("%w: not base64url", ErrSealed)
	}
	if len(b) < nonceLen+tagLen {
		return nil, fmt.Errorf("%w: %d bytes, at least %d", ErrSealed, len(b), nonceLen+tagLen)
	}
	return b, nil
}

// keyFrame is the JSON of a key frame; the field order is the order of the
// bytes.
type keyFrame struct {
	KID     string `json:"kid"`
	Wrapped string `json:"wrapped"`
}

// Wrap returns the body of a key frame: k under the seal key kek.
func Wrap(kek [32]byte, k Key, nonce [12]byte) []byte {
	kid := k.ID.String()
	ct := aead(kek).Seal(nonce[:], nonce[:], k.Secret[:], []byte(wrapPrefix+kid))
	// Both values are plain ASCII without anything that JSON would escape.
	return []byte(`{"kid":"` + kid + `","wrapped":"` + base64.RawURLEncoding.EncodeToString(ct) + `"}`)
}

// WrappedKey returns the id in a key frame's body, without opening it.
func WrappedKey(body []byte) (KeyID, error) {
	kid, _, err := splitFrame(body)
	return kid, err
}

// Unwrap returns the key in a key frame's body.
func Unwrap(kek [32]byte, body []byte) (Key, error) {
	kid, ct, err := splitFrame(body)
	if err != nil {
		return Key{}, err
	}
	pt, err := aead(kek).Open(nil, ct[:nonceLen], ct[nonceLen:], []byte(wrapPrefix+kid.String()))
	if err != nil {
		return Key{}, fmt.Errorf("%w: key %s under this seal key: %v", ErrSealed, kid, err)
	}
	k := Key{ID: kid}
	if copy(k.Secret[:], pt) != len(k.Secret) || len(pt) != len(k.Secret) {
		return Key{}, fmt.Errorf("%w: key %s has %d bytes, want %d", ErrSealed, kid, len(pt), len(k.Secret))
	}
	return k, nil
}

func splitFrame(body []byte) (kid KeyID, ct []byte, err error) {
	if len(body) > MaxKeyFrame {
		return kid, nil, fmt.Errorf("%w: key frame of %d bytes, at most %d", ErrSealed, len(body), MaxKeyFrame)
	}
	var f keyFrame
	if err := json.Unmarshal(body, &f); err != nil {
		return kid, nil, fmt.Errorf("%w: key frame: %v", ErrSealed, err)
	}
	if again, err := json.Marshal(f); err != nil || !bytes.Equal(again, body) {
		return kid, nil, fmt.Errorf("%w: key frame is not {\"kid\",\"wrapped\"} in its one encoding", ErrSealed)
	}
	if kid, err = ParseKeyID(f.KID); err != nil {
		return kid, nil, err
	}
	ct, err = decode64(f.Wrapped)
	return kid, ct, err
}

// aead cannot fail: the key length is the array's.
func aead(key [32]byte) cipher.AEAD {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic("seal: AES-256 refused a 32-byte key: " + err.Error())
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic("seal: GCM refused AES: " + err.Error())
	}
	return gcm
}

func clip(s string) string {
	if len(s) > 32 {
		return s[:32] + "..."
	}
	return s
}
