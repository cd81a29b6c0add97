package record

import (
	"encoding/json"

	"github.com/holdfast-ev/holdfast"
)

// Kinds returns one empty body of every kind, in the order of docs/records.md.
func Kinds() []Body {
	return []Body{
		&GatewayBooted{}, &GatewayStopped{}, &EpochOpened{}, &LinkChanged{}, &LinkRoute{}, &LinkUsage{}, &TimeFloorRaised{}, &ClockChanged{}, &ClockDoubted{}, &StorageChanged{},
		&SnapshotTaken{}, &SegmentQuarantined{}, &ChargerBooted{}, &ChargerLink{}, &ChargerReadiness{}, &ChargerList{}, &ChargerSecurity{}, &ChargerFirmware{}, &ChargerReserved{}, &ChargerSecured{}, &SecurityEvent{},
		&PowerLimit{}, &PowerShared{}, &PowerFailSafe{}, &PowerCutOut{},
		&StatementInstalled{}, &DirectiveDone{},
		&AccessDecided{}, &AccessLapsed{}, &ExposureSettled{}, &SessionOpened{}, &SessionAuthorized{}, &SessionReading{}, &SessionLimited{}, &SessionLabelled{},
		&SessionEnded{}, &StopOrphaned{}, &CommandSent{}, &CommandAnswered{}, &ExceptionRaised{}, &ReceiptIssued{},
		&ChargerClock{},
		&StatusNoted{}, &MeterNoted{}, &FrameNoted{},
	}
}

// newBody returns an empty body of a kind, nil for one that is not known. A test
// holds it against [Kinds]; a switch, because recovery asks for every record.
func newBody(t Type) Body {
	switch t {
	case "gateway.booted":
		return &GatewayBooted{}
	case "gateway.stopped":
		return &GatewayStopped{}
	case "epoch.opened":
		return &EpochOpened{}
	case "link.changed":
		return &LinkChanged{}
	case "link.route":
		return &LinkRoute{}
	case "link.usage":
		return &LinkUsage{}
	case "clock.floor":
		return &TimeFloorRaised{}
	case "clock.changed":
		return &ClockChanged{}
	case "clock.doubted":
		return &ClockDoubted{}
	case "storage.changed":
		return &StorageChanged{}
	case "snapshot.taken":
		return &SnapshotTaken{}
	case "segment.quarantined":
		return &SegmentQuarantined{}
	case "charger.booted":
		return &ChargerBooted{}
	case "charger.link":
		return &ChargerLink{}
	case "charger.readiness":
		return &ChargerReadiness{}
	case "charger.list":
		return &ChargerList{}
	case "charger.clock":
		return &ChargerClock{}
	case "charger.security":
		return &ChargerSecurity{}
	case "charger.firmware":
		return &ChargerFirmware{}
	case "charger.reserved":
		return &ChargerReserved{}
	case "charger.secured":
		return &ChargerSecured{}
	case "security.event":
		return &SecurityEvent{}
	case "power.limit":
		return &PowerLimit{}
	case "power.shared":
		return &PowerShared{}
	case "power.failsafe":
		return &PowerFailSafe{}
	case "power.cutout":
		return &PowerCutOut{}
	case "statement.installed":
		return &StatementInstalled{}
	case "directive.done":
		return &DirectiveDone{}
	case "access.decided":
		return &AccessDecided{}
	case "access.lapsed":
		return &AccessLapsed{}
	case "exposure.settled":
		return &ExposureSettled{}
	case "session.opened":
		return &SessionOpened{}
	case "session.authorized":
		return &SessionAuthorized{}
	case "session.reading":
		return &SessionReading{}
	case "session.limited":
		return &SessionLimited{}
	case "session.labelled":
		return &SessionLabelled{}
	case "session.ended":
		return &SessionEnded{}
	case "stop.orphaned":
		return &StopOrphaned{}
	case "command.sent":
		return &CommandSent{}
	case "command.answered":
		return &CommandAnswered{}
	case "exception.raised":
		return &ExceptionRaised{}
	case "receipt.issued":
		return &ReceiptIssued{}
	case "status.noted":
		return &StatusNoted{}
	case "meter.noted":
		return &MeterNoted{}
	case "frame.noted":
		return &FrameNoted{}
	}
	return nil
}

