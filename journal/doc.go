// Package journal keeps a gateway's journal: an append-only, checksummed file of
// frames in sealed segments, with an RFC 6962 Merkle tree over its records. It
// stores bytes and knows no records. docs/journal.md has the byte layout, the
// recovery steps and what is assumed of a disk; this comment is the manual of the
// API.
//
// # Writing
//
// [Create] begins a journal in an empty directory; [Open] recovers one.
// [Log.Append] only buffers; [Log.Sync] writes everything that was appended with
// one write and one sync. What Sync acknowledged survives any crash,
// byte-identical and in its place; what it did not acknowledge may survive, but
// only whole frames, and only behind everything acknowledged.
//
// A failed Sync is final for the [Log]: nobody can know what is on the disk.
// Throw it away together with every state that rests on it, and Open again.
//
// # Epochs
//
// Sequence numbers rise by one within an epoch. When recovery finds that
// acknowledged history is gone ([Recovery].Lost), appending in the same epoch
// could give one position to two records: the Log refuses until [Log.NewEpoch],
// which names the old epoch and what is vouched for of it as its parent.
//
// # Evidence
//
// A checkpoint ([CheckpointText], [SignCheckpoint]) is a C2SP signed note over
// the epoch's origin, size and root. The caller signs what [Log.Head] returns and
// appends the note as a frame. [Verify] proves the whole directory from the
// outside; [CheckSegment] looks after sealed segments in the background, which
// Open does not read whole.
//
// # Reading
//
// [Log.Read] gives frames; [Log.Slice] gives the bytes that travel to the cloud,
// which reads them with [ParseSlice] and keeps its own [Tree].
//
// # When a segment is damaged
//
// It is quarantined: renamed aside, byte for byte. Records behind it stay
// readable, because every segment begins with the tree's frontier. Reading over
// the gap gives a [*MissingError]; [Log.ReplaceSegment] closes it with the
// cloud's copy, which must lead from the tree before the gap to the tree behind.
package journal
