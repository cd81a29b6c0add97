package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
)

// postgresTx is a transaction on one connection. Statements are built from
// kinds and field names, which are ours, never from values; the connection
// prepares each once. Keys and fields are bytea, see postgres/0001_first.sql.
type postgresTx struct {
	ctx      context.Context
	conn     *pgx.Conn
	readOnly bool
	failed   error // sticky: after a failed write nothing of the transaction may be kept
}

// write reports why a write is not allowed.
func (t *postgresTx) write() error {
	if t.readOnly {
		return ErrReadOnly
	}
	return t.failed
}

func (t *postgresTx) exec(query string, args ...any) error {
	if err := t.write(); err != nil {
		return err
	}
	if _, err := t.conn.Exec(t.ctx, query, args...); err != nil {
		t.failed = err
	}
	return t.failed
}

// query calls scan for each row.
func (t *postgresTx) query(query string, args []any, scan func(pgx.Rows) error) error {
	rows, err := t.conn.Query(t.ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (t *postgresTx) AppendLog(e cloud.LogEntry) (n uint64, err error) {
	if err := t.write(); err != nil {
		return 0, err
	}
	const query = `INSERT INTO log (n, at, by, kind, body) VALUES ((SELECT coalesce(max(n), 0) + 1 FROM log), $1, $2, $3, $4) RETURNING n`
	err = t.query(query, []any{int64(e.At), []byte(e.By), []byte(e.Kind), blob(e.Body)}, func(r pgx.Rows) error { return r.Scan(&n) })
	if err != nil {
		t.failed = fmt.Errorf("append to the cloud's journal: %w", err)
	}
	return n, t.failed
}

func (t *postgresTx) ReadLog(after uint64, limit int) (out []cloud.LogEntry, err error) {
	const query = `SELECT n, at, by, kind, body FROM log WHERE n > $1 ORDER BY n LIMIT $2`
	err = t.query(query, []any{int64(min(after, math.MaxInt64)), limit}, func(r pgx.Rows) error {
		var e cloud.LogEntry
		var by, kind []byte
		if err := r.Scan(&e.N, (*int64)(&e.At), &by, &kind, &e.Body); err != nil {
			return err
		}
		e.By, e.Kind = string(by), string(kind)
		out = append(out, e)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the cloud's journal: %w", err)
	}
	return out, nil
}

func (t *postgresTx) Put(d cloud.Doc) (uint64, error) {
	return t.insert(d, func(sets []string) string { return ` ON CONFLICT (key) DO UPDATE SET ` + strings.Join(sets, ", ") })
}

func (t *postgresTx) Add(d cloud.Doc) (uint64, error) {
	return t.insert(d, func([]string) string { return "" })
}

// insert inserts a document; conflict says what happens when its key is there.
func (t *postgresTx) insert(d cloud.Doc, conflict func(sets []string) string) (n uint64, err error) {
	if err := t.write(); err != nil {
		return 0, err
	}
	if err := errors.Join(known(d.Kind), checkFields(d)); err != nil {
		return 0, err
	}
	table := quoted(string(d.Kind))
	cols, marks, sets := []string{"n", "key"}, []string{`(SELECT coalesce(max(n), 0) + 1 FROM ` + table + `)`, "$1"}, []string{}
	args := []any{[]byte(d.Key)}
	for _, f := range d.Kind.Fields() {
		args = append(args, []byte(d.Fields[f]))
		cols, marks, sets = append(cols, quoted(f)), append(marks, mark(len(args))), append(sets, quoted(f)+" = excluded."+quoted(f))
	}
	args = append(args, blob(d.Body))
	query := `INSERT INTO ` + table + ` (` + strings.Join(append(cols, "body"), ", ") + `) VALUES (` +
		strings.Join(append(marks, mark(len(args))), ", ") + `)` + conflict(append(sets, "body = excluded.body")) + ` RETURNING n`
	err = t.query(query, args, func(r pgx.Rows) error { return r.Scan(&n) })
	if sqlState(err) == uniqueViolation {
		err = cloud.ErrExists
	}
	if err != nil {
		t.failed = fmt.Errorf("put %s %q: %w", d.Kind, d.Key, err)
	}
	return n, t.failed
}

// mark is the n-th parameter of a statement.
func mark(n int) string { return "$" + strconv.Itoa(n) }

func scanPostgresDoc(k cloud.Kind, r pgx.Rows) (cloud.Doc, error) {
	names := k.Fields()
	d := cloud.Doc{Kind: k, Fields: make(cloud.Fields, len(names))}
	var key []byte
	values := make([][]byte, len(names))
	dst := []any{&d.N, &key, &d.Body}
	for i := range names {
		dst = append(dst, &values[i])
	}
	if err := r.Scan(dst...); err != nil {
		return d, err
	}
	d.Key = string(key)
	for i, f := range names {
		d.Fields[f] = string(values[i])
	}
	return d, nil
}

func (t *postgresTx) Get(k cloud.Kind, key string) (d cloud.Doc, err error) {
	if err := known(k); err != nil {
		return d, err
	}
	found := false
	err = t.query(`SELECT `+columns(k)+` FROM `+quoted(string(k))+` WHERE key = $1`, []any{[]byte(key)}, func(r pgx.Rows) (err error) {
		found = true
		d, err = scanPostgresDoc(k, r)
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

// postgresWhere returns the conditions for w in the order of the kind's fields,
// so that one question is one statement.
func postgresWhere(k cloud.Kind, w cloud.Fields) (conds []string, args []any, err error) {
	if err := errors.Join(known(k), checkWhere(k, w)); err != nil {
		return nil, nil, err
	}
	for _, f := range k.Fields() {
		if v, ok := w[f]; ok {
			args = append(args, []byte(v))
			conds = append(conds, quoted(f)+" = "+mark(len(args)))
		}
	}
	return conds, args, nil
}

func (t *postgresTx) List(k cloud.Kind, q cloud.Query) (out []cloud.Doc, err error) {
	conds, args, err := postgresWhere(k, q.Where)
	if err != nil {
		return nil, err
	}
	order, past := " DESC", "n < "
	if q.Oldest {
		order, past = " ASC", "n > "
	}
	if q.Cursor != 0 {
		args = append(args, int64(min(q.Cursor, math.MaxInt64)))
		conds = append(conds, past+mark(len(args)))
	}
	query := `SELECT ` + columns(k) + ` FROM ` + quoted(string(k))
	if len(conds) > 0 {
		query += ` WHERE ` + strings.Join(conds, " AND ")
	}
	query += ` ORDER BY n` + order
	if q.Limit > 0 {
		args = append(args, q.Limit)
		query += ` LIMIT ` + mark(len(args))
	}
	err = t.query(query, args, func(r pgx.Rows) error {
		d, err := scanPostgresDoc(k, r)
		out = append(out, d)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", k, err)
	}
	return out, nil
}

func (t *postgresTx) Beside(k cloud.Kind, w cloud.Fields, field, value string) (before, after *cloud.Doc, err error) {
	if err := checkWhere(k, cloud.Fields{field: value}); err != nil {
		return nil, nil, err
	}
	conds, args, err := postgresWhere(k, w)
	if err != nil {
		return nil, nil, err
	}
	args = append(args, []byte(value))
	nearest := func(op, order string) (found *cloud.Doc, err error) {
		conds := append(slices.Clone(conds), quoted(field)+op+mark(len(args)))
		query := `SELECT ` + columns(k) + ` FROM ` + quoted(string(k)) + ` WHERE ` + strings.Join(conds, " AND ") +
			` ORDER BY ` + quoted(field) + order + ` LIMIT 1`
		err = t.query(query, args, func(r pgx.Rows) error {
			d, err := scanPostgresDoc(k, r)
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

func (t *postgresTx) Count(k cloud.Kind, w cloud.Fields) (n int, err error) {
	conds, args, err := postgresWhere(k, w)
	if err != nil {
		return 0, err
	}
	query := `SELECT count(*) FROM ` + quoted(string(k))
	if len(conds) > 0 {
		query += ` WHERE ` + strings.Join(conds, " AND ")
	}
	if err := t.query(query, args, func(r pgx.Rows) error { return r.Scan(&n) }); err != nil {
		return 0, fmt.Errorf("count %s: %w", k, err)
	}
	return n, nil
}

func (t *postgresTx) Delete(k cloud.Kind, key string) error {
	if err := known(k); err != nil {
		return err
	}
	if err := t.exec(`DELETE FROM `+quoted(string(k))+` WHERE key = $1`, []byte(key)); err != nil {
		return fmt.Errorf("delete %s %q: %w", k, key, err)
	}
	return nil
}

func (t *postgresTx) Clear(k cloud.Kind) error {
	if err := known(k); err != nil {
		return err
	}
	if err := t.exec(`DELETE FROM ` + quoted(string(k))); err != nil {
		return fmt.Errorf("clear %s: %w", k, err)
	}
	return nil
}

func (t *postgresTx) AddRecords(stream uint64, rows []cloud.Row) error {
	if len(rows) == 0 {
		return nil
	}
	n := len(rows)
	seqs, leaves, sessions, bodies := make([]int64, n), make([][]byte, n), make([][]byte, n), make([][]byte, n)
	for i, r := range rows {
		if r.Seq > math.MaxInt64 {
			return fmt.Errorf("record %d of stream %d: sequence out of range: %w", r.Seq, stream, cloud.ErrInvalid)
		}
		seqs[i], leaves[i], bodies[i] = int64(r.Seq), rows[i].Leaf[:], blob(r.Body)
		if !r.Session.IsZero() {
			sessions[i] = rows[i].Session[:]
		}
	}
	const query = `INSERT INTO record (stream, seq, leaf, session, body)
		SELECT $1, r.* FROM unnest($2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[]) AS r`
	err := t.exec(query, int64(stream), seqs, leaves, sessions, bodies)
	if sqlState(err) == uniqueViolation {
		t.failed = cloud.ErrExists
		err = cloud.ErrExists
	}
	if err != nil {
		return fmt.Errorf("records %d to %d of stream %d: %w", rows[0].Seq, rows[n-1].Seq, stream, err)
	}
	return nil
}

// leavesStep is how many leaves are read before they are handed out: fn may
// then use the transaction.
const leavesStep = 8192

func (t *postgresTx) Leaves(stream uint64, from, to holdfast.Seq, fn func(holdfast.Seq, holdfast.Hash) error) error {
	type leaf struct {
		seq  holdfast.Seq
		hash holdfast.Hash
	}
	const query = `SELECT seq, leaf FROM record WHERE stream = $1 AND seq >= $2 AND seq < $3 ORDER BY seq LIMIT $4`
	for step := []leaf{}; ; step = step[:0] {
		err := t.query(query, []any{int64(stream), seqArg(from), seqArg(to), leavesStep}, func(r pgx.Rows) error {
			var seq int64
			var b []byte
			if err := r.Scan(&seq, &b); err != nil {
				return err
			}
			step = append(step, leaf{holdfast.Seq(seq), holdfast.Hash(b)}) // 32 bytes, or the table would not have it
			return nil
		})
		if err != nil {
			return err
		}
		for _, l := range step {
			if err := fn(l.seq, l.hash); err != nil {
				return err
			}
		}
		if len(step) < leavesStep {
			return nil
		}
		from = step[len(step)-1].seq + 1
	}
}

func (t *postgresTx) Touched(stream uint64, from, to holdfast.Seq) (out []holdfast.SessionID, err error) {
	const query = `SELECT session FROM record WHERE stream = $1 AND seq >= $2 AND seq < $3 AND session IS NOT NULL GROUP BY session ORDER BY min(seq)`
	err = t.query(query, []any{int64(stream), seqArg(from), seqArg(to)}, func(r pgx.Rows) error {
		var id []byte
		err := r.Scan(&id)
		if err == nil {
			out = append(out, holdfast.SessionID(id))
		}
		return err
	})
	return out, err
}

func (t *postgresTx) SessionRecords(s holdfast.SessionID) (out []cloud.Row, err error) {
	const query = `SELECT stream, seq, leaf, body FROM record WHERE session = $1 ORDER BY stream, seq`
	err = t.query(query, []any{s[:]}, func(r pgx.Rows) error {
		var stream, seq int64
		var leaf, body []byte
		if err := r.Scan(&stream, &seq, &leaf, &body); err != nil {
			return err
		}
		out = append(out, cloud.Row{Stream: uint64(stream), Seq: holdfast.Seq(seq), Leaf: holdfast.Hash(leaf), Session: s, Body: body})
		return nil
	})
	return out, err
}

func (t *postgresTx) ClearRecords() error { return t.exec(`DELETE FROM record`) }
