package uplink

import (
	"encoding/json"

	"github.com/holdfast-ev/holdfast"
)

// The kinds of directive about a charger itself. What interrupts a running
// session is refused unless Force says that a person wants it so.
const (
	ResetCharger      DirectiveKind = "charger.reset"              // ResetBody
	UnlockConnector   DirectiveKind = "charger.unlock"             // UnlockBody
	SetAvailability   DirectiveKind = "charger.availability"       // AvailabilityBody
	ClearCache        DirectiveKind = "charger.clear_cache"        // ChargerBody
	Reserve           DirectiveKind = "charger.reserve"            // ReserveBody
	CancelReservation DirectiveKind = "charger.cancel_reservation" // CancelBody
	FetchLog          DirectiveKind = "charger.log"                // LogBody
	UpdateFirmware    DirectiveKind = "charger.firmware"           // FirmwareBody
	GetReport         DirectiveKind = "charger.report"             // ReportBody
	GetProfiles       DirectiveKind = "charger.profiles"           // ProfilesBody
	GetComposite      DirectiveKind = "charger.composite"          // CompositeBody
	TransactionStatus DirectiveKind = "charger.transaction_status" // StopBody: names the session
	CallCharger       DirectiveKind = "charger.call"               // CallBody
)

// ChargerBody names a charger.
type ChargerBody struct {
	Charger holdfast.ChargerID `json:"charger"`
}

// ResetBody restarts a charger or, in OCPP 2.x, one EVSE.
type ResetBody struct {
	Charger holdfast.ChargerID `json:"charger"`
	EVSE    int                `json:"evse,omitempty"`  // 0: the whole charger
	Now     bool               `json:"now,omitempty"`   // otherwise when it is idle
	Force   bool               `json:"force,omitempty"` // even if that ends a session
}

// UnlockBody releases a connector's cable.
type UnlockBody struct {
	Charger   holdfast.ChargerID `json:"charger"`
	EVSE      int                `json:"evse"`
	Connector int                `json:"connector,omitempty"` // 0: the first
	Force     bool               `json:"force,omitempty"`
}

// AvailabilityBody takes a charger or an EVSE out of service, or back. A running
// session ends first.
type AvailabilityBody struct {
	Charger   holdfast.ChargerID `json:"charger"`
	EVSE      int                `json:"evse,omitempty"`
	Connector int                `json:"connector,omitempty"`
	Operative bool               `json:"operative"`
}

// ReserveBody reserves an EVSE. The token is in clear on the mutually
// authenticated link, and only its hash gets into a record.
type ReserveBody struct {
	Charger   holdfast.ChargerID `json:"charger"`
	EVSE      int                `json:"evse,omitempty"` // 0: any
	ID        int                `json:"id"`             // of the reservation: 1 to 2147483647
	Token     string             `json:"token"`
	TokenType string             `json:"token_type,omitempty"`
	Expires   holdfast.UnixMilli `json:"expires"`
	Group     string             `json:"group,omitempty"`
}

// CancelBody ends a reservation.
type CancelBody struct {
	Charger holdfast.ChargerID `json:"charger"`
	ID      int                `json:"id"`
}

// LogBody asks a charger to upload a log.
type LogBody struct {
	Charger  holdfast.ChargerID `json:"charger"`
	URL      string             `json:"url"`
	Security bool               `json:"security,omitempty"` // the security log; otherwise diagnostics
	Secure   bool               `json:"secure,omitempty"`   // 1.6: GetLog of the security white paper instead of GetDiagnostics
	From     holdfast.UnixMilli `json:"from,omitempty"`
	To       holdfast.UnixMilli `json:"to,omitempty"`
	Retries  int                `json:"retries,omitempty"`
	WaitS    int                `json:"wait_s,omitempty"`
}

// FirmwareBody asks a charger to install an image.
type FirmwareBody struct {
	Charger     holdfast.ChargerID `json:"charger"`
	URL         string             `json:"url"`
	RetrieveAt  holdfast.UnixMilli `json:"retrieve_at,omitempty"` // 0: now
	InstallAt   holdfast.UnixMilli `json:"install_at,omitempty"`  // 0: when it is there
	Signature   string             `json:"signature,omitempty"`   // base64
	Certificate string             `json:"certificate,omitempty"` // PEM
	Retries     int                `json:"retries,omitempty"`
	WaitS       int                `json:"wait_s,omitempty"`
	Force       bool               `json:"force,omitempty"`
}

// ReportBody asks for a charger's variables (OCPP 2.x).
type ReportBody struct {
	Charger holdfast.ChargerID `json:"charger"`
	Base    string             `json:"base"` // "ConfigurationInventory", "FullInventory" or "SummaryInventory"
}

// ProfilesBody asks for the charging profiles that a charger holds (OCPP 2.x).
type ProfilesBody struct {
	Charger holdfast.ChargerID `json:"charger"`
	EVSE    *int               `json:"evse,omitempty"` // nil: any
}

// CompositeBody asks for the schedule that a charger follows.
type CompositeBody struct {
	Charger   holdfast.ChargerID `json:"charger"`
	EVSE      int                `json:"evse,omitempty"` // 0: the whole charger
	DurationS int                `json:"duration_s"`
	Unit      string             `json:"unit,omitempty"` // "A" or "W"; "": the charger chooses
}

// CallBody is any message of a charger's OCPP version that no rule of the
// gateway owns.
type CallBody struct {
	Charger holdfast.ChargerID `json:"charger"`
	Action  string             `json:"action"`
	Payload json.RawMessage    `json:"payload"`
}
