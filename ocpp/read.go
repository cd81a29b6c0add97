package ocpp

// What both versions say in the same words is read here once.

// Bounds of what a charger reports about itself, cut by the reader.
const (
	maxKind   = 50  // characters: securityEventType
	maxDetail = 255 // bytes: techInfo
	maxWord   = 40  // bytes of a status that a rule repeats
)

// ReadSecurity reads a SecurityEventNotification, which 1.6's security white
// paper took over from 2.0.1.
func ReadSecurity(o Object, _ []byte) (Event, *Error) {
	if o.Text("type") == "" {
		return nil, Missing("/type")
	}
	at, _ := ParseTime(o.Text("timestamp")) // what happened counts, even when the charger cannot say when
	return Security{Kind: clip(o.Text("type"), maxKind), At: at, Detail: clip(o.Text("techInfo"), maxDetail)}, nil
}

// ReadProgress reads a status notification of a log, an image or a publication.
func ReadProgress(what string, o Object) (Event, *Error) {
	if o.Text("status") == "" {
		return nil, Missing("/status")
	}
	p := Progress{What: what, Status: clip(o.Text("status"), maxWord)}
	if n, ok := o.Int("requestId"); ok {
		p.Request = &n
	}
	return p, nil
}

// StatusOutcome reads a CALLRESULT whose verdict is its status.
func StatusOutcome(c Command, o Object, payload []byte) (Outcome, *Error) {
	if !o.Has("status") {
		return Outcome{}, Missing("/status")
	}
	out := Outcome{Status: o.Text("status")}
	switch c.(type) {
	case Reset, SetAvailability:
		out.Accepted = out.Status == "Accepted" || out.Status == "Scheduled"
	case Unlock:
		out.Accepted = out.Status == "Unlocked"
	case SetConfig:
		out.Accepted = out.Status == "Accepted" || out.Status == "RebootRequired"
	case UpdateFirmware:
		out.Accepted = out.Status == "Accepted" || out.Status == "AcceptedCanceled"
	case GetLog:
		out.Accepted, out.Body = out.Status == "Accepted" || out.Status == "AcceptedCanceled", payload
	case GetComposite:
		out.Accepted, out.Body = out.Status == "Accepted", payload
	default:
		out.Accepted = out.Status == "Accepted"
	}
	return out, nil
}

// Answered reads the CALLRESULT of an [Invoke]: it is accepted unless it has a
// status of its own that says no.
func Answered(o Object, payload []byte) Outcome {
	out := Outcome{Accepted: true, Status: "Answered", Body: payload}
	if s := o.Text("status"); s != "" {
		out.Status = s
		switch s {
		case "Accepted", "AcceptedCanceled", "EmptyResultSet", "RebootRequired", "Scheduled", "Unlocked":
		default:
			out.Accepted = false
		}
	}
	return out
}
