package cloud

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrCursor is wrapped when a list is asked for with a cursor that is not of that
// list.
var ErrCursor = errors.New("the cursor is not of this list")

// cursorMark is the first byte of a cursor: its version.
const cursorMark = 1

// cursor is the place behind document n in the list that q asks for: a mark, a
// hash of the question, and n. It is opaque on the wire, and good for that list
// alone: with another filter or order it would leave things out in silence.
func (q Query) cursor(k Kind, n uint64) string {
	b := append([]byte{cursorMark}, q.sum(k)...)
	return base64.RawURLEncoding.EncodeToString(binary.AppendUvarint(b, n))
}

// after reads a cursor of the list that q asks for.
func (q Query) after(k Kind, cursor string) (uint64, error) {
	sum := q.sum(k)
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(b) < 1+len(sum) || b[0] != cursorMark {
		return 0, fmt.Errorf("cursor %q is not one of ours: %w", clip(cursor), ErrCursor)
	}
	if string(b[1:1+len(sum)]) != string(sum) {
		return 0, fmt.Errorf("cursor %q was given for another list, filter or order: %w", clip(cursor), ErrCursor)
	}
	n, used := binary.Uvarint(b[1+len(sum):])
	if used <= 0 || used != len(b)-1-len(sum) || n == 0 {
		return 0, fmt.Errorf("cursor %q is not one of ours: %w", clip(cursor), ErrCursor)
	}
	return n, nil
}

// sum is a short hash of what is listed, and in which order.
func (q Query) sum(k Kind) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%s %t", k, q.Oldest)
	for _, f := range k.Fields() {
		fmt.Fprintf(h, " %q", q.Where[f])
	}
	return h.Sum(nil)[:6]
}