// JournalOf returns the journal that a kind of record is written to. Durable
// state folds from evidence alone.
func JournalOf(t Type) holdfast.Journal {
	switch t {
	case "status.noted", "meter.noted", "frame.noted":
		return holdfast.Telemetry
	}
	return holdfast.Evidence
}

// The gateway's own life.

// GatewayBooted is the first record of every boot.
type GatewayBooted struct {
	Boot     uint32         `json:"boot"`
	Nonce    string         `json:"nonce"`    // 32 hex digits, fresh per boot; makes session ids of clones differ
	Software string         `json:"software"` // version of the gateway
	Cause    holdfast.Cause `json:"cause"`    // POWER_CYCLE when the last boot did not end in order, else PLANNED
	Config   holdfast.Hash  `json:"config"`   // SHA-256 of the configuration in force
}

// GatewayStopped is the last record of a boot that ended in order.
type GatewayStopped struct {
	Cause holdfast.Cause `json:"cause"`
}

// EpochOpened is the first record of every epoch.
type EpochOpened struct {
	Parent     holdfast.Epoch `json:"parent"`      // zero for the first
	ParentSize uint64         `json:"parent_size"` // records of the parent that this gateway still vouches for
	ParentRoot holdfast.Hash  `json:"parent_root"` // its root at that size
	Reason     EpochReason    `json:"reason"`
	Detail     string         `json:"detail,omitempty"`
}

// EpochReason says why an epoch began.
type EpochReason string

// The reasons.
const (
	EpochEnrolment   EpochReason = "enrolment"
	EpochLostHistory EpochReason = "lost_history" // acknowledged records are missing or unreadable
	EpochRestored    EpochReason = "restored"     // the cloud knows more of this journal than the disk does
)

// LinkChanged is a transition of the site's link to the cloud.
type LinkChanged struct {
	From   holdfast.LinkState `json:"from"`
	To     holdfast.LinkState `json:"to"`
	Cause  holdfast.Cause     `json:"cause"`
	Detail string             `json:"detail,omitempty"` // what the probe saw, for people
	Lasted int64              `json:"lasted_ms"`        // monotonic milliseconds spent in From
}

// TimeFloorRaised notes a signed cloud time: the gateway acts as if it were
// never earlier than Floor.
type TimeFloorRaised struct {
	Floor holdfast.UnixMilli `json:"floor"`
}

// ClockChanged notes a step or a change of quality of the wall clock.
type ClockChanged struct {
	From   holdfast.Instant `json:"from"`
	To     holdfast.Instant `json:"to"`
	Cause  holdfast.Cause   `json:"cause"`
	StepMs int64            `json:"step_ms"` // wall minus monotonic advance
}

// StorageChanged notes that new sessions are refused for want of space, or
// accepted again.
type StorageChanged struct {
	Refusing  bool  `json:"refusing"`
	FreeBytes int64 `json:"free_bytes"`
	NeedBytes int64 `json:"need_bytes"` // what the running sessions and one more have reserved
}

// SnapshotTaken attests a snapshot file: state folded from the records before
// Size.
type SnapshotTaken struct {
	Size uint64        `json:"size"`
	Hash holdfast.Hash `json:"hash"` // SHA-256 of the file
}

// SegmentQuarantined notes that a sealed segment failed verification and was
// set aside, byte for byte, and later what became of the gap.
type SegmentQuarantined struct {
	Journal holdfast.Journal `json:"journal"`
	Epoch   holdfast.Epoch   `json:"epoch"`  // zero: no records are concerned
	File    string           `json:"file"`   // "" when it is missing
	Offset  int64            `json:"offset"` // of the first bad byte range
	First   holdfast.Seq     `json:"first"`  // records First to To-1 cannot be read
	To      holdfast.Seq     `json:"to"`
	Detail  string           `json:"detail"`
	Repair  Repair           `json:"repair"`
}

// Repair says what becomes of records that cannot be read.
type Repair string

// The repairs.
const (
	RepairPending Repair = "pending" // they are set aside, and the cloud is asked for its copy
	RepairCloud   Repair = "cloud"   // the cloud's copy took their place
	RepairPruned  Repair = "pruned"  // they were given up with everything else that the cloud has reconciled
	RepairNone    Repair = "none"    // the cloud has no copy of them
)

// Chargers.

