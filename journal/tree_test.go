package journal_test

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/journal"
)

// TestRootsAgreeWithAnIndependentImplementation compares with x/mod's tlog at
// every size, through a marshalled frontier.
func TestRootsAgreeWithAnIndependentImplementation(t *testing.T) {
	var tree journal.Tree
	var bodies [][]byte
	for n := range 300 {
		if got, want := tree.Root(), tlogRoot(bodies); got != want {
			t.Fatalf("root of size %d is %s, want %s", n, got, want)
		}
		b, err := tree.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var back journal.Tree
		if err := back.UnmarshalBinary(b); err != nil || back != tree {
			t.Fatalf("frontier of size %d does not come back: %v", n, err)
		}
		tree = back
		bodies = append(bodies, body(n))
		tree.Append(holdfast.LeafHash(body(n)))
	}
}

func TestFrontierOfAnotherLengthIsRefused(t *testing.T) {
	var tree journal.Tree
	for n := range 7 {
		tree.Append(holdfast.LeafHash(body(n)))
	}
	b, _ := tree.MarshalBinary()
	for n := range len(b) + 40 {
		c := append(bytes.Clone(b), make([]byte, 40)...)[:n]
		if err := new(journal.Tree).UnmarshalBinary(c); (err == nil) != (n == len(b)) {
			t.Fatalf("%d bytes of %d: %v", n, len(b), err)
		}
	}
}

func TestTreeIsAFunctionOfItsLeaves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bodies := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 40), 0, 70).Draw(t, "bodies")
		cut := rapid.IntRange(0, len(bodies)).Draw(t, "cut")
		var whole journal.Tree
		for _, b := range bodies[:cut] {
			whole.Append(holdfast.LeafHash(b))
		}
		copied := whole
		for _, b := range bodies[cut:] {
			whole.Append(holdfast.LeafHash(b))
			copied.Append(holdfast.LeafHash(b))
		}
		if copied != whole || whole.Root() != tlogRoot(bodies) || whole.Size() != uint64(len(bodies)) {
			t.Fatal("a copied frontier goes on differently")
		}
	})
}
