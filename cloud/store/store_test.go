package store_test

import (
	"bytes"
	"database/sql"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/cloud/store"
	"github.com/holdfast-ev/holdfast/cloud/store/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(t *testing.T) (cloud.Store, cloud.Archive, func() cloud.Store) {
		m := store.NewMemory()
		return m, m.Archive(), nil
	})
}

func open(t *testing.T, dir string) *store.SQLite {
	t.Helper()
	s, err := store.Open(t.Context(), dir)
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

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) (cloud.Store, cloud.Archive, func() cloud.Store) {
		dir := filepath.Join(t.TempDir(), "deep", "er")
		s, err := store.Open(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() }) // the suite may have closed it
		return s, s.Archive(), func() cloud.Store { return open(t, dir) }
	})
}

// raw opens the database beside the store.
func raw(t *testing.T, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "holdfast.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestSchemaVersionIsRecordedAndNewerIsRefused(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db := raw(t, dir)
	var n int
	var name string
	if err := db.QueryRow(`SELECT version, name FROM schema_version ORDER BY version`).Scan(&n, &name); err != nil || n != 1 || name != "migrations/0001_first.sql" {
		t.Fatalf("schema version %d %q, %v", n, name, err)
	}
	if _, err := db.Exec(`INSERT INTO schema_version SELECT max(version) + 1, 'from the future' FROM schema_version`); err != nil {
		t.Fatal(err)
	}
	if s, err := store.Open(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "newer") {
		if s != nil {
			_ = s.Close()
		}
		t.Fatalf("a newer database: %v", err)
	}
}

// secret is what must be forgotten.
const secret = "a key that must be forgotten 0123456789"

// putKey stores a sealing key with a body, in place of the one before.
func putKey(t *testing.T, s cloud.Store, body string) {
	t.Helper()
	err := s.Update(t.Context(), func(tx cloud.Tx) error {
		_, err := tx.Put(cloud.Doc{Kind: cloud.KindSealKey, Key: "k", Fields: cloud.Fields{"gateway": "", "token": ""}, Body: []byte(body)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// secrets counts how often the secret is in the files below dir.
func secrets(t *testing.T, dir string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		n += bytes.Count(b, []byte(secret))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Erased content must be gone from the files, not only from the tables.
func TestScrubLeavesNoBytes(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	putKey(t, s, secret)
	if secrets(t, dir) == 0 {
		t.Fatal("the secret is not in the files: the test looks in the wrong place")
	}
	putKey(t, s, "{}")
	if secrets(t, dir) == 0 {
		t.Fatal("overwriting alone removed it: the test proves nothing about Scrub")
	}
	if err := s.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := secrets(t, dir); n != 0 {
		t.Errorf("the secret is still in the files %d times", n)
	}
}

// A relative directory is one of the process's own; in a URI it would be a host.
func TestOpenTakesARelativeDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, dir := range []string{"data", "./x/y z", "."} {
		s, err := store.Open(t.Context(), dir)
		if err != nil {
			t.Errorf("%q: %v", dir, err)
			continue
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "holdfast.db")); err != nil {
			t.Errorf("%q: %v", dir, err)
		}
	}
}
