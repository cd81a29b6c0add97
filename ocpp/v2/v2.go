// Package v2 translates OCPP 2.0.1 to and from the neutral language of package
// ocpp. It is PURE, and a table: it says what is said, never what to do about
// it.
//
// In 2.0.1 the charger names the transaction and counts its events (seqNo), so
// an event carries both, and a replayed one says offline. Energy is only ever
// in the sampled values of meterValue; there is no register outside them.
//
// OCPP 2.1 keeps the messages of 2.0.1 and adds to them, so it is a version of
// this Dialect and not a package of its own.
package v2

import (
	"slices"
	"strings"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ocpp"
)

// Dialect is the OCPP 2.x [ocpp.Dialect]. It has no state.
type Dialect struct {
	Speaks ocpp.Version // ocpp.V21; anything else is ocpp.V201
}

var _ ocpp.Dialect = Dialect{}

// Version returns [ocpp.V201] or [ocpp.V21].
func (d Dialect) Version() ocpp.Version {
	if d.Speaks == ocpp.V21 {
		return ocpp.V21
	}
	return ocpp.V201
}

// SealTokens implements [ocpp.Dialect].
func (Dialect) SealTokens(raw []byte, seal func(tok string) string) []byte {
	return ocpp.SealTokens(raw, seal)
}

// Messages implements [ocpp.Dialect].
func (d Dialect) Messages() []ocpp.Message {
	if d.Version() == ocpp.V201 {
		return messages()
	}
	all := append(messages(), added()...)
	slices.SortFunc(all, func(a, b ocpp.Message) int { return strings.Compare(a.Action, b.Action) })
	return all
}

