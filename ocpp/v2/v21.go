package v2

import (
	"encoding/json"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ocpp"
)

// added is what 2.1 has beyond 2.0.1: part 2 of OCPP 2.1, section "Messages".
func added() []ocpp.Message {
	return []ocpp.Message{
		{Action: "AFRRSignal", FromCSMS: true, Command: "Invoke"},
		{Action: "AdjustPeriodicEventStream", FromCSMS: true, Command: "Invoke"},
		{Action: "BatterySwap", FromCS: true, Event: "Other"},
		{Action: "ChangeTransactionTariff", FromCSMS: true, Command: "Invoke"},
		{Action: "ClearDERControl", FromCSMS: true, Command: "Invoke"},
		{Action: "ClearTariffs", FromCSMS: true, Command: "Invoke"},
		{Action: "ClosePeriodicEventStream", FromCS: true, Event: "Other"},
		{Action: "GetCertificateChainStatus", FromCS: true, Event: "Other"},
		{Action: "GetDERControl", FromCSMS: true, Command: "Invoke"},
		{Action: "GetPeriodicEventStream", FromCSMS: true, Command: "Invoke"},
		{Action: "GetTariffs", FromCSMS: true, Command: "Invoke"},
		{Action: "NotifyAllowedEnergyTransfer", FromCSMS: true, Command: "Invoke"},
		{Action: "NotifyDERAlarm", FromCS: true, Event: "Other"},
		{Action: "NotifyDERStartStop", FromCS: true, Event: "Other"},
		{Action: "NotifyPeriodicEventStream", FromCS: true, Event: "Other"},
		{Action: "NotifyPriorityCharging", FromCS: true, Event: "Other"},
		{Action: "NotifySettlement", FromCS: true, Event: "Other"},
		{Action: "NotifyWebPaymentStarted", FromCSMS: true, Command: "Invoke"},
		{Action: "OpenPeriodicEventStream", FromCS: true, Event: "Other"},
		{Action: "PullDynamicScheduleUpdate", FromCS: true, Event: "Other"},
		{Action: "ReportDERControl", FromCS: true, Event: "Other"},
		{Action: "RequestBatterySwap", FromCSMS: true, Command: "Invoke"},
		{Action: "SetDERControl", FromCSMS: true, Command: "Invoke"},
		{Action: "SetDefaultTariff", FromCSMS: true, Command: "Invoke"},
		{Action: "UpdateDynamicSchedule", FromCSMS: true, Command: "Invoke"},
		{Action: "UsePriorityCharging", FromCSMS: true, Command: "Invoke"},
		{Action: "VatNumberValidation", FromCS: true, Event: "Other"},
	}
}

// repeating returns the reader of a message whose neutral answer repeats part of
// it, nil for others.
func repeating(action string) func(ocpp.Object, []byte) (ocpp.Event, *ocpp.Error) {
	switch action {
	case "GetCertificateChainStatus", "VatNumberValidation":
		return func(o ocpp.Object, _ []byte) (ocpp.Event, *ocpp.Error) {
			return ocpp.Other{Action: action, Asked: o}, nil
		}
	}
	return nil
}

// neutral21 is the neutral answer to what 2.1 added: services that are not
// offered here (streams, dynamic schedules, VAT numbers) are refused, what is
// only reported is taken note of. A SEND has no answer; what is returned for one
// is never sent.
func neutral21(action string, ev ocpp.Event) []byte {
	other, _ := ev.(ocpp.Other)
	switch action {
	case "BatterySwap", "ClosePeriodicEventStream", "NotifyDERAlarm", "NotifyDERStartStop", "NotifyPeriodicEventStream",
		"NotifyPriorityCharging", "NotifySettlement", "ReportDERControl":
		return []byte("{}")
	case "OpenPeriodicEventStream", "PullDynamicScheduleUpdate":
		return statusOnly("Rejected")
	case "VatNumberValidation":
		return ocpp.Marshal(struct {
			Number string `json:"vatNumber"`
			Status string `json:"status"`
		}{clip(other.Asked.Text("vatNumber"), maxVAT), "Rejected"})
	case "GetCertificateChainStatus":
		return chainStatus(other.Asked)
	}
	return nil
}

// Bounds of 2.1 on what these answers repeat, in characters.
const (
	maxVAT         = 20
	maxHash        = 128
	maxSerial      = 40
	maxCertificate = 4 // elements
)

func clip(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most])
	}
	return s
}

type certificateHash struct {
	Algorithm  string `json:"hashAlgorithm"`
	IssuerName string `json:"issuerNameHash"`
	IssuerKey  string `json:"issuerKeyHash"`
	Serial     string `json:"serialNumber"`
}

type certificateStatus struct {
	Hash   certificateHash `json:"certificateHashData"`
	Source string          `json:"source"`
	Status string          `json:"status"`
	Next   string          `json:"nextUpdate"`
}

// chainStatus says of each certificate that its status could not be found: no
// authority is asked here.
func chainStatus(o ocpp.Object) []byte {
	var out struct {
		List []certificateStatus `json:"certificateStatus"`
	}
	for _, r := range o.Objects("certificateStatusRequests") {
		if len(out.List) == maxCertificate {
			break
		}
		h := r.Object("certificateHashData")
		s := certificateStatus{Source: "OCSP", Status: "Failed", Next: ocpp.FormatTime(0), Hash: certificateHash{
			"SHA256", clip(h.Text("issuerNameHash"), maxHash), clip(h.Text("issuerKeyHash"), maxHash), clip(h.Text("serialNumber"), maxSerial)}}
		switch a := h.Text("hashAlgorithm"); a {
		case "SHA384", "SHA512":
			s.Hash.Algorithm = a
		}
		if r.Text("source") == "CRL" {
			s.Source = "CRL"
		}
		out.List = append(out.List, s)
	}
	if out.List == nil {
		out.List = []certificateStatus{{Source: "OCSP", Status: "Failed", Next: ocpp.FormatTime(0), Hash: certificateHash{Algorithm: "SHA256"}}}
	}
	return ocpp.Marshal(out)
}

// transactionLimit is TransactionLimitType: what the charger watches as well as
// we do, so that a transaction ends in time when the gateway is gone (E16).
type transactionLimit struct {
	Energy json.Number `json:"maxEnergy,omitempty"` // Wh
	Time   int64       `json:"maxTime,omitempty"`   // s
}

// maxSeconds bounds maxTime: an int32, as every OCPP integer.
const maxSeconds = 1<<31 - 1

func limitOf(l holdfast.Limits) *transactionLimit {
	if l.Energy <= 0 && l.Seconds <= 0 {
		return nil
	}
	out := &transactionLimit{}
	if l.Energy > 0 {
		out.Energy = ocpp.Tenths(min(int64(l.Energy), 1<<50) * 10)
	}
	if l.Seconds > 0 {
		out.Time = min(l.Seconds, maxSeconds)
	}
	return out
}
