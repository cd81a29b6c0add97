package statement

import (
	"bytes"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/holdfast-ev/holdfast"
)

// Bounds of the decoder, above every payload in use.
const (
	maxNesting  = 8
	maxElements = 32 << 10 // of one array: the entries of the largest list
	maxPairs    = 64       // of one map: the keys of the widest payload
)

// Marshal encodes v, a struct with integer keys, as deterministic CBOR (RFC
// 8949 section 4.2.1).
func Marshal(v any) ([]byte, error) {
	opts := cbor.CoreDetEncOptions()
	opts.ByteArray = cbor.ByteArrayToByteSlice
	opts.NilContainers = cbor.NilContainerAsEmpty
	opts.TagsMd = cbor.TagsForbidden
	mode, err := opts.EncMode()
	if err != nil {
		return nil, fmt.Errorf("encode payload: %w", err)
	}
	b, err := mode.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode payload: %w", err)
	}
	return b, nil
}

// Unmarshal decodes what [Marshal] encoded into v and refuses, wrapping
// [ErrMalformed], everything that Marshal would not have written: unknown or
// repeated keys, floats, tags, other lengths, another order, trailing bytes.
// v must not hold maps of its own: their order is not kept.
func Unmarshal(b []byte, v any) error {
	if len(b) > MaxBytes {
		return fmt.Errorf("%w: payload of %d bytes, at most %d", ErrMalformed, len(b), MaxBytes)
	}
	mode, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		MaxNestedLevels:   maxNesting,
		MaxArrayElements:  maxElements,
		MaxMapPairs:       maxPairs,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
	}.DecMode()
	if err != nil {
		return fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	if err := mode.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	if again, err := Marshal(v); err != nil || !bytes.Equal(again, b) {
		return fmt.Errorf("%w: payload is not in deterministic encoding", ErrMalformed)
	}
	return nil
}

// A Time is the cloud's time, bound to a gateway's question ([TypTime]). Only
// it raises the time floor.
type Time struct {
	Nonce string             `cbor:"1,keyasint"` // of the Hello it answers; 32 hex digits
	Now   holdfast.UnixMilli `cbor:"2,keyasint"`
}

// nonceLen is the length of a nonce, in hex digits.
const nonceLen = 32

// EncodeTime returns t's payload.
func EncodeTime(t Time) ([]byte, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	return Marshal(t)
}

// DecodeTime reads the payload of a verified [TypTime]. The caller compares the
// nonce with the one it sent.
func DecodeTime(payload []byte) (Time, error) {
	var t Time
	if err := Unmarshal(payload, &t); err != nil {
		return Time{}, fmt.Errorf("time: %w", err)
	}
	return t, t.check()
}

func (t Time) check() error {
	if len(t.Nonce) != nonceLen {
		return fmt.Errorf("%w: time: nonce of %d characters, want %d", ErrMalformed, len(t.Nonce), nonceLen)
	}
	if !t.Now.Plausible() {
		return fmt.Errorf("%w: time: %s is not between 2020 and 2106", ErrMalformed, t.Now)
	}
	return nil
}

// MaxTariffIDLen bounds a tariff's id, as OCPI does (CiString(36)).
const MaxTariffIDLen = 36

// A Tariff is one version of a tariff ([TypTariff]). What the tariff says is
// OCPI JSON, kept as the bytes that were signed; package tariff reads them.
type Tariff struct {
	ID      string             `cbor:"1,keyasint"`
	Version uint64             `cbor:"2,keyasint"` // never decreases per ID
	Site    holdfast.SiteID    `cbor:"3,keyasint"` // it prices sessions of this site only
	Issued  holdfast.UnixMilli `cbor:"4,keyasint"`
	OCPI    []byte             `cbor:"5,keyasint"` // an OCPI 2.2.1 Tariff object
}

// EncodeTariff returns t's payload.
func EncodeTariff(t Tariff) ([]byte, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	return Marshal(t)
}

// DecodeTariff reads the payload of a verified [TypTariff].
func DecodeTariff(payload []byte) (Tariff, error) {
	var t Tariff
	if err := Unmarshal(payload, &t); err != nil {
		return Tariff{}, fmt.Errorf("tariff: %w", err)
	}
	return t, t.check()
}

func (t Tariff) check() error {
	if t.ID == "" || len(t.ID) > MaxTariffIDLen {
		return fmt.Errorf("%w: tariff: id of %d bytes, want 1 to %d", ErrMalformed, len(t.ID), MaxTariffIDLen)
	}
	if _, err := holdfast.ParseSiteID(string(t.Site)); err != nil {
		return fmt.Errorf("%w: tariff %s: %v", ErrMalformed, t.ID, err)
	}
	if t.Version == 0 || !t.Issued.Plausible() || len(t.OCPI) == 0 {
		return fmt.Errorf("%w: tariff %s: version, issue time and OCPI object must be given", ErrMalformed, t.ID)
	}
	return nil
}
