package ocpp

import (
	"encoding/json"

	"github.com/holdfast-ev/holdfast"
)

// Further things that a charger says.

// Security is a SecurityEventNotification (1.6 security white paper A04, 2.0.1
// A04). It is evidence.
type Security struct {
	Kind   string // the security event's name, e.g. "FirmwareUpdated"; see the standard's list
	At     holdfast.UnixMilli
	Detail string // techInfo
}

// Progress is FirmwareStatusNotification, SignedFirmwareStatusNotification,
// LogStatusNotification, DiagnosticsStatusNotification or
// PublishFirmwareStatusNotification.
type Progress struct {
	What    string // "firmware", "log" or "publish"
	Status  string // the standard's word
	Request *int   // requestId; nil when not said
}

// Report is a part of a NotifyReport (2.x): what variables a charger holds.
type Report struct {
	Request int
	SeqNo   int
	More    bool              // further parts follow (tbc)
	Values  map[string]string // actual values by key, as [GetConfig] spells keys
}

// Profiles is a part of a ReportChargingProfiles (2.x): what profiles a charger
// holds, in the version's words.
type Profiles struct {
	Request int
	More    bool // further parts follow (tbc)
	Body    json.RawMessage
}

// Reservation is a ReservationStatusUpdate (2.x).
type Reservation struct {
	ID     int
	Status string // "Expired", "Removed"; 2.1 "NoTransaction"
}

// LimitNotice is NotifyChargingLimit or ClearedChargingLimit (2.x): somebody
// else, such as an energy manager, limits the charger.
type LimitNotice struct {
	EVSE    int    // 0: the whole charger
	Source  string // "EMS", "SO", "CSO", "Other"
	Cleared bool
}

func (Security) event()    {}
func (Progress) event()    {}
func (Report) event()      {}
func (Profiles) event()    {}
func (Reservation) event() {}
func (LimitNotice) event() {}

// Further things that the gateway asks.

// Reset is Reset. Now interrupts transactions (1.6 Hard, 2.x Immediate);
// otherwise the charger ends them in order or waits (1.6 Soft, 2.x OnIdle).
type Reset struct {
	EVSE int // 2.x; 0: the whole charger
	Now  bool
}

// Unlock is UnlockConnector. 1.6: EVSE is the connectorId.
type Unlock struct {
	EVSE, Connector int
}

// SetAvailability is ChangeAvailability. 1.6: EVSE is the connectorId.
type SetAvailability struct {
	EVSE, Connector int // 0: the whole charger, the whole EVSE
	Operative       bool
}

// ClearCache is ClearCache: the charger forgets the verdicts it remembers.
type ClearCache struct{}

// GetListVersion is GetLocalListVersion; see [Outcome.Number].
type GetListVersion struct{}

// SendList is SendLocalList.
type SendList struct {
	Version int  // 1 to 2147483647; of the list as it is afterwards
	Full    bool // replaces the list; otherwise entries are put and removed
	Entries []ListEntry
}

// A ListEntry is one credential in a charger's local authorisation list.
type ListEntry struct {
	Token   holdfast.Token
	Remove  bool               // of a partial update
	Status  AuthStatus         // of what is not removed
	Expires holdfast.UnixMilli // 0: not said
	Group   string             // parentIdTag / groupIdToken; "" not said
}

// Purpose is what a charging profile is for. 2.x spells Station
// "ChargingStationMaxProfile", 1.6 "ChargePointMaxProfile".
type Purpose string

// The purposes.
const (
	StationMax Purpose = "ChargingStationMaxProfile"
	TxDefault  Purpose = "TxDefaultProfile"
	TxOnly     Purpose = "TxProfile"
)

// A RateUnit is the unit of a charging profile's limits.
type RateUnit string

// The units. An ampere is per phase.
const (
	InAmperes RateUnit = "A"
	InWatts   RateUnit = "W"
)

// Bounds of a charging profile, ours: both standards leave the number of
// periods to the charger.
const (
	MaxPeriods    = 24
	MaxStackLevel = 100
)

// SetProfile is SetChargingProfile. A profile of the same id replaces the one
// before it.
type SetProfile struct {
	EVSE    int // 0: the whole charger (StationMax), or every EVSE (TxDefault)
	Profile Profile
}

