package bench

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	control "github.com/holdfast-ev/holdfast/cloud"
)

// The floor: one table with a primary key, one row a record, as durable as the
// keeper's own transactions, many rows a statement.

const bareTable = `CREATE TABLE bare (seq bigint PRIMARY KEY, leaf %BLOB% NOT NULL, body %BLOB% NOT NULL)`

// bareStep is how many rows a statement of SQLite has; a hundred is as fast.
const bareStep = 50

func (e *sqliteEngine) bare(ctx context.Context, parts [][]control.Row) (took time.Duration, err error) {
	if err := os.MkdirAll(e.dir, 0o700); err != nil {
		return 0, err
	}
	file := filepath.Join(e.dir, "bare.db")
	db, err := sql.Open("sqlite", "file:"+file+"?_txlock=immediate&_journal_mode=WAL&_synchronous=FULL")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close(), os.Remove(file)) }()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, strings.ReplaceAll(bareTable, "%BLOB%", "BLOB")); err != nil {
		return 0, err
	}
	one, err := db.PrepareContext(ctx, `INSERT INTO bare VALUES (?, ?, ?)`)
	if err != nil {
		return 0, err
	}
	many, err := db.PrepareContext(ctx, `INSERT INTO bare VALUES `+strings.Repeat("(?, ?, ?), ", bareStep-1)+"(?, ?, ?)")
	if err != nil {
		return 0, err
	}
	began := time.Now()
	for _, rows := range parts {
		if err := barePart(ctx, db, one, many, rows); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

func barePart(ctx context.Context, db *sql.DB, one, many *sql.Stmt, rows []control.Row) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for len(rows) > 0 {
		stmt, n := one, 1
		if len(rows) >= bareStep {
			stmt, n = many, bareStep
		}
		args := make([]any, 0, 3*n)
		for i := range rows[:n] {
			args = append(args, int64(rows[i].Seq), rows[i].Leaf[:], rows[i].Body)
		}
		if _, err := tx.StmtContext(ctx, stmt).ExecContext(ctx, args...); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		rows = rows[n:]
	}
	return tx.Commit()
}

func (e *postgresEngine) bare(ctx context.Context, parts [][]control.Row) (took time.Duration, err error) {
	url, err := e.pg.NewSchema(ctx)
	if err != nil {
		return 0, err
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	if _, err := conn.Exec(ctx, strings.ReplaceAll(bareTable, "%BLOB%", "bytea")); err != nil {
		return 0, err
	}
	began := time.Now()
	for _, rows := range parts {
		var seqs []int64
		var leaves, bodies [][]byte
		for i := range rows {
			seqs, leaves, bodies = append(seqs, int64(rows[i].Seq)), append(leaves, rows[i].Leaf[:]), append(bodies, rows[i].Body)
		}
		const insert = `INSERT INTO bare SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[])`
		if _, err := conn.Exec(ctx, insert, seqs, leaves, bodies); err != nil { // a transaction of its own
			return 0, err
		}
	}
	return time.Since(began), nil
}
