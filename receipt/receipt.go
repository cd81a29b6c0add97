// Package receipt is what a driver keeps: a signed statement of one charging
// session that anybody can check with no network, no account and no trust in
// the cloud, given the gateway's public key. It is PURE.
//
// A receipt is made on the site, signed by the gateway's device key
// ([statement.TypReceipt]) and journaled. It is provisional: the price is that
// of the tariff known on the site, and the invoice that follows may differ
// where the evidence turns out to say something else. It names the records that
// it rests on by position, so that it can be held against the journal, and the
// tariff by the hash of its signed bytes. It does not name the driver: whoever
// holds it, holds it.
//
// [Receipt.Validate] holds the arithmetic together: a receipt whose lines do
// not add up is neither signed nor accepted. docs/statements.md has the payload.
package receipt

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"math"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/statement"
)

// Bounds. A receipt beyond one is refused.
const (
	MaxLines = 32
	MaxName  = 36 // bytes of a tariff id or a line's kind (OCPI CiString(36))
)

// ErrInvalid is wrapped by every error about a receipt's content.
var ErrInvalid = errors.New("invalid receipt")

// A Receipt states one session. The numbers are the keys of its CBOR form and
// are frozen: docs/statements.md.
type Receipt struct {
	Session holdfast.SessionID `json:"session" cbor:"1,keyasint"`
	Gateway holdfast.GatewayID `json:"gateway" cbor:"2,keyasint"`
	Site    holdfast.SiteID    `json:"site" cbor:"3,keyasint"`
	Charger holdfast.ChargerID `json:"charger" cbor:"4,keyasint"`
	EVSE    int                `json:"evse" cbor:"5,keyasint"` // 0 to 2^31-1

	// Epoch and Seq are the position, in the evidence journal of Gateway, of the
	// record that ended the session.
	Epoch holdfast.Epoch `json:"epoch" cbor:"6,keyasint"`
	Seq   holdfast.Seq   `json:"seq" cbor:"7,keyasint"`

	Provisional bool                `json:"provisional" cbor:"8,keyasint"`
	Issued      Moment              `json:"issued" cbor:"9,keyasint"`
	Started     Moment              `json:"started" cbor:"10,keyasint"`
	Stopped     Moment              `json:"stopped" cbor:"11,keyasint"`
	Start       *holdfast.WattHours `json:"start,omitempty" cbor:"12,keyasint,omitempty"` // meter register; absent stays absent
	Stop        *holdfast.WattHours `json:"stop,omitempty" cbor:"13,keyasint,omitempty"`
	Energy      holdfast.WattHours  `json:"energy" cbor:"14,keyasint"` // billed; not always Stop - Start: a meter may have been reset in between

	Tariff   *Tariff         `json:"tariff,omitempty" cbor:"15,keyasint,omitempty"` // nil: none was known, and there are no lines
	Currency string          `json:"currency,omitempty" cbor:"16,keyasint,omitempty"`
	Lines    []Line          `json:"lines" cbor:"17,keyasint"`
	Net      holdfast.Micros `json:"net" cbor:"18,keyasint"`
	VAT      holdfast.Micros `json:"vat" cbor:"19,keyasint"`
	Gross    holdfast.Micros `json:"gross" cbor:"20,keyasint"`

	// StartedClaim and StoppedClaim are what the charger's clock said, where
	// Started and Stopped are not that: its clock was off. 0: they are.
	StartedClaim holdfast.UnixMilli `json:"started_claim,omitempty" cbor:"21,keyasint,omitempty"`
	StoppedClaim holdfast.UnixMilli `json:"stopped_claim,omitempty" cbor:"22,keyasint,omitempty"`
}

// A Moment is a clock reading with its quality.
type Moment struct {
	At      holdfast.UnixMilli `json:"at" cbor:"1,keyasint,omitempty"` // 0: not known
	Quality holdfast.Quality   `json:"q" cbor:"2,keyasint"`
}

// A Tariff names the version of a tariff that priced a session.
type Tariff struct {
	ID      string        `json:"id" cbor:"1,keyasint"`
	Version uint64        `json:"version" cbor:"2,keyasint"`
	Hash    holdfast.Hash `json:"hash" cbor:"3,keyasint"` // SHA-256 of its signed bytes
}

// A Line is one line of the bill; its fields are those of tariff.Line.
type Line struct {
	Kind      string          `json:"kind" cbor:"1,keyasint"`
	Quantity  int64           `json:"quantity" cbor:"2,keyasint"`
	UnitPrice holdfast.Micros `json:"unit_price" cbor:"3,keyasint"`
	VATppm    int64           `json:"vat_ppm" cbor:"4,keyasint"`
	Net       holdfast.Micros `json:"net" cbor:"5,keyasint"`
	VAT       holdfast.Micros `json:"vat" cbor:"6,keyasint"`
	Gross     holdfast.Micros `json:"gross" cbor:"7,keyasint"`
}

