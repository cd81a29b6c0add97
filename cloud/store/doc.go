// Package store has the keepers of the cloud's [cloud.Store] and
// [cloud.Archive]: [SQLite] on a disk, [Memory] for tests and the simulator. A
// further one is a keeper when it passes package storetest.
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
package store
