package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/holdfast-ev/holdfast/cloud"
)

// MinPostgres is the oldest PostgreSQL server that is used, as the server counts
// versions (server_version_num): 15, which Debian 12 has.
const MinPostgres = 150000

// Bounds of the PostgreSQL keeper.
const (
	postgresReaders = 8                // read transactions at one time; more wait
	commitTimeout   = 30 * time.Second // for the answer to a COMMIT; after that nobody knows whether it happened
	endTimeout      = 5 * time.Second  // for the answer to a ROLLBACK; after that the connection is closed
	idleTimeout     = time.Minute      // a transaction whose cloud says nothing for so long is ended by the server
)

// writerLock is the first half of the advisory lock that every writing
// transaction holds; the second is the schema's oid.
const writerLock = 0x484f4c44 // "HOLD"

// Postgres is the keeper on a PostgreSQL server: a [cloud.Store] over one
// schema of a database. Several processes may use one schema: each writing
// transaction holds an advisory lock, so that there is one writer at a time.
type Postgres struct {
	pool    *pgxpool.Pool
	schema  uint32        // its oid
	writer  chan struct{} // a token while this process is not writing
	readers chan struct{} // as many tokens as further reads may begin
	closing sync.Once
}

// OpenPostgres opens the store that o names and brings its schema up to date.
// Several processes may do so at once.
func OpenPostgres(ctx context.Context, o PostgresOptions) (*Postgres, error) {
	name, err := o.Name()
	if err != nil {
		return nil, err
	}
	cfg, err := o.config()
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", name, err)
	}
	cfg.AfterConnect = checkServer
	cfg.ConnConfig.OnNotice = keepDetails
	cfg.MaxConns = postgresReaders + 1
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", name, err)
	}
	s := &Postgres{pool: pool, writer: make(chan struct{}, 1), readers: make(chan struct{}, postgresReaders)}
	if err := s.migrate(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("open store %s: %w", name, err)
	}
	s.writer <- struct{}{}
	for range postgresReaders {
		s.readers <- struct{}{}
	}
	return s, nil
}

// checkServer reads back, on every new connection, what the durability of a
// commit rests on.
func checkServer(ctx context.Context, conn *pgx.Conn) error {
	const query = `SELECT current_setting('server_version_num')::int, current_setting('server_version'), current_setting('fsync'),
		current_setting('full_page_writes'), current_setting('synchronous_commit'), pg_is_in_recovery()`
	var version int
	var release, fsync, pages, commit string
	var standby bool
	if err := conn.QueryRow(ctx, query).Scan(&version, &release, &fsync, &pages, &commit, &standby); err != nil {
		return fmt.Errorf("read settings back: %w", err)
	}
	switch {
	case version < MinPostgres:
		return fmt.Errorf("PostgreSQL %s is in use, %d or newer is needed", release, MinPostgres/10000)
	case fsync != "on":
		return errors.New("the server runs with fsync=off: a commit would not be on the disk; set fsync = on in postgresql.conf")
	case pages != "on":
		return errors.New("the server runs with full_page_writes=off: a page that is torn by a power cut could not be repaired; set full_page_writes = on in postgresql.conf")
	case commit != "on" && commit != "remote_apply":
		return fmt.Errorf("synchronous_commit is %q, not on: a commit would not be on the disk", commit)
	case standby:
		return errors.New("the server is a standby and cannot be written to: name the primary, or all of them with target_session_attrs=read-write")
	}
	return nil
}

// Update implements [cloud.Store].
func (s *Postgres) Update(ctx context.Context, fn func(cloud.Tx) error) error {
	return s.transact(ctx, s.writer, s.beginWriting, fn)
}

// View implements [cloud.Store].
func (s *Postgres) View(ctx context.Context, fn func(cloud.Tx) error) error {
	return s.transact(ctx, s.readers, beginReading, fn)
}

// beginWriting begins a transaction and waits until it is the only writer, in
// this and every other process. READ COMMITTED is what makes this serial: each
// statement sees what was committed before it, and only the holder of the lock
// commits. A snapshot that is taken once would be older than the lock.
//
// It also looks at the schema's version: a newer process may have changed it
// since this one started.
func (s *Postgres) beginWriting(ctx context.Context, conn *pgx.Conn) (readOnly bool, err error) {
	query := fmt.Sprintf(`BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock(%d, %d); SELECT max(version) FROM schema_version`,
		writerLock, int32(s.schema))
	results, err := conn.PgConn().Exec(ctx, query).ReadAll()
	if err != nil {
		return false, err
	}
	files, err := postgresMigrations()
	if err != nil {
		return false, err
	}
	if have, known := string(results[2].Rows[0][0]), fmt.Sprint(len(files)); have != known {
		return false, fmt.Errorf("the database has schema version %s now, this process knows %s: another one has brought it up to date; restart this one with the same software", have, known)
	}
	return false, nil
}

