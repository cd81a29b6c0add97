package v16

import (
	"strconv"

	"github.com/holdfast-ev/holdfast/ocpp"
)

// Outcome implements [ocpp.Dialect]. What the charger took on is accepted, even
// when it does it later (Scheduled) or after a reboot (RebootRequired); its
// status says which.
func (Dialect) Outcome(c ocpp.Command, payload []byte) (ocpp.Outcome, *ocpp.Error) {
	o, err := ocpp.Decode(payload)
	if err != nil {
		return ocpp.Outcome{}, err
	}
	switch c := c.(type) {
	case ocpp.GetConfig:
		return configuration(o), nil
	case ocpp.GetListVersion:
		return listVersion(o)
	case ocpp.GetLog:
		if !c.Secure {
			return diagnostics(o, payload), nil
		}
	case ocpp.UpdateFirmware:
		if c.Signature == "" {
			return ocpp.Outcome{Accepted: true, Status: "Accepted"}, nil // UpdateFirmware.conf is empty
		}
	case ocpp.Invoke:
		return ocpp.Answered(o, payload), nil
	}
	return ocpp.StatusOutcome(c, o, payload)
}

// configuration reads GetConfiguration.conf, which has no status: the charger
// answered, and the keys it does not know are absent.
func configuration(o ocpp.Object) ocpp.Outcome {
	out := ocpp.Outcome{Accepted: true, Values: map[string]string{}}
	for _, k := range o.Objects("configurationKey") {
		out.Values[k.Text("key")] = k.Text("value")
	}
	return out
}

// listVersion: 0 is an empty list, -1 says that there are no lists here.
func listVersion(o ocpp.Object) (ocpp.Outcome, *ocpp.Error) {
	n, ok := o.Int("listVersion")
	if !ok {
		return ocpp.Outcome{}, ocpp.Missing("/listVersion")
	}
	if n < 0 {
		return ocpp.Outcome{Status: "NotSupported", Number: -1}, nil
	}
	return ocpp.Outcome{Accepted: true, Status: strconv.Itoa(n), Number: n}, nil
}

// diagnostics: without a file name there is nothing to upload (section 6.30).
func diagnostics(o ocpp.Object, payload []byte) ocpp.Outcome {
	if o.Text("fileName") == "" {
		return ocpp.Outcome{Status: "NoFile", Body: payload}
	}
	return ocpp.Outcome{Accepted: true, Status: "Accepted", Body: payload}
}
