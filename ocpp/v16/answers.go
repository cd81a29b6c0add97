package v16

import (
	"fmt"
	"unicode/utf8"

	"github.com/holdfast-ev/holdfast/ocpp"
)

// maxIDTag bounds idTag and parentIdTag: CiString20 (section 3.2.1 ff.).
const maxIDTag = 20 // characters

type idTagInfo struct {
	Status  string `json:"status"`
	Expires string `json:"expiryDate,omitempty"`
	Parent  string `json:"parentIdTag,omitempty"`
}

// info maps a verdict. NoCredit does not exist in 1.6 and reads as Blocked; a
// word that is unknown here reads as Invalid. A group that 1.6 cannot carry is
// left out.
func info(a ocpp.AuthAnswer) idTagInfo {
	out := idTagInfo{Status: string(a.Status)}
	switch a.Status {
	case ocpp.AuthAccepted, ocpp.AuthBlocked, ocpp.AuthExpired, ocpp.AuthInvalid, ocpp.AuthConcurrentTx:
	case ocpp.AuthNoCredit:
		out.Status = string(ocpp.AuthBlocked)
	default:
		out.Status = string(ocpp.AuthInvalid)
	}
	if a.Expires != 0 {
		out.Expires = ocpp.FormatTime(a.Expires)
	}
	if utf8.RuneCountInString(a.Group) <= maxIDTag {
		out.Parent = a.Group
	}
	return out
}

// Answer implements [ocpp.Dialect].
func (Dialect) Answer(action string, ev ocpp.Event, a ocpp.Answer) []byte {
	switch a := a.(type) {
	case ocpp.BootAnswer:
		if action == "BootNotification" {
			return ocpp.Marshal(struct {
				Status   string `json:"status"`
				Now      string `json:"currentTime"`
				Interval int    `json:"interval"`
			}{a.Status, ocpp.FormatTime(a.Now), a.IntervalS})
		}
	case ocpp.TimeAnswer:
		if action == "Heartbeat" {
			return ocpp.Marshal(struct {
				Now string `json:"currentTime"`
			}{ocpp.FormatTime(a.Now)})
		}
	case ocpp.AuthAnswer:
		if action == "Authorize" {
			return ocpp.Marshal(struct {
				Info idTagInfo `json:"idTagInfo"`
			}{info(a)})
		}
	case ocpp.TxAnswer:
		if out := transaction(action, a); out != nil {
			return out
		}
	case ocpp.DataAnswer:
		if action == "DataTransfer" {
			return statusOnly(a.Status)
		}
	case ocpp.Done:
		if out := neutral(action); out != nil {
			return out
		}
	}
	panic(fmt.Sprintf("v16: %T is no answer to %s (%T)", a, action, ev))
}

func transaction(action string, a ocpp.TxAnswer) []byte {
	switch action {
	case "StartTransaction":
		verdict := ocpp.AuthAnswer{Status: ocpp.AuthInvalid} // idTagInfo is mandatory here
		if a.Auth != nil {
			verdict = *a.Auth
		}
		return ocpp.Marshal(struct {
			Info idTagInfo `json:"idTagInfo"`
			ID   int32     `json:"transactionId"`
		}{info(verdict), a.ID})
	case "StopTransaction":
		var out struct {
			Info *idTagInfo `json:"idTagInfo,omitempty"`
		}
		if a.Auth != nil {
			i := info(*a.Auth)
			out.Info = &i
		}
		return ocpp.Marshal(out)
	}
	return nil
}

func statusOnly(s string) []byte {
	return ocpp.Marshal(struct {
		Status string `json:"status"`
	}{s})
}

// neutral is the standard's answer to a message that nothing is decided about.
// A stop may be answered so too: its idTagInfo is optional.
func neutral(action string) []byte {
	switch action {
	case "DiagnosticsStatusNotification", "FirmwareStatusNotification", "LogStatusNotification", "MeterValues",
		"SecurityEventNotification", "SignedFirmwareStatusNotification", "StatusNotification", "StopTransaction":
		return []byte("{}")
	case "SignCertificate":
		return statusOnly("Rejected") // no certificate is issued here (security whitepaper, A02)
	case "DataTransfer":
		return statusOnly("UnknownVendorId")
	}
	return nil
}
