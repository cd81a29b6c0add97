//go:build !linux

package durable

import "os"

// syncData is os.File.Sync: F_FULLFSYNC on macOS, fsync(2) elsewhere.
func syncData(f *os.File) error { return f.Sync() }
