package cloud_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/holdfast-ev/holdfast/cloud"
)

// A list that is read page by page has everything that was there when it began,
// once each, whatever is added in between; and an export goes on where it ended.
func TestPagesAreStableUnderInserts(t *testing.T) {
	for _, oldest := range []bool{false, true} {
		w := memoryWorld(t)
		put := func(i int) {
			_, err := w.plane.PutToken(context.Background(), w.now, cloud.PutToken{Value: fmt.Sprintf("04%04d", i), Label: fmt.Sprint(i)})
			w.must(err)
		}
		for i := range 10 {
			put(i)
		}
		var seen []string
		for page := (cloud.Page{Limit: 3, Oldest: oldest}); ; {
			list, next, err := w.plane.Tokens(context.Background(), page)
			w.must(err)
			for _, tok := range list {
				seen = append(seen, tok.Label)
			}
			if next == "" || len(seen) > 40 {
				break
			}
			page.Cursor = next
			put(100 + len(seen))
			put(3) // a change moves nothing
		}
		for i := range 10 {
			if n := len(slices.DeleteFunc(slices.Clone(seen), func(s string) bool { return s != fmt.Sprint(i) })); n != 1 {
				t.Errorf("oldest %t: token %d came %d times: %v", oldest, i, n, seen)
			}
		}
	}
}

// A cursor is good for the list, the filters and the order that it was given
// for, and for nothing else.
func TestCursorOfAnotherList(t *testing.T) {
	w := memoryWorld(t)
	ctx := context.Background()
	w.addSite("north")
	w.addSite("south")
	for i := range 3 {
		_, err := w.plane.PutToken(ctx, w.now, cloud.PutToken{Value: fmt.Sprintf("04%04d", i)})
		w.must(err)
	}
	_, cursor, err := w.plane.Tokens(ctx, cloud.Page{Limit: 1})
	w.must(err)
	if _, _, err := w.plane.Tokens(ctx, cloud.Page{Limit: 2, Cursor: cursor}); err != nil {
		t.Fatalf("the same list with another limit: %v", err)
	}
	_, atSite, err := w.plane.Sessions(ctx, cloud.SessionFilter{Site: "north"}, cloud.Page{})
	w.must(err)
	if atSite != "" {
		t.Fatal("a cursor for an empty list")
	}
	for name, bad := range map[string]error{
		"another list":   third(w.plane.Sites(ctx, cloud.Page{Cursor: cursor})),
		"another order":  third(w.plane.Tokens(ctx, cloud.Page{Cursor: cursor, Oldest: true})),
		"a filter":       third(w.plane.Sessions(ctx, cloud.SessionFilter{Site: "north"}, cloud.Page{Cursor: cursor})),
		"cut":            third(w.plane.Tokens(ctx, cloud.Page{Cursor: cursor[:len(cursor)-1]})),
		"longer":         third(w.plane.Tokens(ctx, cloud.Page{Cursor: cursor + "AA"})),
		"no base64":      third(w.plane.Tokens(ctx, cloud.Page{Cursor: "§"})),
		"a plain number": third(w.plane.Tokens(ctx, cloud.Page{Cursor: "2"})),
	} {
		if !errors.Is(bad, cloud.ErrCursor) {
			t.Errorf("%s: %v", name, bad)
		}
	}
}

func third[A, B any](_ A, _ B, err error) error { return err }