// messages is the table: part 2 of OCPP 2.0.1, section "Messages".
func messages() []ocpp.Message {
	return []ocpp.Message{
		{Action: "Authorize", FromCS: true, Event: "Authorize"},
		{Action: "BootNotification", FromCS: true, Event: "Boot"},
		{Action: "CancelReservation", FromCSMS: true, Command: "CancelReservation"},
		{Action: "CertificateSigned", FromCSMS: true, Command: "Invoke"},
		{Action: "ChangeAvailability", FromCSMS: true, Command: "SetAvailability"},
		{Action: "ClearCache", FromCSMS: true, Command: "ClearCache"},
		{Action: "ClearChargingProfile", FromCSMS: true, Command: "ClearProfile"},
		{Action: "ClearDisplayMessage", FromCSMS: true, Command: "Invoke"},
		{Action: "ClearVariableMonitoring", FromCSMS: true, Command: "Invoke"},
		{Action: "ClearedChargingLimit", FromCS: true, Event: "LimitNotice"},
		{Action: "CostUpdated", FromCSMS: true, Command: "Invoke"},
		{Action: "CustomerInformation", FromCSMS: true, Command: "Invoke"},
		{Action: "DataTransfer", FromCS: true, FromCSMS: true, Event: "Data", Command: "SendData"},
		{Action: "DeleteCertificate", FromCSMS: true, Command: "Invoke"},
		{Action: "FirmwareStatusNotification", FromCS: true, Event: "Progress"},
		{Action: "Get15118EVCertificate", FromCS: true, Event: "Other"},
		{Action: "GetBaseReport", FromCSMS: true, Command: "GetReport"},
		{Action: "GetCertificateStatus", FromCS: true, Event: "Other"},
		{Action: "GetChargingProfiles", FromCSMS: true, Command: "GetProfiles"},
		{Action: "GetCompositeSchedule", FromCSMS: true, Command: "GetComposite"},
		{Action: "GetDisplayMessages", FromCSMS: true, Command: "Invoke"},
		{Action: "GetInstalledCertificateIds", FromCSMS: true, Command: "Invoke"},
		{Action: "GetLocalListVersion", FromCSMS: true, Command: "GetListVersion"},
		{Action: "GetLog", FromCSMS: true, Command: "GetLog"},
		{Action: "GetMonitoringReport", FromCSMS: true, Command: "Invoke"},
		{Action: "GetReport", FromCSMS: true, Command: "Invoke"},
		{Action: "GetTransactionStatus", FromCSMS: true, Command: "GetTransactionStatus"},
		{Action: "GetVariables", FromCSMS: true, Command: "GetConfig"},
		{Action: "Heartbeat", FromCS: true, Event: "Heartbeat"},
		{Action: "InstallCertificate", FromCSMS: true, Command: "Invoke"},
		{Action: "LogStatusNotification", FromCS: true, Event: "Progress"},
		{Action: "MeterValues", FromCS: true, Event: "Meter"},
		{Action: "NotifyChargingLimit", FromCS: true, Event: "LimitNotice"},
		{Action: "NotifyCustomerInformation", FromCS: true, Event: "Other"},
		{Action: "NotifyDisplayMessages", FromCS: true, Event: "Other"},
		{Action: "NotifyEVChargingNeeds", FromCS: true, Event: "Other"},
		{Action: "NotifyEVChargingSchedule", FromCS: true, Event: "Other"},
		{Action: "NotifyEvent", FromCS: true, Event: "Other"},
		{Action: "NotifyMonitoringReport", FromCS: true, Event: "Other"},
		{Action: "NotifyReport", FromCS: true, Event: "Report"},
		{Action: "PublishFirmware", FromCSMS: true, Command: "Invoke"},
		{Action: "PublishFirmwareStatusNotification", FromCS: true, Event: "Progress"},
		{Action: "ReportChargingProfiles", FromCS: true, Event: "Profiles"},
		{Action: "RequestStartTransaction", FromCSMS: true, Command: "RemoteStart"},
		{Action: "RequestStopTransaction", FromCSMS: true, Command: "RemoteStop"},
		{Action: "ReservationStatusUpdate", FromCS: true, Event: "Reservation"},
		{Action: "ReserveNow", FromCSMS: true, Command: "Reserve"},
		{Action: "Reset", FromCSMS: true, Command: "Reset"},
		{Action: "SecurityEventNotification", FromCS: true, Event: "Security"},
		{Action: "SendLocalList", FromCSMS: true, Command: "SendList"},
		{Action: "SetChargingProfile", FromCSMS: true, Command: "SetProfile"},
		{Action: "SetDisplayMessage", FromCSMS: true, Command: "Invoke"},
		{Action: "SetMonitoringBase", FromCSMS: true, Command: "Invoke"},
		{Action: "SetMonitoringLevel", FromCSMS: true, Command: "Invoke"},
		{Action: "SetNetworkProfile", FromCSMS: true, Command: "Invoke"},
		{Action: "SetVariableMonitoring", FromCSMS: true, Command: "Invoke"},
		{Action: "SetVariables", FromCSMS: true, Command: "SetConfig"},
		{Action: "SignCertificate", FromCS: true, Event: "Other"},
		{Action: "StatusNotification", FromCS: true, Event: "Status"},
		{Action: "TransactionEvent", FromCS: true, Event: "Transaction"},
		{Action: "TriggerMessage", FromCSMS: true, Command: "Trigger"},
		{Action: "UnlockConnector", FromCSMS: true, Command: "Unlock"},
		{Action: "UnpublishFirmware", FromCSMS: true, Command: "Invoke"},
		{Action: "UpdateFirmware", FromCSMS: true, Command: "UpdateFirmware"},
	}
}

// Event implements [ocpp.Dialect].
func (d Dialect) Event(action string, payload []byte) (ocpp.Event, *ocpp.Error) {
	read := events(action)
	if d.Version() == ocpp.V21 && read == nil {
		read = repeating(action)
	}
	return ocpp.Read(d.Messages(), read, action, payload)
}

