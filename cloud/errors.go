package cloud

import (
	"errors"
	"fmt"

	"github.com/holdfast-ev/holdfast"
)

// What a caller may have to tell apart. Every error of a [Plane] wraps one of
// these, is a [*PositionError] or an [*EvidenceError], or is a failure of the
// store, after which the call may simply be made again.
var (
	ErrInvalid   = errors.New("invalid request")        // a field is missing, malformed or out of bounds
	ErrNotFound  = errors.New("not found")              // the object named does not exist
	ErrExists    = errors.New("exists already")         // the id is taken by something else
	ErrCode      = errors.New("enrolment code refused") // unknown, expired, or used by another key: never says which
	ErrForbidden = errors.New("not allowed")            // an authenticated peer asks for what is not its own
	ErrFull      = errors.New("limit reached")          // a named bound; the message says which
)

// A PositionError answers an upload that does not start where the cloud's copy
// ends. It is the ordinary way to find the place again, not a fault.
type PositionError struct {
	Journal  holdfast.Journal
	Epoch    holdfast.Epoch
	Given    holdfast.Seq
	Expected holdfast.Seq
}

func (e *PositionError) Error() string {
	return fmt.Sprintf("upload of %s %s starts at %d, expected %d: continue there", e.Journal, e.Epoch, e.Given, e.Expected)
}

// An EvidenceError refuses an upload whose bytes do not fit what is known. The
// cloud has kept the bytes aside and raised the exception named by Code; nothing
// that was stored before is changed. Sending the same bytes again will not help:
// the gateway opens a new epoch, or a person looks.
type EvidenceError struct {
	Code     string // [CodeFork], [CodeChainGap], [CodeSignature] or [CodeFrame]
	Journal  holdfast.Journal
	Epoch    holdfast.Epoch
	At       holdfast.Seq // first position in doubt
	Expected holdfast.Seq // where the cloud's good copy ends
	Detail   string
}

func (e *EvidenceError) Error() string {
	return fmt.Sprintf("%s: %s %s at %d: %s", e.Code, e.Journal, e.Epoch, e.At, e.Detail)
}

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }

// invalid returns an error that wraps [ErrInvalid].
func invalid(op, format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w", op, fmt.Sprintf(format, args...), ErrInvalid)
}
