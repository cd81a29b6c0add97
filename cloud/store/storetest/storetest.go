// Package storetest is the suite that every keeper of [cloud.Store] and
// [cloud.Archive] passes. A keeper's test calls [Run]; each case says which
// sentence of the interface's contract it checks.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
)

// Open makes an empty keeper. When the keeper is durable, calling again what
// the second result returns opens what the first keeper wrote; otherwise it is
// nil.
type Open func(t *testing.T) (s cloud.Store, a cloud.Archive, reopen func() cloud.Store)

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for name, test := range map[string]func(*testing.T, Open){
		"Documents":                      documents,
		"AddIsForNewKeys":                added,
		"DocumentsEveryKind":             everyKind,
		"DocumentsKeepTheirNumber":       numbers,
		"DocumentsAreRefused":            refusals,
		"KeysAreBytes":                   anyBytes,
		"ListByFieldsAndCursor":          lists,
		"Beside":                         beside,
		"ManyAtOnce":                     manyAtOnce,
		"KnownSessions":                  knownSessions,
		"Log":                            log,
		"Records":                        records,
		"PositionIsUsedOnce":             positionOnce,
		"FailedWriteLosesTheTransaction": sticky,
		"RollBackLeavesNoTrace":          rollBack,
		"PanicLeavesNoTrace":             panics,
		"ViewCannotWrite":                readOnly,
		"ViewIsASnapshot":                snapshot,
		"UpdatesAreSerialised":           serialised,
		"CancelledContext":               cancelled,
		"CallersGoAway":                  goAway,
		"BytesAreTheCallers":             ownBytes,
		"Clear":                          clears,
		"Archive":                        archive,
		"Durable":                        durable,
	} {
		t.Run(name, func(t *testing.T) { test(t, open) })
	}
}

