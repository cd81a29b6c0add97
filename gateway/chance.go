package gateway

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// chance is a stream of bytes from a seed: SHA-256 in counter mode. The seed is
// an input, so a replayed run draws the same ids, and a fresh seed per boot
// makes every nonce new.
type chance struct {
	seed  [32]byte
	count uint64
}

func (c *chance) block() [32]byte {
	var b [40]byte
	copy(b[:], c.seed[:])
	binary.BigEndian.PutUint64(b[32:], c.count)
	c.count++
	return sha256.Sum256(b[:])
}

// messageID returns a fresh OCPP message id: 32 hex digits, of at most 36
// allowed (OCPP-J 1.6 section 4.2.1, 2.0.1 part 4 section 4.2.1).
func (c *chance) messageID() string {
	b := c.block()
	return hex.EncodeToString(b[:16])
}

func (c *chance) nonce12() (n [12]byte) {
	b := c.block()
	copy(n[:], b[:])
	return n
}

// below returns a number in [0, n); n must be positive.
func (c *chance) below(n int64) int64 {
	b := c.block()
	return int64(binary.BigEndian.Uint64(b[:])>>1) % n
}
