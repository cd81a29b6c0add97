package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math/bits"

	"github.com/holdfast-ev/holdfast"
)

// A Tree is the frontier of an RFC 6962 Merkle tree: the roots of the perfect
// subtrees that its leaves fall into, at most one for each bit of the size. It
// is all that is needed to add leaves and to tell the root. The zero Tree is
// the empty tree. A Tree is a value: assignment copies it, == compares it.
type Tree struct {
	size  uint64
	nodes [64]holdfast.Hash // nodes[i] is set when bit i of size is, else zero: a subtree of 2^i leaves
}

// Size returns the number of leaves.
func (t *Tree) Size() uint64 { return t.size }

// Append adds a leaf hash ([holdfast.LeafHash]).
func (t *Tree) Append(leaf holdfast.Hash) {
	level := 0
	for ; t.size>>level&1 == 1; level++ {
		leaf = nodeHash(&t.nodes[level], &leaf)
		t.nodes[level] = holdfast.Hash{}
	}
	t.nodes[level] = leaf
	t.size++
}

// Root returns the RFC 6962 tree head hash: SHA-256 of nothing for the empty
// tree.
func (t *Tree) Root() holdfast.Hash {
	if t.size == 0 {
		return sha256.Sum256(nil)
	}
	level := bits.TrailingZeros64(t.size)
	root := t.nodes[level]
	for level++; level < bits.Len64(t.size); level++ {
		if t.size>>level&1 == 1 {
			root = nodeHash(&t.nodes[level], &root)
		}
	}
	return root
}

// MaxFrontierBytes bounds a marshalled [Tree].
const MaxFrontierBytes = 8 + 64*32

// AppendFrontier appends the tree's bytes to dst: the size as a big-endian
// 64-bit number, then the subtree roots from left (largest) to right.
func (t *Tree) AppendFrontier(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, t.size)
	for level := bits.Len64(t.size) - 1; level >= 0; level-- {
		if t.size>>level&1 == 1 {
			dst = append(dst, t.nodes[level][:]...)
		}
	}
	return dst
}

// MarshalBinary returns [Tree.AppendFrontier] of nothing.
func (t *Tree) MarshalBinary() ([]byte, error) { return t.AppendFrontier(nil), nil }

// UnmarshalBinary is the inverse of [Tree.MarshalBinary]. It refuses bytes of
// any other length than the size calls for.
func (t *Tree) UnmarshalBinary(b []byte) error {
	if len(b) < 8 {
		return fmt.Errorf("tree frontier of %d bytes, want at least 8: %w", len(b), ErrCorrupt)
	}
	size := binary.BigEndian.Uint64(b)
	if want := 8 + 32*bits.OnesCount64(size); len(b) != want {
		return fmt.Errorf("tree frontier of %d bytes, want %d for size %d: %w", len(b), want, size, ErrCorrupt)
	}
	*t = Tree{size: size}
	b = b[8:]
	for level := bits.Len64(size) - 1; level >= 0; level-- {
		if size>>level&1 == 1 {
			copy(t.nodes[level][:], b)
			b = b[32:]
		}
	}
	return nil
}

// nodeHash is RFC 6962's interior node: SHA-256(0x01 || left || right).
func nodeHash(left, right *holdfast.Hash) holdfast.Hash {
	var b [65]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[33:], right[:])
	return sha256.Sum256(b[:])
}

// A leafHasher computes leaf hashes without allocating.
type leafHasher struct {
	h      hash.Hash
	sum    holdfast.Hash
	prefix [1]byte
}

func newLeafHasher() *leafHasher { return &leafHasher{h: sha256.New()} }

// leaf is holdfast.LeafHash.
func (l *leafHasher) leaf(body []byte) holdfast.Hash {
	l.h.Reset()
	l.h.Write(l.prefix[:])
	l.h.Write(body)
	l.h.Sum(l.sum[:0])
	return l.sum
}
