package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"modernc.org/sqlite"

	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/internal/durable"
)

// MinVersion is the oldest SQLite that is used: from here on a WAL that is reset
// during a checkpoint cannot lose a commit.
const MinVersion = "3.51.3"

// readers bounds the read transactions that run at one time; more wait.
const readers = 4

// SQLite is the keeper on a disk: a [cloud.Store] over one database file. The
// archive beside it is [SQLite.Archive].
type SQLite struct {
	dir     string
	db      *sql.DB
	writer  chan *link // holds the one writing connection while it is free
	readers chan *link
	closing sync.Once
}

// A link is one connection with the statements that were prepared on it.
type link struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt // bounded: statements are made of kinds and their fields
}

// Open opens the store in dir, which is made when it does not exist, and brings
// its schema up to date.
func Open(ctx context.Context, dir string) (*SQLite, error) {
	dir, err := filepath.Abs(dir) // a URI knows no relative path
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	file := filepath.Join(dir, "holdfast.db")
	db, err := sql.Open("sqlite", dsn(file))
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", file, err)
	}
	s := &SQLite{dir: dir, db: db, writer: make(chan *link, 1), readers: make(chan *link, readers)}
	if err := s.connect(ctx); err != nil {
		_ = db.Close() // the first error is the one to tell
		return nil, fmt.Errorf("open store %s: %w", file, err)
	}
	return s, nil
}

// dsn sets what must hold on every connection; check reads it back.
func dsn(file string) string {
	q := url.Values{}
	q.Set("_txlock", "immediate") // a write transaction that would fail to upgrade later waits at its start
	q.Set("_busy_timeout", "10000")
	q.Set("_journal_mode", "WAL")
	q.Set("_synchronous", "FULL")
	q.Set("_dqs", "false")
	q.Add("_pragma", "secure_delete(1)") // erased keys are overwritten, see Scrub
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(file), RawQuery: q.Encode()}).String()
}

func (s *SQLite) connect(ctx context.Context) error {
	s.db.SetMaxOpenConns(readers + 1)
	s.db.SetMaxIdleConns(readers + 1)
	for i := range readers + 1 {
		conn, err := s.db.Conn(ctx)
		if err != nil {
			return err
		}
		l := &link{conn: conn, stmts: map[string]*sql.Stmt{}}
		if err := l.check(ctx); err != nil {
			return err
		}
		if i > 0 {
			s.readers <- l
			continue
		}
		if err := migrate(ctx, conn); err != nil {
			return err
		}
		s.writer <- l
	}
	return nil
}

// check reads back what the durability of a commit rests on.
func (l *link) check(ctx context.Context) error {
	var version, mode string
	var sync, secure int
	row := l.conn.QueryRowContext(ctx, `SELECT sqlite_version(), (SELECT journal_mode FROM pragma_journal_mode), (SELECT synchronous FROM pragma_synchronous)`)
	if err := row.Scan(&version, &mode, &sync); err != nil {
		return fmt.Errorf("read settings back: %w", err)
	}
	if err := l.conn.QueryRowContext(ctx, `PRAGMA secure_delete`).Scan(&secure); err != nil {
		return fmt.Errorf("read settings back: %w", err)
	}
	switch {
	case olderThan(version, MinVersion):
		return fmt.Errorf("SQLite %s is in use, %s or newer is needed", version, MinVersion)
	case mode != "wal":
		return fmt.Errorf("journal mode is %q, not WAL: does the file system support shared memory? (network file systems do not)", mode)
	case sync != 2:
		return fmt.Errorf("synchronous is %d, not 2 (FULL): a commit would not be on the disk", sync)
	case secure != 1:
		return fmt.Errorf("secure_delete is %d, not 1: an erased key would stay readable", secure)
	}
	return nil
}

