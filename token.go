package holdfast

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// MaxTokenLen bounds an idToken's value, in bytes (OCPP 2.1 allows 255; 1.6
// idTag 20; 2.0.1 36).
const MaxTokenLen = 255

// A Token is a driver's credential as a charger reports it: OCPP 2.0.1's
// idToken, 1.6's idTag. It is a secret of the driver's (a bare RFID UID opens
// charging like a password): it never goes into a log, and into a record only
// sealed. What is compared and stored is its [TokenHash].
type Token struct {
	Value string // as reported; compare by Hash, never by Value
	Type  string // OCPP 2.0.1 IdTokenEnumType; "" in 1.6
}

// Normal returns the form that is hashed: upper case without surrounding
// space. OCPP compares idTokens without regard to case (2.0.1 C01.FR.09 ff.,
// 1.6 CiString), and readers differ in the case they report.
func (t Token) Normal() string { return strings.ToUpper(strings.TrimSpace(t.Value)) }

// String hides the value, so that a Token printed by mistake discloses nothing.
func (t Token) String() string { return fmt.Sprintf("token(%d bytes)", len(t.Value)) }

// GoString hides the value from %#v.
func (t Token) GoString() string { return t.String() }

// A TokenHash is a keyed hash of a token's normal form, cut to 16 bytes: enough
// to find an entry in a list, useless to make a card from without the key.
// Text form: 32 lower-case hex digits.
type TokenHash [16]byte

// Hash returns t's keyed hash under a site's hash key. The type is not part of
// it: one card reported as ISO14443 by one charger and as Local by another is
// one card.
func (t Token) Hash(key []byte) (h TokenHash) {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("holdfast/token/v1\x00"))
	m.Write([]byte(t.Normal()))
	copy(h[:], m.Sum(nil))
	return h
}

func (h TokenHash) String() string { return hex.EncodeToString(h[:]) }

// IsZero reports whether h is the hash of no token.
func (h TokenHash) IsZero() bool { return h == TokenHash{} }

// MarshalText implements encoding.TextMarshaler.
func (h TokenHash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *TokenHash) UnmarshalText(b []byte) error { return parseHex("token hash", string(b), h[:]) }

// ParseTokenHash is the inverse of [TokenHash.String].
func ParseTokenHash(s string) (h TokenHash, err error) { return h, parseHex("token hash", s, h[:]) }
