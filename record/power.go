package record

import "github.com/holdfast-ev/holdfast"

// Power. Levels are in the site's unit: W, or tenths of A on each phase.

// PowerLimit says which limit of the site is in force from now on.
type PowerLimit struct {
	Unit    string         `json:"unit"`  // "W" or "A"
	Level   int64          `json:"level"` // in Unit: W, or tenths of A per phase
	Watts   holdfast.Watts `json:"w"`     // what that is on the whole site
	Source  string         `json:"source"`
	Max     holdfast.Watts `json:"max_w,omitempty"`   // that the site was commissioned for
	Version uint64         `json:"version,omitempty"` // of the limit schedule; 0 none
}

// PowerShared says how much an EVSE with a session may draw from now on, for
// every one for which that has changed: the set-point that is ordered, or, while
// a lower one is not acknowledged, the one before it. It is written before the
// orders are sent.
type PowerShared struct {
	Unit   string       `json:"unit"`
	Points []PowerPoint `json:"points"` // by charger and EVSE
}

// A PowerPoint is one EVSE in a [PowerShared].
type PowerPoint struct {
	Charger holdfast.ChargerID `json:"c"`
	EVSE    int                `json:"e"`
	Level   int64              `json:"l"`
}

// PowerFailSafe says whether a charger holds its fail-safe default profile: what
// an EVSE of it draws at most when nobody orders anything.
type PowerFailSafe struct {
	Status   string `json:"status"` // "installed", "refused" or "not_obeyed" (acknowledged, but the charger's own schedule permits more)
	Unit     string `json:"unit"`
	Level    int64  `json:"level"`    // per EVSE
	Verified bool   `json:"verified"` // the charger's composite schedule shows it
	Detail   string `json:"detail,omitempty"`
}

// The statuses of [PowerFailSafe].
const (
	FailSafeInstalled = "installed"
	FailSafeRefused   = "refused"
	FailSafeNotObeyed = "not_obeyed"
)

// PowerCutOut says what the site's safety cut-out did.
type PowerCutOut struct {
	Event  string `json:"event"` // "tripped", "stopped" (no session runs any more), "not_stopped" (some did at the deadline), "released"
	Line   string `json:"line"`
	Ms     int64  `json:"ms,omitempty"` // since it tripped
	Left   int    `json:"left,omitempty"`
	Detail string `json:"detail,omitempty"` // why it counts as tripped; who released it
}

// The events of [PowerCutOut].
const (
	CutOutTripped    = "tripped"
	CutOutStopped    = "stopped"
	CutOutNotStopped = "not_stopped"
	CutOutReleased   = "released"
)

// Type implements [Body] for each kind.
func (*PowerLimit) Type() Type    { return "power.limit" }
func (*PowerShared) Type() Type   { return "power.shared" }
func (*PowerFailSafe) Type() Type { return "power.failsafe" }
func (*PowerCutOut) Type() Type   { return "power.cutout" }
