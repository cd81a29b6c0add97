package store

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
)

// An engine runs statements in one transaction of an SQL keeper, and knows what
// the keepers spell differently.
type engine interface {
	// run runs a statement that answers nothing.
	run(query string, args ...any) error
	// query calls scan for each row. The row is good for the time of the call.
	query(query string, args []any, scan func(row) error) error
	// mark is the n-th parameter of a statement, from 1.
	mark(n int) string
	// text is a key or a field as a parameter.
	text(s string) any
	// number is the SQL that numbers a new document of a table, "" when the table
	// does that by itself.
	number(table string) string
	// taken reports that a unique key is used already.
	taken(err error) bool
}

// A row is a row of an answer, whichever driver brings it.
type row interface {
	Scan(dst ...any) error
}

// text scans a key or a field, which one keeper has as text and another as bytes.
type text string

// Scan implements [sql.Scanner].
func (t *text) Scan(src any) error {
	switch v := src.(type) {
	case string:
		*t = text(v)
	case []byte:
		*t = text(v)
	default:
		return fmt.Errorf("a key or field comes as %T", src)
	}
	return nil
}

// A sqlTx is what the SQL keepers have in common: most of [cloud.Tx]. Statements
// are built from kinds and field names, which are ours, never from values; the
// connection prepares each once.
type sqlTx struct {
	engine
	readOnly bool
	failed   error // sticky: after a failed write nothing of the transaction may be kept
}

// write reports why a write is not allowed.
func (t *sqlTx) write() error {
	if t.readOnly {
		return ErrReadOnly
	}
	return t.failed
}

// fail notes that a write has failed.
func (t *sqlTx) fail(err error) error {
	t.failed = err
	return err
}

// exec runs a write.
func (t *sqlTx) exec(query string, args ...any) error {
	if err := t.write(); err != nil {
		return err
	}
	if err := t.run(query, args...); err != nil {
		return t.fail(err)
	}
	return nil
}

// blob keeps an empty body from becoming null.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// number is a number as a bound in SQL: one beyond its integers is beyond every
// row.
func number[N ~uint64](n N) int64 { return int64(min(n, math.MaxInt64)) }

func known(k cloud.Kind) error {
	for _, have := range cloud.Kinds() {
		if have == k {
			return nil
		}
	}
	return fmt.Errorf("kind of document %q: %w", k, cloud.ErrInvalid)
}

// quoted is a table or column name as SQL; "grant" is a keyword.
func quoted(name string) string { return `"` + name + `"` }

func (t *sqlTx) AppendLog(e cloud.LogEntry) (n uint64, err error) {
	if err := t.write(); err != nil {
		return 0, err
	}
	cols, marks := []string{"at", "by", "kind", "body"}, []string{t.mark(1), t.mark(2), t.mark(3), t.mark(4)}
	n, err = t.numbered("log", cols, marks, "", []any{int64(e.At), t.text(e.By), t.text(e.Kind), blob(e.Body)})
	if err != nil {
		return n, t.fail(fmt.Errorf("append to the cloud's journal: %w", err))
	}
	return n, nil
}

// numbered inserts a row and returns its number, new or as it was.
func (t *sqlTx) numbered(table string, cols, marks []string, conflict string, args []any) (n uint64, err error) {
	if next := t.number(table); next != "" {
		cols, marks = append(cols, "n"), append(marks, next)
	}
	query := `INSERT INTO ` + table + ` (` + strings.Join(cols, ", ") + `) VALUES (` + strings.Join(marks, ", ") + `)` + conflict + ` RETURNING n`
	err = t.query(query, args, func(r row) error { return r.Scan(&n) })
	return n, err
}

