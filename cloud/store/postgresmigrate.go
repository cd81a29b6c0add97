package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
)

//go:embed postgres/*.sql
var postgresFiles embed.FS

// postgresMigrations lists the schema's migrations in the order of their names.
func postgresMigrations() ([]string, error) { return fs.Glob(postgresFiles, "postgres/*.sql") }

// migrate applies, in one transaction, the migrations that the schema does not
// have yet. Processes that start at the same time wait for each other at the
// writers' lock, and so does a migration for a writer. A newer schema is refused:
// an older version must not write into a newer form.
func (s *Postgres) migrate(ctx context.Context) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer s.end(ctx, conn)
	var schema *string
	if err := conn.QueryRow(ctx, `SELECT current_schema(), coalesce(to_regnamespace(quote_ident(current_schema()))::oid, 0)`).Scan(&schema, &s.schema); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if schema == nil {
		return errors.New("migrate: no schema of the search path exists: make one, CREATE SCHEMA holdfast, or drop search_path from the URL")
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if err := s.applyPostgres(ctx, tx); err != nil {
		return fmt.Errorf("migrate schema %s: %w", *schema, err) // s.end rolls back
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("migrate: commit: %w", err)
	}
	return nil
}

func (s *Postgres) applyPostgres(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, fmt.Sprintf(`SELECT pg_advisory_xact_lock(%d, %d)`, writerLock, int32(s.schema))); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS schema_version (version int PRIMARY KEY, name text NOT NULL)`); err != nil {
		if sqlState(err) == "42501" {
			err = fmt.Errorf("%w: GRANT CREATE ON SCHEMA to the role, or make it the owner of the database", err)
		}
		return err
	}
	files, err := postgresMigrations()
	if err != nil {
		return err
	}
	var have int
	if err := tx.QueryRow(ctx, `SELECT coalesce(max(version), 0) FROM schema_version`).Scan(&have); err != nil {
		return err
	}
	if have > len(files) {
		return fmt.Errorf("the database has schema version %d, this software knows %d: use the version that wrote it or a newer one", have, len(files))
	}
	for i, name := range files[have:] {
		text, err := postgresFiles.ReadFile(name)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, string(text)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if _, err := tx.Exec(ctx, `INSERT INTO schema_version VALUES ($1, $2)`, have+i+1, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