// olderThan compares dotted versions number by number.
func olderThan(v, least string) bool {
	a, b := strings.Split(v, "."), strings.Split(least, ".")
	for i := range b {
		var x, y int
		if i < len(a) {
			x, _ = strconv.Atoi(a[i]) // not a number reads as 0: older
		}
		y, _ = strconv.Atoi(b[i])
		if x != y {
			return x < y
		}
	}
	return false
}

// Update implements [cloud.Store].
func (s *SQLite) Update(ctx context.Context, fn func(cloud.Tx) error) error {
	return s.transact(ctx, s.writer, &sql.TxOptions{}, fn)
}

// View implements [cloud.Store].
func (s *SQLite) View(ctx context.Context, fn func(cloud.Tx) error) error {
	return s.transact(ctx, s.readers, &sql.TxOptions{ReadOnly: true}, fn)
}

// transact runs fn in a transaction on one of pool's connections. SQLite itself
// never sees ctx end: a statement that is interrupted at the wrong moment leaves
// its connection inside a transaction that nobody ends, and the next caller
// cannot begin one. ctx is looked at between statements.
func (s *SQLite) transact(ctx context.Context, pool chan *link, o *sql.TxOptions, fn func(cloud.Tx) error) (err error) {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	var l *link
	select {
	case l = <-pool:
		defer func() { pool <- l }()
	case <-ctx.Done():
		return fmt.Errorf("begin transaction: %w", ctx.Err())
	}
	tx, err := l.conn.BeginTx(context.WithoutCancel(ctx), o)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	ended := false
	defer func() {
		if !ended { // fn failed or panicked
			err = errors.Join(err, rollback(tx))
		}
	}()
	t := newSQLiteTx(ctx, l, o.ReadOnly)
	if err := fn(t); err != nil {
		return err
	}
	if t.failed != nil {
		return t.failed
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("before the commit: %w", err)
	}
	ended = true
	if o.ReadOnly {
		return rollback(tx)
	}
	if err := tx.Commit(); err != nil {
		return errors.Join(fmt.Errorf("commit: %w", err), rollback(tx))
	}
	return nil
}

func rollback(tx *sql.Tx) error {
	if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}

// Scrub implements [cloud.Store]: deleted content is overwritten when it is
// deleted (secure_delete); what older copies of pages the WAL still holds are
// moved into the database and the WAL is cut. It waits for running readers.
func (s *SQLite) Scrub(ctx context.Context) error {
	for range readers {
		select {
		case l := <-s.readers:
			defer func() { s.readers <- l }()
		case <-ctx.Done():
			return fmt.Errorf("scrub: %w", ctx.Err())
		}
	}
	select {
	case l := <-s.writer:
		defer func() { s.writer <- l }()
		var busy, frames, moved int
		if err := l.conn.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &frames, &moved); err != nil {
			return fmt.Errorf("scrub: cut the WAL: %w", err)
		}
		if busy != 0 {
			return errors.New("scrub: another process reads the database: stop it and erase again")
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("scrub: %w", ctx.Err())
	}
}

// Close implements [cloud.Store]. It waits for running transactions; a second
// call does nothing.
func (s *SQLite) Close() (err error) {
	s.closing.Do(func() {
		var errs []error
		for range readers {
			errs = append(errs, (<-s.readers).close())
		}
		errs = append(errs, (<-s.writer).close(), s.db.Close())
		err = errors.Join(errs...)
	})
	return err
}

func (l *link) close() error {
	var errs []error
	for _, st := range l.stmts {
		errs = append(errs, st.Close())
	}
	return errors.Join(append(errs, l.conn.Close())...)
}

// prepare returns the statement for query, prepared once on this connection.
func (l *link) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if st, ok := l.stmts[query]; ok {
		return st, nil
	}
	st, err := l.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", query, err)
	}
	l.stmts[query] = st
	return st, nil
}

// taken reports whether err says that a unique key is used already
// (SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE).
func taken(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && (e.Code() == 1555 || e.Code() == 2067)
}