// events returns the reader of an action that rules work on, nil for others.
func events(action string) func(ocpp.Object, []byte) (ocpp.Event, *ocpp.Error) {
	switch action {
	case "Authorize":
		return authorize
	case "BootNotification":
		return boot
	case "ClearedChargingLimit":
		return unlimited
	case "DataTransfer":
		return data
	case "FirmwareStatusNotification":
		return progress("firmware")
	case "Heartbeat":
		return heartbeat
	case "LogStatusNotification":
		return progress("log")
	case "MeterValues":
		return meterValues
	case "NotifyChargingLimit":
		return limited
	case "NotifyReport":
		return report
	case "PublishFirmwareStatusNotification":
		return progress("publish")
	case "ReportChargingProfiles":
		return profiles
	case "ReservationStatusUpdate":
		return reservation
	case "SecurityEventNotification":
		return ocpp.ReadSecurity
	case "StatusNotification":
		return status
	case "TransactionEvent":
		return transaction
	}
	return nil
}

func authorize(o ocpp.Object, _ []byte) (ocpp.Event, *ocpp.Error) {
	tok, err := token(o)
	if err != nil {
		return nil, err
	}
	if tok == nil {
		return nil, ocpp.Missing("/idToken")
	}
	return ocpp.Authorize{Token: *tok}, nil
}

// token returns the idToken, nil when the message has none. A token of the type
// NoAuthorization has an empty value, and is one all the same.
func token(o ocpp.Object) (*holdfast.Token, *ocpp.Error) {
	if !o.Has("idToken") {
		return nil, nil
	}
	t := o.Object("idToken")
	if t == nil {
		return nil, &ocpp.Error{Code: ocpp.TypeConstraintViolation, Pointer: "/idToken", Description: "is not an object"}
	}
	value, ok := t["idToken"].(string)
	if !ok {
		return nil, ocpp.Missing("/idToken/idToken")
	}
	if len(value) > holdfast.MaxTokenLen {
		return nil, ocpp.Invalid("/idToken/idToken", "is too long")
	}
	return &holdfast.Token{Value: value, Type: t.Text("type")}, nil
}

func boot(o ocpp.Object, _ []byte) (ocpp.Event, *ocpp.Error) {
	s := o.Object("chargingStation")
	return ocpp.Boot{
		Vendor:   s.Text("vendorName"),
		Model:    s.Text("model"),
		Serial:   s.Text("serialNumber"),
		Firmware: s.Text("firmwareVersion"),
		Reason:   o.Text("reason"),
	}, nil
}

func data(o ocpp.Object, payload []byte) (ocpp.Event, *ocpp.Error) {
	if !o.Has("vendorId") {
		return nil, ocpp.Missing("/vendorId")
	}
	return ocpp.Data{Vendor: o.Text("vendorId"), MessageID: o.Text("messageId"), Data: o.Raw(payload, "data")}, nil
}

func heartbeat(ocpp.Object, []byte) (ocpp.Event, *ocpp.Error) { return ocpp.Heartbeat{}, nil }

// number reads a required member that counts EVSEs or connectors.
func number(o ocpp.Object, name string) (int, *ocpp.Error) {
	if !o.Has(name) {
		return 0, ocpp.Missing("/" + name)
	}
	n, ok := o.Int(name)
	if !ok || n < 0 {
		return 0, ocpp.Invalid("/"+name, "is not a number of an EVSE or connector")
	}
	return n, nil
}

func status(o ocpp.Object, _ []byte) (ocpp.Event, *ocpp.Error) {
	s := ocpp.Status{Detail: o.Text("connectorStatus")}
	var err *ocpp.Error
	if s.EVSE, err = number(o, "evseId"); err != nil {
		return nil, err
	}
	if s.Connector, err = number(o, "connectorId"); err != nil {
		return nil, err
	}
	switch st := ocpp.ConnectorStatus(s.Detail); st {
	case ocpp.Available, ocpp.Occupied, ocpp.Reserved, ocpp.Unavailable, ocpp.Faulted:
		s.Status = st
	}
	s.At, _ = ocpp.ParseTime(o.Text("timestamp"))
	return s, nil
}

