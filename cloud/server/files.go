package server

import (
	"errors"
	"fmt"
	"os"

	"github.com/holdfast-ev/holdfast/internal/durable"
)

// readSecret reads a file that nobody but its owner may read.
func readSecret(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("read %s: others may read it (mode %04o); it may be known by now: replace it, or run chmod 600 if you are sure", path, info.Mode().Perm())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return b, nil
}

// writeSecret stores b so that only its owner may read it.
func writeSecret(path string, b []byte) error { return writeFile(path, b, 0o600) }

// writePublic stores b for everybody to read.
func writePublic(path string, b []byte) error { return writeFile(path, b, 0o644) }

func writeFile(path string, b []byte, perm os.FileMode) error {
	if err := durable.WriteFile(path, b, perm); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// lockDir makes DIR and sees to it that one process at a time uses it. The
// kernel drops the lock with the process, however it ends.
func lockDir(dir string) (unlock func() error, err error) {
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	d, err := durable.OpenDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	l, err := d.Lock()
	if errors.Is(err, durable.ErrLocked) {
		return nil, fmt.Errorf("data directory %s: another process uses it", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	return l.Close, nil
}