func update(t *testing.T, s cloud.Store, fn func(cloud.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func view(t *testing.T, s cloud.Store, fn func(cloud.Tx) error) {
	t.Helper()
	if err := s.View(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// doc makes a document with every field of its kind.
func doc(k cloud.Kind, key, body string, fields ...string) cloud.Doc {
	d := cloud.Doc{Kind: k, Key: key, Fields: cloud.Fields{}, Body: []byte(body)}
	for i, f := range k.Fields() {
		d.Fields[f] = ""
		if i < len(fields) {
			d.Fields[f] = fields[i]
		}
	}
	return d
}

func mustPut(t *testing.T, s cloud.Store, docs ...cloud.Doc) {
	t.Helper()
	update(t, s, func(tx cloud.Tx) error {
		for _, d := range docs {
			if _, err := tx.Put(d); err != nil {
				return err
			}
		}
		return nil
	})
}

func keys(docs []cloud.Doc) string {
	var out []string
	for _, d := range docs {
		out = append(out, d.Key)
	}
	return strings.Join(out, " ")
}

func documents(t *testing.T, open Open) {
	s, _, _ := open(t)
	mustPut(t, s, doc(cloud.KindCDR, "a", `{"x":1}`, "site", "session", "1"))
	view(t, s, func(tx cloud.Tx) error {
		d, err := tx.Get(cloud.KindCDR, "a")
		if err != nil {
			return err
		}
		if d.N != 1 || string(d.Body) != `{"x":1}` || d.Fields["site"] != "site" || d.Fields["session"] != "session" || d.Fields["current"] != "1" {
			t.Errorf("got %+v", d)
		}
		if _, err := tx.Get(cloud.KindCDR, "b"); !errors.Is(err, cloud.ErrNotFound) {
			t.Errorf("Get of an unknown key: %v, want ErrNotFound", err)
		}
		if _, err := tx.Get(cloud.KindEntry, "a"); !errors.Is(err, cloud.ErrNotFound) {
			t.Errorf("Get of another kind: %v, want ErrNotFound", err)
		}
		return nil
	})
	update(t, s, func(tx cloud.Tx) error {
		return errors.Join(tx.Delete(cloud.KindCDR, "a"), tx.Delete(cloud.KindCDR, "b"))
	})
	view(t, s, func(tx cloud.Tx) error {
		if _, err := tx.Get(cloud.KindCDR, "a"); !errors.Is(err, cloud.ErrNotFound) {
			t.Errorf("Get of a deleted document: %v, want ErrNotFound", err)
		}
		return nil
	})
}

func added(t *testing.T, open Open) {
	s, _, _ := open(t)
	update(t, s, func(tx cloud.Tx) error {
		n, err := tx.Add(doc(cloud.KindEntry, "a", "1"))
		if n != 1 {
			t.Errorf("number %d, want 1", n)
		}
		return err
	})
	err := s.Update(t.Context(), func(tx cloud.Tx) error {
		if _, err := tx.Add(doc(cloud.KindEntry, "b", "1")); err != nil {
			return err
		}
		if _, err := tx.Add(doc(cloud.KindEntry, "a", "2")); !errors.Is(err, cloud.ErrExists) {
			t.Errorf("a key twice: %v, want ErrExists", err)
		}
		return nil
	})
	if err == nil {
		t.Error("Update of a transaction with a failed Add returned nil")
	}
	view(t, s, func(tx cloud.Tx) error {
		docs, err := tx.List(cloud.KindEntry, cloud.Query{})
		if keys(docs) != "a" || string(docs[0].Body) != "1" {
			t.Errorf("documents %q", keys(docs))
		}
		return err
	})
}

func everyKind(t *testing.T, open Open) {
	s, _, _ := open(t)
	for _, k := range cloud.Kinds() {
		values := []string{}
		for _, f := range k.Fields() {
			values = append(values, "value of "+f)
		}
		mustPut(t, s, doc(k, "key of "+string(k), `{}`, values...))
		view(t, s, func(tx cloud.Tx) error {
			for i, f := range k.Fields() {
				found, err := tx.List(k, cloud.Query{Where: cloud.Fields{f: values[i]}})
				if err != nil || len(found) != 1 || found[0].Fields[f] != values[i] || found[0].Kind != k {
					t.Errorf("%s by %s: %+v, %v", k, f, found, err)
				}
			}
			n, err := tx.Count(k, nil)
			if n != 1 || err != nil {
				t.Errorf("%s: count %d, %v", k, n, err)
			}
			return nil
		})
	}
}

func numbers(t *testing.T, open Open) {
	s, _, _ := open(t)
	put := func(key, body string, want uint64) {
		t.Helper()
		update(t, s, func(tx cloud.Tx) error {
			n, err := tx.Put(doc(cloud.KindSite, key, body))
			if n != want {
				t.Errorf("put %s: number %d, want %d", key, n, want)
			}
			return err
		})
	}
	put("a", "1", 1)
	put("b", "1", 2)
	put("a", "2", 1) // a known key keeps its number
	put("c", "1", 3)
	update(t, s, func(tx cloud.Tx) error { return tx.Delete(cloud.KindSite, "c") })
	put("d", "1", 3) // one above the highest
	update(t, s, func(tx cloud.Tx) error { return tx.Delete(cloud.KindSite, "a") })
	put("a", "3", 4)
	view(t, s, func(tx cloud.Tx) error {
		docs, err := tx.List(cloud.KindSite, cloud.Query{Oldest: true})
		if keys(docs) != "b d a" {
			t.Errorf("order is %q", keys(docs))
		}
		return err
	})
}

func refusals(t *testing.T, open Open) {
	s, _, _ := open(t)
	missing := doc(cloud.KindCDR, "a", "{}")
	delete(missing.Fields, "site")
	extra := doc(cloud.KindCDR, "a", "{}")
	extra.Fields["colour"] = "red"
	for name, d := range map[string]cloud.Doc{
		"no key": doc(cloud.KindCDR, "", "{}"), "a field missing": missing, "a field too many": extra, "no such kind": doc("colour", "a", "{}"),
	} {
		err := s.Update(t.Context(), func(tx cloud.Tx) error { _, err := tx.Put(d); return err })
		if !errors.Is(err, cloud.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	view(t, s, func(tx cloud.Tx) error {
		if _, err := tx.List(cloud.KindCDR, cloud.Query{Where: cloud.Fields{"colour": "red"}}); !errors.Is(err, cloud.ErrInvalid) {
			t.Errorf("list by an unknown field: %v, want ErrInvalid", err)
		}
		if _, err := tx.Count(cloud.KindCDR, cloud.Fields{"n; DROP TABLE cdr": "1"}); !errors.Is(err, cloud.ErrInvalid) {
			t.Errorf("count by an unknown field: %v, want ErrInvalid", err)
		}
		if _, err := tx.Get("colour", "a"); !errors.Is(err, cloud.ErrInvalid) {
			t.Errorf("get of an unknown kind: %v, want ErrInvalid", err)
		}
		return nil
	})
}

func lists(t *testing.T, open Open) {
	s, _, _ := open(t)
	for i := range 9 {
		mustPut(t, s, doc(cloud.KindSession, fmt.Sprint("s", i+1), "{}", []string{"x", "y", "z"}[i%3], "", []string{"yes", "no"}[i%2]))
	}
	for _, c := range []struct {
		q    cloud.Query
		want string
	}{
		{cloud.Query{}, "s9 s8 s7 s6 s5 s4 s3 s2 s1"},
		{cloud.Query{Oldest: true, Limit: 2}, "s1 s2"},
		{cloud.Query{Oldest: true, Limit: 2, Cursor: 2}, "s3 s4"},
		{cloud.Query{Limit: 3, Cursor: 4}, "s3 s2 s1"},
		{cloud.Query{Cursor: 1}, ""},
		{cloud.Query{Cursor: 1 << 63}, "s9 s8 s7 s6 s5 s4 s3 s2 s1"},
		{cloud.Query{Oldest: true, Cursor: 9}, ""},
		{cloud.Query{Where: cloud.Fields{"site": "x"}}, "s7 s4 s1"},
		{cloud.Query{Where: cloud.Fields{"site": "x", "running": "yes"}}, "s7 s1"},
		{cloud.Query{Where: cloud.Fields{"site": "x", "running": "yes"}, Cursor: 7}, "s1"},
		{cloud.Query{Where: cloud.Fields{"site": "q"}}, ""},
		{cloud.Query{Where: cloud.Fields{"site": ""}}, ""},
	} {
		view(t, s, func(tx cloud.Tx) error {
			docs, err := tx.List(cloud.KindSession, c.q)
			if keys(docs) != c.want {
				t.Errorf("%+v: %q, want %q", c.q, keys(docs), c.want)
			}
			return err
		})
	}
}

func beside(t *testing.T, open Open) {
	s, _, _ := open(t)
	mustPut(t, s, doc(cloud.KindPlace, "k1", "{}", "r", "b"), doc(cloud.KindPlace, "k2", "{}", "r", "d"),
		doc(cloud.KindPlace, "k3", "{}", "q", "c"), doc(cloud.KindPlace, "k4", "{}", "r", "f"))
	name := func(d *cloud.Doc) string {
		if d == nil {
			return "-"
		}
		return d.Key
	}
	for value, want := range map[string]string{"a": "- k1", "b": "- k2", "c": "k1 k2", "d": "k1 k4", "e": "k2 k4", "g": "k4 -"} {
		view(t, s, func(tx cloud.Tx) error {
			before, after, err := tx.Beside(cloud.KindPlace, cloud.Fields{"row": "r"}, "at", value)
			if got := name(before) + " " + name(after); got != want {
				t.Errorf("beside %s: %s, want %s", value, got, want)
			}
			return err
		})
	}
	view(t, s, func(tx cloud.Tx) error {
		if _, _, err := tx.Beside(cloud.KindPlace, nil, "colour", "a"); !errors.Is(err, cloud.ErrInvalid) {
			t.Errorf("beside by an unknown field: %v, want ErrInvalid", err)
		}
		return nil
	})
}

// fill writes one of everything.
func fill(tx cloud.Tx) error {
	_, err1 := tx.Put(doc(cloud.KindSite, "old", "new body"))
	_, err2 := tx.Put(doc(cloud.KindSite, "new", "{}"))
	_, err3 := tx.AppendLog(cloud.LogEntry{Kind: "k"})
	return errors.Join(err1, err2, err3, tx.AddRecords(1, []cloud.Row{row(1, 7)}), tx.Delete(cloud.KindToken, "gone"),
		tx.Clear(cloud.KindGrant), tx.ClearRecords(), tx.AddRecords(5, []cloud.Row{row(0, 7)}))
}

func prepared(t *testing.T, open Open) cloud.Store {
	s, _, _ := open(t)
	mustPut(t, s, doc(cloud.KindSite, "old", "old body"), doc(cloud.KindToken, "gone", "{}"), doc(cloud.KindGrant, "g", "{}", "s", "t"))
	update(t, s, func(tx cloud.Tx) error { return tx.AddRecords(1, []cloud.Row{row(0, 7)}) })
	return s
}

// untouched checks that a store is as prepared left it, numbers included.
func untouched(t *testing.T, s cloud.Store) {
	t.Helper()
	view(t, s, func(tx cloud.Tx) error {
		if d, err := tx.Get(cloud.KindSite, "old"); err != nil || string(d.Body) != "old body" {
			t.Errorf("a changed document: %q, %v", d.Body, err)
		}
		if _, err := tx.Get(cloud.KindSite, "new"); !errors.Is(err, cloud.ErrNotFound) {
			t.Errorf("a new document: %v", err)
		}
		if _, err := tx.Get(cloud.KindToken, "gone"); err != nil {
			t.Errorf("a deleted document: %v", err)
		}
		if n, err := tx.Count(cloud.KindGrant, cloud.Fields{"site": "s"}); n != 1 || err != nil {
			t.Errorf("a cleared kind: %d, %v", n, err)
		}
		if es, err := tx.ReadLog(0, 9); len(es) != 0 || err != nil {
			t.Errorf("the log: %v, %v", es, err)
		}
		rows, err := tx.SessionRecords(holdfast.SessionID{7})
		if len(rows) != 1 || rows[0].Seq != 0 {
			t.Errorf("records: %v", rows)
		}
		return err
	})
	update(t, s, func(tx cloud.Tx) error {
		n, err := tx.Put(doc(cloud.KindSite, "next", "{}"))
		if n != 2 {
			t.Errorf("the next number is %d, want 2", n)
		}
		return errors.Join(err, tx.AddRecords(1, []cloud.Row{row(1, 7)}))
	})
}

func rollBack(t *testing.T, open Open) {
	s := prepared(t, open)
	stop := errors.New("stop")
	err := s.Update(t.Context(), func(tx cloud.Tx) error { return errors.Join(fill(tx), stop) })
	if !errors.Is(err, stop) {
		t.Errorf("Update returned %v, want fn's error", err)
	}
	untouched(t, s)
}

func panics(t *testing.T, open Open) {
	s := prepared(t, open)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = s.Update(t.Context(), func(tx cloud.Tx) error {
			if err := fill(tx); err != nil {
				t.Error(err)
			}
			panic("boom")
		})
	}()
	untouched(t, s)
}

func readOnly(t *testing.T, open Open) {
	s := prepared(t, open)
	for name, write := range map[string]func(cloud.Tx) error{
		"Put":          func(tx cloud.Tx) error { _, err := tx.Put(doc(cloud.KindSite, "new", "{}")); return err },
		"Add":          func(tx cloud.Tx) error { _, err := tx.Add(doc(cloud.KindSite, "new", "{}")); return err },
		"AppendLog":    func(tx cloud.Tx) error { _, err := tx.AppendLog(cloud.LogEntry{Kind: "k"}); return err },
		"Delete":       func(tx cloud.Tx) error { return tx.Delete(cloud.KindToken, "gone") },
		"Clear":        func(tx cloud.Tx) error { return tx.Clear(cloud.KindGrant) },
		"AddRecords":   func(tx cloud.Tx) error { return tx.AddRecords(1, []cloud.Row{row(1, 0)}) },
		"ClearRecords": func(tx cloud.Tx) error { return tx.ClearRecords() },
	} {
		if err := s.View(t.Context(), write); err == nil {
			t.Errorf("%s in a View is no error", name)
		}
	}
	untouched(t, s)
}

func snapshot(t *testing.T, open Open) {
	s, _, _ := open(t)
	mustPut(t, s, doc(cloud.KindSite, "a", "1"))
	written := make(chan error, 1)
	view(t, s, func(tx cloud.Tx) error {
		if _, err := tx.Get(cloud.KindSite, "a"); err != nil {
			return err
		}
		go func() {
			written <- s.Update(context.Background(), func(tx cloud.Tx) error { _, err := tx.Put(doc(cloud.KindSite, "a", "2")); return err })
		}()
		// Whether the writer waits for us or goes on beside us, we see what we saw.
		for range 100 {
			d, err := tx.Get(cloud.KindSite, "a")
			if err != nil || string(d.Body) != "1" {
				return fmt.Errorf("the view changed: %q, %w", d.Body, err)
			}
		}
		return nil
	})
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	view(t, s, func(tx cloud.Tx) error {
		d, err := tx.Get(cloud.KindSite, "a")
		if string(d.Body) != "2" {
			t.Errorf("after the update: %q", d.Body)
		}
		return err
	})
}

func serialised(t *testing.T, open Open) {
	s, _, _ := open(t)
	mustPut(t, s, doc(cloud.KindSite, "n", "0"))
	const workers, rounds = 8, 25
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range rounds {
				err := s.Update(t.Context(), func(tx cloud.Tx) error {
					d, err := tx.Get(cloud.KindSite, "n")
					if err != nil {
						return err
					}
					var n int
					if _, err := fmt.Sscan(string(d.Body), &n); err != nil {
						return err
					}
					d.Body = fmt.Append(nil, n+1)
					_, err = tx.Put(d)
					return err
				})
				if err != nil {
					t.Error(err)
				}
				if err := s.View(t.Context(), func(tx cloud.Tx) error { _, err := tx.Get(cloud.KindSite, "n"); return err }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	view(t, s, func(tx cloud.Tx) error {
		d, err := tx.Get(cloud.KindSite, "n")
		if string(d.Body) != fmt.Sprint(workers*rounds) {
			t.Errorf("%s increments, want %d", d.Body, workers*rounds)
		}
		return err
	})
}

func cancelled(t *testing.T, open Open) {
	s := prepared(t, open)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Update(ctx, fill); err == nil {
		t.Error("Update with a cancelled context returned nil")
	}
	if err := s.View(ctx, func(cloud.Tx) error { return nil }); err == nil {
		t.Error("View with a cancelled context returned nil")
	}
	untouched(t, s)
}

func ownBytes(t *testing.T, open Open) {
	s, a, _ := open(t)
	body := []byte("body")
	d := doc(cloud.KindCode, "a", "", "site")
	d.Body = body
	r := row(0, 7)
	update(t, s, func(tx cloud.Tx) error {
		_, err1 := tx.Put(d)
		_, err2 := tx.AppendLog(cloud.LogEntry{Kind: "k", Body: body})
		return errors.Join(err1, err2, tx.AddRecords(1, []cloud.Row{r}))
	})
	if err := a.Put(t.Context(), "x/y", body); err != nil {
		t.Fatal(err)
	}
	want := bytes.Clone(r.Body)
	copy(body, "xxxx")
	copy(r.Body, "xxxx")
	d.Fields["site"] = "xxxx"
	for range 2 { // the second time, what the first reader scribbled over must be as before
		view(t, s, func(tx cloud.Tx) error {
			d, err1 := tx.Get(cloud.KindCode, "a")
			es, err2 := tx.ReadLog(0, 1)
			rows, err3 := tx.SessionRecords(holdfast.SessionID{7})
			if err := errors.Join(err1, err2, err3); err != nil {
				return err
			}
			if string(d.Body) != "body" || d.Fields["site"] != "site" || string(es[0].Body) != "body" || !bytes.Equal(rows[0].Body, want) {
				t.Errorf("a caller's change shows: %q %q %q %q", d.Body, d.Fields["site"], es[0].Body, rows[0].Body)
			}
			copy(d.Body, "yyyy")
			copy(es[0].Body, "yyyy")
			copy(rows[0].Body, "yyyy")
			d.Fields["site"] = "yyyy"
			return nil
		})
		b, err := a.Get(t.Context(), "x/y")
		if err != nil || string(b) != "body" {
			t.Errorf("archive: %q, %v", b, err)
		}
		copy(b, "yyyy")
	}
}

func archive(t *testing.T, open Open) {
	_, a, _ := open(t)
	ctx := t.Context()
	if _, err := a.Get(ctx, "slices/gw/1"); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("Get of nothing: %v, want ErrNotFound", err)
	}
	for range 2 { // putting it again is harmless
		if err := a.Put(ctx, "slices/gw/1", []byte("bytes")); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := a.Get(ctx, "slices/gw/1"); err != nil || string(b) != "bytes" {
		t.Errorf("got %q, %v", b, err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if err := a.Put(ctx, fmt.Sprint("slices/gw/", i%2), []byte("same")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, name := range []string{"", "/etc/passwd", "../x", "a/../../x", "a//b", ".", "a\x00b", strings.Repeat("a/", 300) + "b"} {
		if err := a.Put(ctx, name, nil); !errors.Is(err, cloud.ErrInvalid) {
			t.Errorf("Put under %q: %v, want ErrInvalid", name, err)
		}
		if _, err := a.Get(ctx, name); !errors.Is(err, cloud.ErrInvalid) {
			t.Errorf("Get of %q: %v, want ErrInvalid", name, err)
		}
	}
}

func durable(t *testing.T, open Open) {
	s, _, reopen := open(t)
	if reopen == nil {
		return // a keeper in memory promises nothing here
	}
	mustPut(t, s, doc(cloud.KindSite, "a", "1"))
	update(t, s, func(tx cloud.Tx) error { return tx.AddRecords(1, []cloud.Row{row(0, 7)}) })
	if err := s.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = reopen()
	view(t, s, func(tx cloud.Tx) error {
		_, err1 := tx.Get(cloud.KindSite, "a")
		rows, err2 := tx.SessionRecords(holdfast.SessionID{7})
		if len(rows) != 1 {
			t.Errorf("after reopening: %v", rows)
		}
		return errors.Join(err1, err2)
	})
}
