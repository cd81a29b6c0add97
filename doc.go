// Package holdfast is the vocabulary of Holdfast: the words that a site, its
// gateway, the cloud and the simulator share. It is PURE: values, their text
// forms and their checks, and nothing that reads a clock, a file or a socket.
//
// # Identity
//
// Everything that happens on a site is a record in a gateway's journal, and a
// record's name is its position [Pos]: (gateway, journal, epoch, seq). The
// sequence rises by exactly one within an epoch and an epoch is a random id
// that is born on the gateway, so two gateways, or one gateway and its clone,
// cannot mint one name for two things. A charging session's name [SessionID]
// is the Merkle leaf hash of the record that opened it. Names that others give
// (an OCPP 1.6 transactionId, a CSMS's id, a database row) are labels on a
// session and never keys.
//
// # Quantities
//
// Energy is [WattHours], power [Watts], money [Micros] (millionths of a
// currency unit): all are integers, so that sums telescope and two machines
// cannot disagree about a bill.
//
// # Time
//
// Order comes from positions. A clock reading is data with a quality, as OCMF
// has it ([Quality]); [Instant] carries the wall clock beside the boot number
// and the monotonic clock, which cannot be set.
package holdfast
