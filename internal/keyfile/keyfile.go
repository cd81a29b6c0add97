// Package keyfile keeps a gateway's device key in an encrypted file: the first
// keeper of the key contract, which is crypto.Signer with a P-256 key. A TPM is
// another keeper; nothing above this package knows which one it has.
//
// # The file
//
// JSON, at most [MaxFile] bytes, mode 0600:
//
//	format      "holdfast-key-v1"
//	public      the public key, PKIX DER, base64: so that the key's name is known without the passphrase
//	kdf         "argon2id" (RFC 9106), with salt (16 bytes), time, memory_kib, threads
//	cipher      "xchacha20poly1305", with nonce (24 bytes)
//	sealed      the 32-byte private scalar and the 16-byte tag; additional data: format, a zero byte, public
//
// The cost of the key derivation is read from the file and bounded, so that a
// planted file cannot take the gateway's memory.
//
// # What it protects
//
// A stolen disk, and a backup that went astray. Whoever can read the passphrase
// too (root on the running gateway) has the key; a TPM would help there. Where
// the passphrase comes from is the operator's choice: systemd's LoadCredential=
// (a file that only the unit can read) or any file of mode 0600. A key or
// passphrase file that others can read is refused, with the command that
// repairs it.
//
// # If the process dies
//
// [Create] writes with internal/durable: the file is there whole, and survives
// a power cut, or it is not there at all. It never replaces a key: a gateway
// without its key is another gateway, and its records need the old one to be
// signed.
package keyfile

import (
	"bytes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/holdfast-ev/holdfast/internal/durable"
)

// Bounds.
const (
	MaxFile          = 8 << 10 // bytes of a key or passphrase file; more is refused
	MinPassphrase    = 8       // bytes; fewer are refused
	maxTime          = 16
	maxMemoryKiB     = 256 << 10
	maxThreads       = 16
	saltLen          = 16
	format           = "holdfast-key-v1"
	kdfName          = "argon2id"
	cipherName       = "xchacha20poly1305"
	scalarLen        = 32
	publicPEMType    = "PUBLIC KEY"
	readableByOthers = 0o007
	writableByGroup  = 0o020
)

// Errors of [Open] and [Create].
var (
	ErrPassphrase  = errors.New("wrong passphrase, or a damaged key file") // the cipher cannot tell the two apart
	ErrMalformed   = errors.New("malformed key file")
	ErrPermissions = errors.New("file permissions are too open")
)

// Cost is the work that the key derivation takes. The zero value is
// [DefaultCost].
type Cost struct {
	Time      uint32 // passes
	MemoryKiB uint32
	Threads   uint8
}

// DefaultCost is the second recommended option of RFC 9106 section 4: 64 MiB
// and three passes, about half a second on a small ARM board, once at start.
func DefaultCost() Cost { return Cost{Time: 3, MemoryKiB: 64 << 10, Threads: 4} }

// file is the JSON form.
type file struct {
	Format    string `json:"format"`
	Public    []byte `json:"public"`
	KDF       string `json:"kdf"`
	Salt      []byte `json:"salt"`
	Time      uint32 `json:"time"`
	MemoryKiB uint32 `json:"memory_kib"`
	Threads   uint8  `json:"threads"`
	Cipher    string `json:"cipher"`
	Nonce     []byte `json:"nonce"`
	Sealed    []byte `json:"sealed"`
}

// Create makes a new P-256 key and writes it to name, encrypted under the
// passphrase. It fails, wrapping fs.ErrExist, when name exists.
func Create(name string, passphrase []byte, cost Cost) (*ecdsa.PrivateKey, error) {
	if err := checkPassphrase(passphrase); err != nil {
		return nil, fmt.Errorf("create key %s: %w", name, err)
	}
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fs.ErrExist
		}
		return nil, fmt.Errorf("create key %s: %w: a key is never replaced; move it away first", name, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("create key %s: %w", name, err)
	}
	b, err := seal(key, passphrase, cost)
	if err != nil {
		return nil, fmt.Errorf("create key %s: %w", name, err)
	}
	if err := durable.WriteFile(name, b, 0o600); err != nil {
		return nil, fmt.Errorf("create key %s: %w", name, err)
	}
	return key, nil
}

// Open reads the key in name. It wraps fs.ErrNotExist, [ErrPermissions],
// [ErrMalformed] or [ErrPassphrase].
func Open(name string, passphrase []byte) (*ecdsa.PrivateKey, error) {
	b, err := readPrivate(name)
	if err != nil {
		return nil, fmt.Errorf("open key: %w", err)
	}
	f, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("open key %s: %w", name, err)
	}
	key, err := f.open(passphrase)
	if err != nil {
		return nil, fmt.Errorf("open key %s: %w", name, err)
	}
	return key, nil
}

