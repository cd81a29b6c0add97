package server

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/cloud/store"
)

// writeSecret stores b so that only its owner may read it, whole or not at all.
func writeSecret(path string, b []byte) error { return writeFile(path, b, 0o600) }

// writePublic stores b for everybody to read.
func writePublic(path string, b []byte) error { return writeFile(path, b, 0o644) }

func writeFile(path string, b []byte, mode os.FileMode) error {
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, b, mode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(tmp, path)
}

// openStore opens the database and the archive beside it.
func openStore(ctx context.Context, dir string) (cloud.Store, cloud.Archive, error) {
	s, err := store.Open(ctx, filepath.Join(dir, "store"))
	if err != nil {
		return nil, nil, err
	}
	return s, store.NewMemory().Archive(), nil
}
