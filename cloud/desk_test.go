package cloud_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/cloud/store"
)

// What a fold reads on its desk, and what it leaves in the store, is what it
// would have read and left in the store itself.
func TestDeskIsTheStore(t *testing.T) {
	ids := []holdfast.SessionID{{1}, {2}, {3}, {4}}
	rapid.Check(t, func(t *rapid.T) {
		desked, plain := store.NewMemory(), store.NewMemory()
		written := map[holdfast.SessionID]bool{} // in an earlier transaction
		entries := 0
		for range rapid.IntRange(1, 4).Draw(t, "transactions") {
			touched := map[holdfast.SessionID]bool{}
			err := desked.Update(context.Background(), func(under cloud.Tx) error {
				desk := cloud.NewDesk(under)
				for _, id := range ids {
					if !written[id] && rapid.Bool().Draw(t, "fresh") {
						desk.StartsFresh(id)
					}
				}
				err := plain.Update(context.Background(), func(tx cloud.Tx) error {
					for range rapid.IntRange(1, 25).Draw(t, "steps") {
						id := rapid.SampledFrom(ids).Draw(t, "session")
						q := question{id: id, op: rapid.IntRange(0, 10).Draw(t, "op"), at: fmt.Sprint(rapid.IntRange(0, 5).Draw(t, "at")),
							row: rapid.SampledFrom([]string{"r1", "r2"}).Draw(t, "row"), n: entries}
						if q.op == 10 { // which a store has no need of
							for _, k := range []cloud.Kind{cloud.KindPlace, cloud.KindSession} {
								if err := desk.Fetch(k, []string{ids[0].String(), id.String()}); err != nil {
									return err
								}
							}
							continue
						}
						if q.op <= 4 {
							touched[id] = true
							entries++
						}
						got, want := q.ask(desk), q.ask(tx)
						if got != want {
							return fmt.Errorf("%+v: the desk says %s, the store %s", q, got, want)
						}
					}
					return nil
				})
				return errors.Join(err, desk.Flush())
			})
			if err != nil {
				t.Fatal(err)
			}
			for id := range touched {
				written[id] = true
			}
			if got, want := documentsOf(t, desked), documentsOf(t, plain); got != want {
				t.Fatalf("with a desk: %s", firstDifference(want, got))
			}
		}
	})
}

// A question is one thing that a fold does with a transaction.
type question struct {
	id      holdfast.SessionID
	op, n   int
	at, row string
}

// ask does it and says what came of it, numbers apart.
func (q question) ask(tx cloud.Tx) string {
	s := q.id.String()
	said := func(err error, docs ...*cloud.Doc) (out string) {
		for _, d := range docs {
			if d == nil {
				out += " nothing"
			} else {
				out += fmt.Sprintf(" %s %v %s", d.Key, d.Fields, d.Body)
			}
		}
		return fmt.Sprint(out, " not found: ", errors.Is(err, cloud.ErrNotFound), " error: ", err != nil)
	}
	put := func(k cloud.Kind, key string, f cloud.Fields) string {
		_, err := tx.Put(cloud.Doc{Kind: k, Key: key, Fields: f, Body: fmt.Append(nil, q.n)})
		return said(err)
	}
	switch q.op {
	case 0:
		return put(cloud.KindPlace, s, cloud.Fields{"row": q.row, "at": q.at + s})
	case 1:
		return put(cloud.KindCDR, s+q.at, cloud.Fields{"site": "", "session": s, "current": q.at})
	case 2:
		return put(cloud.KindException, s+q.at, cloud.Fields{"site": "north", "session": s, "code": q.row, "state": q.at})
	case 3:
		return put(cloud.KindSession, s, cloud.Fields{"site": "", "charger": q.at, "running": "", "stage": ""})
	case 4:
		_, err := tx.Add(cloud.Doc{Kind: cloud.KindEntry, Key: fmt.Sprint(q.n), Fields: cloud.Fields{"site": "", "session": s, "account": ""}, Body: []byte("{}")})
		return said(err)
	case 5:
		d, err := tx.Get(cloud.KindPlace, s)
		return said(err, &d)
	case 6:
		d, err := tx.Get(cloud.KindSession, s)
		return said(err, &d)
	case 7:
		before, after, err := tx.Beside(cloud.KindPlace, cloud.Fields{"row": q.row}, "at", q.at+s)
		return said(err, before, after)
	case 8:
		return q.list(tx, cloud.KindCDR, cloud.Query{Where: cloud.Fields{"session": s}, Oldest: true})
	}
	return q.list(tx, cloud.KindException, cloud.Query{Where: cloud.Fields{"session": s}, Oldest: true}) +
		q.list(tx, cloud.KindException, cloud.Query{Where: cloud.Fields{"site": "north", "state": q.at}, Oldest: true})
}

func (q question) list(tx cloud.Tx, k cloud.Kind, by cloud.Query) (out string) {
	docs, err := tx.List(k, by)
	for _, d := range docs {
		out += fmt.Sprintf("%s %v %s\n", d.Key, d.Fields, d.Body)
	}
	return fmt.Sprint(out, err)
}

// documentsOf is every document of a store, with its number.
func documentsOf(t TB, s cloud.Store) (out string) {
	t.Helper()
	err := s.View(context.Background(), func(tx cloud.Tx) error {
		for _, k := range cloud.Kinds() {
			docs, err := tx.List(k, cloud.Query{Oldest: true})
			if err != nil {
				return err
			}
			for _, d := range docs {
				out += fmt.Sprintf("%s %d %s %v %s\n", k, d.N, d.Key, d.Fields, d.Body)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
