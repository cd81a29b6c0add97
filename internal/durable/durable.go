// Package durable holds the file operations that must survive a power cut. It
// is the only package that syncs: everybody else writes through it.
//
// Each function lists the system calls that it makes, in order, and what is
// true if the machine dies between two of them. All of it rests on three
// promises of the disk and the file system:
//
//   - fsync(2) and fdatasync(2) return success only when the bytes are on stable
//     storage. A disk that lies about this loses data and nothing here helps.
//   - rename(2) is atomic: after a crash a name refers to the old file or to the
//     new one.
//   - fsync on a directory makes its names stable (ext4, XFS, btrfs, F2FS).
//
// A failed sync is never repeated: Linux drops the pages that it could not write
// and calls them clean, so that a second sync would succeed without the data.
// Whoever sees the error must write the bytes anew, elsewhere.
package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
)

// lockName is the file that carries a directory's lock. It is never removed.
const lockName = ".lock"

// ErrLocked is wrapped by [Dir.Lock] when another process has the directory.
var ErrLocked = errors.New("in use by another process")

// A Dir is one flat directory on a real file system, for a journal to live in
// (it is a journal.FS). Its methods may be called from several goroutines.
type Dir struct {
	path  string
	syncs atomic.Int64
}

// Syncs counts how often this Dir and its files have waited for the disk.
func (d *Dir) Syncs() int64 { return d.syncs.Load() }

// A file is what Dir hands out: *os.File with the journal's Size and Sync.
type file = interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Sync() error
}

// OpenDir returns the directory at path, which must exist.
func OpenDir(path string) (*Dir, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open directory: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("open directory: %s is a file", path)
	}
	return &Dir{path: path}, nil
}

// MakeDir returns the directory at path, and makes it and its parents, durably,
// where they are missing.
func MakeDir(path string) (*Dir, error) {
	if err := MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	return OpenDir(path)
}

// Path returns where the directory is.
func (d *Dir) Path() string { return d.path }

func (d *Dir) join(name string) string { return filepath.Join(d.path, name) }

// Names lists the regular files, the lock excepted.
func (d *Dir) Names() ([]string, error) {
	list, err := os.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(list))
	for _, e := range list {
		if e.Type().IsRegular() && e.Name() != lockName {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Create makes a new file: open(O_CREAT|O_EXCL|O_RDWR).
func (d *Dir) Create(name string) (file, error) {
	return d.wrap(os.OpenFile(d.join(name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600))
}

// Open opens a file for reading: open(O_RDONLY).
func (d *Dir) Open(name string) (file, error) { return d.wrap(os.Open(d.join(name))) }

// Append opens a file for reading and writing: open(O_RDWR).
func (d *Dir) Append(name string) (file, error) {
	return d.wrap(os.OpenFile(d.join(name), os.O_RDWR, 0))
}

// Rename is rename(2); durable after SyncDir.
func (d *Dir) Rename(from, to string) error { return os.Rename(d.join(from), d.join(to)) }

// Remove is unlink(2); durable after SyncDir.
func (d *Dir) Remove(name string) error { return os.Remove(d.join(name)) }

// SyncDir is open(directory), fsync.
func (d *Dir) SyncDir() error {
	d.syncs.Add(1)
	return syncDir(d.path)
}

// Free is statfs(2): the blocks that an unprivileged process may still take.
func (d *Dir) Free() (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(d.path, &st); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: d.path, Err: err}
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// Lock is open(O_CREAT), flock(LOCK_EX|LOCK_NB) on the file ".lock". The kernel
// drops it with the process, however that ends.
func (d *Dir) Lock() (io.Closer, error) {
	f, err := os.OpenFile(d.join(lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, errors.Join(fmt.Errorf("lock %s: %w", d.path, err), f.Close())
	}
	return f, nil
}

// A handle is an open file.
type handle struct {
	f     *os.File
	syncs *atomic.Int64 // of its Dir
}

func (d *Dir) wrap(f *os.File, err error) (file, error) {
	if err != nil {
		return nil, err
	}
	return handle{f, &d.syncs}, nil
}

func (h handle) ReadAt(b []byte, off int64) (int, error)  { return h.f.ReadAt(b, off) }
func (h handle) WriteAt(b []byte, off int64) (int, error) { return h.f.WriteAt(b, off) }
func (h handle) Close() error                             { return h.f.Close() }

// Size is fstat(2).
func (h handle) Size() (int64, error) {
	info, err := h.f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Sync is fdatasync(2) where there is one: it writes the data, and of the inode
// what is needed to read them back, which includes the length.
func (h handle) Sync() error {
	h.syncs.Add(1)
	return syncData(h.f)
}

// WriteFile puts b at path in one step that survives a power cut:
//
//	open(path.tmp, O_CREAT|O_TRUNC), write, fdatasync, close
//	rename(path.tmp, path)
//	fsync(directory)
//
// Before the rename the old content is there, after it the new one; when
// WriteFile returns nil, the new one stays. After an error either may be there,
// and path.tmp may be left behind: the next WriteFile replaces it. Two writers
// of one path at a time are the caller's mistake.
func WriteFile(path string, b []byte, perm fs.FileMode) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return fmt.Errorf("write durably: %w", err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = syncData(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write durably: %w", err)
	}
	return Rename(tmp, path)
}

// Rename is rename, fsync(directory of to), and fsync(directory of from) when
// that is another one. After a crash the file has one of the two names.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("rename durably: %w", err)
	}
	if err := syncDir(filepath.Dir(to)); err != nil {
		return fmt.Errorf("rename durably: %w", err)
	}
	if filepath.Dir(from) == filepath.Dir(to) {
		return nil
	}
	if err := syncDir(filepath.Dir(from)); err != nil {
		return fmt.Errorf("rename durably: %w", err)
	}
	return nil
}

// Remove is unlink, fsync(directory). A file that is not there is no error, but
// the directory is synced all the same: it may have gone in a Remove that a crash
// interrupted.
func Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove durably: %w", err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("remove durably: %w", err)
	}
	return nil
}

// MkdirAll makes path and its missing parents: for each, from the top, mkdir,
// fsync(parent). An existing directory is left as it is, and its name synced,
// for the same reason as in [Remove].
func MkdirAll(path string, perm fs.FileMode) error {
	path = filepath.Clean(path)
	parent := filepath.Dir(path)
	if parent == path {
		return nil
	}
	if _, err := os.Stat(parent); errors.Is(err, fs.ErrNotExist) {
		if err := MkdirAll(parent, perm); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, perm); err != nil {
		if info, serr := os.Stat(path); serr != nil || !info.IsDir() {
			return fmt.Errorf("make directory durably: %w", err)
		}
	}
	if err := syncDir(parent); err != nil && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("make directory durably: %w", err)
	}
	return nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
