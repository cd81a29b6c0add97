package charger

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"time"
)

// v16 is OCPP 1.6J (edition 2), sections 4, 5 and 6.
type v16 struct{}

func (v16) protocol() string { return "ocpp1.6" }

func (v16) boot(o *Options, _ string) request {
	return request{"BootNotification", map[string]any{
		"chargePointVendor": clip(o.Vendor, 20), "chargePointModel": clip(o.Model, 20),
		"chargePointSerialNumber": clip(o.ID, 25), "firmwareVersion": "1.0.0",
	}}
}

func (v16) bootAnswer(payload json.RawMessage) (string, time.Time, int, error) {
	var a struct {
		Status      string    `json:"status"`
		CurrentTime time.Time `json:"currentTime"`
		Interval    int       `json:"interval"`
	}
	err := read(payload, &a)
	return a.Status, a.CurrentTime, a.Interval, err
}

func (v16) heartbeat() request { return request{"Heartbeat", struct{}{}} }

func (v16) heartbeatAnswer(payload json.RawMessage) (time.Time, error) {
	var a struct {
		CurrentTime time.Time `json:"currentTime"`
	}
	err := read(payload, &a)
	return a.CurrentTime, err
}

func (v16) status(evse int, s plugState, at string) request {
	word := [...]string{vacant: "Available", occupied: "Preparing", charging: "Charging", suspended: "SuspendedEVSE"}[s]
	return request{"StatusNotification", map[string]any{
		"connectorId": evse, "errorCode": "NoError", "status": word, "timestamp": at,
	}}
}

func (v16) authorize(token string) request {
	return request{"Authorize", map[string]any{"idTag": clip(token, 20)}}
}

func (v16) authorized(payload json.RawMessage) (string, error) {
	var a struct {
		Info struct {
			Status string `json:"status"`
		} `json:"idTagInfo"`
	}
	err := read(payload, &a)
	return a.Info.Status, err
}

// newTransactionID: the other side assigns it (section 5.11 there, 4.8 here).
func (v16) newTransactionID(*rand.Rand) string { return "" }

func (v16) addressable(s *session) bool { return s.TransactionID != "" }

func (d v16) transaction(c *Charger, m *message) request {
	s := m.s
	switch m.phase {
	case started:
		start := m.wh
		if c.o.Flaws.PlaceholderStart {
			start = 0
		}
		return request{"StartTransaction", map[string]any{
			"connectorId": s.EVSE, "idTag": clip(s.Token, 20), "meterStart": start, "timestamp": stamp(m.at),
		}}
	case sampled:
		return request{"MeterValues", map[string]any{
			"connectorId": s.EVSE, "transactionId": transactionID(s),
			"meterValue": []any{d.reading(&c.o, m.at, m.wh, m.watts, "Sample.Periodic")},
		}}
	}
	return request{"StopTransaction", map[string]any{
		"transactionId": transactionID(s), "idTag": clip(s.Token, 20), "meterStop": m.wh,
		"timestamp": stamp(m.at), "reason": m.reason,
	}}
}

// transactionID returns the id that the other side assigned, or -1 when its
// answer never came.
func transactionID(s *session) int64 {
	id, err := strconv.ParseInt(s.TransactionID, 10, 64)
	if err != nil || s.forgot {
		return -1
	}
	return id
}

func (v16) reading(o *Options, at time.Time, wh, watts int64, context string) map[string]any {
	value, unit := o.register(wh)
	return map[string]any{"timestamp": stamp(at), "sampledValue": []any{
		map[string]any{
			"value": value, "context": context, "measurand": "Energy.Active.Import.Register",
			"location": "Outlet", "unit": unit,
		},
		map[string]any{
			"value": strconv.FormatInt(watts, 10), "context": context, "measurand": "Power.Active.Import", "unit": "W",
		},
	}}
}

func (v16) transacted(p phase, payload json.RawMessage) (status, id string, err error) {
	var a struct {
		TransactionID *int64 `json:"transactionId"`
		Info          struct {
			Status string `json:"status"`
		} `json:"idTagInfo"`
	}
	if err = read(payload, &a); err != nil {
		return "", "", err
	}
	if p == started && a.TransactionID != nil {
		id = strconv.FormatInt(*a.TransactionID, 10)
	}
	return a.Info.Status, id, nil
}

func (d v16) meterValues(c *Charger, e *evse, at string, wh int64) request {
	payload := map[string]any{"connectorId": e.id}
	if e.session != nil && d.addressable(e.session) {
		payload["transactionId"] = transactionID(e.session)
	}
	r := d.reading(&c.o, time.Time{}, wh, e.meter.power, "Trigger")
	r["timestamp"] = at
	payload["meterValue"] = []any{r}
	return request{"MeterValues", payload}
}

// keys16 are the configuration keys that this charger has (section 9).
var keys16 = map[string]setting{
	"HeartbeatInterval":               heartbeatInterval,
	"MeterValueSampleInterval":        sampleInterval,
	"TransactionMessageAttempts":      attempts,
	"TransactionMessageRetryInterval": retryInterval,
	"StopTransactionOnInvalidId":      stopOnInvalid,
	"LocalAuthorizeOffline":           offlineKnown,
	"AllowOfflineTxForUnknownId":      offlineUnknown,
	"NumberOfConnectors":              evseCount,
	"AuthorizationCacheEnabled":       cacheOn,
	"LocalPreAuthorize":               preAuth,
	"LocalAuthListEnabled":            listOn,
	"LocalAuthListMaxLength":          listMax,
	"SendLocalListMaxLength":          listChunk,
}

