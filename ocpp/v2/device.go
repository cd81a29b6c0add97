package v2

import (
	"math"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ocpp"
)

// device returns the message of a command about the device itself.
func (d Dialect) device(c ocpp.Command) (action string, payload []byte, err error) {
	switch c := c.(type) {
	case ocpp.Reset:
		action = "Reset"
		payload, err = reset(c)
	case ocpp.Unlock:
		action = "UnlockConnector"
		payload, err = unlock(c)
	case ocpp.SetAvailability:
		action = "ChangeAvailability"
		payload, err = availability(c)
	case ocpp.ClearCache:
		return "ClearCache", []byte("{}"), nil
	case ocpp.GetListVersion:
		return "GetLocalListVersion", []byte("{}"), nil
	case ocpp.SendList:
		action = "SendLocalList"
		payload, err = d.sendList(c)
	case ocpp.Reserve:
		action = "ReserveNow"
		payload, err = d.reserve(c)
	case ocpp.CancelReservation:
		action = "CancelReservation"
		payload, err = c.Payload()
	case ocpp.GetLog:
		action = "GetLog"
		payload, err = c.Payload()
	case ocpp.UpdateFirmware:
		action = "UpdateFirmware"
		payload, err = c.Payload()
	case ocpp.GetProfiles:
		action = "GetChargingProfiles"
		payload, err = getProfiles(c)
	case ocpp.GetReport:
		action = "GetBaseReport"
		payload, err = getReport(c)
	case ocpp.GetTransactionStatus:
		action = "GetTransactionStatus"
		payload, err = transactionStatus(c)
	case ocpp.Invoke:
		return c.Action, c.Payload, c.Check(d.Messages())
	default:
		err = ocpp.ErrUnsupported
	}
	return action, payload, err
}

func reset(c ocpp.Reset) ([]byte, error) {
	if c.EVSE < 0 {
		return nil, ocpp.Wrong("EVSE %d", c.EVSE)
	}
	kind := "OnIdle"
	if c.Now {
		kind = "Immediate"
	}
	return ocpp.Marshal(struct {
		Type string `json:"type"`
		EVSE int    `json:"evseId,omitempty"`
	}{kind, c.EVSE}), nil
}

// unlock: an EVSE with one connector is meant when none is named.
func unlock(c ocpp.Unlock) ([]byte, error) {
	if c.EVSE <= 0 || c.Connector < 0 {
		return nil, ocpp.Wrong("connector %d of EVSE %d cannot be unlocked", c.Connector, c.EVSE)
	}
	return ocpp.Marshal(struct {
		EVSE      int `json:"evseId"`
		Connector int `json:"connectorId"`
	}{c.EVSE, max(1, c.Connector)}), nil
}

func availability(c ocpp.SetAvailability) ([]byte, error) {
	if c.EVSE < 0 || c.Connector < 0 || c.EVSE == 0 && c.Connector != 0 {
		return nil, ocpp.Wrong("connector %d of EVSE %d", c.Connector, c.EVSE)
	}
	var out struct {
		EVSE   *evse  `json:"evse,omitempty"`
		Status string `json:"operationalStatus"`
	}
	if c.EVSE > 0 {
		out.EVSE = &evse{c.EVSE, c.Connector}
	}
	out.Status = c.Word()
	return ocpp.Marshal(out), nil
}

// carried writes a token that a driver will present. One whose type nobody
// reported is a card: what 1.6 calls an idTag.
func (d Dialect) carried(t holdfast.Token) (idToken, bool) {
	out := idToken{Value: t.Value, Type: t.Type}
	if out.Type == "" {
		out.Type = "ISO14443"
	}
	return out, t.Value != "" && !ocpp.Longer(t.Value, d.maxIDToken())
}

// A listed is AuthorizationData. Without idTokenInfo it is taken off the list
// (D01).
type listed struct {
	Token idToken      `json:"idToken"`
	Info  *idTokenInfo `json:"idTokenInfo,omitempty"`
}

// sendList: a full list without entries empties the charger's (D01).
func (d Dialect) sendList(c ocpp.SendList) ([]byte, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	var out struct {
		Entries []listed `json:"localAuthorizationList,omitempty"`
		Version int      `json:"versionNumber"`
		Update  string   `json:"updateType"`
	}
	out.Version, out.Update = c.Version, c.UpdateType()
	for i, e := range c.Entries {
		t, ok := d.carried(e.Token)
		if !ok {
			return nil, ocpp.Wrong("the idToken of entry %d is longer than %d characters", i+1, d.maxIDToken())
		}
		l := listed{Token: t}
		if !e.Remove {
			verdict := d.info(ocpp.AuthAnswer{Status: e.Status, Expires: e.Expires, Group: e.Group})
			l.Info = &verdict
		}
		out.Entries = append(out.Entries, l)
	}
	return ocpp.Marshal(out), nil
}

func (d Dialect) reserve(c ocpp.Reserve) ([]byte, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	t, ok := d.carried(c.Token)
	if !ok || ocpp.Longer(c.Group, d.maxIDToken()) {
		return nil, ocpp.Wrong("an idToken is longer than %d characters", d.maxIDToken())
	}
	var group *idToken
	if c.Group != "" {
		group = &idToken{Value: c.Group, Type: "Central"}
	}
	return ocpp.Marshal(struct {
		ID      int      `json:"id"`
		Expires string   `json:"expiryDateTime"`
		Token   idToken  `json:"idToken"`
		EVSE    int      `json:"evseId,omitempty"`
		Group   *idToken `json:"groupIdToken,omitempty"`
	}{c.ID, ocpp.FormatTime(c.Expires), t, c.EVSE, group}), nil
}

func getReport(c ocpp.GetReport) ([]byte, error) {
	switch c.Base {
	case "ConfigurationInventory", "FullInventory", "SummaryInventory":
	default:
		return nil, ocpp.Wrong("base %.40q", c.Base)
	}
	if c.Request < 0 || c.Request > math.MaxInt32 {
		return nil, ocpp.Wrong("request %d", c.Request)
	}
	return ocpp.Marshal(struct {
		Request int    `json:"requestId"`
		Base    string `json:"reportBase"`
	}{c.Request, c.Base}), nil
}

func transactionStatus(c ocpp.GetTransactionStatus) ([]byte, error) {
	if ocpp.Longer(c.ID, maxTxID) {
		return nil, ocpp.Wrong("a transaction id is longer than %d characters", maxTxID)
	}
	return ocpp.Marshal(struct {
		ID string `json:"transactionId,omitempty"`
	}{c.ID}), nil
}
