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

// Many documents or records at once: one statement for many rows. What is there
// afterwards is what one call for each would have left.

// checkAll: all of docs are of kind k and are documents of it.
func checkAll(k cloud.Kind, docs []cloud.Doc) error {
	if err := known(k); err != nil {
		return err
	}
	for _, d := range docs {
		if d.Kind != k {
			return fmt.Errorf("put %s %q among documents of kind %s: %w", d.Kind, d.Key, k, cloud.ErrInvalid)
		}
		if err := checkFields(d); err != nil {
			return err
		}
	}
	return nil
}

func (t *memoryTx) PutAll(k cloud.Kind, docs []cloud.Doc) error { return t.many(k, docs, t.Put) }
func (t *memoryTx) AddAll(k cloud.Kind, docs []cloud.Doc) error { return t.many(k, docs, t.Add) }

func (t *memoryTx) many(k cloud.Kind, docs []cloud.Doc, put func(cloud.Doc) (uint64, error)) error {
	if err := errors.Join(t.write(), checkAll(k, docs)); err != nil {
		return err
	}
	for _, d := range docs {
		if _, err := put(d); err != nil {
			return err
		}
	}
	return nil
}

func (t *memoryTx) GetAll(k cloud.Kind, keys []string) (out []cloud.Doc, err error) {
	tab, err := t.table(k)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if d, ok := tab.docs[key]; ok {
			out = append(out, clone(d))
		}
	}
	return out, nil
}

func (t *memoryTx) Known(ids []holdfast.SessionID) (out []holdfast.SessionID, err error) {
	for _, id := range ids {
		if len(t.m.bySess[id]) > 0 {
			out = append(out, id)
		}
	}
	return out, nil
}

// sqliteStep is how many rows one statement has. What is left over is done row by
// row, so that there are two statements for each question and not fifty.
const sqliteStep = 50

