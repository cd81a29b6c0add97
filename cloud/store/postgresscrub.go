package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/holdfast-ev/holdfast/cloud"
)

// erasable are the kinds whose bodies can hold what an erasure destroys: wrapped
// keys, tokens that are sealed with them, entries of lists. Folds hold hashes and
// sealed fields, which nobody can open once the key is gone.
func erasable() []cloud.Kind {
	return []cloud.Kind{cloud.KindSealKey, cloud.KindToken, cloud.KindTokenAt, cloud.KindList, cloud.KindDirective, cloud.KindGrant, cloud.KindAnswer}
}

// Scrub implements [cloud.Store]: it writes the tables that hold what can be
// erased into new files (VACUUM FULL), since a plain VACUUM frees the space of an
// old row and leaves its bytes there. It waits for the readers of this process,
// and fails when a transaction of another one still reads them or sees old rows. What the
// server's write-ahead log, its replicas and backups hold is not ours to clean:
// docs/cloud.md says what that means.
func (s *Postgres) Scrub(ctx context.Context) (err error) {
	for range postgresReaders {
		select {
		case <-s.readers:
			defer func() { s.readers <- struct{}{} }()
		case <-ctx.Done():
			return fmt.Errorf("scrub: %w", ctx.Err())
		}
	}
	select {
	case <-s.writer:
		defer func() { s.writer <- struct{}{} }()
	case <-ctx.Done():
		return fmt.Errorf("scrub: %w", ctx.Err())
	}
	conn, _, err := s.begin(ctx, alive)
	if err != nil {
		return fmt.Errorf("scrub: %w", err)
	}
	pg := conn.Conn().PgConn()
	defer func() {
		if err != nil {
			_ = pg.Close(ctx) // with its lock_timeout
		}
		s.end(ctx, conn)
	}()
	if _, err := pg.Exec(ctx, fmt.Sprintf(`SET lock_timeout = %d`, scrubWait.Milliseconds())).ReadAll(); err != nil {
		return fmt.Errorf("scrub: %w", err)
	}
	patience := time.Now().Add(scrubPatience)
	for _, k := range erasable() {
		left, err := rewrite(ctx, pg, quoted(string(k)))
		for err == nil && left && time.Now().Before(patience) && pause(ctx) {
			left, err = rewrite(ctx, pg, quoted(string(k))) // an ANALYZE of the server's own, perhaps
		}
		if left || sqlState(err) == lockNotAvailable {
			return fmt.Errorf("scrub %s: another transaction in the database still sees what was erased: let it end (pg_stat_activity shows it) and erase again", k)
		}
		if err != nil {
			return fmt.Errorf("scrub %s: %w", k, err)
		}
	}
	_, err = pg.Exec(ctx, `RESET lock_timeout`).ReadAll()
	return err
}

// scrubWait bounds the wait for a reader of another process: whoever comes after
// a table's rewriting waits behind it.
const scrubWait = 2 * time.Second

// scrubPatience bounds the wait for transactions that see old rows, scrubPause is
// the time between two looks.
const (
	scrubPatience = 5 * time.Second
	scrubPause    = 100 * time.Millisecond
)

// pause waits for scrubPause; false when the caller has gone away.
func pause(ctx context.Context) bool {
	select {
	case <-time.After(scrubPause):
		return true
	case <-ctx.Done():
		return false
	}
}

// lockNotAvailable is the code of a lock that was not given in time.
const lockNotAvailable = "55P03"

// alive begins nothing: VACUUM wants no transaction around it.
func alive(ctx context.Context, conn *pgx.Conn) (readOnly bool, err error) {
	return false, conn.Ping(ctx)
}

// details is where a connection keeps what the server says on the way.
const details = "details"

// keepDetails is called with everything that the server says without being asked.
func keepDetails(conn *pgconn.PgConn, n *pgconn.Notice) {
	if list, ok := conn.CustomData()[details].([]string); ok && n.Detail != "" {
		conn.CustomData()[details] = append(list, n.Detail)
	}
}

// rewrite rewrites a table and reports whether old rows had to be kept.
func rewrite(ctx context.Context, conn *pgconn.PgConn, table string) (left bool, err error) {
	conn.CustomData()[details] = []string{}
	defer delete(conn.CustomData(), details)
	if _, err := conn.Exec(ctx, `VACUUM (FULL, VERBOSE) `+table).ReadAll(); err != nil {
		return false, err
	}
	list, _ := conn.CustomData()[details].([]string) // put there above
	if len(list) == 0 {
		return false, errors.New("the server did not say how many old rows it kept")
	}
	return slices.ContainsFunc(list, keptRows), nil
}

// keptRows reads "3 dead row versions cannot be removed yet.", in any language
// that begins with the number.
func keptRows(detail string) bool {
	first, _, _ := strings.Cut(strings.TrimSpace(detail), " ")
	n, err := strconv.Atoi(first)
	return err != nil || n > 0
}
