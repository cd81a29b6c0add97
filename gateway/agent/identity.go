package agent

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/internal/keyfile"
)

// Files in DIR/keys.
const (
	deviceKeyFile  = "device.key"    // internal/keyfile
	deviceCertFile = "device.pem"    // the device certificate
	caFile         = "ca.pem"        // the cloud's authority, pinned
	statementFile  = "statement.pub" // verifies the cloud's statements
	siteKeysFile   = "site.keys"     // the site's token and seal keys, encrypted
)

// ErrNotEnrolled is wrapped by [OpenIdentity] when the data directory does not
// say who this gateway is.
var ErrNotEnrolled = errors.New("this gateway is not enrolled")

// An Enrolment is what DIR/enrolled.yaml says.
type Enrolment struct {
	Gateway  string `yaml:"gateway"`
	Site     string `yaml:"site"`
	Endpoint string `yaml:"endpoint"`
	// Endpoints are further ways into the cloud, best first.
	Endpoints []string `yaml:"endpoints"`
}

// An Identity is who this gateway is and what it can prove.
type Identity struct {
	Gateway  holdfast.GatewayID
	Site     holdfast.SiteID
	Endpoint string   // https URL of the cloud's gateway endpoint
	Further  []string // https URLs of its further endpoints, best first

	Signer       crypto.Signer // the device key
	Device       tls.Certificate
	CA           *x509.Certificate
	StatementKey *ecdsa.PublicKey
	TokenKey     [32]byte
	SealKey      [32]byte
}

// OpenIdentity reads the identity in the data directory.
func OpenIdentity(cfg *Config) (*Identity, error) {
	id, err := readEnrolment(cfg.Dir)
	if err != nil {
		return nil, err
	}
	passphrase, err := keyfile.Passphrase(passphrasePath(cfg.Dir, cfg.Keys))
	if err != nil {
		return nil, fmt.Errorf("%w; it was made at enrolment, see keys in docs/gateway.md", err)
	}
	keys := filepath.Join(cfg.Dir, keysDir)
	key, err := keyfile.Open(filepath.Join(keys, deviceKeyFile), passphrase)
	if err != nil {
		return nil, err
	}
	if err := id.readKeys(keys, key); err != nil {
		return nil, fmt.Errorf("identity in %s: %w", keys, err)
	}
	return id, nil
}

// readEnrolment reads DIR/enrolled.yaml.
func readEnrolment(dir string) (*Identity, error) {
	path := filepath.Join(dir, enrolmentFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is missing; enrol it with: holdfast-gateway enroll --cloud URL --code CODE --dir %s", ErrNotEnrolled, path, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("read enrolment: %w", err)
	}
	var e Enrolment
	if _, problems := readYAML(path, text, &e); len(problems) > 0 {
		return nil, &ConfigError{problems}
	}
	id := &Identity{Endpoint: e.Endpoint, Further: e.Endpoints}
	if id.Gateway, err = holdfast.ParseGatewayID(e.Gateway); err == nil {
		id.Site, err = holdfast.ParseSiteID(e.Site)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return id, nil
}

// passphrasePath says where the passphrase is.
func passphrasePath(dir string, k KeysConfig) string {
	switch {
	case k.PassphraseFile != "":
		return k.PassphraseFile
	case k.Credential != "":
		return filepath.Join(os.Getenv("CREDENTIALS_DIRECTORY"), k.Credential)
	}
	return filepath.Join(dir, keysDir, passFile)
}

func (id *Identity) readKeys(keys string, key *ecdsa.PrivateKey) error {
	cert, err := readCertificate(filepath.Join(keys, deviceCertFile))
	if err != nil {
		return err
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return fmt.Errorf("%s is not the certificate of %s", deviceCertFile, deviceKeyFile)
	}
	if id.CA, err = readCertificate(filepath.Join(keys, caFile)); err != nil {
		return err
	}
	der, err := readPEM(filepath.Join(keys, statementFile), "PUBLIC KEY")
	if err != nil {
		return err
	}
	if id.StatementKey, err = parseStatementKey(der); err != nil {
		return err
	}
	sealed, err := os.ReadFile(filepath.Join(keys, siteKeysFile))
	if err != nil {
		return fmt.Errorf("read the site's keys: %w", err)
	}
	if id.TokenKey, id.SealKey, err = openSiteKeys(key, sealed); err != nil {
		return err
	}
	id.Signer = key
	id.Device = tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
	return nil
}

func readPEM(path, kind string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s: want a PEM block %q", path, kind)
	}
	return block.Bytes, nil
}

func readCertificate(path string) (*x509.Certificate, error) {
	der, err := readPEM(path, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func parseStatementKey(der []byte) (*ecdsa.PublicKey, error) {
	pub, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("the cloud's statement key: %w", err)
	}
	key, ok := pub.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("the cloud's statement key is a %T, want ECDSA P-256", pub)
	}
	return key, nil
}

// siteKeys is the JSON form of the site's keys before encryption.
type siteKeys struct {
	Token []byte `json:"token"`
	Seal  []byte `json:"seal"`
}

// siteAEAD derives the key that encrypts the site's keys from the device key:
// whoever opens the key file opens both, and the passphrase is stretched once.
func siteAEAD(key *ecdsa.PrivateKey) (cipher.AEAD, error) {
	scalar, err := key.Bytes()
	if err != nil {
		return nil, fmt.Errorf("derive the key of the site's keys: %w", err)
	}
	secret, err := hkdf.Key(sha256.New, scalar, nil, "holdfast/site-keys/v1", 32)
	if err != nil {
		return nil, fmt.Errorf("derive the key of the site's keys: %w", err)
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, fmt.Errorf("cipher of the site's keys: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// sealSiteKeys encrypts the site's keys: a 12-byte nonce, then AES-256-GCM.
func sealSiteKeys(key *ecdsa.PrivateKey, token, seal []byte) ([]byte, error) {
	if len(token) != 32 || len(seal) != 32 {
		return nil, fmt.Errorf("site keys of %d and %d bytes, want 32 each", len(token), len(seal))
	}
	plain, err := json.Marshal(siteKeys{token, seal})
	if err != nil {
		return nil, fmt.Errorf("encode the site's keys: %w", err)
	}
	aead, err := siteAEAD(key)
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, plain, nil), nil
}

func openSiteKeys(key *ecdsa.PrivateKey, sealed []byte) (token, seal [32]byte, err error) {
	aead, err := siteAEAD(key)
	if err != nil {
		return token, seal, err
	}
	var k siteKeys
	plain, err := aead.Open(nil, nil, sealed, nil)
	if err == nil {
		err = json.Unmarshal(plain, &k)
	}
	if err != nil || len(k.Token) != 32 || len(k.Seal) != 32 {
		return token, seal, errors.New("site.keys is damaged or belongs to another key; enrol again")
	}
	copy(token[:], k.Token)
	copy(seal[:], k.Seal)
	return token, seal, nil
}

// randomPassphrase is 256 bits in hex.
func randomPassphrase() []byte {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return fmt.Appendf(nil, "%x\n", b)
}
