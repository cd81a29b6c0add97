package server

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/internal/pgtest"
)

// A cloud whose store is PostgreSQL is the same cloud: what it knew before a
// restart it knows after it, the archive is in the data directory, and no SQLite
// database is made there.
func TestCloudOnPostgres(t *testing.T) {
	pg := pgtest.Start(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	url := pg.Schema(t)
	on := func(o *Options) { o.Store = url }
	w := start(t, on)
	d := w.enrol("north")
	if err := w.s.Close(); err != nil {
		t.Fatal(err)
	}
	w.open(on)
	if a := d.hello(); a.status != http.StatusOK {
		t.Fatalf("an enrolled gateway is not known any more: HTTP %d: %s", a.status, a.body)
	}
	if files, _ := filepath.Glob(filepath.Join(w.dir, "store", "*.db*")); len(files) > 0 {
		t.Errorf("there is an SQLite database as well: %v", files)
	}
	if !strings.Contains(w.log.String(), `"store":"postgres://holdfast@/postgres"`) {
		t.Error("the log does not say where the store is")
	}
	if err := w.s.Close(); err != nil {
		t.Fatal(err)
	}
}

// Two clouds with the same keys serve one database at once; one with other keys
// is refused and changes nothing.
func TestTwoCloudsOnOnePostgres(t *testing.T) {
	pg := pgtest.Start(t)
	url := pg.Schema(t)
	on := func(o *Options) { o.Store = url }
	a := start(t, on)
	b := &world{t: t, dir: t.TempDir(), log: &syncBuffer{}}
	if err := os.CopyFS(filepath.Join(b.dir, "keys"), os.DirFS(filepath.Join(a.dir, "keys"))); err != nil {
		t.Fatal(err)
	}
	if err := filepath.WalkDir(filepath.Join(b.dir, "keys"), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			err = os.Chmod(path, 0o600)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	b.open(on)
	b.s.fresh = a.s.fresh
	added := make(chan struct{})
	go func() {
		defer close(added)
		for _, id := range []holdfast.SiteID{"a1", "a2", "a3", "a4"} {
			if got := a.ask("POST", "/v1/sites", cloud.AddSite{ID: id}); got.status/100 != 2 {
				t.Errorf("site %s: HTTP %d: %s", id, got.status, got.body)
			}
		}
	}()
	for _, id := range []holdfast.SiteID{"b1", "b2", "b3", "b4"} {
		if got := b.ask("POST", "/v1/sites", cloud.AddSite{ID: id}); got.status/100 != 2 {
			t.Errorf("site %s: HTTP %d: %s", id, got.status, got.body)
		}
	}
	<-added
	for _, w := range []*world{a, b} {
		if n := strings.Count(string(w.ask("GET", "/v1/sites", nil).body), `"id":`); n != 8 {
			t.Errorf("%d sites, want 8", n)
		}
	}
	_, err := Start(context.Background(), Options{DataDir: t.TempDir(), Store: url, APIAddr: "127.0.0.1:0", GatewayAddr: "127.0.0.1:0"})
	if err == nil || !strings.Contains(err.Error(), "other keys") {
		t.Errorf("a cloud with other keys: %v", err)
	}
}

// A store that cannot be meant is refused before anything is made.
func TestStoreIsNamedWell(t *testing.T) {
	for want, o := range map[string]Options{
		"want postgres://":      {Store: "mysql://me@localhost/books"},
		"there is a password":   {Store: "postgres://me:geheim@localhost/books"},
		"but no --store":        {StorePasswordFile: "password"},
		"password file":         {Store: "postgres://me@localhost/books", StorePasswordFile: "/nowhere"},
		"postgres://me@127.0.0": {Store: "postgres://me@127.0.0.1:1/books"},
	} {
		o.DataDir, o.APIAddr, o.GatewayAddr = t.TempDir(), "127.0.0.1:0", "127.0.0.1:0"
		_, err := Start(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
}
