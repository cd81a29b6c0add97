// Package v16 translates OCPP 1.6J (edition 2, with the messages of "Improved
// security for OCPP 1.6-J") to and from the neutral language of package ocpp.
// It is PURE, and a table: it says what is said, never what to do about it.
//
// What 1.6 does not say stays unsaid: a stop names no connector, a start names
// no transaction. The transactionId that a charger made up because it never got
// one (-1, 0) passes through as it is; whose session it ends is for the rules.
//
// 1.6 gives the register in StartTransaction.meterStart and
// StopTransaction.meterStop, always in Wh. They become readings with the
// contexts Transaction.Begin and Transaction.End; a stop's own register is the
// last reading of its event, after those of transactionData.
package v16

import (
	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ocpp"
)

// Dialect is the OCPP 1.6 [ocpp.Dialect]. It has no state.
type Dialect struct{}

var _ ocpp.Dialect = Dialect{}

// Version returns [ocpp.V16].
func (Dialect) Version() ocpp.Version { return ocpp.V16 }

// SealTokens implements [ocpp.Dialect].
func (Dialect) SealTokens(raw []byte, seal func(tok string) string) []byte {
	return ocpp.SealTokens(raw, seal)
}

// Messages implements [ocpp.Dialect].
func (Dialect) Messages() []ocpp.Message { return messages() }

// messages is the table: section 4 and 5 of OCPP 1.6 and section 5 of the
// security whitepaper.
func messages() []ocpp.Message {
	return []ocpp.Message{
		{Action: "Authorize", FromCS: true, Event: "Authorize"},
		{Action: "BootNotification", FromCS: true, Event: "Boot"},
		{Action: "CancelReservation", FromCSMS: true, Command: "CancelReservation"},
		{Action: "CertificateSigned", FromCSMS: true, Command: "Invoke"},
		{Action: "ChangeAvailability", FromCSMS: true, Command: "SetAvailability"},
		{Action: "ChangeConfiguration", FromCSMS: true, Command: "SetConfig"},
		{Action: "ClearCache", FromCSMS: true, Command: "ClearCache"},
		{Action: "ClearChargingProfile", FromCSMS: true, Command: "ClearProfile"},
		{Action: "DataTransfer", FromCS: true, FromCSMS: true, Event: "Data", Command: "SendData"},
		{Action: "DeleteCertificate", FromCSMS: true, Command: "Invoke"},
		{Action: "DiagnosticsStatusNotification", FromCS: true, Event: "Progress"},
		{Action: "ExtendedTriggerMessage", FromCSMS: true, Command: "Invoke"},
		{Action: "FirmwareStatusNotification", FromCS: true, Event: "Progress"},
		{Action: "GetCompositeSchedule", FromCSMS: true, Command: "GetComposite"},
		{Action: "GetConfiguration", FromCSMS: true, Command: "GetConfig"},
		{Action: "GetDiagnostics", FromCSMS: true, Command: "GetLog"},
		{Action: "GetInstalledCertificateIds", FromCSMS: true, Command: "Invoke"},
		{Action: "GetLocalListVersion", FromCSMS: true, Command: "GetListVersion"},
		{Action: "GetLog", FromCSMS: true, Command: "GetLog"},
		{Action: "Heartbeat", FromCS: true, Event: "Heartbeat"},
		{Action: "InstallCertificate", FromCSMS: true, Command: "Invoke"},
		{Action: "LogStatusNotification", FromCS: true, Event: "Progress"},
		{Action: "MeterValues", FromCS: true, Event: "Meter"},
		{Action: "RemoteStartTransaction", FromCSMS: true, Command: "RemoteStart"},
		{Action: "RemoteStopTransaction", FromCSMS: true, Command: "RemoteStop"},
		{Action: "ReserveNow", FromCSMS: true, Command: "Reserve"},
		{Action: "Reset", FromCSMS: true, Command: "Reset"},
		{Action: "SecurityEventNotification", FromCS: true, Event: "Security"},
		{Action: "SendLocalList", FromCSMS: true, Command: "SendList"},
		{Action: "SetChargingProfile", FromCSMS: true, Command: "SetProfile"},
		{Action: "SignCertificate", FromCS: true, Event: "Other"},
		{Action: "SignedFirmwareStatusNotification", FromCS: true, Event: "Progress"},
		{Action: "SignedUpdateFirmware", FromCSMS: true, Command: "UpdateFirmware"},
		{Action: "StartTransaction", FromCS: true, Event: "Transaction"},
		{Action: "StatusNotification", FromCS: true, Event: "Status"},
		{Action: "StopTransaction", FromCS: true, Event: "Transaction"},
		{Action: "TriggerMessage", FromCSMS: true, Command: "Trigger"},
		{Action: "UnlockConnector", FromCSMS: true, Command: "Unlock"},
		{Action: "UpdateFirmware", FromCSMS: true, Command: "UpdateFirmware"},
	}
}

