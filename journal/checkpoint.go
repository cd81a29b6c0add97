package journal

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/holdfast-ev/holdfast"
)

// MaxCheckpoint bounds a checkpoint note, in bytes: the text and room for a
// dozen cosignatures.
const MaxCheckpoint = 4096

// ErrCheckpoint is wrapped by every error about a checkpoint that does not
// parse or does not verify.
var ErrCheckpoint = errors.New("bad checkpoint")

// CheckpointText returns the text of a checkpoint (C2SP tlog-checkpoint): the
// origin, the size in decimal and the root in base64, a line each.
func CheckpointText(origin string, size uint64, root holdfast.Hash) []byte {
	b := make([]byte, 0, len(origin)+20+44+3)
	b = append(append(b, origin...), '\n')
	b = append(strconv.AppendUint(b, size, 10), '\n')
	return append(base64.StdEncoding.AppendEncode(b, root[:]), '\n')
}

// SignCheckpoint returns text as a C2SP signed note with one signature named
// origin: ECDSA P-256 over SHA-256, ASN.1, signature type 0x02, so that the
// key may sit in a TPM. With a nil rand an *ecdsa.PrivateKey signs
// deterministically (RFC 6979).
func SignCheckpoint(text []byte, origin string, key crypto.Signer, rand io.Reader) ([]byte, error) {
	pub, ok := key.Public().(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("sign checkpoint: key is a %T, want ECDSA P-256", key.Public())
	}
	id, err := keyID(pub)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	signed, err := note.Sign(&note.Note{Text: string(text)}, noteSigner{origin, id, key, rand})
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint of %s: %w", origin, err)
	}
	return signed, nil
}

// VerifyCheckpoint checks a signed note against the origin it must name and
// the key that must have signed it, and returns what it says. Signatures of
// others beside it (a witness's) are ignored.
func VerifyCheckpoint(b []byte, origin string, pub *ecdsa.PublicKey) (size uint64, root holdfast.Hash, err error) {
	if len(b) > MaxCheckpoint {
		return 0, root, fmt.Errorf("%w: %d bytes, limit %d", ErrCheckpoint, len(b), MaxCheckpoint)
	}
	id, err := keyID(pub)
	if err != nil {
		return 0, root, fmt.Errorf("%w: %v", ErrCheckpoint, err)
	}
	n, err := note.Open(b, note.VerifierList(noteVerifier{origin, id, pub}))
	if err != nil {
		return 0, root, fmt.Errorf("%w of %s: %v", ErrCheckpoint, origin, err)
	}
	named, size, root, err := parseCheckpoint(n.Text)
	if err == nil && named != origin {
		err = fmt.Errorf("%w: origin %q, want %q", ErrCheckpoint, named, origin)
	}
	if err != nil {
		return 0, holdfast.Hash{}, err
	}
	return size, root, nil
}

// ReadCheckpoint returns what a note says without checking who signed it.
func ReadCheckpoint(b []byte) (origin string, size uint64, root holdfast.Hash, err error) {
	text, _, ok := strings.Cut(string(b), "\n\n")
	if !ok || len(b) > MaxCheckpoint {
		return "", 0, root, fmt.Errorf("%w: not a signed note of at most %d bytes", ErrCheckpoint, MaxCheckpoint)
	}
	return parseCheckpoint(text + "\n")
}

// parseCheckpoint reads a checkpoint's text, in its one canonical form.
func parseCheckpoint(text string) (origin string, size uint64, root holdfast.Hash, err error) {
	line := strings.Split(text, "\n")
	if len(line) != 4 || line[0] == "" || line[3] != "" {
		return "", 0, root, fmt.Errorf("%w: want three lines: origin, size, root", ErrCheckpoint)
	}
	size, err = strconv.ParseUint(line[1], 10, 64)
	if err != nil || strconv.FormatUint(size, 10) != line[1] {
		return "", 0, root, fmt.Errorf("%w: size %q", ErrCheckpoint, line[1])
	}
	h, err := base64.StdEncoding.Strict().DecodeString(line[2])
	if err != nil || len(h) != len(root) {
		return "", 0, root, fmt.Errorf("%w: root %q", ErrCheckpoint, line[2])
	}
	return line[0], size, holdfast.Hash(h), nil
}

// keyID is the key hash of a type 0x02 signature: the first four bytes of
// SHA-256 over the key's PKIX DER (C2SP signed-note, "Signature types").
func keyID(pub *ecdsa.PublicKey) (uint32, error) {
	if pub == nil || pub.Curve != elliptic.P256() {
		return 0, errors.New("want an ECDSA key on P-256")
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return 0, fmt.Errorf("encode public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return binary.BigEndian.Uint32(sum[:]), nil
}

type noteSigner struct {
	name string
	id   uint32
	key  crypto.Signer
	rand io.Reader
}

func (s noteSigner) Name() string    { return s.name }
func (s noteSigner) KeyHash() uint32 { return s.id }
func (s noteSigner) Sign(msg []byte) ([]byte, error) {
	sum := sha256.Sum256(msg)
	return s.key.Sign(s.rand, sum[:], crypto.SHA256)
}

type noteVerifier struct {
	name string
	id   uint32
	pub  *ecdsa.PublicKey
}

func (v noteVerifier) Name() string    { return v.name }
func (v noteVerifier) KeyHash() uint32 { return v.id }
func (v noteVerifier) Verify(msg, sig []byte) bool {
	sum := sha256.Sum256(msg)
	return ecdsa.VerifyASN1(v.pub, sum[:], sig)
}
