package charger

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"time"
)

// v201 is OCPP 2.0.1 (edition 3, part 2).
type v201 struct{}

func (v201) protocol() string { return "ocpp2.0.1" }

func (v201) boot(o *Options, reason string) request {
	return request{"BootNotification", map[string]any{
		"reason": reason,
		"chargingStation": map[string]any{
			"vendorName": clip(o.Vendor, 50), "model": clip(o.Model, 20),
			"serialNumber": clip(o.ID, 25), "firmwareVersion": "1.0.0",
		},
	}}
}

func (v201) bootAnswer(payload json.RawMessage) (string, time.Time, int, error) {
	return v16{}.bootAnswer(payload) // the same three fields
}

func (v201) heartbeat() request { return request{"Heartbeat", struct{}{}} }

func (v201) heartbeatAnswer(payload json.RawMessage) (time.Time, error) {
	return v16{}.heartbeatAnswer(payload)
}

func (v201) status(evse int, s plugState, at string) request {
	word := "Occupied"
	if s == vacant {
		word = "Available"
	}
	return request{"StatusNotification", map[string]any{
		"timestamp": at, "connectorStatus": word, "evseId": evse, "connectorId": 1,
	}}
}

// idToken types a token by its look: what a reader in the field would say.
func idToken(token string) map[string]any {
	typ := "Central"
	if n := len(token); (n == 8 || n == 14) && strings.Trim(strings.ToUpper(token), "0123456789ABCDEF") == "" {
		typ = "ISO14443"
	}
	return map[string]any{"idToken": clip(token, 36), "type": typ}
}

func (v201) authorize(token string) request {
	return request{"Authorize", map[string]any{"idToken": idToken(token)}}
}

func (v201) authorized(payload json.RawMessage) (string, error) {
	var a struct {
		Info struct {
			Status string `json:"status"`
		} `json:"idTokenInfo"`
	}
	err := read(payload, &a)
	return a.Info.Status, err
}

func (v201) newTransactionID(r *rand.Rand) string { return uuidOf(r) }

func (v201) addressable(*session) bool { return true }

func (d v201) transaction(c *Charger, m *message) request {
	s := m.s
	info := map[string]any{"transactionId": s.TransactionID}
	p := map[string]any{
		"timestamp": stamp(m.at), "triggerReason": m.trigger, "seqNo": m.seq, "offline": m.offline,
		"evse": map[string]any{"id": s.EVSE, "connectorId": 1}, "transactionInfo": info,
	}
	wh, when := m.wh, "Sample.Periodic"
	switch m.phase {
	case started:
		p["eventType"], when = "Started", "Transaction.Begin"
		p["idToken"], info["chargingState"] = idToken(s.Token), "Charging"
		if s.remoteID != nil {
			info["remoteStartId"] = *s.remoteID
		}
		if c.o.Flaws.PlaceholderStart {
			wh = 0
		}
	case sampled:
		p["eventType"], info["chargingState"] = "Updated", "Charging"
		if m.watts == 0 {
			info["chargingState"] = "SuspendedEVSE"
		}
	case ended:
		p["eventType"], when = "Ended", "Transaction.End"
		info["stoppedReason"], info["chargingState"] = m.reason, "EVConnected"
		if m.trigger == "StopAuthorized" {
			p["idToken"] = idToken(s.Token)
		}
	}
	p["meterValue"] = []any{d.reading(&c.o, stamp(m.at), wh, m.watts, when)}
	return request{"TransactionEvent", p}
}

func (v201) reading(o *Options, at string, wh, watts int64, context string) map[string]any {
	value, unit := o.register(wh)
	return map[string]any{"timestamp": at, "sampledValue": []any{
		map[string]any{
			"value": json.Number(value), "context": context, "measurand": "Energy.Active.Import.Register",
			"location": "Outlet", "unitOfMeasure": map[string]any{"unit": unit},
		},
		map[string]any{
			"value": watts, "context": context, "measurand": "Power.Active.Import",
			"unitOfMeasure": map[string]any{"unit": "W"},
		},
	}}
}

