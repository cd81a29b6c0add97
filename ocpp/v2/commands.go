package v2

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/holdfast-ev/holdfast/ocpp"
)

// Bounds of 2.0.1 on what commands carry, in characters.
const (
	maxName      = 50
	maxValue     = 1000
	maxVendor    = 255
	maxMessageID = 50
	maxTxID      = 36
)

// Command implements [ocpp.Dialect].
func (d Dialect) Command(c ocpp.Command) (action string, payload []byte, err error) {
	switch c := c.(type) {
	case ocpp.RemoteStart:
		action = "RequestStartTransaction"
		payload, err = d.remoteStart(c)
	case ocpp.RemoteStop:
		action = "RequestStopTransaction"
		payload, err = remoteStop(c)
	case ocpp.Trigger:
		action = "TriggerMessage"
		payload, err = trigger(c)
	case ocpp.GetConfig:
		action = "GetVariables"
		payload, err = getVariables(c)
	case ocpp.SetConfig:
		action = "SetVariables"
		payload, err = setVariables(c)
	case ocpp.SendData:
		action = "DataTransfer"
		payload, err = sendData(c)
	case ocpp.SetProfile:
		action = "SetChargingProfile"
		payload, err = setProfile(c)
	case ocpp.ClearProfile:
		action = "ClearChargingProfile"
		payload, err = clearProfile(c)
	case ocpp.GetComposite:
		action = "GetCompositeSchedule"
		payload, err = composite(c)
	default:
		action, payload, err = d.device(c)
	}
	if err != nil {
		return "", nil, fmt.Errorf("OCPP %s command %T: %w", d.Version(), c, err)
	}
	return action, payload, nil
}

// remoteStart: a token whose type nobody reported is Central, one that the CSMS
// made (F01, F02).
func (d Dialect) remoteStart(c ocpp.RemoteStart) ([]byte, error) {
	if c.Token.Value == "" || ocpp.Longer(c.Token.Value, d.maxIDToken()) {
		return nil, ocpp.Wrong("idToken is empty or longer than %d characters", d.maxIDToken())
	}
	if c.EVSE < 0 || int64(c.RemoteID) < math.MinInt32 || int64(c.RemoteID) > math.MaxInt32 {
		return nil, ocpp.Wrong("EVSE is negative or remoteStartId is not a 32-bit integer")
	}
	t := idToken{Value: c.Token.Value, Type: c.Token.Type}
	if t.Type == "" {
		t.Type = "Central"
	}
	return ocpp.Marshal(struct {
		EVSE     int     `json:"evseId,omitempty"`
		RemoteID int     `json:"remoteStartId"`
		Token    idToken `json:"idToken"`
	}{c.EVSE, c.RemoteID, t}), nil
}

func checkTransaction(id string) error {
	if id == "" || ocpp.Longer(id, maxTxID) {
		return ocpp.Wrong("transaction id is empty or longer than %d characters", maxTxID)
	}
	return nil
}

func remoteStop(c ocpp.RemoteStop) ([]byte, error) {
	if err := checkTransaction(c.ID); err != nil {
		return nil, err
	}
	return ocpp.Marshal(struct {
		ID string `json:"transactionId"`
	}{c.ID}), nil
}

type evse struct {
	ID        int `json:"id"`
	Connector int `json:"connectorId,omitempty"`
}

// trigger names connector 1 for a StatusNotification, which is refused without
// one (F06.FR.12).
func trigger(c ocpp.Trigger) ([]byte, error) {
	switch c.Message {
	case "BootNotification", "LogStatusNotification", "FirmwareStatusNotification", "Heartbeat", "MeterValues",
		"SignChargingStationCertificate", "SignV2GCertificate", "StatusNotification", "TransactionEvent",
		"SignCombinedCertificate", "PublishFirmwareStatusNotification":
	default:
		return nil, fmt.Errorf("trigger %q: %w", c.Message, ocpp.ErrUnsupported)
	}
	if c.EVSE < 0 {
		return nil, ocpp.Wrong("EVSE is negative")
	}
	var out struct {
		EVSE    *evse  `json:"evse,omitempty"`
		Message string `json:"requestedMessage"`
	}
	out.Message = c.Message
	if c.EVSE > 0 {
		out.EVSE = &evse{ID: c.EVSE}
		if c.Message == "StatusNotification" {
			out.EVSE.Connector = 1
		}
	}
	return ocpp.Marshal(out), nil
}

