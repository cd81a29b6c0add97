package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
)

// sqliteTx is a transaction on one connection. Statements are built from kinds
// and field names, which are ours, never from values.
type sqliteTx struct {
	ctx      context.Context
	link     *link
	readOnly bool
	failed   error // sticky: after a failed write nothing of the transaction may be kept
}

func (t *sqliteTx) exec(query string, args ...any) error {
	if t.readOnly {
		return ErrReadOnly
	}
	if t.failed != nil {
		return t.failed
	}
	st, err := t.prepare(query)
	if err == nil {
		_, err = st.Exec(args...)
	}
	t.failed = err
	return err
}

// prepare returns the statement for query, unless the caller has gone away.
func (t *sqliteTx) prepare(query string) (*sql.Stmt, error) {
	if err := t.ctx.Err(); err != nil {
		return nil, err
	}
	return t.link.prepare(context.WithoutCancel(t.ctx), query)
}

// query calls scan for each row.
func (t *sqliteTx) query(query string, args []any, scan func(*sql.Rows) error) error {
	st, err := t.prepare(query)
	if err != nil {
		return err
	}
	rows, err := st.Query(args...)
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := scan(rows); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

func (t *sqliteTx) AppendLog(e cloud.LogEntry) (n uint64, err error) {
	if t.readOnly {
		return 0, ErrReadOnly
	}
	err = t.query(`INSERT INTO log (at, by, kind, body) VALUES (?, ?, ?, ?) RETURNING n`,
		[]any{int64(e.At), e.By, e.Kind, blob(e.Body)}, func(r *sql.Rows) error { return r.Scan(&n) })
	if err != nil {
		t.failed = fmt.Errorf("append to the cloud's journal: %w", err)
	}
	return n, t.failed
}

// blob keeps an empty body from becoming null.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func (t *sqliteTx) ReadLog(after uint64, limit int) (out []cloud.LogEntry, err error) {
	err = t.query(`SELECT n, at, by, kind, body FROM log WHERE n > ? ORDER BY n LIMIT ?`, []any{int64(after), limit}, func(r *sql.Rows) error {
		var e cloud.LogEntry
		defer func() { out = append(out, e) }()
		return r.Scan(&e.N, &e.At, &e.By, &e.Kind, &e.Body)
	})
	if err != nil {
		return nil, fmt.Errorf("read the cloud's journal: %w", err)
	}
	return out, nil
}

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

func (t *sqliteTx) Put(d cloud.Doc) (uint64, error) {
	return t.insert(d, func(sets []string) string { return ` ON CONFLICT (key) DO UPDATE SET ` + strings.Join(sets, ", ") })
}

func (t *sqliteTx) Add(d cloud.Doc) (uint64, error) {
	return t.insert(d, func([]string) string { return "" })
}

// insert inserts a document; conflict says what happens when its key is there.
func (t *sqliteTx) insert(d cloud.Doc, conflict func(sets []string) string) (n uint64, err error) {
	if t.readOnly {
		return 0, ErrReadOnly
	}
	if t.failed != nil {
		return 0, t.failed
	}
	if err := errors.Join(known(d.Kind), checkFields(d)); err != nil {
		return 0, err
	}
	cols, marks, sets := []string{"key"}, []string{"?"}, []string{}
	args := []any{d.Key}
	for _, f := range d.Kind.Fields() {
		cols, marks, sets = append(cols, quoted(f)), append(marks, "?"), append(sets, quoted(f)+" = excluded."+quoted(f))
		args = append(args, d.Fields[f])
	}
	query := `INSERT INTO ` + quoted(string(d.Kind)) + ` (` + strings.Join(append(cols, "body"), ", ") + `) VALUES (` +
		strings.Join(append(marks, "?"), ", ") + `)` + conflict(append(sets, "body = excluded.body")) + ` RETURNING n`
	err = t.query(query, append(args, blob(d.Body)), func(r *sql.Rows) error { return r.Scan(&n) })
	if taken(err) {
		err = cloud.ErrExists
	}
	if err != nil {
		t.failed = fmt.Errorf("put %s %q: %w", d.Kind, d.Key, err)
	}
	return n, t.failed
}

// columns is what scanDoc reads.
func columns(k cloud.Kind) string {
	cols := []string{"n", "key", "body"}
	for _, f := range k.Fields() {
		cols = append(cols, quoted(f))
	}
	return strings.Join(cols, ", ")
}

func scanDoc(k cloud.Kind, r *sql.Rows) (cloud.Doc, error) {
	names := k.Fields()
	d := cloud.Doc{Kind: k, Fields: make(cloud.Fields, len(names))}
	values := make([]string, len(names))
	dst := []any{&d.N, &d.Key, &d.Body}
	for i := range names {
		dst = append(dst, &values[i])
	}
	if err := r.Scan(dst...); err != nil {
		return d, err
	}
	for i, f := range names {
		d.Fields[f] = values[i]
	}
	return d, nil
}

