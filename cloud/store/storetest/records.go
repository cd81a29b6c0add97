package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
)

func log(t *testing.T, open Open) {
	s, _, _ := open(t)
	update(t, s, func(tx cloud.Tx) error {
		for i := range 5 {
			n, err := tx.AppendLog(cloud.LogEntry{N: 99, At: holdfast.UnixMilli(i), By: "me", Kind: "k", Body: []byte(fmt.Sprint(i))})
			if err != nil || n != uint64(i+1) {
				t.Errorf("entry %d has number %d, %v", i, n, err)
			}
		}
		return nil
	})
	view(t, s, func(tx cloud.Tx) error {
		es, err := tx.ReadLog(2, 2)
		if err != nil || len(es) != 2 || es[0].N != 3 || es[1].N != 4 || string(es[0].Body) != "2" || es[0].At != 2 || es[0].By != "me" || es[0].Kind != "k" {
			t.Errorf("read: %+v, %v", es, err)
		}
		if es, err := tx.ReadLog(5, 10); len(es) != 0 || err != nil {
			t.Errorf("read past the end: %+v, %v", es, err)
		}
		return nil
	})
}

func row(seq int, session byte) cloud.Row {
	body := fmt.Appendf(nil, "record %d", seq)
	r := cloud.Row{Seq: holdfast.Seq(seq), Leaf: holdfast.LeafHash(body), Body: body}
	if session != 0 {
		r.Session = holdfast.SessionID{session}
	}
	return r
}

func records(t *testing.T, open Open) {
	s, _, _ := open(t)
	update(t, s, func(tx cloud.Tx) error {
		return errors.Join(
			tx.AddRecords(2, []cloud.Row{row(0, 9)}),
			tx.AddRecords(1, []cloud.Row{row(0, 0), row(1, 7), row(2, 9)}),
			tx.AddRecords(1, []cloud.Row{row(3, 7), row(4, 0), row(5, 3), row(6, 9)}),
			tx.AddRecords(3, nil))
	})
	view(t, s, func(tx cloud.Tx) error {
		var seqs []holdfast.Seq
		err := tx.Leaves(1, 1, 4, func(q holdfast.Seq, h holdfast.Hash) error {
			if h != row(int(q), 0).Leaf {
				t.Errorf("leaf %d is %s", q, h)
			}
			seqs = append(seqs, q)
			return nil
		})
		if !slices.Equal(seqs, []holdfast.Seq{1, 2, 3}) || err != nil {
			t.Errorf("leaves of %v, %v", seqs, err)
		}
		stop := errors.New("stop")
		if err := tx.Leaves(1, 0, 5, func(holdfast.Seq, holdfast.Hash) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("the callback's error is lost: %v", err)
		}
		touched, err := tx.Touched(1, 0, 1<<63)
		if err != nil || !slices.Equal(touched, []holdfast.SessionID{{7}, {9}, {3}}) {
			t.Errorf("touched %v, %v, want them in the order in which they began", touched, err)
		}
		if touched, err := tx.Touched(1, 7, 9); len(touched) != 0 || err != nil {
			t.Errorf("touched %v, %v", touched, err)
		}
		rows, err := tx.SessionRecords(holdfast.SessionID{9})
		if err != nil || len(rows) != 3 || rows[0].Stream != 1 || rows[0].Seq != 2 || rows[1].Seq != 6 || rows[2].Stream != 2 || rows[2].Seq != 0 ||
			string(rows[0].Body) != "record 2" || rows[0].Leaf != row(2, 0).Leaf || rows[0].Session != (holdfast.SessionID{9}) {
			t.Errorf("records of session 9: %+v, %v", rows, err)
		}
		return nil
	})
	update(t, s, func(tx cloud.Tx) error { return tx.ClearRecords() })
	update(t, s, func(tx cloud.Tx) error { return tx.AddRecords(1, []cloud.Row{row(0, 7)}) })
}

func positionOnce(t *testing.T, open Open) {
	s, _, _ := open(t)
	update(t, s, func(tx cloud.Tx) error { return tx.AddRecords(1, []cloud.Row{row(0, 0), row(1, 0)}) })
	same, other := row(1, 0), row(1, 0)
	other.Body, other.Leaf = []byte("other"), holdfast.LeafHash([]byte("other"))
	for _, r := range []cloud.Row{same, other} {
		err := s.Update(t.Context(), func(tx cloud.Tx) error { return tx.AddRecords(1, []cloud.Row{r, row(2, 0)}) })
		if !errors.Is(err, cloud.ErrExists) {
			t.Errorf("a position used twice: %v, want ErrExists", err)
		}
	}
	view(t, s, func(tx cloud.Tx) error {
		n := 0
		err := tx.Leaves(1, 0, 9, func(_ holdfast.Seq, h holdfast.Hash) error {
			if h == other.Leaf {
				t.Error("a record was overwritten")
			}
			n++
			return nil
		})
		if n != 2 {
			t.Errorf("%d records, want 2", n)
		}
		return err
	})
}

func sticky(t *testing.T, open Open) {
	s, _, _ := open(t)
	update(t, s, func(tx cloud.Tx) error { return tx.AddRecords(1, []cloud.Row{row(0, 0)}) })
	err := s.Update(t.Context(), func(tx cloud.Tx) error {
		if _, err := tx.Put(doc(cloud.KindSite, "before", "{}")); err != nil {
			return err
		}
		if err := tx.AddRecords(1, []cloud.Row{row(0, 0)}); err == nil {
			t.Error("a position used twice is no error")
		}
		return nil // a caller that forgets the error must not commit half
	})
	if err == nil {
		t.Error("Update of a transaction with a failed write returned nil")
	}
	view(t, s, func(tx cloud.Tx) error {
		if _, err := tx.Get(cloud.KindSite, "before"); !errors.Is(err, cloud.ErrNotFound) {
			t.Errorf("half of a failed transaction is there: %v", err)
		}
		return nil
	})
}

func clears(t *testing.T, open Open) {
	s, _, _ := open(t)
	mustPut(t, s, doc(cloud.KindSite, "a", "1"), doc(cloud.KindSite, "b", "1"), doc(cloud.KindToken, "t", "1"))
	update(t, s, func(tx cloud.Tx) error {
		if err := tx.Clear(cloud.KindSite); err != nil {
			return err
		}
		n, err := tx.Put(doc(cloud.KindSite, "b", "2"))
		if n != 1 {
			t.Errorf("after Clear numbers begin at %d, want 1", n)
		}
		return err
	})
	view(t, s, func(tx cloud.Tx) error {
		docs, err1 := tx.List(cloud.KindSite, cloud.Query{})
		n, err2 := tx.Count(cloud.KindToken, nil)
		if keys(docs) != "b" || n != 1 {
			t.Errorf("after Clear: %q, %d tokens", keys(docs), n)
		}
		return errors.Join(err1, err2)
	})
}
