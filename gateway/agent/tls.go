package agent

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// The errors of a TLS check; what they wrap is for people.
var (
	errNotPinned   = errors.New("the server's certificate is not from this gateway's cloud")
	errFingerprint = errors.New("no certificate of the server has the fingerprint in the code")
)

// cloudTLS is the TLS of every call to the cloud: version 1.3, the device
// certificate, and only the pinned authority.
//
// The server's name is not compared. The authority is the cloud's own and signs
// nothing but this cloud's servers and its gateways, and a gateway's
// certificate is refused as a server's by its key usage; so the name would add
// nothing, and its absence lets an operator reach the cloud by any name, address
// or forwarded port.
//
// Validity dates are held against the clock only when that comes from the
// cloud's signed time. A gateway that wakes up in 1970 or 2080 would otherwise
// refuse the only peer that can tell it the time.
func cloudTLS(device tls.Certificate, ca *x509.Certificate, trusted func() (time.Time, bool)) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		Certificates:       []tls.Certificate{device},
		InsecureSkipVerify: true, // replaced by VerifyConnection, which runs on resumption too
		VerifyConnection: func(cs tls.ConnectionState) error {
			return verifyPinned(cs.PeerCertificates, ca, trusted)
		},
	}
}

// verifyPinned checks that chain leads to ca.
func verifyPinned(chain []*x509.Certificate, ca *x509.Certificate, trusted func() (time.Time, bool)) error {
	if len(chain) == 0 {
		return fmt.Errorf("%w: it sent none", errNotPinned)
	}
	opts := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	opts.Roots.AddCert(ca)
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	now, ok := trusted()
	if !ok {
		now = insideValidity(append(chain[:len(chain):len(chain)], ca))
	}
	opts.CurrentTime = now
	if _, err := chain[0].Verify(opts); err != nil {
		return fmt.Errorf("%w: %w", errNotPinned, err)
	}
	return nil
}

// insideValidity chooses a time at which the certificates are valid, or nearly:
// the youngest one's first second. With it a check of dates says nothing about
// today.
func insideValidity(chain []*x509.Certificate) time.Time {
	var t time.Time
	for _, c := range chain {
		if c.NotBefore.After(t) {
			t = c.NotBefore
		}
	}
	return t
}

// Bounds of a one-time code: "hf-RANDOM-FINGERPRINT".
const (
	maxCodeLen     = 128
	fingerprintLen = 32 // hex digits of the SHA-256 of the cloud's CA certificate (DER)
)

// codeFingerprint returns the fingerprint that a one-time code carries.
func codeFingerprint(code string) (string, error) {
	part := strings.Split(code, "-")
	if len(code) > maxCodeLen || len(part) < 3 || part[0] != "hf" || len(part[len(part)-1]) != fingerprintLen {
		return "", errors.New("that is not a one-time code; it looks like hf-XXXXXXXX-0123456789abcdef0123456789abcdef and comes from: holdfast sites add")
	}
	print := strings.ToLower(part[len(part)-1])
	if _, err := hex.DecodeString(print); err != nil {
		return "", errors.New("the last part of the one-time code is not a fingerprint; copy the code once more")
	}
	return print, nil
}

// enrolTLS is the TLS of the one call that is made before there is anything to
// trust but the code: the server must show a CA certificate with the code's
// fingerprint and be certified by it. found is told that certificate.
func enrolTLS(fingerprint string, found func(ca *x509.Certificate)) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // replaced by VerifyConnection
		VerifyConnection: func(cs tls.ConnectionState) error {
			for _, c := range cs.PeerCertificates {
				sum := sha256.Sum256(c.Raw)
				if !c.IsCA || !strings.HasPrefix(hex.EncodeToString(sum[:]), fingerprint) {
					continue
				}
				untrusted := func() (time.Time, bool) { return time.Time{}, false }
				if err := verifyPinned(cs.PeerCertificates, c, untrusted); err != nil {
					return err
				}
				found(c)
				return nil
			}
			return errFingerprint
		},
	}
}
