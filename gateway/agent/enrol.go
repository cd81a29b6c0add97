package agent

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/internal/durable"
	"github.com/holdfast-ev/holdfast/internal/keyfile"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/uplink"
)

// ErrUnsent is wrapped by [Enrol] when the directory holds evidence that its
// cloud has not confirmed.
var ErrUnsent = errors.New("this gateway holds evidence that the cloud has not confirmed")

// EnrolOptions say how to enrol.
type EnrolOptions struct {
	Cloud string     // https URL of the cloud's gateway endpoint
	Code  string     // one-time code from `holdfast sites add`
	Dir   string     // data directory; made when it is missing
	Keys  KeysConfig // where the passphrase is; a file that is missing is made

	cost keyfile.Cost // of the key derivation; tests make it cheap
}

// An EnrolResult says what was done.
type EnrolResult struct {
	Gateway        holdfast.GatewayID `json:"gateway"`
	Site           holdfast.SiteID    `json:"site"`
	Endpoint       string             `json:"endpoint"`
	Further        []string           `json:"endpoints,omitempty"` // further endpoints, best first
	PassphraseFile string             `json:"passphrase_file"`
	PassphraseMade bool               `json:"passphrase_made"`
	Retired        string             `json:"retired,omitempty"` // directory of what a former enrolment left
}

// staging is where the new keys are put together, in the data directory.
const staging = "keys.new"

// Enrol makes a device key, redeems the code at the cloud, and writes the
// gateway's identity into o.Dir. DIR/enrolled.yaml is written last: without it
// the gateway is not enrolled, whatever else is there.
//
// A directory that is enrolled already is refused while it holds unsent
// evidence, wrapping [ErrUnsent]; otherwise what is in it moves aside to
// DIR/retired-GATEWAY. Nothing is deleted.
func Enrol(ctx context.Context, o EnrolOptions) (*EnrolResult, error) {
	endpoint, err := parseEndpoint(o.Cloud)
	if err != nil {
		return nil, fmt.Errorf("cloud: %w", err)
	}
	if _, err := codeFingerprint(o.Code); err != nil {
		return nil, err
	}
	home, err := durable.MakeDir(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	lock, err := home.Lock()
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w; stop the gateway first", o.Dir, err)
	}
	defer lock.Close()
	if err := checkUnsent(o.Dir); err != nil {
		return nil, err
	}
	res := &EnrolResult{}
	key, err := newDeviceKey(o, res)
	if err != nil {
		return nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	e, err := enrol(ctx, endpoint, o.Code, csr)
	if err != nil {
		return nil, err
	}
	if err := writeKeys(filepath.Join(o.Dir, staging), key, &e); err != nil {
		return nil, err
	}
	if res.Retired, err = retire(o.Dir); err != nil {
		return nil, err
	}
	if e.Endpoint == "" {
		e.Endpoint = endpoint.String()
	}
	res.Gateway, res.Site, res.Endpoint = e.Gateway, e.Site, e.Endpoint
	res.Further = furtherEndpoints(&e)
	return res, settle(o.Dir, key, res)
}

// furtherEndpoints keeps what can be used of the cloud's further endpoints: a
// wrong one must not keep a gateway from being enrolled.
func furtherEndpoints(e *uplink.Enrolled) (list []string) {
	for _, s := range e.Endpoints {
		if u, err := parseEndpoint(s); err == nil && u.String() != strings.TrimSuffix(e.Endpoint, "/") && !slices.Contains(list, u.String()) && len(list) < uplink.MaxEndpoints-1 {
			list = append(list, u.String())
		}
	}
	return list
}

// newDeviceKey makes the key in the staging directory.
func newDeviceKey(o EnrolOptions, res *EnrolResult) (*ecdsa.PrivateKey, error) {
	dir := filepath.Join(o.Dir, staging)
	if err := os.RemoveAll(dir); err != nil { // of an enrolment that failed
		return nil, fmt.Errorf("clear %s: %w", dir, err)
	}
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make %s: %w", dir, err)
	}
	pass := passphrasePath(o.Dir, o.Keys)
	res.PassphraseFile = pass
	if pass == filepath.Join(o.Dir, keysDir, passFile) {
		pass = filepath.Join(dir, passFile) // moves with the others
	}
	if !exists(pass) {
		if err := durable.WriteFile(pass, randomPassphrase(), 0o600); err != nil {
			return nil, fmt.Errorf("write the passphrase: %w", err)
		}
		res.PassphraseMade = true
	}
	passphrase, err := keyfile.Passphrase(pass)
	if err != nil {
		return nil, err
	}
	return keyfile.Create(filepath.Join(dir, deviceKeyFile), passphrase, o.cost)
}

