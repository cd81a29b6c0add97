package ocpp

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// The message types of OCPP-J (1.6 section 4.1.3, 2.0.1 and 2.1 part 4 section
// 4.1.3).
const (
	Call            = 2
	CallResult      = 3
	CallError       = 4
	CallResultError = 5 // 2.1: the CALLRESULT of that id could not be used
	SendFrame       = 6 // 2.1: a CALL that is never answered
)

// Bounds on a frame's header.
const (
	MaxMessageID  = 36  // characters; both versions
	maxEchoedID   = 255 // bytes of an over-long id that a CALLERROR still repeats
	maxElements   = 5
	maxActionText = 64 // bytes of an unknown action that a description repeats
)

// A Frame is one OCPP-J message.
type Frame struct {
	Type    int             // Call, CallResult, CallError; 2.1 also CallResultError, SendFrame
	ID      string          // message id
	Action  string          // of a Call or SendFrame
	Payload json.RawMessage // of a Call, CallResult or SendFrame: a JSON object. From Parse it shares the frame's bytes

	Code        ErrorCode       // of a CallError or CallResultError. Parse gives 2.0.1's spelling, Encode writes it as it is
	Description string          // beside Code
	Details     json.RawMessage // beside Code: a JSON object
}

// Encode returns f's bytes. Empty payloads and details become {}.
func (f Frame) Encode() []byte {
	b := make([]byte, 0, 64+len(f.Payload)+len(f.Description)+len(f.Details))
	b = append(b, '[')
	b = strconv.AppendInt(b, int64(f.Type), 10)
	b = append(b, ',')
	b = appendText(b, f.ID)
	switch f.Type {
	case Call, SendFrame:
		b = append(b, ',')
		b = appendText(b, f.Action)
		b = appendObject(b, f.Payload)
	case CallError, CallResultError:
		b = append(b, ',')
		b = appendText(b, string(f.Code))
		b = append(b, ',')
		b = appendText(b, f.Description)
		b = appendObject(b, f.Details)
	default:
		b = appendObject(b, f.Payload)
	}
	return append(b, ']')
}

func appendObject(b []byte, o json.RawMessage) []byte {
	if len(o) == 0 {
		return append(b, ",{}"...)
	}
	return append(append(b, ','), o...)
}

// elements are the spans of a frame's array elements, as far as they could be
// read.
type elements struct {
	raw  []byte
	span [maxElements][2]int
	n    int
}

func (e *elements) at(i int) []byte { return e.raw[e.span[i][0]:e.span[i][1]] }

func (e *elements) text(i int) (string, bool) {
	if i >= e.n || e.at(i)[0] != '"' {
		return "", false
	}
	return string(unquote(e.at(i))), true
}

// id returns the message id for an answer: UnreadableID when there is none.
func (e *elements) id() string {
	if id, ok := e.text(1); ok && id != "" && len(id) <= maxEchoedID {
		return id
	}
	return UnreadableID
}

