package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/cloud/store"
	"github.com/holdfast-ev/holdfast/cloud/store/storetest"
	"github.com/holdfast-ev/holdfast/internal/pgtest"
)

func openPostgres(t *testing.T, url string) *store.Postgres {
	t.Helper()
	s, err := store.OpenPostgres(t.Context(), store.PostgresOptions{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestPostgres(t *testing.T) {
	pg := pgtest.Start(t)
	storetest.Run(t, func(t *testing.T) (cloud.Store, cloud.Archive, func() cloud.Store) {
		url := pg.Schema(t)
		return openPostgres(t, url), store.NewFiles(t.TempDir()), func() cloud.Store { return openPostgres(t, url) }
	})
}

// A second process, with another connection pool, brings a schema up to date at
// the same time; a newer schema is refused, and a process that is older than the
// schema stops writing.
func TestPostgresSchema(t *testing.T) {
	pg := pgtest.Start(t)
	url := pg.Schema(t)
	opened := make(chan error, 4)
	for range cap(opened) {
		go func() {
			s, err := store.OpenPostgres(context.Background(), store.PostgresOptions{URL: url})
			if err == nil {
				err = s.Close()
			}
			opened <- err
		}()
	}
	for range cap(opened) {
		if err := <-opened; err != nil {
			t.Error(err)
		}
	}
	old := openPostgres(t, url)
	pg.Exec(t, `INSERT INTO s1.schema_version SELECT max(version) + 1, 'from the future' FROM s1.schema_version`)
	err := old.Update(t.Context(), func(cloud.Tx) error { t.Error("an older process writes"); return nil })
	if err == nil || !strings.Contains(err.Error(), "restart") {
		t.Errorf("an older process on a newer schema: %v", err)
	}
	if _, err := store.OpenPostgres(t.Context(), store.PostgresOptions{URL: url}); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("a newer schema: %v", err)
	}
	if _, err := store.OpenPostgres(t.Context(), store.PostgresOptions{URL: url + "9"}); err == nil || !strings.Contains(err.Error(), "CREATE SCHEMA") {
		t.Errorf("a schema that does not exist: %v", err)
	}
}

// What a commit's durability rests on is set, read back, and refused when it is
// not so.
func TestPostgresDurabilityIsReadBack(t *testing.T) {
	pg := pgtest.Start(t)
	url := pg.Schema(t)
	pg.Exec(t, `ALTER ROLE holdfast SET synchronous_commit = off`)
	s := openPostgres(t, url+"&synchronous_commit=off") // ours is stronger than both
	if err := s.Update(t.Context(), func(tx cloud.Tx) error { _, err := tx.AppendLog(cloud.LogEntry{Kind: "k"}); return err }); err != nil {
		t.Error(err)
	}
	for _, setting := range []string{"full_page_writes", "fsync"} {
		if err := pg.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := pg.RestartWith(setting + "=off"); err != nil {
			t.Fatal(err)
		}
		if _, err := store.OpenPostgres(t.Context(), store.PostgresOptions{URL: url}); err == nil || !strings.Contains(err.Error(), setting+" = on") {
			t.Errorf("a server with %s off: %v", setting, err)
		}
	}
}

// A URL that shows a password is refused, without repeating it; so is a mode of
// TLS that a man in the middle can switch off.
func TestPostgresURL(t *testing.T) {
	for _, url := range []string{
		"postgres://me:geheim@localhost/db", "postgres://me@localhost/db?password=geheim", "postgres://me@localhost/db?sslpassword=geheim",
		"postgres://me:geheim%zz@localhost/db", "mysql://me:geheim@localhost/db", "postgres://me@localhost/db?sslmode=prefer",
		"postgres://me@db.example/db?sslmode=allow", "postgres://me@localhost:port/db?sslkey=geheim",
	} {
		s, err := store.OpenPostgres(t.Context(), store.PostgresOptions{URL: url})
		if err == nil {
			t.Errorf("%s is taken", url)
			_ = s.Close()
		} else if strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: the error shows the password: %v", url, err)
		}
	}
	name, err := store.PostgresOptions{URL: "postgres://me@db.example:5433/books?sslmode=verify-full&search_path=x"}.Name()
	if err != nil || name != "postgres://me@db.example:5433/books" {
		t.Errorf("name %q, %v", name, err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{empty, empty + "2"} {
		_, err := store.OpenPostgres(t.Context(), store.PostgresOptions{URL: "postgres://me@localhost/db", PasswordFile: file})
		if err == nil || !strings.Contains(err.Error(), "password file") {
			t.Errorf("password file %s: %v", file, err)
		}
	}
}

// The password of a file opens a server that asks for one; a wrong one does not,
// and is not shown.
func TestPostgresPasswordFile(t *testing.T) {
	pg := pgtest.Start(t)
	url := pgtest.Through(t, pg.Schema(t), pg.Addr())
	pg.Exec(t, `ALTER ROLE holdfast PASSWORD 'geheim'`)
	if err := os.WriteFile(filepath.Join(pg.Data(), "pg_hba.conf"), []byte("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	pg.Exec(t, `SELECT pg_reload_conf()`)
	file := filepath.Join(t.TempDir(), "password")
	for _, c := range []struct {
		password string
		good     bool
	}{{"falsch", false}, {"geheim", true}} {
		if err := os.WriteFile(file, []byte(c.password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := store.OpenPostgres(t.Context(), store.PostgresOptions{URL: url, PasswordFile: file})
		if (err == nil) != c.good {
			t.Errorf("password %q: %v", c.password, err)
		}
		if err != nil && strings.Contains(err.Error(), c.password) {
			t.Errorf("the error shows the password: %v", err)
		}
		if err == nil {
			_ = s.Close()
		}
	}
}

// Erased content must be gone from the server's tables on the disk, and an old
// snapshot that still needs it is an error.
func TestPostgresScrubLeavesNoBytes(t *testing.T) {
	pg := pgtest.Start(t)
	url := pg.Schema(t)
	s := openPostgres(t, url)
	found := func() int {
		t.Helper()
		pg.Exec(t, `CHECKPOINT`) // what is in memory comes to the disk
		return secrets(t, filepath.Join(pg.Data(), "base"))
	}
	putKey(t, s, secret)
	if found() == 0 {
		t.Fatal("the secret is not in the files: the test looks in the wrong place")
	}
	other := openPostgres(t, url) // another process, with an old snapshot
	for _, k := range []cloud.Kind{cloud.KindSealKey, cloud.KindSite} {
		putKey(t, s, secret)
		err := other.View(t.Context(), func(tx cloud.Tx) error {
			if _, err := tx.Count(k, nil); err != nil {
				return err
			}
			putKey(t, s, "{}")
			if err := s.Scrub(t.Context()); err == nil || !strings.Contains(err.Error(), "another transaction") {
				t.Errorf("Scrub beside an old snapshot that has read %s: %v", k, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found() == 0 {
		t.Fatal("overwriting alone removed it: the test proves nothing about Scrub")
	}
	if err := s.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := found(); n != 0 {
		t.Errorf("the secret is still in the tables %d times", n)
	}
}

// A database belongs to one cloud's keys, for ever and for every process.
func TestPostgresBelongsToOneCloud(t *testing.T) {
	pg := pgtest.Start(t)
	url := pg.Schema(t)
	mine, other := []byte("mark of one"), []byte("mark of another")
	for range 2 {
		if err := openPostgres(t, url).Claim(t.Context(), mine); err != nil {
			t.Fatal(err)
		}
		if err := openPostgres(t, url).Claim(t.Context(), other); !errors.Is(err, cloud.ErrForbidden) {
			t.Errorf("another cloud: %v, want ErrForbidden", err)
		}
	}
}