// writeKeys checks the cloud's answer and writes it beside the key.
func writeKeys(dir string, key *ecdsa.PrivateKey, e *uplink.Enrolled) error {
	cert, err := x509.ParseCertificate(e.Certificate)
	if err != nil {
		return fmt.Errorf("enrol: the device certificate: %w", err)
	}
	if !key.PublicKey.Equal(cert.PublicKey) || cert.Subject.CommonName != string(e.Gateway) {
		return errors.New("enrol: the cloud certified another key or another name; nothing was stored")
	}
	if _, err := holdfast.ParseGatewayID(string(e.Gateway)); err != nil {
		return fmt.Errorf("enrol: %w", err)
	}
	if _, err := holdfast.ParseSiteID(string(e.Site)); err != nil {
		return fmt.Errorf("enrol: %w", err)
	}
	if _, err := parseStatementKey(e.StatementKey); err != nil {
		return fmt.Errorf("enrol: %w", err)
	}
	site, err := sealSiteKeys(key, e.TokenKey, e.SealKey)
	if err != nil {
		return fmt.Errorf("enrol: %w", err)
	}
	for _, f := range []struct {
		name string
		text []byte
	}{
		{deviceCertFile, pemOf("CERTIFICATE", e.Certificate)},
		{caFile, pemOf("CERTIFICATE", e.CA)},
		{statementFile, pemOf("PUBLIC KEY", e.StatementKey)},
		{siteKeysFile, site},
	} {
		if err := durable.WriteFile(filepath.Join(dir, f.name), f.text, 0o600); err != nil {
			return fmt.Errorf("write %s: %w", f.name, err)
		}
	}
	return nil
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// settle puts the new identity in force.
func settle(dir string, key *ecdsa.PrivateKey, res *EnrolResult) error {
	if err := durable.Rename(filepath.Join(dir, staging), filepath.Join(dir, keysDir)); err != nil {
		return fmt.Errorf("put the keys in place: %w", err)
	}
	pub, err := keyfile.PublicPEM(&key.PublicKey)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(dir, publicKeyFile), pub, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", publicKeyFile, err)
	}
	further := ""
	for _, url := range res.Further {
		further += fmt.Sprintf("  - %q\n", url)
	}
	if further != "" {
		further = "endpoints:\n" + further
	}
	text := fmt.Sprintf("# Who this gateway is. Written by holdfast-gateway enroll; do not edit.\ngateway: %s\nsite: %s\nendpoint: %q\n", res.Gateway, res.Site, res.Endpoint) + further
	if err := durable.WriteFile(filepath.Join(dir, enrolmentFile), []byte(text), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", enrolmentFile, err)
	}
	return nil
}

// checkUnsent refuses a directory whose evidence its cloud does not have.
func checkUnsent(dir string) error {
	path := filepath.Join(dir, evidenceDir)
	if !exists(path) {
		return nil
	}
	fsys, err := durable.OpenDir(path)
	if err != nil {
		return fmt.Errorf("evidence journal: %w", err)
	}
	log, _, err := journal.Open(fsys, journal.Options{})
	if errors.Is(err, journal.ErrNone) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("evidence journal: %w; look with: holdfast journal verify %s", err, path)
	}
	defer log.Close()
	known, unsent := loadCursors(dir), uint64(0)
	for _, e := range log.Epochs() {
		unsent += e.Size - min(e.Size, known.reconciled(holdfast.Evidence, e.Epoch))
	}
	if unsent > 0 {
		return fmt.Errorf("%w: %d records in %s; let it reach its cloud first, or move the directory away and keep it", ErrUnsent, unsent, path)
	}
	return nil
}

// retire moves what a former enrolment left into a directory of its own, and
// returns its name. The enrolment file goes first: from then on the directory
// counts as not enrolled.
func retire(dir string) (string, error) {
	old := "unknown"
	if id, err := readEnrolment(dir); err == nil {
		old = string(id.Gateway)
	}
	to := ""
	for _, name := range []string{enrolmentFile, keysDir, evidenceDir, telemetryDir, snapshotsDir, bootFile, bookFile, cursorsFile, publicKeyFile} {
		from := filepath.Join(dir, name)
		if !exists(from) {
			continue
		}
		if to == "" {
			to = unusedName(filepath.Join(dir, retiredDir+old))
			if err := durable.MkdirAll(to, 0o700); err != nil {
				return "", fmt.Errorf("retire the former enrolment: %w", err)
			}
		}
		if err := durable.Rename(from, filepath.Join(to, name)); err != nil {
			return "", fmt.Errorf("retire the former enrolment: %w", err)
		}
	}
	return to, nil
}

func unusedName(name string) string {
	for n := 0; ; n++ {
		try := name
		if n > 0 {
			try = fmt.Sprintf("%s-%d", name, n)
		}
		if !exists(try) {
			return try
		}
	}
}
