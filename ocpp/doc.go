// Package ocpp is what the OCPP versions share: the OCPP-J frame, the error
// codes, the official schemas, and the neutral language of events and commands
// that rules are written in. It is PURE.
//
// # The way of a frame
//
// A text frame from a charger goes through four steps, each of which answers
// with an [Error] that knows its CALLERROR, and none of which changes state:
//
//	Parse             the frame: strict JSON, bounds, message type and id
//	Schemas.CheckCall the payload against the official schema of its action
//	Dialect.Event     the payload into an [Event]; refuses what only a CSMS sends
//	Dialect.Answer    the [Answer] into the payload of the CALLRESULT
//
// A command goes the other way: [Dialect.Command] makes action and payload,
// [Schemas.CheckCommand] checks them, and the CALLRESULT that comes back goes
// through [Schemas.CheckResult] and [Dialect.Outcome].
//
// [Parse] is the only reader of JSON syntax: what it lets through has no
// duplicate key at any depth, no number that a big-number library would choke
// on, and a bounded depth. encoding/json is not used for reading, because it
// matches member names without regard to case and lets the last of two win: a
// frame could then show one idToken to a lenient site's schemas and another one
// to its rules.
//
// # Versions
//
// ocpp/v16 and ocpp/v2 hold the two [Dialect]s. They are tables: what is said,
// never what to do about it. They do not know each other; what both need (the
// meter fold, times, decimals, sealing) is here.
//
// # Meters
//
// [Fold] turns the sampled values of one moment into whole Wh and W. It refuses
// to guess: what cannot be read unambiguously leaves the register absent, which
// a session treats as a missing reading and never as zero.
package ocpp
