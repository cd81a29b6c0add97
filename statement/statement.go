// Package statement signs and verifies what the cloud tells a gateway and what
// a gateway tells a driver: access lists, grants, tariffs, the cloud's time,
// receipts. It is PURE: keys, randomness and time come in as arguments.
//
// A statement is a tagged COSE_Sign1 (RFC 9052 section 4.2) with ES256 and
// nothing else: the algorithm is pinned here and is never taken from the
// message. Each kind of statement has a typ (RFC 9596), which stands in the
// protected header and once more as the external_aad, so that a receipt can
// never pass for a grant, not even in a reader that forgets to look at headers:
// its signature does not verify under another typ.
//
// A statement has one encoding. Payloads are deterministic CBOR (RFC 8949
// section 4.2.1) with integer keys, and [Verify] and [Unmarshal] refuse every
// other encoding of the same thing, unknown keys included: a restriction that a
// reader does not understand must not be passed over. A new field therefore
// means a new typ ("+v2"), and a reader of the older one says so.
//
// The identity of a statement is its payload. Two ECDSA signatures over one
// payload differ, so nobody may compare, index or name a statement by the hash
// of its signed bytes across signings.
//
// docs/statements.md has the typs, the headers, the payload maps and the test
// vectors (testdata in this package, access and receipt).
package statement

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/veraison/go-cose"
)

// The kinds of statement: the typ of the protected header (label 16).
const (
	TypList    = "holdfast/list+v1"    // cloud: a site's access list, package access
	TypGrant   = "holdfast/grant+v1"   // cloud: a short-lived permission for a token, package access
	TypTariff  = "holdfast/tariff+v1"  // cloud: a tariff, [Tariff]
	TypReceipt = "holdfast/receipt+v1" // gateway: a driver's receipt, package receipt
	TypTime    = "holdfast/time+v1"    // cloud: its time, [Time]
	TypLimits  = "holdfast/limits+v1"  // cloud: a site's limit schedule, package power
)

// MaxBytes bounds a signed statement. The largest is an access list: with the
// base64 of a record or a directive it still fits their 1 MiB.
const MaxBytes = 512 << 10

// Errors that [Verify] wraps. None says more than that the statement must not
// be used; the wrapped text says why.
var (
	ErrMalformed = errors.New("malformed statement")              // not one of our COSE_Sign1 encodings, or too large
	ErrType      = errors.New("statement of another kind")        // well formed, another typ
	ErrSignature = errors.New("statement signature is not valid") // another key, or changed bytes
)

// KeyID names a public key: the first 8 bytes of the SHA-256 of its PKIX form,
// as 16 hex digits. It is "" for a key that has no PKIX form.
func KeyID(pub *ecdsa.PublicKey) string { return hex.EncodeToString(keyID(pub)) }

func keyID(pub *ecdsa.PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil
	}
	sum := sha256.Sum256(der)
	return sum[:8]
}

// Sign signs payload as a statement of kind typ. The key must be P-256; it may
// sit in a TPM. With a nil rand a software key signs deterministically (RFC
// 6979), which the simulator and the test vectors use.
func Sign(key crypto.Signer, rand io.Reader, typ string, payload []byte) ([]byte, error) {
	pub, ok := key.Public().(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() {
		return nil, fmt.Errorf("sign %s: key is %T, want ECDSA P-256", typ, key.Public())
	}
	if len(payload) == 0 {
		return nil, fmt.Errorf("sign %s: empty payload", typ)
	}
	signer, err := cose.NewSigner(cose.AlgorithmES256, sha256Signer{key})
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", typ, err)
	}
	m := cose.Sign1Message{Headers: headers(typ, keyID(pub)), Payload: payload}
	if err := m.Sign(rand, []byte(typ), signer); err != nil {
		return nil, fmt.Errorf("sign %s: %w", typ, err)
	}
	b, err := m.MarshalCBOR()
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", typ, err)
	}
	if len(b) > MaxBytes {
		return nil, fmt.Errorf("sign %s: %d bytes, at most %d", typ, len(b), MaxBytes)
	}
	return b, nil
}