// Encode returns r's payload for [statement.Sign]. It fails, wrapping
// [ErrInvalid], when r does not add up.
func Encode(r Receipt) ([]byte, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	return statement.Marshal(r)
}

// Decode reads a payload. It does not say who signed it: see [Verify].
func Decode(payload []byte) (Receipt, error) {
	var r Receipt
	if err := statement.Unmarshal(payload, &r); err != nil {
		return Receipt{}, fmt.Errorf("receipt: %w", err)
	}
	again, err := Encode(r)
	if err != nil {
		return Receipt{}, err
	}
	if !bytes.Equal(again, payload) {
		return Receipt{}, fmt.Errorf("receipt: %w: not in deterministic encoding", statement.ErrMalformed)
	}
	return r, nil
}

// Verify checks that b is a receipt signed by the gateway whose device key is
// pub, and returns it. Errors wrap those of package statement or [ErrInvalid].
func Verify(pub *ecdsa.PublicKey, b []byte) (Receipt, error) {
	payload, err := statement.Verify(pub, statement.TypReceipt, b)
	if err != nil {
		return Receipt{}, fmt.Errorf("receipt: %w", err)
	}
	return Decode(payload)
}

// Validate checks names, bounds and arithmetic: every line's gross is net plus
// VAT, every total is the sum of its lines.
func (r Receipt) Validate() error {
	if err := r.validateNames(); err != nil {
		return fmt.Errorf("%w: %v", ErrInvalid, err)
	}
	for _, m := range []Moment{r.Issued, r.Started, r.Stopped} {
		if !m.valid() {
			return fmt.Errorf("%w: time %d with quality %q", ErrInvalid, m.At, m.Quality)
		}
	}
	if r.Energy < 0 || r.EVSE < 0 || int64(r.EVSE) > math.MaxInt32 {
		return fmt.Errorf("%w: energy %d Wh, evse %d", ErrInvalid, r.Energy, r.EVSE)
	}
	if len(r.Lines) > MaxLines {
		return fmt.Errorf("%w: %d lines, at most %d", ErrInvalid, len(r.Lines), MaxLines)
	}
	if (r.Tariff == nil) != (r.Currency == "") || r.Tariff == nil && len(r.Lines) > 0 {
		return fmt.Errorf("%w: lines need a tariff, and a tariff a currency", ErrInvalid)
	}
	return r.validateSums()
}

func (r Receipt) validateNames() error {
	if r.Session.IsZero() {
		return errors.New("no session")
	}
	if _, err := holdfast.ParseGatewayID(string(r.Gateway)); err != nil {
		return err
	}
	if _, err := holdfast.ParseSiteID(string(r.Site)); err != nil {
		return err
	}
	if _, err := holdfast.ParseChargerID(string(r.Charger)); err != nil {
		return err
	}
	if t := r.Tariff; t != nil && (t.ID == "" || len(t.ID) > MaxName || !printable(t.ID)) {
		return fmt.Errorf("tariff id %q", t.ID)
	}
	if r.Currency != "" && (len(r.Currency) != 3 || !printable(r.Currency)) {
		return fmt.Errorf("currency %q, want three letters (ISO 4217)", r.Currency)
	}
	return nil
}

// valid: a known time is plausible; the quality is one of OCMF's letters.
func (m Moment) valid() bool {
	switch m.Quality {
	case holdfast.Unknown, holdfast.Informative, holdfast.Relative, holdfast.Synchronised:
		return m.At == 0 || m.At.Plausible()
	}
	return false
}

// maxMicros bounds every amount, so that sums over MaxLines cannot overflow.
const maxMicros = math.MaxInt64 / (MaxLines + 1)

func (r Receipt) validateSums() error {
	var net, vat, gross holdfast.Micros
	for i, l := range r.Lines {
		if l.Kind == "" || len(l.Kind) > MaxName || !printable(l.Kind) || l.Quantity < 0 || l.UnitPrice < 0 || l.VATppm < 0 {
			return fmt.Errorf("%w: line %d: %q, quantity %d, unit price %d, VAT %d ppm", ErrInvalid, i, l.Kind, l.Quantity, l.UnitPrice, l.VATppm)
		}
		if l.Net < 0 || l.Net > maxMicros || l.VAT < 0 || l.VAT > maxMicros || l.Gross != l.Net+l.VAT {
			return fmt.Errorf("%w: line %d: net %d and VAT %d do not make gross %d", ErrInvalid, i, l.Net, l.VAT, l.Gross)
		}
		net, vat, gross = net+l.Net, vat+l.VAT, gross+l.Gross
	}
	if r.Net != net || r.VAT != vat || r.Gross != gross {
		return fmt.Errorf("%w: totals %d + %d = %d, lines add up to %d + %d = %d", ErrInvalid, r.Net, r.VAT, r.Gross, net, vat, gross)
	}
	return nil
}

// printable: names go onto paper and terminals, so no control characters.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
