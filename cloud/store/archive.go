package store

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/internal/durable"
)

// Files is an archive of one file for each slice, in directories as their names
// say.
type Files struct {
	dir  string
	seed maphash.Seed
	busy [64]sync.Mutex // two uploads of the same bytes must not write one file at a time
	made sync.Map       // directories that are durable; one for each epoch that sent something
}

// NewFiles returns the archive below dir, which is made with the first file.
func NewFiles(dir string) *Files { return &Files{dir: dir, seed: maphash.MakeSeed()} }

// Archive returns the archive beside the database.
func (s *SQLite) Archive() *Files { return NewFiles(filepath.Join(s.dir, "archive")) }

// Put implements [cloud.Archive]: the file and its name are on stable storage
// when it returns nil ([durable.WriteFile]). A crash may leave NAME.tmp behind,
// which nothing reads and the next Put replaces.
func (a *Files) Put(_ context.Context, name string, b []byte) error {
	if err := checkName(name); err != nil {
		return err
	}
	mu := &a.busy[maphash.String(a.seed, name)%uint64(len(a.busy))]
	mu.Lock()
	defer mu.Unlock()
	file := filepath.Join(a.dir, filepath.FromSlash(name))
	dir := filepath.Dir(file)
	if _, ok := a.made.Load(dir); !ok {
		if err := durable.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("archive %s: %w", name, err)
		}
		a.made.Store(dir, true)
	}
	if err := durable.WriteFile(file, b, 0o600); err != nil {
		a.made.Delete(dir) // perhaps somebody removed it
		return fmt.Errorf("archive %s: %w", name, err)
	}
	return nil
}

// Get implements [cloud.Archive].
func (a *Files) Get(_ context.Context, name string) ([]byte, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(a.dir, filepath.FromSlash(name)))
	if errors.Is(err, fs.ErrNotExist) {
		err = cloud.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("archive %s: %w", name, err)
	}
	return b, nil
}