func (t *sqlTx) ReadLog(after uint64, limit int) (out []cloud.LogEntry, err error) {
	query := `SELECT n, at, by, kind, body FROM log WHERE n > ` + t.mark(1) + ` ORDER BY n LIMIT ` + t.mark(2)
	err = t.query(query, []any{number(after), limit}, func(r row) error {
		var e cloud.LogEntry
		if err := r.Scan(&e.N, (*int64)(&e.At), (*text)(&e.By), (*text)(&e.Kind), &e.Body); err != nil {
			return err
		}
		out = append(out, e)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the cloud's journal: %w", err)
	}
	return out, nil
}

func (t *sqlTx) Put(d cloud.Doc) (uint64, error) {
	return t.insert(d, func(sets []string) string { return ` ON CONFLICT (key) DO UPDATE SET ` + strings.Join(sets, ", ") })
}

func (t *sqlTx) Add(d cloud.Doc) (uint64, error) {
	return t.insert(d, func([]string) string { return "" })
}

// insert inserts a document; conflict says what happens when its key is there.
func (t *sqlTx) insert(d cloud.Doc, conflict func(sets []string) string) (n uint64, err error) {
	if err := t.write(); err != nil {
		return 0, err
	}
	if err := errors.Join(known(d.Kind), checkFields(d)); err != nil {
		return 0, err
	}
	cols, marks, sets := []string{"key"}, []string{t.mark(1)}, []string{}
	args := []any{t.text(d.Key)}
	for _, f := range d.Kind.Fields() {
		args = append(args, t.text(d.Fields[f]))
		cols, marks, sets = append(cols, quoted(f)), append(marks, t.mark(len(args))), append(sets, quoted(f)+" = excluded."+quoted(f))
	}
	args = append(args, blob(d.Body))
	cols, marks, sets = append(cols, "body"), append(marks, t.mark(len(args))), append(sets, "body = excluded.body")
	n, err = t.numbered(quoted(string(d.Kind)), cols, marks, conflict(sets), args)
	if t.taken(err) {
		err = cloud.ErrExists
	}
	if err != nil {
		return n, t.fail(fmt.Errorf("put %s %q: %w", d.Kind, d.Key, err))
	}
	return n, nil
}

// columns is what scanDoc reads.
func columns(k cloud.Kind) string {
	cols := []string{"n", "key", "body"}
	for _, f := range k.Fields() {
		cols = append(cols, quoted(f))
	}
	return strings.Join(cols, ", ")
}

func scanDoc(k cloud.Kind, r row) (cloud.Doc, error) {
	names := k.Fields()
	d := cloud.Doc{Kind: k, Fields: make(cloud.Fields, len(names))}
	values := make([]text, len(names))
	dst := []any{&d.N, (*text)(&d.Key), &d.Body}
	for i := range names {
		dst = append(dst, &values[i])
	}
	if err := r.Scan(dst...); err != nil {
		return d, err
	}
	for i, f := range names {
		d.Fields[f] = string(values[i])
	}
	return d, nil
}

func (t *sqlTx) Get(k cloud.Kind, key string) (d cloud.Doc, err error) {
	if err := known(k); err != nil {
		return d, err
	}
	found := false
	query := `SELECT ` + columns(k) + ` FROM ` + quoted(string(k)) + ` WHERE key = ` + t.mark(1)
	err = t.query(query, []any{t.text(key)}, func(r row) (err error) {
		found = true
		d, err = scanDoc(k, r)
		return err
	})
	if err == nil && !found {
		err = cloud.ErrNotFound
	}
	if err != nil {
		return cloud.Doc{}, fmt.Errorf("%s %q: %w", k, key, err)
	}
	return d, nil
}

// where returns the conditions for w in the order of the kind's fields, so that
// one question is one statement.
func (t *sqlTx) where(k cloud.Kind, w cloud.Fields) (conds []string, args []any, err error) {
	if err := errors.Join(known(k), checkWhere(k, w)); err != nil {
		return nil, nil, err
	}
	for _, f := range k.Fields() {
		if v, ok := w[f]; ok {
			args = append(args, t.text(v))
			conds = append(conds, quoted(f)+" = "+t.mark(len(args)))
		}
	}
	return conds, args, nil
}

func (t *sqlTx) List(k cloud.Kind, q cloud.Query) (out []cloud.Doc, err error) {
	conds, args, err := t.where(k, q.Where)
	if err != nil {
		return nil, err
	}
	order, past := " DESC", "n < "
	if q.Oldest {
		order, past = " ASC", "n > "
	}
	if q.Cursor != 0 {
		args = append(args, number(q.Cursor))
		conds = append(conds, past+t.mark(len(args)))
	}
	query := `SELECT ` + columns(k) + ` FROM ` + quoted(string(k))
	if len(conds) > 0 {
		query += ` WHERE ` + strings.Join(conds, " AND ")
	}
	query += ` ORDER BY n` + order
	if q.Limit > 0 {
		args = append(args, q.Limit)
		query += ` LIMIT ` + t.mark(len(args))
	}
	err = t.query(query, args, func(r row) error {
		d, err := scanDoc(k, r)
		out = append(out, d)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", k, err)
	}
	return out, nil
}

func (t *sqlTx) Beside(k cloud.Kind, w cloud.Fields, field, value string) (before, after *cloud.Doc, err error) {
	if err := checkWhere(k, cloud.Fields{field: value}); err != nil {
		return nil, nil, err
	}
	conds, args, err := t.where(k, w)
	if err != nil {
		return nil, nil, err
	}
	args = append(args, t.text(value))
	nearest := func(op, order string) (found *cloud.Doc, err error) {
		conds := append(slices.Clone(conds), quoted(field)+op+t.mark(len(args)))
		query := `SELECT ` + columns(k) + ` FROM ` + quoted(string(k)) + ` WHERE ` + strings.Join(conds, " AND ") +
			` ORDER BY ` + quoted(field) + order + ` LIMIT 1`
		err = t.query(query, args, func(r row) error {
			d, err := scanDoc(k, r)
			found = &d
			return err
		})
		return found, err
	}
	if before, err = nearest(" < ", " DESC"); err == nil {
		after, err = nearest(" > ", " ASC")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("list %s beside %q: %w", k, value, err)
	}
	return before, after, nil
}

func (t *sqlTx) Count(k cloud.Kind, w cloud.Fields) (n int, err error) {
	conds, args, err := t.where(k, w)
	if err != nil {
		return 0, err
	}
	query := `SELECT count(*) FROM ` + quoted(string(k))
	if len(conds) > 0 {
		query += ` WHERE ` + strings.Join(conds, " AND ")
	}
	if err := t.query(query, args, func(r row) error { return r.Scan(&n) }); err != nil {
		return 0, fmt.Errorf("count %s: %w", k, err)
	}
	return n, nil
}

func (t *sqlTx) Delete(k cloud.Kind, key string) error {
	if err := known(k); err != nil {
		return err
	}
	if err := t.exec(`DELETE FROM `+quoted(string(k))+` WHERE key = `+t.mark(1), t.text(key)); err != nil {
		return fmt.Errorf("delete %s %q: %w", k, key, err)
	}
	return nil
}

func (t *sqlTx) Clear(k cloud.Kind) error {
	if err := known(k); err != nil {
		return err
	}
	if err := t.exec(`DELETE FROM ` + quoted(string(k))); err != nil {
		return fmt.Errorf("clear %s: %w", k, err)
	}
	return nil
}

func (t *sqlTx) Touched(stream uint64, from, to holdfast.Seq) (out []holdfast.SessionID, err error) {
	query := `SELECT session FROM record WHERE stream = ` + t.mark(1) + ` AND seq >= ` + t.mark(2) + ` AND seq < ` + t.mark(3) +
		` AND session IS NOT NULL GROUP BY session ORDER BY min(seq)`
	err = t.query(query, []any{int64(stream), number(from), number(to)}, scanSession(&out))
	return out, err
}

// scanSession appends the session of each row to out.
func scanSession(out *[]holdfast.SessionID) func(row) error {
	return func(r row) error {
		var id []byte
		if err := r.Scan(&id); err != nil {
			return err
		}
		if len(id) != len(holdfast.SessionID{}) {
			return fmt.Errorf("session id of %d bytes", len(id))
		}
		*out = append(*out, holdfast.SessionID(id))
		return nil
	}
}

// SessionRecords: the second condition lets a planner use the partial index
// whatever is bound.
func (t *sqlTx) SessionRecords(s holdfast.SessionID) (out []cloud.Row, err error) {
	query := `SELECT stream, seq, leaf, body FROM record WHERE session = ` + t.mark(1) + ` AND session IS NOT NULL ORDER BY stream, seq`
	err = t.query(query, []any{s[:]}, func(r row) error {
		rec := cloud.Row{Session: s}
		var leaf []byte
		if err := r.Scan(&rec.Stream, (*uint64)(&rec.Seq), &leaf, &rec.Body); err != nil {
			return err
		}
		if len(leaf) != len(rec.Leaf) {
			return fmt.Errorf("leaf of record %d of stream %d has %d bytes", rec.Seq, rec.Stream, len(leaf))
		}
		rec.Leaf = holdfast.Hash(leaf)
		out = append(out, rec)
		return nil
	})
	return out, err
}

func (t *sqlTx) ClearRecords() error { return t.exec(`DELETE FROM record`) }