func headers(typ string, kid []byte) cose.Headers {
	return cose.Headers{
		Protected: cose.ProtectedHeader{
			cose.HeaderLabelAlgorithm: cose.AlgorithmES256,
			cose.HeaderLabelKeyID:     kid,
			cose.HeaderLabelType:      typ,
		},
		Unprotected: cose.UnprotectedHeader{},
	}
}

// sha256Signer says SHA-256 to a key that go-cose would ask without saying
// which hash: TPM keys and deterministic ECDSA want to know.
type sha256Signer struct{ crypto.Signer }

func (s sha256Signer) Sign(rand io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	return s.Signer.Sign(rand, digest, crypto.SHA256)
}

// Verify checks that b is a statement of kind typ signed by pub, and returns
// its payload. It wraps [ErrMalformed], [ErrType] or [ErrSignature].
func Verify(pub *ecdsa.PublicKey, typ string, b []byte) (payload []byte, err error) {
	m, err := parse(b)
	if err != nil {
		return nil, err
	}
	if got := m.typ(); got != typ {
		return nil, fmt.Errorf("%w: %q, want %q", ErrType, got, typ)
	}
	if pub == nil || pub.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: no P-256 key to verify %s with", ErrSignature, typ)
	}
	if kid := m.kid(); kid != KeyID(pub) {
		return nil, fmt.Errorf("%w: %s was signed by key %s, not by %s", ErrSignature, typ, kid, KeyID(pub))
	}
	verifier, err := cose.NewVerifier(cose.AlgorithmES256, pub)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrSignature, err)
	}
	if err := m.Verify([]byte(typ), verifier); err != nil {
		return nil, fmt.Errorf("%w: %s by key %s: %v", ErrSignature, typ, m.kid(), err)
	}
	return m.Payload, nil
}

// An Unverified is what a statement says about itself. It is for choosing a key
// and for showing to people; nothing may act on it.
type Unverified struct {
	Typ     string
	KeyID   string // of the key that claims to have signed
	Payload []byte
}

// Peek reads a statement without verifying it.
func Peek(b []byte) (Unverified, error) {
	m, err := parse(b)
	if err != nil {
		return Unverified{}, err
	}
	return Unverified{Typ: m.typ(), KeyID: m.kid(), Payload: m.Payload}, nil
}

// message is a COSE_Sign1 that parse has found to be one of ours.
type message struct{ cose.Sign1Message }

func (m *message) typ() string { s, _ := m.Headers.Protected[cose.HeaderLabelType].(string); return s }

func (m *message) kid() string {
	b, _ := m.Headers.Protected[cose.HeaderLabelKeyID].([]byte)
	return hex.EncodeToString(b)
}

// parse accepts exactly the bytes that Sign can produce: the three protected
// headers, no unprotected one (nobody signed it), an attached payload, and the
// deterministic encoding.
func parse(b []byte) (*message, error) {
	if len(b) > MaxBytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrMalformed, len(b), MaxBytes)
	}
	m := &message{}
	if err := m.UnmarshalCBOR(b); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	h := m.Headers.Protected
	alg, err := h.Algorithm()
	if err != nil || alg != cose.AlgorithmES256 {
		return nil, fmt.Errorf("%w: algorithm is not ES256", ErrMalformed)
	}
	if len(h) != 3 || m.typ() == "" || len(m.kid()) != 16 || len(m.Headers.Unprotected) != 0 {
		return nil, fmt.Errorf("%w: want exactly the protected headers alg, kid, typ and no other", ErrMalformed)
	}
	if len(m.Payload) == 0 || len(m.Signature) != 64 {
		return nil, fmt.Errorf("%w: payload of %d bytes, signature of %d", ErrMalformed, len(m.Payload), len(m.Signature))
	}
	// Built anew, and not from the raw headers that the decoder keeps, so that
	// a second encoding of the same headers does not pass.
	again := cose.Sign1Message{Headers: headers(m.typ(), h[cose.HeaderLabelKeyID].([]byte)), Payload: m.Payload, Signature: m.Signature}
	if enc, err := again.MarshalCBOR(); err != nil || !bytes.Equal(enc, b) {
		return nil, fmt.Errorf("%w: not in deterministic encoding", ErrMalformed)
	}
	return m, nil
}
