package v2

import (
	"fmt"
	"unicode/utf8"

	"github.com/holdfast-ev/holdfast/ocpp"
)

// maxIDToken bounds IdTokenType.idToken, in characters: identifierString[36],
// and in 2.1 [255].
func (d Dialect) maxIDToken() int {
	if d.Version() == ocpp.V201 {
		return 36
	}
	return 255
}

type idToken struct {
	Value string `json:"idToken"`
	Type  string `json:"type"`
}

type idTokenInfo struct {
	Status  string   `json:"status"`
	Expires string   `json:"cacheExpiryDateTime,omitempty"`
	Group   *idToken `json:"groupIdToken,omitempty"`
}

// info maps a verdict; a word that is unknown here reads as Invalid. A group is
// a Central token; one that is too long to carry is left out.
func (d Dialect) info(a ocpp.AuthAnswer) idTokenInfo {
	out := idTokenInfo{Status: string(a.Status)}
	switch a.Status {
	case ocpp.AuthAccepted, ocpp.AuthBlocked, ocpp.AuthExpired, ocpp.AuthInvalid, ocpp.AuthConcurrentTx, ocpp.AuthNoCredit:
	default:
		out.Status = string(ocpp.AuthInvalid)
	}
	if a.Expires != 0 {
		out.Expires = ocpp.FormatTime(a.Expires)
	}
	if a.Group != "" && utf8.RuneCountInString(a.Group) <= d.maxIDToken() {
		out.Group = &idToken{Value: a.Group, Type: "Central"}
	}
	return out
}

// Answer implements [ocpp.Dialect].
func (d Dialect) Answer(action string, ev ocpp.Event, a ocpp.Answer) []byte {
	switch a := a.(type) {
	case ocpp.BootAnswer:
		if action == "BootNotification" {
			return ocpp.Marshal(struct {
				Now      string `json:"currentTime"`
				Interval int    `json:"interval"`
				Status   string `json:"status"`
			}{ocpp.FormatTime(a.Now), a.IntervalS, a.Status})
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
				Info idTokenInfo `json:"idTokenInfo"`
			}{d.info(a)})
		}
	case ocpp.TxAnswer:
		if action == "TransactionEvent" {
			var out struct {
				Info  *idTokenInfo      `json:"idTokenInfo,omitempty"`
				Limit *transactionLimit `json:"transactionLimit,omitempty"`
			}
			if a.Auth != nil {
				i := d.info(*a.Auth)
				out.Info = &i
			}
			if d.Version() == ocpp.V21 {
				out.Limit = limitOf(a.Limits)
			}
			return ocpp.Marshal(out)
		}
	case ocpp.DataAnswer:
		if action == "DataTransfer" {
			return statusOnly(a.Status)
		}
	case ocpp.Done:
		if out := neutral(action); out != nil {
			return out
		}
		if out := neutral21(action, ev); out != nil && d.Version() == ocpp.V21 {
			return out
		}
	}
	panic(fmt.Sprintf("v2: %T is no answer to %s (%T)", a, action, ev))
}

func statusOnly(s string) []byte {
	return ocpp.Marshal(struct {
		Status string `json:"status"`
	}{s})
}

// neutral is the standard's answer to a message that nothing is decided about.
// What asks for a service that is not offered here is told so: no certificate
// is signed, fetched or looked up, and no schedule is made.
func neutral(action string) []byte {
	switch action {
	case "ClearedChargingLimit", "FirmwareStatusNotification", "LogStatusNotification", "MeterValues",
		"NotifyChargingLimit", "NotifyCustomerInformation", "NotifyDisplayMessages", "NotifyEvent",
		"NotifyMonitoringReport", "NotifyReport", "PublishFirmwareStatusNotification", "ReportChargingProfiles",
		"ReservationStatusUpdate", "SecurityEventNotification", "StatusNotification", "TransactionEvent":
		return []byte("{}")
	case "Get15118EVCertificate":
		return []byte(`{"status":"Failed","exiResponse":""}`)
	case "GetCertificateStatus":
		return statusOnly("Failed")
	case "NotifyEVChargingNeeds":
		return statusOnly("Rejected") // NotifyEVChargingNeedsStatusEnumType: service not available
	case "NotifyEVChargingSchedule":
		return statusOnly("Accepted") // received; does not approve the schedule
	case "SignCertificate":
		return statusOnly("Rejected")
	case "DataTransfer":
		return statusOnly("UnknownVendorId")
	}
	return nil
}
