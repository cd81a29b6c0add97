package agent

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Bounds of a charger's password, in bytes. OCPP 1.6 security white paper,
// A00: AuthorizationKey of 16 to 20 bytes, sent as up to 40 hex digits; OCPP
// 2.0.1: BasicAuthPassword of 16 to 40 characters.
const (
	MinPasswordLen = 16
	MaxPasswordLen = 40
)

const passwordScheme = "hf1" // names the algorithm: HMAC-SHA-256 of the password under a 16-byte salt

// A PasswordHash verifies a charger's password without holding it.
//
// A password-stretching hash (argon2, bcrypt) protects passwords that people
// choose. Charger passwords are random keys of at least 16 bytes, which nobody
// can search for whatever the hash costs; and after a power cut two hundred
// chargers authenticate in the same second on a small machine. So this is a
// salted SHA-256, on purpose, and [HashPassword] refuses shorter ones.
type PasswordHash struct {
	salt [16]byte
	sum  [32]byte
}

// HashPassword returns the hash of password under a salt read from random.
func HashPassword(password string, random io.Reader) (PasswordHash, error) {
	var h PasswordHash
	if len(password) < MinPasswordLen || len(password) > MaxPasswordLen {
		return h, fmt.Errorf("password of %d bytes, want %d to %d (OCPP AuthorizationKey, BasicAuthPassword)", len(password), MinPasswordLen, MaxPasswordLen)
	}
	if _, err := io.ReadFull(random, h.salt[:]); err != nil {
		return h, fmt.Errorf("salt for a password hash: %w", err)
	}
	h.sum = h.of([]byte(password))
	return h, nil
}

// ParsePasswordHash is the inverse of [PasswordHash.String].
func ParsePasswordHash(s string) (PasswordHash, error) {
	var h PasswordHash
	part := strings.Split(s, ":")
	if len(part) != 3 || part[0] != passwordScheme ||
		!unhex(part[1], h.salt[:]) || !unhex(part[2], h.sum[:]) {
		return PasswordHash{}, errors.New("not a password hash; make one with: holdfast-gateway hash-password")
	}
	return h, nil
}

func unhex(s string, dst []byte) bool {
	if len(s) != 2*len(dst) {
		return false
	}
	_, err := hex.Decode(dst, []byte(s))
	return err == nil
}

// String is "hf1:SALT:SUM" in hex: what the configuration holds.
func (h PasswordHash) String() string {
	return passwordScheme + ":" + hex.EncodeToString(h.salt[:]) + ":" + hex.EncodeToString(h.sum[:])
}

func (h PasswordHash) of(password []byte) (sum [32]byte) {
	m := hmac.New(sha256.New, h.salt[:])
	m.Write(password)
	m.Sum(sum[:0])
	return sum
}

// Match reports whether sent is the password. A 1.6 charger may hold its key as
// bytes and send them as hex digits, or the other way round (OCPP 1.6 security
// white paper, A00.FR.205), so each form matches the other.
func (h PasswordHash) Match(sent string) bool {
	if len(sent) > 2*MaxPasswordLen {
		return false
	}
	digits := hex.EncodeToString([]byte(sent))
	forms := [][]byte{[]byte(sent), []byte(digits), []byte(strings.ToUpper(digits)), []byte(sent)}
	if raw, err := hex.DecodeString(sent); err == nil {
		forms[3] = raw
	}
	ok := 0
	for _, f := range forms {
		sum := h.of(f)
		ok |= subtle.ConstantTimeCompare(sum[:], h.sum[:])
	}
	return ok == 1
}