// A Profile is a charging profile. With From zero it is Relative, which needs
// no clock: it counts from the start of the transaction, or from now for one
// that is running.
type Profile struct {
	ID            int
	StackLevel    int // 0 to MaxStackLevel
	Purpose       Purpose
	TransactionID string             // of TxOnly: the transaction as the charger knows it
	From          holdfast.UnixMilli // startSchedule of an Absolute profile; 0: Relative
	ValidTo       holdfast.UnixMilli // 0: no end
	DurationS     int                // how long the schedule holds; 0: no end
	Unit          RateUnit
	Periods       []Period // 1 to MaxPeriods; the first starts at 0
}

// A Period of a charging profile.
type Period struct {
	StartS int   // s from the start of the schedule
	Limit  int64 // tenths of the profile's unit, >= 0: 165 is 16.5 A
	Phases int   // 0: not said (the charger assumes 3)
}

// ClearProfile is ClearChargingProfile: those that match all that is set.
type ClearProfile struct {
	ID         *int // alone, when set
	EVSE       *int
	Purpose    Purpose // "": any
	StackLevel *int
}

// GetComposite is GetCompositeSchedule; [Outcome.Body] has the schedule in the
// dialect's words.
type GetComposite struct {
	EVSE      int
	DurationS int
	Unit      RateUnit // "": the charger chooses
}

// Reserve is ReserveNow.
type Reserve struct {
	ID      int
	EVSE    int // 0: any (1.6: connectorId 0)
	Token   holdfast.Token
	Expires holdfast.UnixMilli
	Group   string
}

// CancelReservation is CancelReservation.
type CancelReservation struct {
	ID int
}

// GetLog asks for an upload of logs: 1.6 GetDiagnostics, or GetLog where Secure
// is set (1.6 security white paper), 2.x GetLog.
type GetLog struct {
	Request  int
	Security bool // the security log; otherwise diagnostics
	Secure   bool // 1.6: use GetLog of the security white paper
	URL      string
	From, To holdfast.UnixMilli // 0: not said
	Retries  int                // 0: not said
	WaitS    int                // between retries; 0: not said
}

// UpdateFirmware is UpdateFirmware, or SignedUpdateFirmware where 1.6 has a
// signature (1.6 security white paper L01, 2.0.1 L01).
type UpdateFirmware struct {
	Request     int
	URL         string
	RetrieveAt  holdfast.UnixMilli
	InstallAt   holdfast.UnixMilli // 0: not said
	Signature   string             // base64; "": an unsigned image (1.6 only, or L02)
	Certificate string             // PEM of the signing certificate
	Retries     int                // 0: not said
	WaitS       int
}

// GetProfiles is GetChargingProfiles (2.x): the answer comes as [Profiles]
// events.
type GetProfiles struct {
	Request int
	EVSE    *int // nil: any
}

// GetReport is GetBaseReport (2.x): the answer comes as [Report] events.
type GetReport struct {
	Request int
	Base    string // "ConfigurationInventory", "FullInventory" or "SummaryInventory"
}

// GetTransactionStatus asks whether messages about a transaction are still
// queued (2.0.1 E14); see [Outcome.Queued].
type GetTransactionStatus struct {
	ID string // "": any transaction
}

// Invoke is any message that a CSMS may send in the charger's version, its
// payload in the version's own words and judged by its schema: what an operator
// needs and no rule does. Messages that a rule owns are refused by the core.
type Invoke struct {
	Action  string
	Payload json.RawMessage
}

func (Reset) command()                {}
func (Unlock) command()               {}
func (SetAvailability) command()      {}
func (ClearCache) command()           {}
func (GetListVersion) command()       {}
func (SendList) command()             {}
func (SetProfile) command()           {}
func (ClearProfile) command()         {}
func (GetComposite) command()         {}
func (Reserve) command()              {}
func (CancelReservation) command()    {}
func (GetLog) command()               {}
func (UpdateFirmware) command()       {}
func (GetProfiles) command()          {}
func (GetReport) command()            {}
func (GetTransactionStatus) command() {}
func (Invoke) command()               {}
