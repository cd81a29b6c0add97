package ocpp

import (
	"strings"
	"unicode/utf8"
)

// An ErrorCode is why a CALL failed, in OCPP 2.0.1's spelling (part 4, table
// 8). [ErrorCode.In] spells it for the wire.
type ErrorCode string

// The error codes. 1.6 (OCPP-J 1.6, table 7) has all but two of them.
const (
	FormatViolation               ErrorCode = "FormatViolation" // 1.6: FormationViolation
	GenericError                  ErrorCode = "GenericError"
	InternalError                 ErrorCode = "InternalError"
	MessageTypeNotSupported       ErrorCode = "MessageTypeNotSupported" // not in 1.6
	NotImplemented                ErrorCode = "NotImplemented"
	NotSupported                  ErrorCode = "NotSupported"
	OccurrenceConstraintViolation ErrorCode = "OccurrenceConstraintViolation" // 1.6: OccurenceConstraintViolation
	PropertyConstraintViolation   ErrorCode = "PropertyConstraintViolation"
	ProtocolError                 ErrorCode = "ProtocolError"
	RPCFrameworkError             ErrorCode = "RpcFrameworkError" // not in 1.6: FormationViolation
	SecurityError                 ErrorCode = "SecurityError"
	TypeConstraintViolation       ErrorCode = "TypeConstraintViolation"
)

// In returns c as version v spells it. 1.6 keeps its two misspellings for ever
// (OCPP-J 1.6 errata 5.1 and 5.2), and says FormationViolation and GenericError
// where 2.0.1 has a code of its own.
func (c ErrorCode) In(v Version) ErrorCode {
	if v != V16 {
		return c
	}
	switch c {
	case FormatViolation, RPCFrameworkError:
		return "FormationViolation"
	case OccurrenceConstraintViolation:
		return "OccurenceConstraintViolation"
	case MessageTypeNotSupported:
		return GenericError
	}
	return c
}

// parseCode is the inverse of In; a code that no version has stays as it is.
func parseCode(s string) ErrorCode {
	switch s {
	case "FormationViolation":
		return FormatViolation
	case "OccurenceConstraintViolation":
		return OccurrenceConstraintViolation
	}
	return ErrorCode(s)
}

// UnreadableID is the message id of a CALLERROR for a frame whose own id could
// not be read (OCPP 2.0.1 part 4, section 4.2.3).
const UnreadableID = "-1"

// maxDescription bounds a CALLERROR's description (2.0.1: string[255]).
const maxDescription = 255

// An Error is why a frame or a payload was refused. Its description names
// places and rules and never repeats a value, which may be a driver's token.
type Error struct {
	Code        ErrorCode
	Description string
	Pointer     string // RFC 6901 pointer to the offending value in the payload; "" the whole
	ID          string // set by Parse: the frame's message id, or UnreadableID

	// Mute says that the standard has no answer to this frame: it is a
	// malformed CALLRESULT or CALLERROR, or in 1.6 an unknown message type
	// (OCPP-J 1.6 section 4.1.3: ignore it).
	Mute bool

	// Tolerable says that a schema was broken only in ways that leave every
	// value readable: an unlisted enum word, a length, an extra member, an
	// empty array. A site that is configured to be lenient may go on to
	// [Dialect.Event], which refuses by itself what it cannot read.
	Tolerable bool
}

// Error implements error.
func (e *Error) Error() string {
	if e.Pointer == "" {
		return string(e.Code) + ": " + e.Description
	}
	return string(e.Code) + " at " + e.Pointer + ": " + e.Description
}

// Frame returns the CALLERROR for a call with the given message id, spelled for
// version v.
func (e *Error) Frame(v Version, id string) Frame {
	d := e.Description
	if e.Pointer != "" {
		d = e.Pointer + ": " + d
	}
	return Frame{Type: CallError, ID: id, Code: e.Code.In(v), Description: clip(d, maxDescription)}
}

// Missing is the error for a mandatory member that is not there.
func Missing(pointer string) *Error {
	return &Error{Code: OccurrenceConstraintViolation, Pointer: pointer, Description: "is required"}
}

// Invalid is the error for a member whose value a rule needs and cannot read.
func Invalid(pointer, why string) *Error {
	return &Error{Code: PropertyConstraintViolation, Pointer: pointer, Description: why}
}

// clip cuts s to at most n bytes at a rune boundary, and makes it UTF-8.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