// Event implements [ocpp.Dialect].
func (Dialect) Event(action string, payload []byte) (ocpp.Event, *ocpp.Error) {
	return ocpp.Read(messages(), events(action), action, payload)
}

// events returns the reader of an action that rules work on, nil for others.
func events(action string) func(ocpp.Object, []byte) (ocpp.Event, *ocpp.Error) {
	switch action {
	case "Authorize":
		return authorize
	case "BootNotification":
		return boot
	case "DataTransfer":
		return data
	case "DiagnosticsStatusNotification":
		return progress("log")
	case "FirmwareStatusNotification", "SignedFirmwareStatusNotification":
		return progress("firmware")
	case "Heartbeat":
		return heartbeat
	case "LogStatusNotification":
		return progress("log")
	case "MeterValues":
		return meterValues
	case "SecurityEventNotification":
		return ocpp.ReadSecurity
	case "StartTransaction":
		return start
	case "StatusNotification":
		return status
	case "StopTransaction":
		return stop
	}
	return nil
}

func authorize(o ocpp.Object, _ []byte) (ocpp.Event, *ocpp.Error) {
	tok, err := token(o)
	if err != nil {
		return nil, err
	}
	if tok == nil {
		return nil, ocpp.Missing("/idTag")
	}
	return ocpp.Authorize{Token: *tok}, nil
}

// token returns the idTag, nil when the message has none. An empty idTag is a
// token without a value: it was sent.
func token(o ocpp.Object) (*holdfast.Token, *ocpp.Error) {
	if !o.Has("idTag") {
		return nil, nil
	}
	value, ok := o["idTag"].(string)
	if !ok {
		return nil, &ocpp.Error{Code: ocpp.TypeConstraintViolation, Pointer: "/idTag", Description: "is not a string"}
	}
	if len(value) > holdfast.MaxTokenLen {
		return nil, ocpp.Invalid("/idTag", "is too long")
	}
	return &holdfast.Token{Value: value}, nil
}

func boot(o ocpp.Object, _ []byte) (ocpp.Event, *ocpp.Error) {
	b := ocpp.Boot{
		Vendor:   o.Text("chargePointVendor"),
		Model:    o.Text("chargePointModel"),
		Serial:   o.Text("chargePointSerialNumber"),
		Firmware: o.Text("firmwareVersion"),
	}
	if b.Serial == "" {
		b.Serial = o.Text("chargeBoxSerialNumber") // its deprecated name
	}
	return b, nil
}

func data(o ocpp.Object, payload []byte) (ocpp.Event, *ocpp.Error) {
	if !o.Has("vendorId") {
		return nil, ocpp.Missing("/vendorId")
	}
	return ocpp.Data{Vendor: o.Text("vendorId"), MessageID: o.Text("messageId"), Data: o.Raw(payload, "data")}, nil
}

func progress(what string) func(ocpp.Object, []byte) (ocpp.Event, *ocpp.Error) {
	return func(o ocpp.Object, _ []byte) (ocpp.Event, *ocpp.Error) { return ocpp.ReadProgress(what, o) }
}

func heartbeat(ocpp.Object, []byte) (ocpp.Event, *ocpp.Error) { return ocpp.Heartbeat{}, nil }

// connector reads a connectorId: required, and not negative.
func connector(o ocpp.Object) (int, *ocpp.Error) {
	if !o.Has("connectorId") {
		return 0, ocpp.Missing("/connectorId")
	}
	n, ok := o.Int("connectorId")
	if !ok || n < 0 {
		return 0, ocpp.Invalid("/connectorId", "is not a connector number")
	}
	return n, nil
}

func status(o ocpp.Object, _ []byte) (ocpp.Event, *ocpp.Error) {
	n, err := connector(o)
	if err != nil {
		return nil, err
	}
	s := ocpp.Status{EVSE: n, Detail: o.Text("status"), Error: o.Text("errorCode")}
	if n > 0 {
		s.Connector = 1
	}
	if s.Error == "NoError" {
		s.Error = ""
	}
	s.Status = connectorStatus(s.Detail)
	s.At, _ = ocpp.ParseTime(o.Text("timestamp"))
	return s, nil
}

