// Package uplink is what the gateway and the cloud say to each other: the wire
// types that both sides share (wire.go) and the gateway's end of the line
// ([Line]): when to call, what to send next, how far the cloud has come, and
// which link state that amounts to. It is PURE: calls, clocks and chance are
// the shell's, and come in as arguments. docs/uplink.md is the protocol.
//
// The fleet is the queue: a gateway keeps what the cloud has not reconciled, so
// there is nothing to lose on the way and no broker to trust. Uploads go by
// position, so a lost answer costs one repeated slice and nothing else.
package uplink
