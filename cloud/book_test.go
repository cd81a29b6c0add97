package cloud_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/uplink"
)

// version returns the version of a site's signed list.
func (w *world) version(site holdfast.SiteID) uint64 {
	w.t.Helper()
	_, v, err := w.plane.ListFor(context.Background(), w.now, site)
	w.must(err)
	return v
}

// book reads a gateway's whole book.
func (w *world) book(gw holdfast.GatewayID, version uint64) (values []string, pages int, err error) {
	for after := uint64(0); ; {
		b, err := w.plane.Book(context.Background(), w.now, gw, version, after)
		if err != nil {
			return nil, pages, err
		}
		if b.Version != version {
			w.t.Fatalf("a page of version %d, want %d", b.Version, version)
		}
		if raw, err := json.Marshal(b); err != nil || len(raw) > uplink.MaxMessageBytes {
			w.t.Fatalf("a page of %d bytes, %v", len(raw), err)
		}
		for _, tok := range b.Tokens {
			values = append(values, tok.Value)
		}
		pages++
		if after = b.Next; after == 0 {
			slices.Sort(values)
			return values, pages, nil
		}
	}
}

// TestTokenBook: a gateway is given the tokens of its own site's list, in the
// version that it has, without those that only the cloud may accept; each
// version is noted once, and no value goes into the cloud's journal.
func TestTokenBook(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		north, south := w.box("north"), w.box("south")
		for value, put := range map[string]cloud.PutToken{
			"CARD-A": {}, "CARD-S": {Sites: []holdfast.SiteID{"south"}}, "CARD-N": {Sites: []holdfast.SiteID{"north"}},
			"CARD-X": {Whitelist: access.Never}, "CARD-O": {Whitelist: access.AllowedOffline},
		} {
			put.Value = value
			_, err := w.plane.PutToken(context.Background(), w.now, put)
			w.must(err)
		}
		v := w.version("north")
		for range 2 {
			have, _, err := w.book(north.id, v)
			w.must(err)
			if want := []string{"CARD-A", "CARD-N", "CARD-O"}; !slices.Equal(have, want) {
				t.Fatalf("the north has %v, want %v", have, want)
			}
		}
		have, _, err := w.book(south.id, w.version("south"))
		w.must(err)
		if want := []string{"CARD-A", "CARD-O", "CARD-S"}; !slices.Equal(have, want) {
			t.Fatalf("the south has %v, want %v", have, want)
		}

		_, err = w.plane.RevokeToken(context.Background(), w.now, "CARD-A", "test")
		w.must(err)
		_, _, err = w.book(north.id, v)
		wantError(t, "the book of a list that has changed", err, cloud.ErrOutdated)
		have, _, err = w.book(north.id, w.version("north"))
		w.must(err)
		if !slices.Contains(have, "CARD-A") {
			t.Errorf("a revoked token is not in the book: %v; chargers cannot block what they cannot name", have)
		}
		_, _, err = w.book("gw-nobody", 1)
		wantError(t, "a gateway that is not enrolled", err, cloud.ErrNotFound)

		noted := map[string]int{}
		w.must(w.store.View(context.Background(), func(tx cloud.Tx) error {
			entries, err := tx.ReadLog(0, 1000)
			for _, e := range entries {
				if e.Kind == "tokens.disclosed" {
					noted[e.By+string(e.Body)]++
				}
				if strings.Contains(string(e.Body), "CARD-") {
					t.Errorf("entry %s holds a token: %s", e.Kind, e.Body)
				}
			}
			return err
		}))
		if len(noted) != 3 {
			t.Errorf("noted %v, want two versions for the north and one for the south", noted)
		}
		for what, n := range noted {
			if n != 1 {
				t.Errorf("%s was noted %d times", what, n)
			}
		}
	})
}

// TestEveryPageOfABookIsNoted: whichever page a gateway asks for first, that it
// was given tokens is noted, once.
func TestEveryPageOfABookIsNoted(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		b := w.box("north")
		for _, value := range []string{"CARD-A", "CARD-B"} {
			_, err := w.plane.PutToken(context.Background(), w.now, cloud.PutToken{Value: value})
			w.must(err)
		}
		v := w.version("north")
		for range 2 {
			got, err := w.plane.Book(context.Background(), w.now, b.id, v, 1)
			w.must(err)
			if len(got.Tokens) != 1 {
				t.Fatalf("%d tokens behind the first", len(got.Tokens))
			}
		}
		noted := 0
		w.must(w.store.View(context.Background(), func(tx cloud.Tx) error {
			entries, err := tx.ReadLog(0, 1000)
			for _, e := range entries {
				if e.Kind == "tokens.disclosed" {
					noted++
				}
			}
			return err
		}))
		if noted != 1 {
			t.Errorf("noted %d times", noted)
		}
	})
}

// TestErasedTokenLeavesTheBook: erasing a driver takes the token out of every
// book, in a new version of the list.
func TestErasedTokenLeavesTheBook(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		b := w.box("north")
		for _, value := range []string{"CARD-A", "CARD-B"} {
			_, err := w.plane.PutToken(context.Background(), w.now, cloud.PutToken{Value: value})
			w.must(err)
		}
		before := w.version("north")
		_, err := w.plane.EraseToken(context.Background(), w.now, "CARD-A", "test")
		w.must(err)
		_, _, err = w.book(b.id, before)
		wantError(t, "the book from before", err, cloud.ErrOutdated)
		have, _, err := w.book(b.id, w.version("north"))
		w.must(err)
		if !slices.Equal(have, []string{"CARD-B"}) {
			t.Errorf("the book has %v", have)
		}
	})
}

// TestTokenBookIsPaged: a long book comes in pages that fit a message, and
// holds each token once, whatever the length of the values.
func TestTokenBookIsPaged(t *testing.T) {
	w := memoryWorld(t)
	b := w.box("north")
	var want []string
	for i := range uplink.MaxBookPage + 50 {
		value := fmt.Sprintf("CARD%04d", i)
		if i%2 == 0 {
			value += strings.Repeat("<", 240)
		}
		want = append(want, value)
		_, err := w.plane.PutToken(context.Background(), w.now, cloud.PutToken{Value: value})
		w.must(err)
	}
	slices.Sort(want)
	have, pages, err := w.book(b.id, w.version("north"))
	w.must(err)
	if !slices.Equal(have, want) || pages < 2 {
		t.Errorf("%d tokens on %d pages, want %d on more than one", len(have), pages, len(want))
	}
}
