package agent

import (
	"maps"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A Report is what the local API says about a running gateway: the core's
// status and what only the daemon knows.
type Report struct {
	gateway.Status
	// Recoveries counts the times that the core was discarded because the disk
	// had failed, since the process started.
	Recoveries int64 `json:"recoveries"`
	// Sockets counts open charger connections, the fenced ones that are still
	// closing included.
	Sockets int `json:"sockets"`
	// Listening are the addresses of the charger server and, where configured, of
	// the local API.
	Listening []string `json:"listening"`
	// OldestUnsynced is when the oldest evidence record that the cloud has not
	// reconciled was written; 0 when there is none.
	OldestUnsynced holdfast.UnixMilli `json:"oldest_unsynced,omitempty"`
	// Inspection is how far the check of what lies in the journals is.
	Inspection Inspection `json:"inspection"`
	// Refused is the last upload if the cloud refused it: its bytes do not fit what
	// the cloud knows, and a person has to look.
	Refused *Refusal `json:"refused,omitempty"`
	// Clock is where the gateway's time comes from.
	Clock ClockStatus `json:"clock"`

	// LinkBytes is what has gone over each local link since the start.
	LinkBytes []LinkBytes `json:"link_bytes"`

	counters gateway.Counters
	syncs    int64 // of the journals and snapshots
}

// LinkBytes counts a local link's bytes on its sockets.
type LinkBytes struct {
	Link     string `json:"link"`
	Sent     int64  `json:"sent"`
	Received int64  `json:"received"`
}

// Route returns the route in use; none is the zero Route.
func (r *Report) Route() uplink.Route {
	for _, l := range r.Links {
		for _, e := range l.Endpoints {
			if e.State == uplink.InUse {
				return uplink.Route{Link: l.Name, Endpoint: e.URL}
			}
		}
	}
	return uplink.Route{}
}

// A Refusal is the cloud's answer to an upload whose bytes do not verify there.
type Refusal struct {
	Journal  holdfast.Journal `json:"journal"`
	Epoch    holdfast.Epoch   `json:"epoch"`
	First    holdfast.Seq     `json:"first"`              // of the upload
	Code     string           `json:"code"`               // of the exception that the cloud raised
	Expected *holdfast.Seq    `json:"expected,omitempty"` // where the cloud's good copy ends
	Detail   string           `json:"detail"`
}

// cloneCounters copies counts out of the core's goroutine.
func cloneCounters(c gateway.Counters) gateway.Counters {
	c.Starts, c.Limits, c.Security = maps.Clone(c.Starts), maps.Clone(c.Limits), maps.Clone(c.Security)
	c.Exceptions, c.Transitions = maps.Clone(c.Exceptions), maps.Clone(c.Transitions)
	c.ClockDoubts = maps.Clone(c.ClockDoubts)
	return c
}
