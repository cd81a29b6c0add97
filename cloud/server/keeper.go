package server

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"path/filepath"

	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/cloud/store"
)

// postgres is where o's store is when it is not in the data directory.
func (o *Options) postgres() store.PostgresOptions {
	return store.PostgresOptions{URL: o.Store, PasswordFile: o.StorePasswordFile}
}

// StoreName is the store's name for people: the directory of the database, or
// user, host and database of a PostgreSQL URL, never a password.
func (o *Options) StoreName() string {
	if o.Store == "" {
		return filepath.Join(o.DataDir, storeDir)
	}
	name, err := o.postgres().Name()
	if err != nil {
		return "PostgreSQL"
	}
	return name
}

// validateStore checks that the store is named in a way that can be meant.
func (o *Options) validateStore() error {
	if o.Store == "" {
		if o.StorePasswordFile != "" {
			return fmt.Errorf("a password file for the store, but no --store: SQLite in the data directory has no password")
		}
		return nil
	}
	_, err := o.postgres().Name()
	return err
}

// storeDir holds, in the data directory, the database and the archive.
const storeDir = "store"

// openStore opens the keeper that o names, and the archive, which is always in
// the data directory. A database elsewhere is claimed for the root secret: the
// cloud of another one must not write into it.
func openStore(ctx context.Context, o *Options, secret []byte) (cloud.Store, cloud.Archive, error) {
	dir := filepath.Join(o.DataDir, storeDir)
	if o.Store == "" {
		s, err := store.Open(ctx, dir)
		if err != nil {
			return nil, nil, err
		}
		return s, s.Archive(), nil
	}
	mark, err := hkdf.Key(sha256.New, secret, nil, "holdfast/store-mark/v1", sha256.Size)
	if err != nil {
		return nil, nil, err
	}
	s, err := store.OpenPostgres(ctx, o.postgres())
	if err != nil {
		return nil, nil, err
	}
	if err := s.Claim(ctx, mark); err != nil {
		_ = s.Close() // the first error is the one to tell
		return nil, nil, fmt.Errorf("%s: %w", o.StoreName(), err)
	}
	return s, store.NewFiles(filepath.Join(dir, "archive")), nil
}
