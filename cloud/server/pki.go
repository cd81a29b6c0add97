package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/holdfast-ev/holdfast"
)

// Lifetimes of certificates. A device certificate outlives the hardware on
// purpose: a site may be dark for a year, and a gateway that comes back with an
// expired certificate could not upload what it holds. What ends a gateway's
// access is the plane's list of gateways, which every call consults.
const (
	authorityYears  = 25
	deviceYears     = 15
	serverLifetime  = 90 * 24 * time.Hour
	serverRenewal   = 30 * 24 * time.Hour // a server certificate is replaced when less than this is left
	backdate        = 24 * time.Hour      // certificates start in the past: gateways' clocks lag
	authorityFile   = "authority.pem"     // key and certificate, 0600: the cloud's identity
	statementFile   = "statement.pem"     // key that signs lists, grants, tariffs and times, 0600
	authorityPublic = "ca.pem"            // the certificate alone, for operators' tools
)

// errCSR is wrapped by every refusal of a certificate request.
var errCSR = errors.New("certificate request refused")

// An authority is the cloud's own certificate authority. It is made at the
// first start and signs the gateway endpoint's certificate and the device
// certificate of every enrolled gateway; nothing else trusts it and it trusts
// nothing else.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// openAuthority reads DIR/authority.pem, or makes it. The key and the
// certificate share one file, so that a crash cannot leave one without the
// other.
func openAuthority(dir string, now time.Time) (*authority, error) {
	path := filepath.Join(dir, authorityFile)
	b, err := readSecret(path)
	if errors.Is(err, os.ErrNotExist) {
		return createAuthority(dir, now)
	}
	if err != nil {
		return nil, err
	}
	a := &authority{}
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PRIVATE KEY":
			a.key, err = parseKey(block.Bytes)
		case "CERTIFICATE":
			a.cert, err = x509.ParseCertificate(block.Bytes)
		}
		if err != nil {
			return nil, fmt.Errorf("read authority %s: %w", path, err)
		}
	}
	if a.key == nil || a.cert == nil || !a.key.PublicKey.Equal(a.cert.PublicKey) {
		return nil, fmt.Errorf("read authority %s: want a private key and its certificate; restore the file from a backup, a new one would lock every gateway out", path)
	}
	return a, nil
}

func createAuthority(dir string, now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial,
		// The serial is in the name, so that two clouds' authorities are told
		// apart by people too.
		Subject:               pkix.Name{CommonName: "Holdfast authority " + serial.Text(16)[:8]},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.AddDate(authorityYears, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	both := append(keyPEM, encodeCert(der)...)
	if err := writeSecret(filepath.Join(dir, authorityFile), both); err != nil {
		return nil, err
	}
	return &authority{cert: cert, key: key}, nil
}

// issueDevice signs a gateway's request, whose signature the plane has checked.
// Only the key is taken from it and only P-256, so that a TPM can hold it; the
// name is ours to give.
func (a *authority) issueDevice(req *x509.CertificateRequest, gw holdfast.GatewayID, now time.Time) ([]byte, error) {
	pub, ok := req.PublicKey.(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: key is not ECDSA P-256", errCSR)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, fmt.Errorf("issue certificate to %s: %w", gw, err)
	}
	return a.sign(&x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: string(gw)},
		NotBefore:    now.Add(-backdate),
		NotAfter:     notAfter(now.AddDate(deviceYears, 0, 0), a.cert),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, pub)
}

// issueServer makes a fresh key and a certificate for hosts (names and
// addresses). The chain carries the authority, so that a gateway that enrols
// can compare it with the fingerprint in its code.
func (a *authority) issueServer(hosts []string, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("issue server certificate: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, fmt.Errorf("issue server certificate: %w", err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "Holdfast cloud"},
		NotBefore:    now.Add(-backdate),
		NotAfter:     notAfter(now.Add(serverLifetime), a.cert),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, h)
		}
	}
	der, err := a.sign(tmpl, &key.PublicKey)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("issue server certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

func (a *authority) sign(tmpl *x509.Certificate, pub *ecdsa.PublicKey) ([]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, pub, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate for %s: %w", tmpl.Subject.CommonName, err)
	}
	return der, nil
}

// pool holds the authority alone.
func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// A renewer hands out the server certificate and replaces it in time, in a
// process that may run for years.
type renewer struct {
	authority *authority
	hosts     []string
	clock     func() time.Time

	mu   sync.Mutex
	cert *tls.Certificate
}

// get implements tls.Config.GetCertificate.
func (r *renewer) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock()
	if r.cert != nil && now.Add(serverRenewal).Before(r.cert.Leaf.NotAfter) && now.After(r.cert.Leaf.NotBefore) {
		return r.cert, nil
	}
	cert, err := r.authority.issueServer(r.hosts, now)
	if err != nil {
		return nil, err
	}
	r.cert = cert
	return cert, nil
}

// openStatementKey reads DIR/statement.pem, or makes it.
func openStatementKey(dir string) (*ecdsa.PrivateKey, error) {
	path := filepath.Join(dir, statementFile)
	b, err := readSecret(path)
	if errors.Is(err, os.ErrNotExist) {
		return createStatementKey(path)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("read statement key %s: no PEM block; restore the file from a backup", path)
	}
	key, err := parseKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read statement key %s: %w", path, err)
	}
	return key, nil
}

func createStatementKey(path string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make statement key: %w", err)
	}
	b, err := encodeKey(key)
	if err != nil {
		return nil, fmt.Errorf("make statement key: %w", err)
	}
	return key, writeSecret(path, b)
}

func notAfter(t time.Time, ca *x509.Certificate) time.Time {
	if t.After(ca.NotAfter) {
		return ca.NotAfter
	}
	return t
}

func newSerial() (*big.Int, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return nil, err
	}
	b[0] = b[0]&0x7f | 0x40 // positive, and always 32 hex digits
	return new(big.Int).SetBytes(b[:]), nil
}

func parseKey(der []byte) (*ecdsa.PrivateKey, error) {
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	key, ok := k.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("key is not ECDSA P-256")
	}
	return key, nil
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
