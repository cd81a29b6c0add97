package record

import "github.com/holdfast-ev/holdfast"

// LinkRoute notes that the way to the cloud changed: another local link, another
// endpoint, or both. It is written when the first contact over the new route has
// worked. Coalesced like ChargerLink: Count says how many changes the record
// stands for.
type LinkRoute struct {
	Link         string         `json:"link"`
	Endpoint     string         `json:"endpoint"`            // https URL; empty: the one learnt at enrolment
	FromLink     string         `json:"from_link,omitempty"` // empty: the first contact since the start
	FromEndpoint string         `json:"from_endpoint,omitempty"`
	Cause        holdfast.Cause `json:"cause"`            // why the former route was left; NONE: back to a better one
	Detail       string         `json:"detail,omitempty"` // for people
	Count        int            `json:"count"`
}

// Type implements [Body].
func (*LinkRoute) Type() Type { return "link.route" }

// LinkUsage notes what a link with a data budget has carried in the month of
// that budget, so that a restart does not hand the budget out again. The counts
// are totals: the last record of a month says it all.
type LinkUsage struct {
	Link     string             `json:"link"`
	Period   holdfast.UnixMilli `json:"period"` // when the month began; 0: no trusted clock has said yet
	Sent     int64              `json:"sent"`   // bytes on the sockets, TLS included
	Received int64              `json:"received"`
}

// Type implements [Body].
func (*LinkUsage) Type() Type { return "link.usage" }