// named is a ComponentType or a VariableType without its EVSE.
type named struct {
	Name     string `json:"name"`
	Instance string `json:"instance,omitempty"`
}

type variable struct {
	Value     string `json:"attributeValue,omitempty"`
	Component named  `json:"component"`
	Variable  named  `json:"variable"`
}

// splitKey reads "Component.Variable", with an optional "[instance]" behind
// either name. The point after the component is the first one outside brackets.
func splitKey(key string) (v variable, err error) {
	component, rest, ok := cutName(key)
	if !ok || !strings.HasPrefix(rest, ".") {
		return v, badKey(key)
	}
	name, rest, ok := cutName(rest[1:])
	if !ok || rest != "" {
		return v, badKey(key)
	}
	return variable{Component: component, Variable: name}, nil
}

func badKey(key string) error {
	return ocpp.Wrong("key %.80q, want Component.Variable or Component[instance].Variable[instance]", key)
}

// cutName reads a name, which a point or the end stops, and its instance.
func cutName(s string) (n named, rest string, ok bool) {
	end := strings.IndexAny(s, ".[")
	if end < 0 {
		end = len(s)
	}
	n.Name, rest = s[:end], s[end:]
	if strings.HasPrefix(rest, "[") {
		n.Instance, rest, ok = strings.Cut(rest[1:], "]")
		if !ok || n.Instance == "" {
			return n, rest, false
		}
	}
	return n, rest, n.Name != "" && !ocpp.Longer(n.Name, maxName) && !ocpp.Longer(n.Instance, maxName)
}

func getVariables(c ocpp.GetConfig) ([]byte, error) {
	if len(c.Keys) == 0 {
		return nil, fmt.Errorf("get all variables: %w", ocpp.ErrUnsupported)
	}
	var out struct {
		Data []variable `json:"getVariableData"`
	}
	for _, k := range c.Keys {
		v, err := splitKey(k)
		if err != nil {
			return nil, err
		}
		out.Data = append(out.Data, v)
	}
	return ocpp.Marshal(out), nil
}

// setting is a variable with a value that is sent even when it is empty.
type setting struct {
	Value     string `json:"attributeValue"`
	Component named  `json:"component"`
	Variable  named  `json:"variable"`
}

func setVariables(c ocpp.SetConfig) ([]byte, error) {
	if ocpp.Longer(c.Value, maxValue) {
		return nil, ocpp.Wrong("value of at most %d characters wanted", maxValue)
	}
	v, err := splitKey(c.Key)
	if err != nil {
		return nil, err
	}
	return ocpp.Marshal(struct {
		Data []setting `json:"setVariableData"`
	}{[]setting{{c.Value, v.Component, v.Variable}}}), nil
}

func sendData(c ocpp.SendData) ([]byte, error) {
	if c.Vendor == "" || ocpp.Longer(c.Vendor, maxVendor) || ocpp.Longer(c.MessageID, maxMessageID) {
		return nil, ocpp.Wrong("vendor of 1 to %d and message id of at most %d characters wanted", maxVendor, maxMessageID)
	}
	if len(c.Data) > 0 && !ocpp.ValidJSON(c.Data) {
		return nil, ocpp.Wrong("data is not JSON")
	}
	return ocpp.Marshal(struct {
		Vendor    string          `json:"vendorId"`
		MessageID string          `json:"messageId,omitempty"`
		Data      json.RawMessage `json:"data,omitempty"`
	}{c.Vendor, c.MessageID, c.Data}), nil
}