// connectorStatus maps ChargePointStatus; a word that 1.6 does not have is "",
// which is not the same as Unavailable.
func connectorStatus(s string) ocpp.ConnectorStatus {
	switch s {
	case "Preparing", "Charging", "SuspendedEV", "SuspendedEVSE", "Finishing":
		return ocpp.Occupied
	case "Available", "Reserved", "Unavailable", "Faulted":
		return ocpp.ConnectorStatus(s)
	}
	return ""
}

// at reads the timestamp that a transaction message must have.
func at(o ocpp.Object) (holdfast.UnixMilli, string, *ocpp.Error) {
	if !o.Has("timestamp") {
		return 0, "", ocpp.Missing("/timestamp")
	}
	raw := o.Text("timestamp")
	t, ok := ocpp.ParseTime(raw)
	if !ok {
		return 0, raw, ocpp.Invalid("/timestamp", "is not a time")
	}
	return t, raw, nil
}

// register reads meterStart or meterStop, in Wh. What is negative or beyond 64
// bits is a reading without a register.
func register(o ocpp.Object, name string, t holdfast.UnixMilli, c holdfast.ReadingContext) (holdfast.Reading, *ocpp.Error) {
	r := holdfast.Reading{At: t, Context: c}
	if !o.Has(name) {
		return r, ocpp.Missing("/" + name)
	}
	if n, ok := ocpp.ParseDecimal(o.Number(name), 0); ok && n >= 0 {
		wh := holdfast.WattHours(n)
		r.Register = &wh
	}
	return r, nil
}

func start(o ocpp.Object, _ []byte) (ocpp.Event, *ocpp.Error) {
	t := ocpp.Transaction{Kind: ocpp.TxStarted, Connector: 1}
	var err *ocpp.Error
	if t.EVSE, err = connector(o); err != nil {
		return nil, err
	}
	if t.Token, err = token(o); err != nil {
		return nil, err
	}
	if t.At, t.AtRaw, err = at(o); err != nil {
		return nil, err
	}
	r, err := register(o, "meterStart", t.At, holdfast.ContextBegin)
	if err != nil {
		return nil, err
	}
	t.Readings = []holdfast.Reading{r}
	if n, ok := o.Int("reservationId"); ok {
		t.Reserved = &n
	}
	return t, nil
}

func stop(o ocpp.Object, _ []byte) (ocpp.Event, *ocpp.Error) {
	t := ocpp.Transaction{Kind: ocpp.TxEnded, Reason: o.Text("reason")}
	if !o.Has("transactionId") {
		return nil, ocpp.Missing("/transactionId")
	}
	var ok bool
	if t.ID, ok = o.TransactionID("transactionId"); !ok {
		return nil, ocpp.Invalid("/transactionId", "is not a transaction id")
	}
	var err *ocpp.Error
	if t.Token, err = token(o); err != nil {
		return nil, err
	}
	if t.At, t.AtRaw, err = at(o); err != nil {
		return nil, err
	}
	r, err := register(o, "meterStop", t.At, holdfast.ContextEnd)
	if err != nil {
		return nil, err
	}
	t.Readings = append(readings(o.Objects("transactionData")), r)
	return t, nil
}

func meterValues(o ocpp.Object, _ []byte) (ocpp.Event, *ocpp.Error) {
	n, err := connector(o)
	if err != nil {
		return nil, err
	}
	m := ocpp.Meter{EVSE: n}
	m.TransactionID, _ = o.TransactionID("transactionId")
	m.Readings = readings(o.Objects("meterValue"))
	return m, nil
}

// readings folds MeterValue elements; each has one timestamp for its samples. A
// timestamp that is none leaves the reading's time open: it is the samples that
// count.
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

func sample(s ocpp.Object) ocpp.Sample {
	out := ocpp.Sample{
		Value:     s.Number("value"),
		Context:   s.Text("context"),
		Measurand: s.Text("measurand"),
		Phase:     s.Text("phase"),
		Location:  s.Text("location"),
		Unit:      s.Text("unit"),
	}
	if s.Text("format") == "SignedData" {
		out.Opaque, out.Signed = true, out.Value
	}
	return out
}