func (v201) transacted(_ phase, payload json.RawMessage) (status, id string, err error) {
	var a struct {
		Info *struct {
			Status string `json:"status"`
		} `json:"idTokenInfo"`
	}
	if err = read(payload, &a); err != nil || a.Info == nil {
		return "", "", err
	}
	return a.Info.Status, "", nil
}

func (d v201) meterValues(c *Charger, e *evse, at string, wh int64) request {
	return request{"MeterValues", map[string]any{
		"evseId": e.id, "meterValue": []any{d.reading(&c.o, at, wh, e.meter.power, "Trigger")},
	}}
}

// keys201 are the variables that this charger has, as Component.Variable.
var keys201 = map[string]setting{
	"OCPPCommCtrlr.HeartbeatInterval":                        heartbeatInterval,
	"SampledDataCtrlr.TxUpdatedInterval":                     sampleInterval,
	"OCPPCommCtrlr.MessageAttempts[TransactionEvent]":        attempts,
	"OCPPCommCtrlr.MessageAttemptInterval[TransactionEvent]": retryInterval,
	"TxCtrlr.StopTxOnInvalidId":                              stopOnInvalid,
	"AuthCtrlr.LocalAuthorizeOffline":                        offlineKnown,
	"AuthCtrlr.OfflineTxForUnknownIdEnabled":                 offlineUnknown,
	"AuthCtrlr.LocalPreAuthorize":                            preAuth,
	"AuthCacheCtrlr.Enabled":                                 cacheOn,
	"LocalAuthListCtrlr.Enabled":                             listOn,
	"LocalAuthListCtrlr.Available":                           listThere,
	"LocalAuthListCtrlr.ItemsPerMessage":                     listChunk,
	"LocalAuthListCtrlr.Entries":                             listCount,
}

// variable names one variable of a component in GetVariables and SetVariables.
type variable struct {
	Component named  `json:"component"`
	Variable  named  `json:"variable"`
	Value     string `json:"attributeValue"`
}

type named struct {
	Name     string `json:"name"`
	Instance string `json:"instance,omitempty"`
}

func (v variable) key() string {
	k := v.Component.Name + "." + v.Variable.Name
	if v.Variable.Instance != "" {
		k += "[" + v.Variable.Instance + "]"
	}
	return k
}

// order201 is every field that a command of the other side may have.
type order201 struct {
	EVSEID  int `json:"evseId"`
	IDToken struct {
		IDToken string `json:"idToken"`
	} `json:"idToken"`
	RemoteStartID    *int   `json:"remoteStartId"`
	TransactionID    string `json:"transactionId"`
	RequestedMessage string `json:"requestedMessage"`
	EVSE             struct {
		ID int `json:"id"`
	} `json:"evse"`
	Get     []variable `json:"getVariableData"`
	Set     []variable `json:"setVariableData"`
	Profile profile    `json:"chargingProfile"`

	Duration  int64 `json:"duration"`
	ProfileID *int  `json:"chargingProfileId"`
	Criteria  struct {
		EVSE    *int   `json:"evseId"`
		Stack   *int   `json:"stackLevel"`
		Purpose string `json:"chargingProfilePurpose"`
	} `json:"chargingProfileCriteria"`
	VersionNumber int64  `json:"versionNumber"`
	UpdateType    string `json:"updateType"`
	List          []struct {
		Token struct {
			IDToken string `json:"idToken"`
		} `json:"idToken"`
		Info *listInfo `json:"idTokenInfo"`
	} `json:"localAuthorizationList"`
}

func (o *order201) items() (items []listItem) {
	for _, e := range o.List {
		items = append(items, listItem{e.Token.IDToken, e.Info})
	}
	return items
}