// steps calls fn with parts of list, of sqliteStep or of one.
func steps[T any](list []T, fn func([]T) error) error {
	for len(list) > 0 {
		n := 1
		if len(list) >= sqliteStep {
			n = sqliteStep
		}
		if err := fn(list[:n]); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// marks is "(?, ?), (?, ?)": rows times columns.
func marks(rows, columns int) string {
	row := "(" + strings.Repeat("?, ", columns-1) + "?)"
	return strings.Repeat(row+", ", rows-1) + row
}

func (t *sqliteTx) PutAll(k cloud.Kind, docs []cloud.Doc) error { return t.many(k, docs, true) }
func (t *sqliteTx) AddAll(k cloud.Kind, docs []cloud.Doc) error { return t.many(k, docs, false) }

func (t *sqliteTx) many(k cloud.Kind, docs []cloud.Doc, replace bool) error {
	if err := errors.Join(t.write(), checkAll(k, docs)); err != nil {
		return err
	}
	fields := k.Fields()
	cols, sets := []string{"key"}, []string{}
	for _, f := range fields {
		cols, sets = append(cols, quoted(f)), append(sets, quoted(f)+" = excluded."+quoted(f))
	}
	head := `INSERT INTO ` + quoted(string(k)) + ` (` + strings.Join(append(cols, "body"), ", ") + `) VALUES `
	tail := ""
	if replace {
		tail = ` ON CONFLICT (key) DO UPDATE SET ` + strings.Join(append(sets, "body = excluded.body"), ", ")
	}
	return steps(docs, func(part []cloud.Doc) error {
		args := make([]any, 0, len(part)*(len(fields)+2))
		for _, d := range part {
			args = append(args, d.Key)
			for _, f := range fields {
				args = append(args, d.Fields[f])
			}
			args = append(args, blob(d.Body))
		}
		err := t.exec(head+marks(len(part), len(fields)+2)+tail, args...)
		if t.taken(err) {
			err = t.fail(cloud.ErrExists)
		}
		if err != nil {
			return fmt.Errorf("put %d of %s, the first %q: %w", len(part), k, part[0].Key, err)
		}
		return nil
	})
}

func (t *sqliteTx) GetAll(k cloud.Kind, keys []string) (out []cloud.Doc, err error) {
	if err := known(k); err != nil {
		return nil, err
	}
	err = steps(keys, func(part []string) error {
		args := make([]any, len(part))
		for i, key := range part {
			args[i] = key
		}
		query := `SELECT ` + columns(k) + ` FROM ` + quoted(string(k)) + ` WHERE key IN ` + marks(1, len(part))
		return t.query(query, args, func(r row) error {
			d, err := scanDoc(k, r)
			out = append(out, d)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("get %d of %s: %w", len(keys), k, err)
	}
	return out, nil
}

func (t *sqliteTx) Known(ids []holdfast.SessionID) (out []holdfast.SessionID, err error) {
	err = steps(ids, func(part []holdfast.SessionID) error {
		args := make([]any, len(part))
		for i := range part {
			args[i] = part[i][:]
		}
		query := `SELECT v.column1 FROM (VALUES ` + marks(len(part), 1) + `) AS v
			WHERE EXISTS (SELECT 1 FROM record WHERE session = v.column1 AND session IS NOT NULL)`
		return t.query(query, args, scanSession(&out))
	})
	return out, err
}

func (t *sqliteTx) AddRecords(stream uint64, rows []cloud.Row) error {
	for _, r := range rows {
		if r.Seq > math.MaxInt64 {
			return fmt.Errorf("record %d of stream %d: sequence out of range: %w", r.Seq, stream, cloud.ErrInvalid)
		}
	}
	return steps(rows, func(part []cloud.Row) error {
		args := make([]any, 0, 5*len(part))
		for i := range part {
			r := &part[i]
			var session []byte
			if !r.Session.IsZero() {
				session = r.Session[:]
			}
			args = append(args, int64(stream), int64(r.Seq), r.Leaf[:], session, blob(r.Body))
		}
		err := t.exec(`INSERT INTO record (stream, seq, leaf, session, body) VALUES `+marks(len(part), 5), args...)
		if t.taken(err) {
			err = t.fail(cloud.ErrExists)
		}
		if err != nil {
			return fmt.Errorf("records %d to %d of stream %d: %w", part[0].Seq, part[len(part)-1].Seq, stream, err)
		}
		return nil
	})
}

func (t *postgresTx) PutAll(k cloud.Kind, docs []cloud.Doc) error { return t.many(k, docs, true) }
func (t *postgresTx) AddAll(k cloud.Kind, docs []cloud.Doc) error { return t.many(k, docs, false) }

// many sends the columns as arrays. New documents are numbered in order from one
// above the highest; known ones keep their number.
func (t *postgresTx) many(k cloud.Kind, docs []cloud.Doc, replace bool) error {
	if err := errors.Join(t.write(), checkAll(k, docs)); err != nil {
		return err
	}
	if len(docs) == 0 {
		return nil
	}
	table, cols := quoted(string(k)), []string{"key"}
	for _, f := range k.Fields() {
		cols = append(cols, quoted(f))
	}
	cols = append(cols, "body")
	columns := make([][][]byte, len(cols))
	for _, d := range docs {
		columns[0] = append(columns[0], []byte(d.Key))
		for i, f := range k.Fields() {
			columns[i+1] = append(columns[i+1], []byte(d.Fields[f]))
		}
		columns[len(cols)-1] = append(columns[len(cols)-1], blob(d.Body))
	}
	args, arrays, sets := []any{}, []string{}, []string{}
	for i, c := range columns {
		args, arrays = append(args, c), append(arrays, t.mark(i+1)+"::bytea[]")
		sets = append(sets, cols[i]+" = u."+cols[i])
	}
	list := strings.Join(cols, ", ")
	query := `WITH u AS MATERIALIZED (SELECT * FROM unnest(` + strings.Join(arrays, ", ") + `) WITH ORDINALITY AS u(` + list + `, ord))`
	only := ""
	if replace {
		query += `, known AS (UPDATE ` + table + ` AS d SET ` + strings.Join(sets[1:], ", ") + ` FROM u WHERE d.key = u.key)`
		only = ` WHERE NOT EXISTS (SELECT 1 FROM ` + table + ` AS d WHERE d.key = u.key)`
	}
	query += ` INSERT INTO ` + table + ` (n, ` + list + `) SELECT (SELECT coalesce(max(n), 0) FROM ` + table + `) + row_number() OVER (ORDER BY ord), ` +
		list + ` FROM u` + only
	err := t.exec(query, args...)
	if t.taken(err) {
		err = t.fail(cloud.ErrExists)
	}
	if err != nil {
		return fmt.Errorf("put %d of %s, the first %q: %w", len(docs), k, docs[0].Key, err)
	}
	return nil
}

func (t *postgresTx) GetAll(k cloud.Kind, keys []string) (out []cloud.Doc, err error) {
	if err := known(k); err != nil || len(keys) == 0 {
		return nil, err
	}
	list := make([][]byte, len(keys))
	for i, key := range keys {
		list[i] = []byte(key)
	}
	query := `SELECT ` + columns(k) + ` FROM ` + quoted(string(k)) + ` WHERE key = ANY ($1)`
	err = t.query(query, []any{list}, func(r row) error {
		d, err := scanDoc(k, r)
		out = append(out, d)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("get %d of %s: %w", len(keys), k, err)
	}
	return out, nil
}

func (t *postgresTx) Known(ids []holdfast.SessionID) (out []holdfast.SessionID, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	list := make([][]byte, len(ids))
	for i := range ids {
		list[i] = slices.Clone(ids[i][:])
	}
	const query = `SELECT u.id FROM unnest($1::bytea[]) AS u(id) WHERE EXISTS (SELECT 1 FROM record WHERE session = u.id)`
	err = t.query(query, []any{list}, scanSession(&out))
	return out, err
}