// Passphrase reads a passphrase file: its content without the line end. For
// systemd's LoadCredential=NAME:PATH the file is $CREDENTIALS_DIRECTORY/NAME.
func Passphrase(name string) ([]byte, error) {
	b, err := readPrivate(name)
	if err != nil {
		return nil, fmt.Errorf("read passphrase: %w", err)
	}
	b = bytes.TrimRight(b, "\r\n")
	if err := checkPassphrase(b); err != nil {
		return nil, fmt.Errorf("read passphrase %s: %w", name, err)
	}
	return b, nil
}

// PublicPEM is the public key as gateway.pub has it: PEM of PKIX.
func PublicPEM(pub *ecdsa.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: publicPEMType, Bytes: der}), nil
}

func checkPassphrase(p []byte) error {
	if len(p) < MinPassphrase || len(p) > MaxFile {
		return fmt.Errorf("passphrase of %d bytes, want %d to %d", len(p), MinPassphrase, MaxFile)
	}
	return nil
}

// readPrivate reads a file that nobody else may read. Group may read: systemd
// grants a unit its credentials through an ACL, which shows as group bits.
func readPrivate(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read: nothing is lost when closing fails
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", name)
	}
	if mode := info.Mode().Perm(); mode&(readableByOthers|writableByGroup) != 0 {
		return nil, fmt.Errorf("%s: %w: mode %04o; run: chmod 600 %s", name, ErrPermissions, mode, name)
	}
	b, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(b) > MaxFile {
		return nil, fmt.Errorf("%s: %w: more than %d bytes", name, ErrMalformed, MaxFile)
	}
	return b, nil
}

func seal(key *ecdsa.PrivateKey, passphrase []byte, cost Cost) ([]byte, error) {
	if cost == (Cost{}) {
		cost = DefaultCost()
	}
	pub, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	scalar, err := key.Bytes()
	if err != nil {
		return nil, err
	}
	f := file{
		Format: format, Public: pub, KDF: kdfName, Salt: make([]byte, saltLen), Cipher: cipherName,
		Time: cost.Time, MemoryKiB: cost.MemoryKiB, Threads: cost.Threads, Nonce: make([]byte, chacha20poly1305.NonceSizeX),
	}
	// crypto/rand.Read never fails: it ends the process instead.
	_, _ = rand.Read(f.Salt)
	_, _ = rand.Read(f.Nonce)
	aead, err := f.aead(passphrase)
	if err != nil {
		return nil, err
	}
	f.Sealed = aead.Seal(nil, f.Nonce, scalar, f.additional())
	return json.MarshalIndent(f, "", "  ")
}

func parse(b []byte) (*file, error) {
	var f file
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	if f.Format != format || f.KDF != kdfName || f.Cipher != cipherName {
		return nil, fmt.Errorf("%w: %q with %q and %q, this software reads %q with %q and %q",
			ErrMalformed, f.Format, f.KDF, f.Cipher, format, kdfName, cipherName)
	}
	if len(f.Salt) != saltLen || len(f.Nonce) != chacha20poly1305.NonceSizeX || len(f.Sealed) != scalarLen+chacha20poly1305.Overhead {
		return nil, fmt.Errorf("%w: salt, nonce or sealed key has the wrong length", ErrMalformed)
	}
	return &f, nil
}

func (f *file) open(passphrase []byte) (*ecdsa.PrivateKey, error) {
	aead, err := f.aead(passphrase)
	if err != nil {
		return nil, err
	}
	scalar, err := aead.Open(nil, f.Nonce, f.Sealed, f.additional())
	if err != nil {
		return nil, ErrPassphrase
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	pub, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil || !bytes.Equal(pub, f.Public) {
		return nil, fmt.Errorf("%w: the public key does not belong to the private one", ErrMalformed)
	}
	return key, nil
}

func (f *file) additional() []byte {
	return append([]byte(format+"\x00"), f.Public...)
}

func (f *file) aead(passphrase []byte) (cipher.AEAD, error) {
	if f.Time < 1 || f.Time > maxTime || f.Threads < 1 || f.Threads > maxThreads || f.MemoryKiB < 8 || f.MemoryKiB > maxMemoryKiB {
		return nil, fmt.Errorf("%w: key derivation cost out of bounds: %d passes, %d KiB, %d threads", ErrMalformed, f.Time, f.MemoryKiB, f.Threads)
	}
	return chacha20poly1305.NewX(argon2.IDKey(passphrase, f.Salt, f.Time, f.MemoryKiB, f.Threads, chacha20poly1305.KeySize))
}