// beginReading begins a transaction that sees one snapshot.
func beginReading(ctx context.Context, conn *pgx.Conn) (readOnly bool, err error) {
	_, err = conn.PgConn().Exec(ctx, `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`).ReadAll()
	return true, err
}

type begin func(ctx context.Context, conn *pgx.Conn) (readOnly bool, err error)

// transact runs fn in a transaction. A caller that goes away while a statement
// runs costs the connection, and with it the server ends the transaction; a
// COMMIT is always waited for, so that a caller that went away before it never
// leaves a trace.
func (s *Postgres) transact(ctx context.Context, turns chan struct{}, begin begin, fn func(cloud.Tx) error) (err error) {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	select {
	case <-turns:
		defer func() { turns <- struct{}{} }()
	case <-ctx.Done():
		return fmt.Errorf("begin transaction: %w", ctx.Err())
	}
	conn, readOnly, err := s.begin(ctx, begin)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	defer func() { s.end(ctx, conn) }() // also when fn panics
	t := newPostgresTx(ctx, conn.Conn(), readOnly)
	if err := fn(t); err != nil {
		return err
	}
	if t.failed != nil {
		return t.failed
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("before the commit: %w", err)
	}
	if readOnly {
		return nil
	}
	return commit(ctx, conn.Conn())
}

// begin finds a connection and begins. Nothing has been done yet, so that a
// connection that turns out to be dead, as all are after the server was
// restarted, is replaced.
func (s *Postgres) begin(ctx context.Context, begin begin) (conn *pgxpool.Conn, readOnly bool, err error) {
	for range postgresReaders + 2 { // each of the pool may be dead
		if conn, err = s.pool.Acquire(ctx); err != nil {
			return nil, false, err
		}
		if readOnly, err = begin(ctx, conn.Conn()); err == nil {
			return conn, readOnly, nil
		}
		dead := conn.Conn().IsClosed()
		s.end(ctx, conn)
		if !dead || ctx.Err() != nil {
			break
		}
	}
	return nil, false, err
}

// commit commits. An error does not say whether it happened, unless the server
// says that it did not.
func commit(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	results, err := conn.PgConn().Exec(ctx, `COMMIT`).ReadAll()
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if tag := results[0].CommandTag.String(); tag != "COMMIT" { // a COMMIT of a failed transaction is a ROLLBACK, and no error
		return fmt.Errorf("commit: the server answered %s", tag)
	}
	return nil
}

// end gives a connection back, without a transaction. One that cannot be rolled
// back is closed, and the server rolls back.
func (s *Postgres) end(ctx context.Context, conn *pgxpool.Conn) {
	pg := conn.Conn().PgConn()
	if !pg.IsClosed() && pg.TxStatus() != 'I' {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
		defer cancel()
		if _, err := pg.Exec(ctx, `ROLLBACK`).ReadAll(); err != nil {
			_ = pg.Close(ctx) // it is of no use any more
		}
	}
	conn.Release() // drops it when it is closed or not idle
}

// Close implements [cloud.Store]. It waits for running transactions; a second
// call does nothing.
func (s *Postgres) Close() error {
	s.closing.Do(func() {
		<-s.writer
		for range postgresReaders {
			<-s.readers
		}
		s.pool.Close()
	})
	return nil
}

// Claim makes the store that of a cloud, known by a mark of its root secret, and
// fails with [cloud.ErrForbidden] when it is another's.
func (s *Postgres) Claim(ctx context.Context, mark []byte) error {
	return s.Update(ctx, func(tx cloud.Tx) error {
		t := tx.(*postgresTx) // ours: Update has just made it
		if err := t.exec(`INSERT INTO owner (mark) VALUES ($1) ON CONFLICT DO NOTHING`, mark); err != nil {
			return fmt.Errorf("claim the store: %w", err)
		}
		same := false
		err := t.query(`SELECT mark = $1 FROM owner`, []any{mark}, func(r row) error { return r.Scan(&same) })
		if err != nil {
			return fmt.Errorf("claim the store: %w", err)
		}
		if !same {
			return fmt.Errorf("the database belongs to a cloud with other keys: restore that cloud's keys directory, or use an empty database: %w", cloud.ErrForbidden)
		}
		return nil
	})
}

// sqlState returns the server's code of err, "" when it is not from the server.
func sqlState(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// uniqueViolation is the code of a unique key that is used already.
const uniqueViolation = "23505"
