package v16

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/holdfast-ev/holdfast/ocpp"
)

// Bounds of 1.6 on what commands carry, in characters.
const (
	maxKey       = 50
	maxValue     = 500
	maxVendor    = 255
	maxMessageID = 50
)

// Command implements [ocpp.Dialect].
func (Dialect) Command(c ocpp.Command) (action string, payload []byte, err error) {
	switch c := c.(type) {
	case ocpp.RemoteStart:
		action = "RemoteStartTransaction"
		payload, err = remoteStart(c)
	case ocpp.RemoteStop:
		action = "RemoteStopTransaction"
		payload, err = remoteStop(c)
	case ocpp.Trigger:
		action = "TriggerMessage"
		payload, err = trigger(c)
	case ocpp.GetConfig:
		action = "GetConfiguration"
		payload, err = getConfig(c)
	case ocpp.SetConfig:
		action = "ChangeConfiguration"
		payload, err = setConfig(c)
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
		action, payload, err = device(c)
	}
	if err != nil {
		return "", nil, fmt.Errorf("OCPP 1.6 command %T: %w", c, err)
	}
	return action, payload, nil
}

func remoteStart(c ocpp.RemoteStart) ([]byte, error) {
	if c.Token.Value == "" || ocpp.Longer(c.Token.Value, maxIDTag) {
		return nil, ocpp.Wrong("idTag is empty or longer than %d characters", maxIDTag)
	}
	if c.EVSE < 0 {
		return nil, ocpp.Wrong("connector is negative")
	}
	return ocpp.Marshal(struct {
		Connector int    `json:"connectorId,omitempty"`
		IDTag     string `json:"idTag"`
	}{c.EVSE, c.Token.Value}), nil
}

func transactionID(s string) (int32, error) {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return 0, ocpp.Wrong("transaction id %q is not a 32-bit integer", s)
	}
	return int32(n), nil
}

func remoteStop(c ocpp.RemoteStop) ([]byte, error) {
	id, err := transactionID(c.ID)
	if err != nil {
		return nil, err
	}
	return ocpp.Marshal(struct {
		ID int32 `json:"transactionId"`
	}{id}), nil
}

func trigger(c ocpp.Trigger) ([]byte, error) {
	switch c.Message {
	case "BootNotification", "DiagnosticsStatusNotification", "FirmwareStatusNotification", "Heartbeat",
		"MeterValues", "StatusNotification":
	default:
		return nil, fmt.Errorf("trigger %q: %w", c.Message, ocpp.ErrUnsupported)
	}
	if c.EVSE < 0 {
		return nil, ocpp.Wrong("connector is negative")
	}
	return ocpp.Marshal(struct {
		Message   string `json:"requestedMessage"`
		Connector int    `json:"connectorId,omitempty"`
	}{c.Message, c.EVSE}), nil
}

func getConfig(c ocpp.GetConfig) ([]byte, error) {
	for _, k := range c.Keys {
		if k == "" || ocpp.Longer(k, maxKey) {
			return nil, ocpp.Wrong("a key is empty or longer than %d characters", maxKey)
		}
	}
	return ocpp.Marshal(struct {
		Keys []string `json:"key,omitempty"`
	}{c.Keys}), nil
}

func setConfig(c ocpp.SetConfig) ([]byte, error) {
	if c.Key == "" || ocpp.Longer(c.Key, maxKey) || ocpp.Longer(c.Value, maxValue) {
		return nil, ocpp.Wrong("key of 1 to %d and value of at most %d characters wanted", maxKey, maxValue)
	}
	return ocpp.Marshal(struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	}{c.Key, c.Value}), nil
}

// sendData: 1.6 data is text. A JSON string goes as its content, anything else
// as its JSON text.
func sendData(c ocpp.SendData) ([]byte, error) {
	if c.Vendor == "" || ocpp.Longer(c.Vendor, maxVendor) || ocpp.Longer(c.MessageID, maxMessageID) {
		return nil, ocpp.Wrong("vendor of 1 to %d and message id of at most %d characters wanted", maxVendor, maxMessageID)
	}
	text := string(c.Data)
	if text != "" && text[0] == '"' && json.Unmarshal(c.Data, &text) != nil {
		return nil, ocpp.Wrong("data is not JSON")
	}
	return ocpp.Marshal(struct {
		Vendor    string `json:"vendorId"`
		MessageID string `json:"messageId,omitempty"`
		Data      string `json:"data,omitempty"`
	}{c.Vendor, c.MessageID, text}), nil
}
