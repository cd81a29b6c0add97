package uplink

import "github.com/holdfast-ev/holdfast"

// Bounds of a token book.
const (
	MaxBookPage  = 1000      // tokens on one page
	MaxBookBytes = 900 << 10 // JSON of one page, below MaxMessageBytes; the rest comes with the next
)

// A TokenBook is a page of the tokens on a site's access list in clear, for the
// chargers' own lists: a charger that copes alone compares what its reader
// reads, and a hash is of no use to it.
// GET /v1/gateways/{id}/tokens?version=N&after=M. It travels on the mutually
// authenticated link and nowhere else.
type TokenBook struct {
	Version uint64      `json:"version"` // of the access list that they are on
	Tokens  []BookToken `json:"tokens"`
	Next    uint64      `json:"next,omitempty"` // the next page's after; 0: this is the last
}

// A BookToken is a token in clear. Whoever gets one compares its hash with the
// access list, which is signed: a value that is not on it counts for nothing.
type BookToken struct {
	Value string `json:"value"`
	Type  string `json:"type,omitempty"` // OCPP 2.0.1 IdTokenEnumType; "": not known
}

// Token returns the token as a charger would report it.
func (b BookToken) Token() holdfast.Token { return holdfast.Token{Value: b.Value, Type: b.Type} }

// String hides the value, so that a BookToken printed by mistake discloses
// nothing.
func (b BookToken) String() string { return b.Token().String() }

// GoString hides the value from %#v.
func (b BookToken) GoString() string { return b.String() }
