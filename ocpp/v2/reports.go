package v2

import (
	"strconv"

	"github.com/holdfast-ev/holdfast/ocpp"
)

// maxReported bounds the variables of one NotifyReport that are read; both the
// standard (ItemsPerMessage) and the frame's size keep real ones below it.
const maxReported = 2000

// report reads a NotifyReport: the actual values. A variable of a component on
// an EVSE or connector has it in its key, as in "Connector@1/2.Available".
func report(o ocpp.Object, _ []byte) (ocpp.Event, *ocpp.Error) {
	r := ocpp.Report{More: o.Bool("tbc"), Values: map[string]string{}}
	var ok bool
	if r.Request, ok = o.Int("requestId"); !ok {
		return nil, ocpp.Missing("/requestId")
	}
	if r.SeqNo, ok = o.Int("seqNo"); !ok {
		return nil, ocpp.Missing("/seqNo")
	}
	for _, d := range o.Objects("reportData") {
		for _, a := range d.Objects("variableAttribute") {
			if kind := a.Text("type"); kind != "" && kind != "Actual" || !a.Has("value") || len(r.Values) >= maxReported {
				continue
			}
			r.Values[keyOf(d)] = a.Text("value")
		}
	}
	return r, nil
}

// keyOf writes the name of a variable as ocpp.GetConfig spells it.
func keyOf(o ocpp.Object) string {
	component, variable := o.Object("component"), o.Object("variable")
	name := component.Text("name")
	if e := component.Object("evse"); e != nil {
		n, _ := e.Int("id")
		name += "@" + strconv.Itoa(n)
		if c, ok := e.Int("connectorId"); ok {
			name += "/" + strconv.Itoa(c)
		}
	}
	return ocpp.JoinKey(name, component.Text("instance"), variable.Text("name"), variable.Text("instance"))
}

// profiles reads a ReportChargingProfiles: a part of the answer to
// GetChargingProfiles (K09).
func profiles(o ocpp.Object, payload []byte) (ocpp.Event, *ocpp.Error) {
	r := ocpp.Profiles{More: o.Bool("tbc"), Body: payload}
	var ok bool
	if r.Request, ok = o.Int("requestId"); !ok {
		return nil, ocpp.Missing("/requestId")
	}
	return r, nil
}

func reservation(o ocpp.Object, _ []byte) (ocpp.Event, *ocpp.Error) {
	id, ok := o.Int("reservationId")
	if !ok {
		return nil, ocpp.Missing("/reservationId")
	}
	return ocpp.Reservation{ID: id, Status: o.Text("reservationUpdateStatus")}, nil
}

func limited(o ocpp.Object, _ []byte) (ocpp.Event, *ocpp.Error) {
	n := ocpp.LimitNotice{Source: o.Object("chargingLimit").Text("chargingLimitSource")}
	n.EVSE, _ = o.Int("evseId")
	return n, nil
}

func unlimited(o ocpp.Object, _ []byte) (ocpp.Event, *ocpp.Error) {
	n := ocpp.LimitNotice{Source: o.Text("chargingLimitSource"), Cleared: true}
	n.EVSE, _ = o.Int("evseId")
	return n, nil
}

func progress(what string) func(ocpp.Object, []byte) (ocpp.Event, *ocpp.Error) {
	return func(o ocpp.Object, _ []byte) (ocpp.Event, *ocpp.Error) { return ocpp.ReadProgress(what, o) }
}