// messageType returns the message type number, 0 when it is not one.
func (e *elements) messageType() int {
	if e.n == 0 {
		return 0
	}
	n, err := strconv.Atoi(string(e.at(0)))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// answerable reports whether the frame asks for an answer, or could.
func (e *elements) answerable(v Version) bool {
	switch e.messageType() {
	case CallResult, CallError:
		return false
	case CallResultError, SendFrame:
		return v != V21
	}
	return true
}

// Parse reads a frame in one strict pass: valid UTF-8 and JSON, within the
// bounds of this package, no duplicate member names at any depth, an array of
// the right length with elements of the right types. A null payload reads as {}
// (both versions allow it: 1.6 section 4.2.1, 2.0.1 part 4 section 4.1.5). A
// CALLERROR may lack its description and details, as real ones do.
func Parse(v Version, raw []byte) (Frame, *Error) {
	if len(raw) > MaxFrameBytes {
		return Frame{}, &Error{Code: RPCFrameworkError, ID: UnreadableID,
			Description: "frame of " + strconv.Itoa(len(raw)) + " bytes, at most " + strconv.Itoa(MaxFrameBytes)}
	}
	if !utf8.Valid(raw) {
		return Frame{}, &Error{Code: RPCFrameworkError, ID: UnreadableID, Description: "not UTF-8"}
	}
	e := elements{raw: raw}
	if err := e.scan(); err != nil {
		code := RPCFrameworkError
		if e.n == 3 && e.messageType() == Call {
			code = FormatViolation // it broke inside the payload
		}
		return Frame{}, &Error{Code: code, ID: e.id(), Description: err.Error(), Mute: !e.answerable(v)}
	}
	f, err := e.frame(v)
	if err != nil {
		err.ID, err.Mute = e.id(), err.Mute || !e.answerable(v)
		return Frame{}, err
	}
	return f, nil
}

func (e *elements) scan() *syntaxError {
	s := scanner{b: e.raw}
	if s.peek() != '[' {
		return s.fail("a frame is a JSON array")
	}
	s.i, s.depth = s.i+1, 1
	for more := s.peek() != ']'; more; {
		if e.n == maxElements {
			return s.fail("too many elements")
		}
		s.space()
		from := s.i
		if _, err := s.value(); err != nil {
			return err
		}
		e.span[e.n] = [2]int{from, s.i}
		e.n++
		switch s.peek() {
		case ',':
			s.i++
		case ']':
			more = false
		default:
			return s.fail("expected ',' or ']'")
		}
	}
	if s.i++; s.peek() != 0 || s.i < len(e.raw) {
		return s.fail("data after the frame")
	}
	return nil
}

func framing(what string) *Error { return &Error{Code: RPCFrameworkError, Description: what} }

func (e *elements) frame(v Version) (Frame, *Error) {
	f := Frame{Type: e.messageType()}
	switch {
	case f.Type == 0:
		return f, framing("the first element is not a message type")
	case f.Type < Call || f.Type > CallError && (v != V21 || f.Type > SendFrame):
		return f, &Error{Code: MessageTypeNotSupported, Mute: v == V16,
			Description: "message type " + strconv.Itoa(f.Type) + " is not supported"}
	}
	var ok bool
	if f.ID, ok = e.text(1); !ok {
		return f, framing("the message id is not a string")
	}
	if f.ID == "" || utf8.RuneCountInString(f.ID) > MaxMessageID {
		return f, framing("the message id is empty or longer than " + strconv.Itoa(MaxMessageID) + " characters")
	}
	switch f.Type {
	case Call, SendFrame:
		return e.call(v, f)
	case CallResult:
		if e.n != 3 {
			return f, framing("a CALLRESULT has 3 elements")
		}
		f.Payload, ok = e.object(2)
		if !ok {
			return f, framing("the payload is not an object")
		}
		return f, nil
	}
	return e.callError(f)
}

func (e *elements) call(v Version, f Frame) (Frame, *Error) {
	if e.n != 4 {
		return f, framing("a CALL or SEND has 4 elements")
	}
	var ok bool
	if f.Action, ok = e.text(2); !ok {
		return f, framing("the action is not a string")
	}
	if f.Payload, ok = e.object(3); !ok {
		return f, &Error{Code: malformed(v), Description: "the payload is not an object"}
	}
	return f, nil
}

// malformed is the code for a payload that is not the structure its action
// wants: 2.0.1 calls it ProtocolError, 1.6 counts it to FormationViolation and
// means an incomplete payload by ProtocolError.
func malformed(v Version) ErrorCode {
	if v == V16 {
		return FormatViolation
	}
	return ProtocolError
}

func (e *elements) callError(f Frame) (Frame, *Error) {
	code, ok := e.text(2)
	if !ok {
		return f, framing("the error code is not a string")
	}
	f.Code = parseCode(code)
	f.Description, _ = e.text(3)
	f.Details = json.RawMessage("{}")
	if e.n > 4 {
		if d, ok := e.object(4); ok {
			f.Details = d
		}
	}
	return f, nil
}

func (e *elements) object(i int) (json.RawMessage, bool) {
	switch b := e.at(i); {
	case b[0] == '{':
		return json.RawMessage(b), true
	case string(b) == "null":
		return json.RawMessage("{}"), true
	}
	return nil, false
}