func (d v201) command(c *Charger, action string, payload json.RawMessage) (any, *callError) {
	var o order201
	if err := read(payload, &o); err != nil {
		return nil, formation("FormatViolation", err)
	}
	switch action {
	case "RequestStartTransaction":
		return status(c.remoteStartLocked(o.EVSEID, o.IDToken.IDToken, o.RemoteStartID)), nil
	case "RequestStopTransaction":
		return status(c.remoteStopLocked(o.TransactionID)), nil
	case "TriggerMessage":
		return status(c.triggerLocked(o.RequestedMessage, o.EVSE.ID)), nil
	case "GetVariables":
		return d.getVariables(c, o.Get), nil
	case "SetVariables":
		return d.setVariables(c, o.Set), nil
	case "SetChargingProfile":
		return status(c.setProfileLocked(o.EVSEID, o.Profile)), nil
	case "ClearChargingProfile":
		k := o.Criteria
		return status(c.clearProfilesLocked(clearing{id: o.ProfileID, evse: k.EVSE, stack: k.Stack, purpose: k.Purpose})), nil
	case "GetCompositeSchedule":
		return d.composite(c, o), nil
	case "GetTransactionStatus":
		return d.transactionStatus(c, o.TransactionID), nil
	case "Reset":
		c.resetLocked("RemoteReset")
		return status("Accepted"), nil
	case "ClearCache":
		clear(c.known)
		if !c.set.on(cacheOn) {
			return status("Rejected"), nil // C11.FR.04
		}
		return status("Accepted"), nil
	case "ChangeAvailability":
		return status("Accepted"), nil
	case "UnlockConnector":
		return status("Unlocked"), nil
	case "DataTransfer":
		return status("UnknownVendorId"), nil
	case "GetLocalListVersion":
		return map[string]any{"versionNumber": c.listVersionLocked(0)}, nil // D02.FR.02: 0 where there is none
	case "SendLocalList":
		if c.o.LocalList > 0 {
			if !c.set.on(listOn) {
				return status("Failed"), nil
			}
			return status(c.updateLocked(o.VersionNumber, o.UpdateType == "Full", o.items())), nil
		}
	}
	return nil, &callError{Code: "NotImplemented", Text: "this charger does not know " + clip(action, 50)}
}

func (v201) getVariables(c *Charger, list []variable) any {
	out := []any{}
	for _, v := range list {
		r := map[string]any{"component": v.Component, "variable": v.Variable, "attributeStatus": "UnknownVariable"}
		if k, ok := keys201[v.key()]; ok && c.has(k) {
			r["attributeStatus"], r["attributeValue"] = "Accepted", c.set.text(k)
		}
		out = append(out, r)
	}
	return map[string]any{"getVariableResult": out}
}

func (v201) setVariables(c *Charger, list []variable) any {
	out := []any{}
	for _, v := range list {
		word := "UnknownVariable"
		if k, ok := keys201[v.key()]; ok && c.has(k) {
			word = c.set.write(k, v.Value)
		}
		out = append(out, map[string]any{"component": v.Component, "variable": v.Variable, "attributeStatus": word})
	}
	return map[string]any{"setVariableResult": out}
}

// transactionStatus answers GetTransactionStatus (E14).
func (v201) transactionStatus(c *Charger, id string) any {
	queued := false
	for _, m := range c.queue {
		queued = queued || id == "" || m.s.TransactionID == id
	}
	answer := map[string]any{"messagesInQueue": queued}
	for _, s := range c.sessions {
		if id != "" && s.TransactionID == id {
			answer["ongoingIndicator"] = !s.ended
		}
	}
	return answer
}

// composite answers GetCompositeSchedule (2.0.1 K08).
func (v201) composite(c *Charger, o order201) any {
	limits, ok := c.compositeLocked(o.EVSEID, o.Duration)
	if !ok {
		return status("Rejected")
	}
	return map[string]any{"status": "Accepted", "schedule": map[string]any{
		"evseId": o.EVSEID, "duration": o.Duration, "scheduleStart": stamp(c.o.Now().Add(c.clock)), "chargingRateUnit": "W", "chargingSchedulePeriod": periods(limits),
	}}
}
