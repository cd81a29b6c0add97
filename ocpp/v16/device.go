package v16

import (
	"fmt"

	"github.com/holdfast-ev/holdfast/ocpp"
)

// device returns the message of a command about the device itself.
func device(c ocpp.Command) (action string, payload []byte, err error) {
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
		payload, err = sendList(c)
	case ocpp.Reserve:
		action = "ReserveNow"
		payload, err = reserve(c)
	case ocpp.CancelReservation:
		action = "CancelReservation"
		payload, err = c.Payload()
	case ocpp.GetLog:
		return getLog(c)
	case ocpp.UpdateFirmware:
		return firmware(c)
	case ocpp.Invoke:
		return c.Action, c.Payload, c.Check(messages())
	default:
		err = ocpp.ErrUnsupported
	}
	return action, payload, err
}

func reset(c ocpp.Reset) ([]byte, error) {
	if c.EVSE != 0 {
		return nil, ocpp.Wrong("1.6 resets the whole charger, not EVSE %d", c.EVSE)
	}
	kind := "Soft"
	if c.Now {
		kind = "Hard"
	}
	return ocpp.Marshal(struct {
		Type string `json:"type"`
	}{kind}), nil
}

func unlock(c ocpp.Unlock) ([]byte, error) {
	if c.EVSE <= 0 {
		return nil, ocpp.Wrong("connector %d cannot be unlocked", c.EVSE)
	}
	return ocpp.Marshal(struct {
		Connector int `json:"connectorId"`
	}{c.EVSE}), nil
}

func availability(c ocpp.SetAvailability) ([]byte, error) {
	if c.EVSE < 0 {
		return nil, ocpp.Wrong("connector %d", c.EVSE)
	}
	return ocpp.Marshal(struct {
		Connector int    `json:"connectorId"`
		Type      string `json:"type"`
	}{c.EVSE, c.Word()}), nil
}

// A listed is AuthorizationData. Without idTagInfo it is taken off the list
// (section 5.15).
type listed struct {
	IDTag string     `json:"idTag"`
	Info  *idTagInfo `json:"idTagInfo,omitempty"`
}

// sendList: a full list without entries empties the charger's.
func sendList(c ocpp.SendList) ([]byte, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	var out struct {
		Version int      `json:"listVersion"`
		Entries []listed `json:"localAuthorizationList,omitempty"`
		Update  string   `json:"updateType"`
	}
	out.Version, out.Update = c.Version, c.UpdateType()
	for i, e := range c.Entries {
		if ocpp.Longer(e.Token.Value, maxIDTag) {
			return nil, ocpp.Wrong("the idTag of entry %d is longer than %d characters", i+1, maxIDTag)
		}
		l := listed{IDTag: e.Token.Value}
		if !e.Remove {
			verdict := info(ocpp.AuthAnswer{Status: e.Status, Expires: e.Expires, Group: e.Group})
			l.Info = &verdict
		}
		out.Entries = append(out.Entries, l)
	}
	return ocpp.Marshal(out), nil
}

func reserve(c ocpp.Reserve) ([]byte, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if ocpp.Longer(c.Token.Value, maxIDTag) || ocpp.Longer(c.Group, maxIDTag) {
		return nil, ocpp.Wrong("an idTag is longer than %d characters", maxIDTag)
	}
	return ocpp.Marshal(struct {
		Connector int    `json:"connectorId"`
		Expires   string `json:"expiryDate"`
		IDTag     string `json:"idTag"`
		Parent    string `json:"parentIdTag,omitempty"`
		ID        int    `json:"reservationId"`
	}{c.EVSE, ocpp.FormatTime(c.Expires), c.Token.Value, c.Group, c.ID}), nil
}

// getLog: GetDiagnostics knows one log, and no request id.
func getLog(c ocpp.GetLog) (string, []byte, error) {
	if c.Secure {
		payload, err := c.Payload()
		return "GetLog", payload, err
	}
	if err := c.Check(); err != nil {
		return "", nil, err
	}
	if c.Security {
		return "", nil, fmt.Errorf("%w: GetDiagnostics has no security log", ocpp.ErrUnsupported)
	}
	return "GetDiagnostics", ocpp.Marshal(struct {
		URL     string `json:"location"`
		Retries int    `json:"retries,omitempty"`
		Wait    int    `json:"retryInterval,omitempty"`
		From    string `json:"startTime,omitempty"`
		To      string `json:"stopTime,omitempty"`
	}{c.URL, c.Retries, c.WaitS, ocpp.Moment(c.From), ocpp.Moment(c.To)}), nil
}

// firmware: only the signed message has an install time and a request id.
func firmware(c ocpp.UpdateFirmware) (string, []byte, error) {
	if c.Signature != "" {
		payload, err := c.Payload()
		return "SignedUpdateFirmware", payload, err
	}
	if err := c.Check(); err != nil {
		return "", nil, err
	}
	if c.InstallAt != 0 {
		return "", nil, ocpp.Wrong("UpdateFirmware of 1.6 has no install time")
	}
	return "UpdateFirmware", ocpp.Marshal(struct {
		URL     string `json:"location"`
		Retries int    `json:"retries,omitempty"`
		At      string `json:"retrieveDate"`
		Wait    int    `json:"retryInterval,omitempty"`
	}{c.URL, c.Retries, ocpp.FormatTime(c.RetrieveAt), c.WaitS}), nil
}
