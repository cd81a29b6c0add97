package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/holdfast-ev/holdfast"
)

// sqliteTx is a transaction on one connection.
type sqliteTx struct {
	sqlTx
	ctx  context.Context
	link *link
}

func newSQLiteTx(ctx context.Context, l *link, readOnly bool) *sqliteTx {
	t := &sqliteTx{ctx: ctx, link: l}
	t.engine, t.readOnly = t, readOnly
	return t
}

func (t *sqliteTx) mark(int) string      { return "?" }
func (t *sqliteTx) text(s string) any    { return s }
func (t *sqliteTx) number(string) string { return "" }
func (t *sqliteTx) taken(err error) bool { return taken(err) }

func (t *sqliteTx) run(query string, args ...any) error {
	st, err := t.prepare(query)
	if err == nil {
		_, err = st.Exec(args...)
	}
	return err
}

// prepare returns the statement for query, unless the caller has gone away.
func (t *sqliteTx) prepare(query string) (*sql.Stmt, error) {
	if err := t.ctx.Err(); err != nil {
		return nil, err
	}
	return t.link.prepare(context.WithoutCancel(t.ctx), query)
}

func (t *sqliteTx) query(query string, args []any, scan func(row) error) error {
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

func (t *sqliteTx) Leaves(stream uint64, from, to holdfast.Seq, fn func(holdfast.Seq, holdfast.Hash) error) error {
	const query = `SELECT seq, leaf FROM record WHERE stream = ? AND seq >= ? AND seq < ? ORDER BY seq`
	return t.query(query, []any{int64(stream), number(from), number(to)}, func(r row) error {
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