// ChargerBooted is an accepted BootNotification.
type ChargerBooted struct {
	Version  string `json:"version"` // OCPP subprotocol
	Vendor   string `json:"vendor"`
	Model    string `json:"model"`
	Serial   string `json:"serial,omitempty"`
	Firmware string `json:"firmware,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// ChargerLink is a change of a charger's connection. Flaps are coalesced: Count
// says how many changes the record stands for.
type ChargerLink struct {
	Up     bool           `json:"up"`
	Cause  holdfast.Cause `json:"cause"`
	Detail string         `json:"detail,omitempty"`
	Count  int            `json:"count"`
}

// SecurityEvent is a refused connection, a fenced socket, a message for a
// session of another charger. Coalesced like [ChargerLink].
type SecurityEvent struct {
	Kind   string `json:"kind"`
	Detail string `json:"detail,omitempty"`
	Remote string `json:"remote,omitempty"`
	Count  int    `json:"count"`
}

// What the cloud sent.

// StatementInstalled holds a signed statement (COSE_Sign1) that took effect, so
// that the journal alone says which list, tariff or grant decided.
type StatementInstalled struct {
	Kind    string        `json:"kind"`    // the statement's typ: see package statement
	ID      string        `json:"id"`      // tariff or grant id; "" for the list
	Version uint64        `json:"version"` // never decreases per (kind, id)
	Hash    holdfast.Hash `json:"hash"`    // SHA-256 of Bytes
	Bytes   []byte        `json:"bytes"`
}

// DirectiveDone is the outcome of a directive. Each directive id has exactly
// one.
type DirectiveDone struct {
	ID      string `json:"id"`
	Outcome string `json:"outcome"` // "done", "refused", "expired", "unknown" (restarted before the charger answered)
	Detail  string `json:"detail,omitempty"`

	// Result is the charger's answer where one was asked for: values by key, a
	// schedule, the parts of a report; at most 64 KiB.
	Result json.RawMessage `json:"result,omitempty"`
}

// Access.

// AccessDecided is a decision about a credential. It is durable, and its
// exposure reserved, before the charger is answered. Refusals are coalesced.
type AccessDecided struct {
	Token       holdfast.TokenHash `json:"token"`            // zero when nobody was identified
	Sealed      string             `json:"sealed,omitempty"` // the token, sealed
	EVSE        int                `json:"evse,omitempty"`
	Via         string             `json:"via"` // "authorize", "start" or "remote"
	Accepted    bool               `json:"accepted"`
	Rule        string             `json:"rule"`   // the rule that decided, as docs/access.md names it
	Reason      string             `json:"reason"` // one plain sentence without the token
	Source      string             `json:"source"` // "list", "grant", "cloud", "none"
	GrantID     string             `json:"grant,omitempty"`
	ListVersion uint64             `json:"list_version"`
	ListAgeS    int64              `json:"list_age_s"` // -1: unknown
	Group       string             `json:"group,omitempty"`
	Link        holdfast.LinkState `json:"link"`
	Limits      holdfast.Limits    `json:"limits"`
	Reserved    holdfast.Micros    `json:"reserved"` // exposure reserved, in the tariff's currency
	LapsesIn    int64              `json:"lapses_ms,omitempty"`
	Count       int                `json:"count"` // 1, or the refusals that this record stands for
}

// AccessLapsed releases what a decision reserved: no session began in time.
type AccessLapsed struct {
	Decision holdfast.Seq `json:"decision"`
}

// ExposureSettled notes that the cloud has reconciled every session that ended
// before: its books know what they cost, and its lists and grants answer for it.
type ExposureSettled struct {
	Reconciled uint64 `json:"reconciled"` // the cloud's cursor
}

// Sessions.

// RegisterTrust says whether a register can be billed from.
type RegisterTrust string

// The trusts.
const (
	Trusted     RegisterTrust = "trusted"
	Placeholder RegisterTrust = "placeholder" // a zero from a meter that was never at zero
	Absent      RegisterTrust = "absent"
)

// SessionOpened opens a session; its leaf hash is the session's id. The
// envelope's session is empty.
type SessionOpened struct {
	Decision    *holdfast.Seq       `json:"decision"` // the AccessDecided it rests on; null when the charger started on its own
	Nonce       string              `json:"nonce"`    // boot nonce
	Source      StartSource         `json:"source"`
	Token       holdfast.TokenHash  `json:"token"`
	Sealed      string              `json:"sealed,omitempty"`
	EVSE        int                 `json:"evse"`
	Connector   int                 `json:"connector"`
	StartedAt   holdfast.UnixMilli  `json:"started_at"`       // charger's clock as claimed, 1970 included; 0 when it gave none
	ClaimedAt   string              `json:"claimed_at"`       // the charger's own words
	Time        *ChargerTime        `json:"time,omitempty"`   // when that was, by the gateway
	Start       *holdfast.WattHours `json:"start,omitempty"`  // register at the start
	StartTrust  RegisterTrust       `json:"start_trust"`      //
	Offline     bool                `json:"offline"`          // the charger says it was offline
	Link        holdfast.LinkState  `json:"link"`             // the site's link
	Limits      holdfast.Limits     `json:"limits"`           //
	Reserved    holdfast.Micros     `json:"reserved"`         //
	Tariff      *TariffRef          `json:"tariff,omitempty"` // in force at the start
	Labels      map[string]string   `json:"labels"`           // e.g. ocpp16.transaction_id, ocpp2.transaction_id
	PowerBudget holdfast.Watts      `json:"max_power"`        // what the connector can deliver, for the worst case
	Raw         string              `json:"raw,omitempty"`    // the frame, token sealed
}

// SessionAuthorized names the credential of a session that was opened without
// one: OCPP 2.0.1 may open a transaction when the cable is plugged in (E01) and
// identify the driver later.
type SessionAuthorized struct {
	Decision *holdfast.Seq      `json:"decision"`
	Source   StartSource        `json:"source"`
	Token    holdfast.TokenHash `json:"token"`
	Sealed   string             `json:"sealed,omitempty"`
	Limits   holdfast.Limits    `json:"limits"`
	Reserved holdfast.Micros    `json:"reserved"`
	Tariff   *TariffRef         `json:"tariff,omitempty"`
}

// A TariffRef names one version of a tariff by the hash of its signed bytes.
type TariffRef struct {
	ID       string        `json:"id"`
	Version  uint64        `json:"version"`
	Hash     holdfast.Hash `json:"hash"`
	Currency string        `json:"currency"`
}

// StartSource says who began a session.
type StartSource string

// The sources.
const (
	StartAuthorized StartSource = "authorized" // after a decision of ours
	StartRemote     StartSource = "remote"     // by a remote start that we sent
	StartLocal      StartSource = "local"      // the charger decided on its own while it could not ask
	StartRefused    StartSource = "refused"    // the charger started although the decision was no; it is being stopped
)

// SessionReading is a reading that decides a bill or a limit. Ordinary samples
// are telemetry.
type SessionReading struct {
	Reading holdfast.Reading `json:"r"`
	Time    *ChargerTime     `json:"time,omitempty"`
	Why     string           `json:"why"` // package session: WhyBegin and its neighbours
}

// SessionLimited says that a session reached a limit and what is done about it.
type SessionLimited struct {
	Kind     string `json:"kind"`   // "energy", "time", "cost", "power"
	Limit    int64  `json:"limit"`  // Wh, s, micros, W
	Worst    int64  `json:"worst"`  // measured plus the worst overshoot, same unit
	Action   string `json:"action"` // "stop" or "throttle"
	SetPoint int64  `json:"set_point_w,omitempty"`
}

// SessionLabelled attaches names that others gave.
type SessionLabelled struct {
	Labels map[string]string `json:"labels"`
}

// SessionEnded ends a session.
type SessionEnded struct {
	StoppedAt holdfast.UnixMilli  `json:"stopped_at"`
	ClaimedAt string              `json:"claimed_at"`
	Time      *ChargerTime        `json:"time,omitempty"`
	Stop      *holdfast.WattHours `json:"stop,omitempty"`
	StopTrust RegisterTrust       `json:"stop_trust"`
	Reason    string              `json:"reason"` // OCPP stop reason, or "Holdfast.*" when we closed it without a stop message
	Offline   bool                `json:"offline"`
	Token     holdfast.TokenHash  `json:"token"` // who stopped it; zero when not said
	Readings  []holdfast.Reading  `json:"readings,omitempty"`
	Cost      holdfast.Micros     `json:"cost"` // provisional, for exposure
	Raw       string              `json:"raw,omitempty"`
}

// StopOrphaned is a stop that fits no session known here: it is acknowledged,
// kept, and becomes a session with a missing start (its leaf hash is the id).
type StopOrphaned struct {
	Nonce     string              `json:"nonce"`
	EVSE      int                 `json:"evse"`
	Connector int                 `json:"connector"`
	StoppedAt holdfast.UnixMilli  `json:"stopped_at"`
	ClaimedAt string              `json:"claimed_at"`
	Time      *ChargerTime        `json:"time,omitempty"`
	Stop      *holdfast.WattHours `json:"stop,omitempty"`
	Reason    string              `json:"reason"`
	Token     holdfast.TokenHash  `json:"token"`
	Sealed    string              `json:"sealed,omitempty"`
	Labels    map[string]string   `json:"labels"`
	Readings  []holdfast.Reading  `json:"readings,omitempty"`
	Raw       string              `json:"raw,omitempty"`
}

// CommandSent is a command to a charger.
type CommandSent struct {
	ID        string `json:"id"` // our OCPP message id
	Action    string `json:"action"`
	Directive string `json:"directive,omitempty"` // the directive that asked for it
	Detail    string `json:"detail,omitempty"`
}

// CommandAnswered is what became of it.
type CommandAnswered struct {
	ID     string `json:"id"`
	Status string `json:"status"` // the charger's word, or "Timeout", "Disconnected", "Error:CODE"
	Detail string `json:"detail,omitempty"`
}

// ExceptionRaised asks for a person. The codes are listed in docs/exceptions.md.
type ExceptionRaised struct {
	Code     string         `json:"code"`
	Detail   string         `json:"detail"`
	Evidence []holdfast.Seq `json:"evidence,omitempty"` // further records to look at
}

// ReceiptIssued holds the driver's signed receipt.
type ReceiptIssued struct {
	Bytes []byte `json:"bytes"` // COSE_Sign1
}

// Telemetry.

// StatusNoted is a StatusNotification.
type StatusNoted struct {
	EVSE      int                `json:"evse"`
	Connector int                `json:"connector"`
	Status    string             `json:"status"`
	Error     string             `json:"error,omitempty"`
	At        holdfast.UnixMilli `json:"at"`
}

// MeterNoted is a batch of ordinary samples.
type MeterNoted struct {
	EVSE     int                `json:"evse"`
	Readings []holdfast.Reading `json:"readings"`
}

// FrameNoted is a message that no rule needs, verbatim but for sealed tokens.
type FrameNoted struct {
	Action string `json:"action"`
	Raw    string `json:"raw"`
}

// Type implements [Body] for each kind.
func (*GatewayBooted) Type() Type      { return "gateway.booted" }
func (*GatewayStopped) Type() Type     { return "gateway.stopped" }
func (*EpochOpened) Type() Type        { return "epoch.opened" }
func (*LinkChanged) Type() Type        { return "link.changed" }
func (*TimeFloorRaised) Type() Type    { return "clock.floor" }
func (*ClockChanged) Type() Type       { return "clock.changed" }
func (*StorageChanged) Type() Type     { return "storage.changed" }
func (*SnapshotTaken) Type() Type      { return "snapshot.taken" }
func (*SegmentQuarantined) Type() Type { return "segment.quarantined" }
func (*ChargerBooted) Type() Type      { return "charger.booted" }
func (*ChargerLink) Type() Type        { return "charger.link" }
func (*SecurityEvent) Type() Type      { return "security.event" }
func (*StatementInstalled) Type() Type { return "statement.installed" }
func (*DirectiveDone) Type() Type      { return "directive.done" }
func (*AccessDecided) Type() Type      { return "access.decided" }
func (*AccessLapsed) Type() Type       { return "access.lapsed" }
func (*ExposureSettled) Type() Type    { return "exposure.settled" }
func (*SessionOpened) Type() Type      { return "session.opened" }
func (*SessionAuthorized) Type() Type  { return "session.authorized" }
func (*SessionReading) Type() Type     { return "session.reading" }
func (*SessionLimited) Type() Type     { return "session.limited" }
func (*SessionLabelled) Type() Type    { return "session.labelled" }
func (*SessionEnded) Type() Type       { return "session.ended" }
func (*StopOrphaned) Type() Type       { return "stop.orphaned" }
func (*CommandSent) Type() Type        { return "command.sent" }
func (*CommandAnswered) Type() Type    { return "command.answered" }
func (*ExceptionRaised) Type() Type    { return "exception.raised" }
func (*ReceiptIssued) Type() Type      { return "receipt.issued" }
func (*StatusNoted) Type() Type        { return "status.noted" }
func (*MeterNoted) Type() Type         { return "meter.noted" }
func (*FrameNoted) Type() Type         { return "frame.noted" }
