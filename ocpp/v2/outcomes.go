package v2

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
	switch c.(type) {
	case ocpp.GetConfig:
		return variables(o, "getVariableResult")
	case ocpp.SetConfig:
		return variables(o, "setVariableResult")
	case ocpp.GetListVersion:
		n, ok := o.Int("versionNumber")
		if !ok {
			return ocpp.Outcome{}, ocpp.Missing("/versionNumber")
		}
		return ocpp.Outcome{Accepted: true, Status: strconv.Itoa(n), Number: n}, nil
	case ocpp.GetTransactionStatus:
		return ongoing(o)
	case ocpp.Invoke:
		return ocpp.Answered(o, payload), nil
	}
	return ocpp.StatusOutcome(c, o, payload)
}

// ongoing reads GetTransactionStatusResponse (E14), which has no status. What it
// says of the transaction is in Ongoing and Queued; the status repeats it.
func ongoing(o ocpp.Object) (ocpp.Outcome, *ocpp.Error) {
	if !o.Has("messagesInQueue") {
		return ocpp.Outcome{}, ocpp.Missing("/messagesInQueue")
	}
	out := ocpp.Outcome{Accepted: true, Status: "Unknown", Queued: o.Bool("messagesInQueue")}
	if o.Has("ongoingIndicator") {
		running := o.Bool("ongoingIndicator")
		out.Ongoing = &running
		out.Status = "Ended"
		if running {
			out.Status = "Ongoing"
		}
	}
	if out.Queued {
		out.Status += "+Queued"
	}
	return out, nil
}

// variables reads the results of a Get or Set. A Set is accepted when the
// charger took the value; a Get is when the charger answered, since what it does
// not know or show is absent, as in 1.6. The status is the first word that is
// not Accepted. Values holds what was read.
func variables(o ocpp.Object, member string) (ocpp.Outcome, *ocpp.Error) {
	results := o.Objects(member)
	if len(results) == 0 {
		return ocpp.Outcome{}, ocpp.Missing("/" + member)
	}
	set := member == "setVariableResult"
	out := ocpp.Outcome{Accepted: true, Status: "Accepted", Values: map[string]string{}}
	for _, r := range results {
		status := r.Text("attributeStatus")
		if status != "Accepted" && out.Status == "Accepted" {
			out.Status = status
		}
		if set && status != "Accepted" && status != "RebootRequired" {
			out.Accepted = false
		}
		if status == "Accepted" && r.Has("attributeValue") {
			out.Values[keyOf(r)] = r.Text("attributeValue")
		}
	}
	return out, nil
}
