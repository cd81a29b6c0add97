package ocpp

import (
	"encoding/json"

	"github.com/holdfast-ev/holdfast"
)

// An Event is what a charger said, without the dialect it said it in. The
// translation tables of ocpp/v16 and ocpp/v2 make events from CALLs; rules work
// on events alone and so are written once.
type Event interface{ event() }

// Boot is a BootNotification.
type Boot struct {
	Vendor, Model, Serial, Firmware string
	Reason                          string // 2.0.1 BootReasonEnumType; "" in 1.6
}

// Heartbeat is a Heartbeat.
type Heartbeat struct{}

// Status is a StatusNotification.
type Status struct {
	EVSE      int // 0: the whole charger. 1.6: the connectorId
	Connector int // 1.6: always 1 when EVSE > 0
	Status    ConnectorStatus
	Detail    string // the status in the dialect's own word
	Error     string // 1.6 errorCode other than NoError
	At        holdfast.UnixMilli
}

// ConnectorStatus is OCPP 2.0.1's ConnectorStatusEnumType; the nine statuses of
// 1.6 map onto it (Preparing, Charging, SuspendedEV, SuspendedEVSE, Finishing:
// Occupied).
type ConnectorStatus string

// The connector statuses.
const (
	Available   ConnectorStatus = "Available"
	Occupied    ConnectorStatus = "Occupied"
	Reserved    ConnectorStatus = "Reserved"
	Unavailable ConnectorStatus = "Unavailable"
	Faulted     ConnectorStatus = "Faulted"
)

// Authorize asks whether a credential may charge.
type Authorize struct {
	Token holdfast.Token
}

// TxKind is a phase of a transaction.
type TxKind string

// The phases (2.0.1 TransactionEventEnumType).
const (
	TxStarted TxKind = "Started"
	TxUpdated TxKind = "Updated"
	TxEnded   TxKind = "Ended"
)

// Transaction is StartTransaction, StopTransaction or a TransactionEvent.
type Transaction struct {
	Kind      TxKind
	ID        string          // 2.0.1: the station's transactionId; 1.6 stop: decimal transactionId; "" in a 1.6 start
	EVSE      int             // 0 when the message does not say (1.6 stop; 2.0.1 may leave it out)
	Connector int             //
	Token     *holdfast.Token // nil when the message carries none
	At        holdfast.UnixMilli
	AtRaw     string // the timestamp in the charger's own words
	SeqNo     *int   // 2.0.1
	Offline   bool   // 2.0.1 offline flag
	Trigger   string // 2.0.1 TriggerReasonEnumType
	Reason    string // stop reason in the dialect's word; "" reads as Local
	State     string // 2.0.1 chargingState
	RemoteID  *int   // 2.0.1 remoteStartId
	Reserved  *int   // reservationId that it uses up; nil when not said
	Readings  []holdfast.Reading
}

// Meter is a MeterValues message.
type Meter struct {
	EVSE          int
	TransactionID string // 1.6, optional
	Readings      []holdfast.Reading
}

// Data is a DataTransfer.
type Data struct {
	Vendor, MessageID string
	Data              json.RawMessage
}

// Other is a message that the standard defines and no rule needs yet: it is
// answered as the standard says, and journaled.
type Other struct {
	Action string
	Asked  Object // what a neutral answer has to repeat; nil for most
}

func (Boot) event()        {}
func (Heartbeat) event()   {}
func (Status) event()      {}
func (Authorize) event()   {}
func (Transaction) event() {}
func (Meter) event()       {}
func (Data) event()        {}
func (Other) event()       {}

// An Answer is what the gateway says to an event, without the dialect.
type Answer interface{ answer() }

// BootAnswer answers [Boot].
type BootAnswer struct {
	Status    string // "Accepted", "Pending", "Rejected"
	Now       holdfast.UnixMilli
	IntervalS int // heartbeat interval, or how long to wait before the next boot
}

// TimeAnswer answers [Heartbeat].
type TimeAnswer struct {
	Now holdfast.UnixMilli
}

// AuthStatus is the verdict on a credential as chargers understand it. Every
// word exists in 1.6 and in 2.0.1 or is mapped by the table.
type AuthStatus string

// The verdicts.
const (
	AuthAccepted     AuthStatus = "Accepted"
	AuthBlocked      AuthStatus = "Blocked"
	AuthExpired      AuthStatus = "Expired"
	AuthInvalid      AuthStatus = "Invalid"
	AuthConcurrentTx AuthStatus = "ConcurrentTx"
	AuthNoCredit     AuthStatus = "NoCredit" // 1.6: Blocked
)

// AuthAnswer answers [Authorize].
type AuthAnswer struct {
	Status  AuthStatus
	Expires holdfast.UnixMilli // 0: not said
	Group   string             // parentIdTag / groupIdToken; "" not said
}

// TxAnswer answers [Transaction].
type TxAnswer struct {
	ID   int32       // 1.6 start: the transactionId
	Auth *AuthAnswer // when the event carried a token (1.6 start: always)

	// Limits of the transaction, which a 2.1 charger then watches as well (E16);
	// zero when not said. Money is left out: the charger has no tariff of ours.
	Limits holdfast.Limits
}

// DataAnswer answers [Data].
type DataAnswer struct {
	Status string // "Accepted", "Rejected", "UnknownMessageId", "UnknownVendorId"
}

// Done answers [Status], [Meter] and every [Other]: the table knows the
// standard's neutral answer of each action.
type Done struct{}

func (BootAnswer) answer() {}
func (TimeAnswer) answer() {}
func (AuthAnswer) answer() {}
func (TxAnswer) answer()   {}
func (DataAnswer) answer() {}
func (Done) answer()       {}

// A Command is what the gateway asks of a charger.
type Command interface{ command() }

// RemoteStart is RemoteStartTransaction or RequestStartTransaction.
type RemoteStart struct {
	EVSE     int // 0: the charger chooses
	Token    holdfast.Token
	RemoteID int // 2.0.1 remoteStartId
}

// RemoteStop is RemoteStopTransaction or RequestStopTransaction.
type RemoteStop struct {
	ID string // transaction id as the charger knows it
}

// Trigger is TriggerMessage.
type Trigger struct {
	Message string // e.g. "StatusNotification", "MeterValues", "BootNotification"
	EVSE    int    // 0: not said
}

// GetConfig is GetConfiguration or GetVariables. Keys of 2.0.1 are
// "Component.Variable" or "Component[instance].Variable".
type GetConfig struct {
	Keys []string // empty: all (1.6 only)
}

// SetConfig is ChangeConfiguration or SetVariables.
type SetConfig struct {
	Key, Value string
}

// SendData is a DataTransfer to the charger.
type SendData struct {
	Vendor, MessageID string
	Data              json.RawMessage
}

func (RemoteStart) command() {}
func (RemoteStop) command()  {}
func (Trigger) command()     {}
func (GetConfig) command()   {}
func (SetConfig) command()   {}
func (SendData) command()    {}

// An Outcome is a charger's answer to a [Command].
type Outcome struct {
	Accepted bool
	Status   string            // the charger's own word
	Values   map[string]string // GetConfig: what it holds; an unknown key is absent
	Number   int               // GetListVersion: the version, 0 empty, -1 not supported (1.6)
	Ongoing  *bool             // GetTransactionStatus: the transaction is running; nil when not said
	Queued   bool              // GetTransactionStatus: messages about it wait to be sent
	Body     json.RawMessage   // GetComposite, Invoke: the charger's answer in its own words
}
