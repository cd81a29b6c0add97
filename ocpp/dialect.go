package ocpp

import "errors"

// A Version is an OCPP version by its WebSocket subprotocol name.
type Version string

// The versions that are spoken.
const (
	V16  Version = "ocpp1.6"
	V201 Version = "ocpp2.0.1"
	V21  Version = "ocpp2.1"
)

// Versions lists the versions, newest first: the order of preference.
func Versions() []Version { return []Version{V21, V201, V16} }

// Unconfirmed reports whether 2.1 has the action as a SEND, which nobody ever
// answers.
func Unconfirmed(action string) bool { return action == "NotifyPeriodicEventStream" }

// ErrUnsupported is wrapped by an error of [Dialect.Command] for a command that
// the version has no message for.
var ErrUnsupported = errors.New("not in this OCPP version")

// ErrCommand is wrapped by an error of [Dialect.Command] for a command whose
// values the version cannot carry: a token that is too long, an EVSE that is
// missing.
var ErrCommand = errors.New("command does not fit this OCPP version")

// A Dialect translates between one OCPP version and the neutral language. It is
// a table: it holds no state and decides nothing. v16.Dialect and v2.Dialect
// implement it.
type Dialect interface {
	// Version returns the version that is translated.
	Version() Version

	// Event translates the payload of a CALL from a charger. It refuses an
	// action that only a CSMS sends (NotSupported), one that nobody sends
	// (NotImplemented), and a payload that lacks what rules rest on, whether
	// or not a schema was asked before.
	Event(action string, payload []byte) (Event, *Error)

	// Answer returns the payload of the CALLRESULT for ev. Done is enough for
	// every event that carries no decision; for an [Other] it yields the
	// standard's neutral answer. It panics when a is not an answer to ev,
	// which is a mistake in the caller.
	Answer(action string, ev Event, a Answer) []byte

	// Command returns the CALL for a command. Its error wraps ErrUnsupported
	// or ErrCommand.
	Command(c Command) (action string, payload []byte, err error)

	// Outcome translates the payload of the CALLRESULT to a command.
	Outcome(c Command, payload []byte) (Outcome, *Error)

	// SealTokens returns a raw frame with its tokens sealed; see [SealTokens].
	SealTokens(raw []byte, seal func(tok string) string) []byte

	// Messages lists every action of the version and what becomes of it.
	Messages() []Message
}

// A Message is a line of the table in docs/ocpp.md.
type Message struct {
	Action   string
	FromCS   bool   // a charger may send it
	FromCSMS bool   // a CSMS may send it
	Event    string // the event that rules work on; "Other": answered and journaled. FromCS only
	Command  string // the command that sends it; "": not sent yet. FromCSMS only
}

// Read is the part of [Dialect.Event] that no version changes: an action that
// rules work on has a reader, any other that a charger sends is an [Other], and
// the rest is refused.
func Read(table []Message, reader func(Object, []byte) (Event, *Error), action string, payload []byte) (Event, *Error) {
	if reader != nil {
		o, err := Decode(payload)
		if err != nil {
			return nil, err
		}
		return reader(o, payload)
	}
	for _, m := range table {
		if m.Action != action {
			continue
		}
		if m.FromCS {
			return Other{Action: action}, nil
		}
		return nil, NotFromCharger(action)
	}
	return nil, Unknown(action)
}