func transaction(o ocpp.Object, _ []byte) (ocpp.Event, *ocpp.Error) {
	info := o.Object("transactionInfo")
	t := ocpp.Transaction{
		Kind:    ocpp.TxKind(o.Text("eventType")),
		ID:      info.Text("transactionId"),
		AtRaw:   o.Text("timestamp"),
		Offline: o.Bool("offline"),
		Trigger: o.Text("triggerReason"),
		Reason:  info.Text("stoppedReason"),
		State:   info.Text("chargingState"),
	}
	switch t.Kind {
	case ocpp.TxStarted, ocpp.TxUpdated, ocpp.TxEnded:
	default:
		return nil, ocpp.Invalid("/eventType", "is not Started, Updated or Ended")
	}
	if t.ID == "" {
		return nil, ocpp.Invalid("/transactionInfo/transactionId", "is empty or missing")
	}
	var ok bool
	if t.At, ok = ocpp.ParseTime(t.AtRaw); !ok {
		return nil, ocpp.Invalid("/timestamp", "is not a time")
	}
	if err := optional(&t, o, info); err != nil {
		return nil, err
	}
	t.Readings = readings(o.Objects("meterValue"))
	return t, nil
}

// optional reads what a TransactionEvent may leave out.
func optional(t *ocpp.Transaction, o, info ocpp.Object) *ocpp.Error {
	var err *ocpp.Error
	if t.Token, err = token(o); err != nil {
		return err
	}
	if seq, ok := o.Int("seqNo"); ok {
		t.SeqNo = &seq
	}
	if id, ok := info.Int("remoteStartId"); ok {
		t.RemoteID = &id
	}
	if id, ok := o.Int("reservationId"); ok {
		t.Reserved = &id
	}
	evse := o.Object("evse")
	if evse == nil {
		return nil
	}
	if t.EVSE, err = number(evse, "id"); err != nil {
		err.Pointer = "/evse/id"
		return err
	}
	if !evse.Has("connectorId") {
		return nil
	}
	if t.Connector, err = number(evse, "connectorId"); err != nil {
		err.Pointer = "/evse/connectorId"
	}
	return err
}

func meterValues(o ocpp.Object, _ []byte) (ocpp.Event, *ocpp.Error) {
	n, err := number(o, "evseId")
	if err != nil {
		return nil, err
	}
	return ocpp.Meter{EVSE: n, Readings: readings(o.Objects("meterValue"))}, nil
}

// readings folds MeterValueType elements; each has one timestamp for its
// samples. A timestamp that is none leaves the reading's time open: it is the
// samples that count.
func readings(values []ocpp.Object) []holdfast.Reading {
	var out []holdfast.Reading
	for _, v := range values {
		at, _ := ocpp.ParseTime(v.Text("timestamp"))
		sampled := v.Objects("sampledValue")
		samples := make([]ocpp.Sample, 0, len(sampled))
		for _, s := range sampled {
			samples = append(samples, sample(s))
		}
		out = append(out, ocpp.Fold(at, samples)...)
	}
	return out
}

// sample reads a SampledValueType. A multiplier that is no whole number makes
// the value unreadable rather than a guess at it.
func sample(s ocpp.Object) ocpp.Sample {
	unit := s.Object("unitOfMeasure")
	out := ocpp.Sample{
		Value:     s.Number("value"),
		Context:   s.Text("context"),
		Measurand: s.Text("measurand"),
		Phase:     s.Text("phase"),
		Location:  s.Text("location"),
		Unit:      unit.Text("unit"),
		Signed:    s.Object("signedMeterValue").Text("signedMeterData"),
	}
	if unit.Has("multiplier") {
		n, ok := unit.Int("multiplier")
		if !ok {
			out.Value = ""
		}
		out.Multiplier = n
	}
	return out
}
