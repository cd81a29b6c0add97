package record

import "github.com/holdfast-ev/holdfast"

// What chargers can do alone.

// ChargerReadiness says how a charger is prepared for a time without the
// gateway. It is written when something in it has changed.
type ChargerReadiness struct {
	Ready     bool             `json:"ready"`
	Missing   []string         `json:"missing,omitempty"`   // why it is not ready, one phrase each
	Variables []NativeVariable `json:"variables,omitempty"` // in the order of docs/native.md
	Restart   []string         `json:"restart,omitempty"`   // set, and in force after the charger's next restart
}

// A NativeVariable is one configuration key or variable of a charger.
type NativeVariable struct {
	Key    string `json:"key"`              // as its version of OCPP names it
	Have   string `json:"have"`             // as read last; "" when the charger does not have it
	Want   string `json:"want,omitempty"`   // "" when it is only looked at
	OK     bool   `json:"ok"`               // it is as wanted, or only looked at
	Answer string `json:"answer,omitempty"` // to the last try to set it, where that did not help
}

// ChargerList says what is known of a charger's local authorisation list. It is
// written before the first message of an update, which takes its version for
// good, and when the outcome is known. It names no token.
type ChargerList struct {
	Version  int32         `json:"version"` // of the charger's list after the update
	Taken    int32         `json:"taken"`   // the highest version that was ever sent to this charger; none is used twice
	Outcome  ListOutcome   `json:"outcome"`
	Full     bool          `json:"full"`               // the list was replaced; otherwise entries were put and removed
	Count    int           `json:"count"`              // entries that the charger holds after the update
	LeftOut  int           `json:"left_out"`           // entries that should be there and found no room
	Capacity int           `json:"capacity,omitempty"` // entries that the charger has shown to take at most; 0 not known
	Hash     holdfast.Hash `json:"hash"`               // SHA-256 of the content, tokens by their hashes
	Site     uint64        `json:"site"`               // version of the site's access list that it follows
	Stage    string        `json:"stage,omitempty"`    // how far the site's list had aged
	Detail   string        `json:"detail,omitempty"`
}

// ListOutcome says what became of an update of a charger's list.
type ListOutcome string

// The outcomes.
const (
	ListSending     ListOutcome = "sending"     // the version is taken; what the charger holds is not known
	ListInstalled   ListOutcome = "installed"   // the charger holds this content
	ListPartial     ListOutcome = "partial"     // the charger took only the first Count entries
	ListFailed      ListOutcome = "failed"      // the charger refused it; it is tried again
	ListUnsupported ListOutcome = "unsupported" // the charger has no local list
)

// Type implements [Body].
func (*ChargerReadiness) Type() Type { return "charger.readiness" }

// Type implements [Body].
func (*ChargerList) Type() Type { return "charger.list" }
