package cloud

import (
	"crypto"
	"crypto/x509"
	"io"

	"github.com/holdfast-ev/holdfast"
)

// Options are what a [Plane] needs from outside. All fields are required but
// where a comment says otherwise.
type Options struct {
	Store   Store
	Archive Archive
	Signer  crypto.Signer // statement key, P-256: lists, tariffs, grants, the time
	Rand    io.Reader     // codes, directive ids, nonces; crypto/rand.Reader in production

	// Secret is the root of every key that the cloud shares with a site or
	// seals tokens with: keys are derived from it and never stored. A store
	// without its secret discloses no token, and cannot be used either: back it
	// up apart from the store.
	Secret [32]byte

	CACertificate []byte // DER of the cloud's own authority; its fingerprint goes into one-time codes
	// Issue signs a gateway's certificate: client auth, CN = gateway. The CSR's
	// signature and curve have been checked.
	Issue    func(csr *x509.CertificateRequest, gateway holdfast.GatewayID, now holdfast.UnixMilli) (der []byte, err error)
	Endpoint string   // https URL that gateways use from enrolment on
	Further  []string // https URLs of further ways in, best first; at most uplink.MaxEndpoints-1
}

// A Plane is the control plane. It holds no state but its options and may be
// used from many goroutines at once: the store serialises.
type Plane struct {
	o Options
}

// New returns a Plane over o.
func New(o Options) *Plane {
	o.Store = joining{o.Store}
	return &Plane{o: o}
}

// A Page asks for a part of a list. Lists come newest first unless Oldest is
// set, in the order in which the cloud learned of things.
type Page struct {
	Cursor string // "" for the beginning, else what the previous page returned
	Limit  int    // 1..[MaxPage]; 0 means [DefaultPage]
	Oldest bool   // oldest first: an export can be continued for ever from its last cursor
}

// Page bounds, in rows.
const (
	DefaultPage = 100
	MaxPage     = 1000
)
