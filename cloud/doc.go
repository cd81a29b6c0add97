// Package cloud is the control plane: what the cloud side of Holdfast does with
// the journals that gateways upload, and what it asks of gateways in return. A
// [Plane] has no clock, no goroutine and no socket: every method is called with
// the time, and works in a transaction of a [Store]. Package cloud/server gives
// it HTTP, cloud/store gives it a database, the simulator gives it memory.
//
// # What is true here
//
// A gateway's journal is the truth about its site. The cloud archives received
// slices verbatim ([Archive]) and folds them: the cursor, the records, the
// sessions, the CDRs, the ledger and the exceptions are written in one
// transaction ([Plane.Receive]), so an acknowledgement that is lost on the way
// back is harmless and a repeated upload changes nothing. All of it can be
// dropped and folded again ([Plane.Rebuild]).
//
// What people decide (sites, tokens, tariffs, grants, directives) cannot be
// folded from a journal of a gateway. It is written to the cloud's own journal
// ([LogEntry]), append-only, in the transaction that makes it true, together
// with one entry for every slice that was received: the cloud's journal is the
// order in which the cloud learned things.
//
// # Exactly once
//
// A record's name is its position (gateway, journal, epoch, seq). Within a
// (journal, epoch) only the position that is expected next is taken; anything
// else is answered with a [PositionError] that names it. There is no window of
// time after which a position may be used again.
//
// # Received and reconciled
//
// Received is what is stored. Reconciled is what a checkpoint covers that was
// signed by the gateway's device key and whose root equals the root of the tree
// that the cloud computed itself. Only reconciled sessions are priced, and only
// reconciled records may be pruned by the gateway.
//
// docs/cloud.md describes the store, docs/uplink.md the wire.
package cloud
