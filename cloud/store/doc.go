// Package store has the keepers of the cloud's [cloud.Store] and
// [cloud.Archive]: [SQLite] on a disk, [Postgres] on a server, [Memory] for tests
// and the simulator. A further one is a keeper when it passes package storetest.
//
// # SQLite
//
// A directory holds one database and the archive:
//
//	DIR/holdfast.db   the tables (WAL: beside it holdfast.db-wal, -shm)
//	DIR/archive/...   received slices, one file each, named by the cloud
//
// The database runs in WAL mode with synchronous=FULL: a commit is on the disk
// when it returns. Both are set on every connection and read back, because a
// pragma that is not understood is silently ignored. There is one writing
// connection and its transactions begin IMMEDIATE; readers have connections of
// their own and see a snapshot. The SQLite in use is checked to be
// [MinVersion] or newer: older ones can lose a commit when a WAL is reset
// while it is checkpointed.
//
// The schema is plain SQL in migrations/, embedded, applied in the order of the
// names in one transaction, and noted in the table schema_version. A database
// that is newer than the software is refused.
//
// # PostgreSQL
//
// A schema of a database holds the tables; the archive stays on a disk. Several
// processes may use one schema. A writing transaction holds an advisory lock to
// its end, so that writers are serial across processes, and runs at READ
// COMMITTED, so that each of its statements sees what the writer before it
// committed. A reader runs at REPEATABLE READ, READ ONLY: one snapshot.
//
// On every connection the version of the server, fsync, full_page_writes and
// synchronous_commit are read back. The pool is bounded: one writer, eight
// readers. A connection that breaks before fn ran is replaced; one that breaks
// later is an error of the transaction, and one that breaks in COMMIT is the
// error that does not say whether it happened. fn never runs twice.
//
// Migrations are in postgres/, embedded, applied in one transaction under the
// writers' lock. Every writing transaction looks at the schema's version, so
// that a process that is older than the schema stops.
package store
