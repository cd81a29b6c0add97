package store

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
)

// postgresTx is a transaction on one connection. Keys and fields are bytea, see
// postgres/0001_first.sql.
type postgresTx struct {
	sqlTx
	ctx  context.Context
	conn *pgx.Conn
}

func newPostgresTx(ctx context.Context, conn *pgx.Conn, readOnly bool) *postgresTx {
	t := &postgresTx{ctx: ctx, conn: conn}
	t.engine, t.readOnly = t, readOnly
	return t
}

func (t *postgresTx) mark(n int) string    { return "$" + strconv.Itoa(n) }
func (t *postgresTx) text(s string) any    { return []byte(s) }
func (t *postgresTx) taken(err error) bool { return sqlState(err) == uniqueViolation }

func (t *postgresTx) number(table string) string {
	return `(SELECT coalesce(max(n), 0) + 1 FROM ` + table + `)`
}

func (t *postgresTx) run(query string, args ...any) error {
	_, err := t.conn.Exec(t.ctx, query, args...)
	return err
}

func (t *postgresTx) query(query string, args []any, scan func(row) error) error {
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
	if t.taken(err) {
		err = t.fail(cloud.ErrExists)
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
		err := t.query(query, []any{int64(stream), number(from), number(to), leavesStep}, func(r row) error {
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
