package cloud

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/seal"
)

// derive makes the key for one purpose out of the root secret (HKDF-SHA256, RFC
// 5869). Keys are made again when they are needed and never stored.
func (p *Plane) derive(purpose, name string) (k [32]byte, err error) {
	b, err := hkdf.Key(sha256.New, p.o.Secret[:], nil, "holdfast/"+purpose+"/v1\x00"+name, len(k))
	copy(k[:], b)
	return k, err
}

// tokenKey hashes tokens at a site, in its list and in its records.
func (p *Plane) tokenKey(site holdfast.SiteID) ([32]byte, error) {
	return p.derive("token-key", string(site))
}

// sealKey wraps the keys of sealed fields of a gateway; "" is the cloud's own.
func (p *Plane) sealKey(gw holdfast.GatewayID) ([32]byte, error) {
	return p.derive("seal-key", string(gw))
}

// tokenPrefix tells a token's id from a token's value: a value cannot hold it
// in this form by accident, since ids are longer than a card's number.
const tokenPrefix = "tok-"

// tokenID is the id of a token: a keyed hash of its normal form.
func (p *Plane) tokenID(value string) (string, error) {
	k, err := p.derive("token-id", "")
	if err != nil {
		return "", err
	}
	m := hmac.New(sha256.New, k[:])
	m.Write([]byte(holdfast.Token{Value: value}.Normal()))
	return tokenPrefix + hex.EncodeToString(m.Sum(nil)[:12]), nil
}

// A sealKeyDoc is the wrapped key of sealed fields. An erased one stays as a
// tombstone, so that a gateway that sends its journal again does not bring the
// key back.
type sealKeyDoc struct {
	Wrapped []byte             `json:"wrapped,omitempty"`
	Erased  holdfast.UnixMilli `json:"erased,omitempty"`
}

// sealed seals a token's value under a new key of the cloud's own, which is
// stored under the token's id.
func (p *Plane) sealed(tx Tx, tokenID, value string) (string, error) {
	var random [52]byte
	if _, err := io.ReadFull(p.o.Rand, random[:]); err != nil {
		return "", fmt.Errorf("seal token: %w", err)
	}
	var wrapNonce [12]byte
	if _, err := io.ReadFull(p.o.Rand, wrapNonce[:]); err != nil {
		return "", fmt.Errorf("seal token: %w", err)
	}
	kek, err := p.sealKey("")
	if err != nil {
		return "", err
	}
	k := seal.NewKey([40]byte(random[:40]))
	doc := sealKeyDoc{Wrapped: seal.Wrap(kek, k, wrapNonce)}
	if _, err := put(tx, KindSealKey, key("", k.ID.String()), Fields{"gateway": "", "token": tokenID}, doc); err != nil {
		return "", err
	}
	return seal.Seal(k, [12]byte(random[40:]), value), nil
}

// unseal opens a sealed field of a gateway, or of the cloud itself ("").
// [ErrNotFound] when its key was erased or never came.
func (p *Plane) unseal(tx Tx, gw holdfast.GatewayID, field string) (string, error) {
	kid, err := seal.FieldKey(field)
	if err != nil {
		return "", err
	}
	doc, err := get[sealKeyDoc](tx, KindSealKey, key(string(gw), kid.String()))
	if err != nil {
		return "", err
	}
	if len(doc.Wrapped) == 0 {
		return "", fmt.Errorf("key %s was erased: %w", kid, ErrNotFound)
	}
	kek, err := p.sealKey(gw)
	if err != nil {
		return "", err
	}
	k, err := seal.Unwrap(kek, doc.Wrapped)
	if err != nil {
		return "", err
	}
	return seal.Open(k, field)
}

// addSealKey keeps a key frame's body.
func addSealKey(tx Tx, gw holdfast.GatewayID, body []byte) error {
	kid, err := seal.WrappedKey(body)
	if err != nil {
		return err
	}
	name := key(string(gw), kid.String())
	if _, err := tx.Get(KindSealKey, name); err == nil {
		return nil // known, or erased
	} else if !isNotFound(err) {
		return err
	}
	_, err = put(tx, KindSealKey, name, Fields{"gateway": string(gw), "token": ""}, sealKeyDoc{Wrapped: body})
	return err
}

// ownSealKey notes whose token a sealed field holds, so that it can be erased.
func ownSealKey(tx Tx, gw holdfast.GatewayID, field string, token holdfast.TokenHash) error {
	kid, err := seal.FieldKey(field)
	if err != nil || token.IsZero() {
		return nil // a field that no key opens: nothing to erase
	}
	d, err := tx.Get(KindSealKey, key(string(gw), kid.String()))
	if isNotFound(err) || err == nil && d.Fields["token"] != "" {
		return nil
	}
	if err != nil {
		return err
	}
	d.Fields["token"] = token.String()
	_, err = tx.Put(d)
	return err
}

// eraseSealKeys destroys the keys of what was sealed for a token, named by its
// id or its hash at a site, and returns how many there were.
func eraseSealKeys(tx Tx, now holdfast.UnixMilli, token string) (n int, err error) {
	docs, err := tx.List(KindSealKey, Query{Where: Fields{"token": token}})
	if err != nil {
		return 0, err
	}
	for _, d := range docs {
		have, err := decode[sealKeyDoc](d)
		if err != nil {
			return n, err
		}
		if have.Erased != 0 {
			continue
		}
		if d.Body, err = json.Marshal(sealKeyDoc{Erased: now}); err != nil {
			return n, err
		}
		if _, err := tx.Put(d); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// randomHex returns n random bytes as hex digits.
func (p *Plane) randomHex(n int) (string, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(p.o.Rand, b); err != nil {
		return "", fmt.Errorf("read randomness: %w", err)
	}
	return hex.EncodeToString(b), nil
}

// clip shortens text from outside for a message.
func clip(s string) string {
	if len(s) > 64 {
		s = s[:64] + "..."
	}
	return strings.ToValidUTF8(s, "?")
}
