package v2

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

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

// throttleProfile is the id of the limit on EVSE 0; that on EVSE n is n above
// it. A charger replaces a profile of the same id (K01.FR.05), so each EVSE has
// its own.
const throttleProfile = 48_000

// Command implements [ocpp.Dialect].
func (Dialect) Command(c ocpp.Command) (action string, payload []byte, err error) {
	switch c := c.(type) {
	case ocpp.RemoteStart:
		action = "RequestStartTransaction"
		payload, err = remoteStart(c)
	case ocpp.RemoteStop:
		action = "RequestStopTransaction"
		payload, err = remoteStop(c)
	case ocpp.Throttle:
		action = "SetChargingProfile"
		payload, err = throttle(c)
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
	default:
		err = ocpp.ErrUnsupported
	}
	if err != nil {
		return "", nil, fmt.Errorf("OCPP 2.0.1 command %T: %w", c, err)
	}
	return action, payload, nil
}

func wrong(what string) error { return fmt.Errorf("%w: %s", ocpp.ErrCommand, what) }

func longer(s string, most int) bool { return utf8.RuneCountInString(s) > most }

// remoteStart: a token whose type nobody reported is Central, one that the CSMS
// made (F01, F02).
func remoteStart(c ocpp.RemoteStart) ([]byte, error) {
	if c.Token.Value == "" || longer(c.Token.Value, maxIDToken) {
		return nil, wrong(fmt.Sprintf("idToken is empty or longer than %d characters", maxIDToken))
	}
	if c.EVSE < 0 || int64(c.RemoteID) < math.MinInt32 || int64(c.RemoteID) > math.MaxInt32 {
		return nil, wrong("EVSE is negative or remoteStartId is not a 32-bit integer")
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
	if id == "" || longer(id, maxTxID) {
		return wrong(fmt.Sprintf("transaction id is empty or longer than %d characters", maxTxID))
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

type period struct {
	Start int   `json:"startPeriod"`
	Limit int64 `json:"limit"`
}

type schedule struct {
	ID      int      `json:"id"`
	Unit    string   `json:"chargingRateUnit"`
	Periods []period `json:"chargingSchedulePeriod"`
}

type profile struct {
	ID            int        `json:"id"`
	StackLevel    int        `json:"stackLevel"`
	Purpose       string     `json:"chargingProfilePurpose"`
	Kind          string     `json:"chargingProfileKind"`
	Schedule      []schedule `json:"chargingSchedule"`
	TransactionID string     `json:"transactionId"`
}

// throttle limits in W: what a site's limits and a driver's are made of, and
// right for DC and for any number of phases. The profile is Relative, so that
// it needs no clock (K01.FR.41: no startSchedule), with one period from its
// start.
func throttle(c ocpp.Throttle) ([]byte, error) {
	if c.EVSE <= 0 || c.SetPoint < 0 {
		return nil, wrong("a TxProfile needs an EVSE above 0 and a limit of at least 0 W")
	}
	if err := checkTransaction(c.ID); err != nil {
		return nil, err
	}
	return ocpp.Marshal(struct {
		EVSE    int     `json:"evseId"`
		Profile profile `json:"chargingProfile"`
	}{c.EVSE, profile{
		ID: throttleProfile + c.EVSE, Purpose: "TxProfile", Kind: "Relative", TransactionID: c.ID,
		Schedule: []schedule{{ID: 1, Unit: "W", Periods: []period{{Limit: int64(c.SetPoint)}}}},
	}}), nil
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
		return nil, wrong("EVSE is negative")
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
	return wrong(fmt.Sprintf("key %.80q, want Component.Variable or Component[instance].Variable[instance]", key))
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
	return n, rest, n.Name != "" && !longer(n.Name, maxName) && !longer(n.Instance, maxName)
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
	if longer(c.Value, maxValue) {
		return nil, wrong(fmt.Sprintf("value of at most %d characters wanted", maxValue))
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
	if c.Vendor == "" || longer(c.Vendor, maxVendor) || longer(c.MessageID, maxMessageID) {
		return nil, wrong(fmt.Sprintf("vendor of 1 to %d and message id of at most %d characters wanted", maxVendor, maxMessageID))
	}
	if len(c.Data) > 0 && !ocpp.ValidJSON(c.Data) {
		return nil, wrong("data is not JSON")
	}
	return ocpp.Marshal(struct {
		Vendor    string          `json:"vendorId"`
		MessageID string          `json:"messageId,omitempty"`
		Data      json.RawMessage `json:"data,omitempty"`
	}{c.Vendor, c.MessageID, c.Data}), nil
}

// Outcome implements [ocpp.Dialect]. A setting that needs a reboot was taken:
// it is accepted, and the status says so.
func (Dialect) Outcome(c ocpp.Command, payload []byte) (ocpp.Outcome, *ocpp.Error) {
	o, err := ocpp.Decode(payload)
	if err != nil {
		return ocpp.Outcome{}, err
	}
	switch c.(type) {
	case ocpp.GetConfig:
		return variables(o, "getVariableResult")
	case ocpp.SetConfig:
		return variables(o, "setVariableResult")
	}
	if !o.Has("status") {
		return ocpp.Outcome{}, ocpp.Missing("/status")
	}
	status := o.Text("status")
	return ocpp.Outcome{Accepted: status == "Accepted", Status: status}, nil
}

// variables reads the results of a Get or Set. The outcome is accepted when all
// are; its status is the first word that is not Accepted. Values holds what was
// read.
func variables(o ocpp.Object, member string) (ocpp.Outcome, *ocpp.Error) {
	results := o.Objects(member)
	if len(results) == 0 {
		return ocpp.Outcome{}, ocpp.Missing("/" + member)
	}
	out := ocpp.Outcome{Accepted: true, Status: "Accepted", Values: map[string]string{}}
	for _, r := range results {
		status := r.Text("attributeStatus")
		if status != "Accepted" && out.Status == "Accepted" {
			out.Status = status
		}
		out.Accepted = out.Accepted && (status == "Accepted" || status == "RebootRequired" && member == "setVariableResult")
		if status != "Accepted" || !r.Has("attributeValue") {
			continue
		}
		component, variable := r.Object("component"), r.Object("variable")
		out.Values[ocpp.JoinKey(component.Text("name"), component.Text("instance"),
			variable.Text("name"), variable.Text("instance"))] = r.Text("attributeValue")
	}
	return out, nil
}
