package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
)

// manyAtOnce: what PutAll, AddAll and GetAll leave and return is what one call
// for each document does, numbers included.
func manyAtOnce(t *testing.T, open Open) {
	many, _, _ := open(t)
	single, _, _ := open(t)
	batch := func(prefix string, from, to int) (docs []cloud.Doc) {
		for i := from; i < to; i++ {
			docs = append(docs, doc(cloud.KindEntry, fmt.Sprint("k", i), fmt.Sprint(prefix, i), "site", fmt.Sprint("s", i%7), prefix))
		}
		return docs
	}
	mixed := append(batch("second", 40, 180), batch("second", 0, 10)...) // new and known in turns
	for _, docs := range [][]cloud.Doc{nil, batch("first", 0, 121), mixed, batch("third", 300, 301)} {
		update(t, many, func(tx cloud.Tx) error { return tx.PutAll(cloud.KindEntry, docs) })
		mustPut(t, single, docs...)
	}
	update(t, many, func(tx cloud.Tx) error { return tx.AddAll(cloud.KindEntry, batch("added", 400, 520)) })
	mustPut(t, single, batch("added", 400, 520)...)
	everything := func(s cloud.Store) (out string) {
		view(t, s, func(tx cloud.Tx) error {
			docs, err := tx.List(cloud.KindEntry, cloud.Query{Oldest: true})
			for _, d := range docs {
				out += fmt.Sprintln(d.N, d.Key, d.Fields["site"], d.Fields["session"], d.Fields["account"], string(d.Body))
			}
			return err
		})
		return out
	}
	if got, want := everything(many), everything(single); got != want {
		t.Errorf("many at once:\n%s\none by one:\n%s", got, want)
	}
	gotAll(t, many, 180)
	refusedAll(t, many, batch, everything)
}

// gotAll: keys k0 to k199 are asked for, and the first of them are there.
func gotAll(t *testing.T, many cloud.Store, there int) {
	t.Helper()
	view(t, many, func(tx cloud.Tx) error {
		var keys, found []string
		for i := range 200 {
			keys = append(keys, fmt.Sprint("k", i))
		}
		docs, err := tx.GetAll(cloud.KindEntry, keys)
		for _, d := range docs {
			found = append(found, d.Key)
			if one, err := tx.Get(cloud.KindEntry, d.Key); err != nil || one.N != d.N || string(one.Body) != string(d.Body) || d.Fields["site"] != one.Fields["site"] {
				t.Errorf("GetAll %+v, Get %+v, %v", d, one, err)
			}
		}
		slices.Sort(found)
		want := keys[:there]
		slices.Sort(want)
		if !slices.Equal(found, want) {
			t.Errorf("%d of %d found", len(found), len(want))
		}
		none, err2 := tx.GetAll(cloud.KindEntry, nil)
		if len(none) > 0 {
			t.Errorf("nothing asked for, %d found", len(none))
		}
		return errors.Join(err, err2)
	})
}

// refusedAll: what is refused leaves no trace.
func refusedAll(t *testing.T, many cloud.Store, batch func(string, int, int) []cloud.Doc, everything func(cloud.Store) string) {
	t.Helper()
	for name, c := range map[string]struct {
		write func(cloud.Tx) error
		want  error
	}{
		"AddAll with a known key": {func(tx cloud.Tx) error { return tx.AddAll(cloud.KindEntry, batch("x", 510, 600)) }, cloud.ErrExists},
		"PutAll of another kind":  {func(tx cloud.Tx) error { return tx.PutAll(cloud.KindCDR, batch("x", 600, 601)) }, cloud.ErrInvalid},
		"PutAll without a key": {func(tx cloud.Tx) error {
			return tx.PutAll(cloud.KindSite, []cloud.Doc{doc(cloud.KindSite, "a", "{}"), doc(cloud.KindSite, "", "{}")})
		}, cloud.ErrInvalid},
	} {
		before := everything(many)
		if err := many.Update(t.Context(), c.write); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if everything(many) != before {
			t.Errorf("%s left a trace", name)
		}
		if err := many.View(t.Context(), c.write); err == nil {
			t.Errorf("%s in a View is no error", name)
		}
	}
}

func knownSessions(t *testing.T, open Open) {
	s, _, _ := open(t)
	var rows []cloud.Row
	for i := range 120 {
		rows = append(rows, row(i, byte(i%60)+1)) // sessions 1 to 60
	}
	update(t, s, func(tx cloud.Tx) error { return tx.AddRecords(1, rows) })
	view(t, s, func(tx cloud.Tx) error {
		var ask, want []holdfast.SessionID
		for i := range 130 {
			id := holdfast.SessionID{byte(i + 1)}
			if ask = append(ask, id); i < 60 {
				want = append(want, id)
			}
		}
		got, err := tx.Known(ask)
		slices.SortFunc(got, func(a, b holdfast.SessionID) int { return slices.Compare(a[:], b[:]) })
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%d known, want %d: %v", len(got), len(want), err)
		}
		if got, err := tx.Known(nil); len(got) > 0 || err != nil {
			t.Errorf("nothing asked for: %v, %v", got, err)
		}
		return nil
	})
}
