package journal

import "io"

// A File is one open file of a journal's directory. It is an alias of an
// unnamed interface so that an implementation need not import this package.
type File = interface {
	// ReadAt and WriteAt are as in package io. A write that fails may have
	// left any part of its bytes behind; a write that succeeds is visible to
	// every reader at once and survives the death of the process, but not of
	// the machine.
	io.ReaderAt
	io.WriterAt

	// Size returns the file's length in bytes as a reader sees it.
	Size() (int64, error)

	// Sync returns nil only when every byte written so far, and the length,
	// are on stable storage. After an error nothing is known about the bytes
	// written since the last success, and a later success says nothing about
	// them either (Linux drops the pages it could not write): the journal
	// never syncs a file again after a failure, it writes the bytes anew.
	Sync() error

	// Close releases the file. It promises nothing about durability.
	Close() error
}

// An FS is one flat directory that holds one journal, and nothing else of
// anybody's. Names are at most 64 bytes of a-z, 0-9, '-' and '.'.
//
// There are two implementations: internal/durable.Dir on a real file system
// and internal/faultfs.Disk in memory, which loses, tears and fails on demand.
type FS interface {
	// Names lists the regular files, in any order.
	Names() ([]string, error)

	// Create makes a new empty file and opens it for reading and writing. It
	// fails with fs.ErrExist when the name is taken. Neither the name nor the
	// bytes are durable before SyncDir and File.Sync.
	Create(name string) (File, error)

	// Open opens an existing file for reading; fs.ErrNotExist when there is
	// none.
	Open(name string) (File, error)

	// Append opens an existing file for reading and writing.
	Append(name string) (File, error)

	// Rename gives a file another name and replaces what had that name, in
	// one step: a reader, or a machine after a crash, sees the old file or the
	// new one under it and never neither. Durable after SyncDir.
	Rename(from, to string) error

	// Remove takes a name away. Durable after SyncDir.
	Remove(name string) error

	// SyncDir returns nil only when every Create, Rename and Remove so far is
	// on stable storage.
	SyncDir() error

	// Free returns how many more bytes the file system can take from this
	// process.
	Free() (int64, error)

	// Lock claims the directory for this process until the returned Closer is
	// closed or the process dies. It fails at once when somebody else has it.
	Lock() (io.Closer, error)
}