// order16 is every field that a command of the other side may have.
type order16 struct {
	ConnectorID      int     `json:"connectorId"`
	IDTag            string  `json:"idTag"`
	TransactionID    int64   `json:"transactionId"`
	RequestedMessage string  `json:"requestedMessage"`
	Key              any     `json:"key"` // a string or a list of them
	Value            string  `json:"value"`
	Type             string  `json:"type"`
	Profile          profile `json:"csChargingProfiles"`
	Duration         int64   `json:"duration"`
	ID               *int    `json:"id"`
	Connector        *int    `json:"-"` // ConnectorID, when it was given
	Stack            *int    `json:"stackLevel"`
	Purpose          string  `json:"chargingProfilePurpose"`
	ListVersion      int64   `json:"listVersion"`
	UpdateType       string  `json:"updateType"`
	List             []struct {
		IDTag string    `json:"idTag"`
		Info  *listInfo `json:"idTagInfo"`
	} `json:"localAuthorizationList"`
}

func (o *order16) items() (items []listItem) {
	for _, e := range o.List {
		items = append(items, listItem{e.IDTag, e.Info})
	}
	return items
}

func (d v16) command(c *Charger, action string, payload json.RawMessage) (any, *callError) {
	var o order16
	if err := read(payload, &o); err != nil {
		return nil, formation("FormationViolation", err)
	}
	if err := read(payload, &struct {
		ConnectorID **int `json:"connectorId"`
	}{&o.Connector}); err != nil {
		return nil, formation("FormationViolation", err)
	}
	switch action {
	case "RemoteStartTransaction":
		return status(c.remoteStartLocked(o.ConnectorID, o.IDTag, nil)), nil
	case "RemoteStopTransaction":
		return status(c.remoteStopLocked(strconv.FormatInt(o.TransactionID, 10))), nil
	case "TriggerMessage":
		return status(c.triggerLocked(o.RequestedMessage, o.ConnectorID)), nil
	case "GetConfiguration":
		return d.getConfiguration(c, o.Key), nil
	case "ChangeConfiguration":
		key, _ := o.Key.(string)
		k, known := keys16[key]
		if !known || !c.has(k) {
			return status("NotSupported"), nil
		}
		return status(c.set.write(k, o.Value)), nil
	case "SetChargingProfile":
		return status(c.setProfileLocked(o.ConnectorID, o.Profile)), nil
	case "ClearChargingProfile":
		return status(c.clearProfilesLocked(clearing{id: o.ID, evse: o.Connector, stack: o.Stack, purpose: o.Purpose})), nil
	case "GetCompositeSchedule":
		return d.composite(c, o), nil
	case "Reset":
		c.resetLocked("RemoteReset")
		return status("Accepted"), nil
	case "ClearCache":
		clear(c.known)
		return status("Accepted"), nil
	case "ChangeAvailability":
		return status("Accepted"), nil
	case "UnlockConnector":
		return status("Unlocked"), nil
	case "DataTransfer":
		return status("UnknownVendorId"), nil
	case "GetLocalListVersion":
		return map[string]any{"listVersion": c.listVersionLocked(-1)}, nil // section 5.10
	case "SendLocalList":
		if c.listVersionLocked(-1) < 0 {
			return status("NotSupported"), nil
		}
		return status(c.updateLocked(o.ListVersion, o.UpdateType == "Full", o.items())), nil
	}
	return nil, &callError{Code: "NotImplemented", Text: "this charger does not know " + clip(action, 50)}
}

func (v16) getConfiguration(c *Charger, key any) any {
	var asked []string
	list, _ := key.([]any)
	for _, k := range list {
		if s, ok := k.(string); ok {
			asked = append(asked, s)
		}
	}
	if len(asked) == 0 {
		for name, k := range keys16 {
			if c.has(k) {
				asked = append(asked, name)
			}
		}
	}
	have, unknown := []any{}, []string{}
	for _, name := range asked {
		if k, ok := keys16[name]; ok && c.has(k) {
			have = append(have, map[string]any{"key": name, "readonly": k.readOnly(), "value": c.set.text(k)})
		} else {
			unknown = append(unknown, name)
		}
	}
	return map[string]any{"configurationKey": have, "unknownKey": unknown}
}

func status(word string) map[string]any { return map[string]any{"status": word} }

// composite answers GetCompositeSchedule (1.6 section 5.7).
func (v16) composite(c *Charger, o order16) any {
	limits, ok := c.compositeLocked(o.ConnectorID, o.Duration)
	if !ok {
		return status("Rejected")
	}
	return map[string]any{
		"status": "Accepted", "connectorId": o.ConnectorID, "scheduleStart": stamp(c.o.Now().Add(c.clock)),
		"chargingSchedule": map[string]any{"duration": o.Duration, "chargingRateUnit": "W", "chargingSchedulePeriod": periods(limits)},
	}
}

// periods are a composite schedule's, as both versions spell them.
func periods(limits []period) []any {
	out := []any{}
	for _, p := range limits {
		out = append(out, map[string]any{"startPeriod": p.Start, "limit": p.Limit})
	}
	return out
}