func (t *sqliteTx) Get(k cloud.Kind, key string) (d cloud.Doc, err error) {
	if err := known(k); err != nil {
		return d, err
	}
	found := false
	err = t.query(`SELECT `+columns(k)+` FROM `+quoted(string(k))+` WHERE key = ?`, []any{key}, func(r *sql.Rows) (err error) {
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
func where(k cloud.Kind, w cloud.Fields) (conds []string, args []any, err error) {
	if err := errors.Join(known(k), checkWhere(k, w)); err != nil {
		return nil, nil, err
	}
	for _, f := range k.Fields() {
		if v, ok := w[f]; ok {
			conds, args = append(conds, quoted(f)+" = ?"), append(args, v)
		}
	}
	return conds, args, nil
}

func (t *sqliteTx) List(k cloud.Kind, q cloud.Query) (out []cloud.Doc, err error) {
	conds, args, err := where(k, q.Where)
	if err != nil {
		return nil, err
	}
	order, past := " DESC", "n < ?"
	if q.Oldest {
		order, past = " ASC", "n > ?"
	}
	if q.Cursor != 0 {
		conds, args = append(conds, past), append(args, int64(min(q.Cursor, math.MaxInt64)))
	}
	query := `SELECT ` + columns(k) + ` FROM ` + quoted(string(k))
	if len(conds) > 0 {
		query += ` WHERE ` + strings.Join(conds, " AND ")
	}
	limit := q.Limit
	if limit <= 0 {
		limit = -1
	}
	err = t.query(query+` ORDER BY n`+order+` LIMIT ?`, append(args, limit), func(r *sql.Rows) error {
		d, err := scanDoc(k, r)
		out = append(out, d)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", k, err)
	}
	return out, nil
}

func (t *sqliteTx) Beside(k cloud.Kind, w cloud.Fields, field, value string) (before, after *cloud.Doc, err error) {
	if err := checkWhere(k, cloud.Fields{field: value}); err != nil {
		return nil, nil, err
	}
	conds, args, err := where(k, w)
	if err != nil {
		return nil, nil, err
	}
	nearest := func(op, order string) (found *cloud.Doc, err error) {
		conds := append(slices.Clone(conds), quoted(field)+op+"?")
		query := `SELECT ` + columns(k) + ` FROM ` + quoted(string(k)) + ` WHERE ` + strings.Join(conds, " AND ") +
			` ORDER BY ` + quoted(field) + order + ` LIMIT 1`
		err = t.query(query, append(slices.Clone(args), value), func(r *sql.Rows) error {
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

func (t *sqliteTx) Count(k cloud.Kind, w cloud.Fields) (n int, err error) {
	conds, args, err := where(k, w)
	if err != nil {
		return 0, err
	}
	query := `SELECT count(*) FROM ` + quoted(string(k))
	if len(conds) > 0 {
		query += ` WHERE ` + strings.Join(conds, " AND ")
	}
	if err := t.query(query, args, func(r *sql.Rows) error { return r.Scan(&n) }); err != nil {
		return 0, fmt.Errorf("count %s: %w", k, err)
	}
	return n, nil
}

func (t *sqliteTx) Delete(k cloud.Kind, key string) error {
	if err := known(k); err != nil {
		return err
	}
	if err := t.exec(`DELETE FROM `+quoted(string(k))+` WHERE key = ?`, key); err != nil {
		return fmt.Errorf("delete %s %q: %w", k, key, err)
	}
	return nil
}

func (t *sqliteTx) Clear(k cloud.Kind) error {
	if err := known(k); err != nil {
		return err
	}
	if err := t.exec(`DELETE FROM ` + quoted(string(k))); err != nil {
		return fmt.Errorf("clear %s: %w", k, err)
	}
	return nil
}

// seqArg is a bound as SQLite can compare it: a bound beyond its integers is
// beyond every record.
func seqArg(s holdfast.Seq) int64 { return int64(min(s, math.MaxInt64)) }

func (t *sqliteTx) Leaves(stream uint64, from, to holdfast.Seq, fn func(holdfast.Seq, holdfast.Hash) error) error {
	const query = `SELECT seq, leaf FROM record WHERE stream = ? AND seq >= ? AND seq < ? ORDER BY seq`
	return t.query(query, []any{int64(stream), seqArg(from), seqArg(to)}, func(r *sql.Rows) error {
		var seq holdfast.Seq
		var leaf sql.RawBytes
		if err := r.Scan(&seq, &leaf); err != nil {
			return err
		}
		if len(leaf) != len(holdfast.Hash{}) {
			return fmt.Errorf("leaf of record %d of stream %d has %d bytes", seq, stream, len(leaf))
		}
		return fn(seq, holdfast.Hash(leaf))
	})
}

func (t *sqliteTx) Touched(stream uint64, from, to holdfast.Seq) (out []holdfast.SessionID, err error) {
	const query = `SELECT session FROM record WHERE stream = ? AND seq >= ? AND seq < ? AND session IS NOT NULL GROUP BY session ORDER BY min(seq)`
	err = t.query(query, []any{int64(stream), seqArg(from), seqArg(to)}, func(r *sql.Rows) error {
		var id sql.RawBytes
		if err := r.Scan(&id); err != nil {
			return err
		}
		if len(id) != len(holdfast.SessionID{}) {
			return fmt.Errorf("session id of %d bytes in stream %d", len(id), stream)
		}
		out = append(out, holdfast.SessionID(id))
		return nil
	})
	return out, err
}

func (t *sqliteTx) SessionRecords(s holdfast.SessionID) (out []cloud.Row, err error) {
	const query = `SELECT stream, seq, leaf, body FROM record WHERE session = ? AND session IS NOT NULL ORDER BY stream, seq` // the second condition lets the planner use the partial index whatever is bound
	err = t.query(query, []any{s[:]}, func(r *sql.Rows) error {
		row := cloud.Row{Session: s}
		var leaf sql.RawBytes
		if err := r.Scan(&row.Stream, &row.Seq, &leaf, &row.Body); err != nil {
			return err
		}
		copy(row.Leaf[:], leaf)
		out = append(out, row)
		return nil
	})
	return out, err
}

func (t *sqliteTx) ClearRecords() error { return t.exec(`DELETE FROM record`) }
