package holdfast

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Bounds on names. A name longer than its bound is refused where it enters.
const (
	MaxGatewayIDLen = 40 // bytes; fits the journal segment header
	MaxSiteIDLen    = 40 // bytes
	MaxChargerIDLen = 48 // bytes; OCPP-J 2.0.1 part 4, section 3.1.1
)

// ErrID is wrapped by every error that a Parse function in this package
// returns for a malformed name.
var ErrID = errors.New("malformed identifier")

// A GatewayID names one gateway: 1 to [MaxGatewayIDLen] characters out of
// a-z, 0-9 and '-', starting with a letter or a digit.
type GatewayID string

// ParseGatewayID checks s and returns it as a GatewayID.
func ParseGatewayID(s string) (GatewayID, error) {
	if err := checkSlug(s, MaxGatewayIDLen); err != nil {
		return "", fmt.Errorf("gateway id %q: %w", clip(s), err)
	}
	return GatewayID(s), nil
}

// A SiteID names one site (OCPI's location). Same alphabet as [GatewayID].
type SiteID string

// ParseSiteID checks s and returns it as a SiteID.
func ParseSiteID(s string) (SiteID, error) {
	if err := checkSlug(s, MaxSiteIDLen); err != nil {
		return "", fmt.Errorf("site id %q: %w", clip(s), err)
	}
	return SiteID(s), nil
}

// A ChargerID is the identity that a charging station presents in its
// WebSocket URL: 1 to [MaxChargerIDLen] printable ASCII characters without a
// colon, which Basic auth could not carry (OCPP-J 1.6 section 6.2.2; OCPP
// 2.0.1 part 4 section 3.1.1), and without a slash or a percent sign, which
// the URL could not.
type ChargerID string

// ParseChargerID checks s, already percent-decoded, and returns it as a
// ChargerID.
func ParseChargerID(s string) (ChargerID, error) {
	if len(s) == 0 || len(s) > MaxChargerIDLen {
		return "", fmt.Errorf("charger id of %d bytes, want 1 to %d: %w", len(s), MaxChargerIDLen, ErrID)
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == ':' || c == '/' || c == '%' {
			return "", fmt.Errorf("charger id %q: character %q at %d: %w", s, c, i, ErrID)
		}
	}
	return ChargerID(s), nil
}

func checkSlug(s string, most int) error {
	if len(s) == 0 || len(s) > most {
		return fmt.Errorf("%d bytes, want 1 to %d: %w", len(s), most, ErrID)
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' && i > 0) {
			return fmt.Errorf("character %q at %d, want a-z, 0-9 or '-': %w", c, i, ErrID)
		}
	}
	return nil
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}

// A Journal is one of a gateway's two journals.
type Journal string

// The two journals. Evidence is what money, access and history rest on: it is
// never dropped before the cloud has reconciled it. Telemetry helps operations
// and may be dropped, oldest first, when its budget is spent.
const (
	Evidence  Journal = "evidence"
	Telemetry Journal = "telemetry"
)

// ParseJournal accepts "evidence" and "telemetry".
func ParseJournal(s string) (Journal, error) {
	switch j := Journal(s); j {
	case Evidence, Telemetry:
		return j, nil
	}
	return "", fmt.Errorf("journal %q, want %q or %q: %w", clip(s), Evidence, Telemetry, ErrID)
}

// An Epoch is the random id of an unbroken run of sequence numbers. A new one
// begins at enrolment, after a restored or cloned disk is noticed, and after
// acknowledged history was lost. Its text form is 32 lower-case hex digits.
type Epoch [16]byte

// ParseEpoch is the inverse of [Epoch.String].
func ParseEpoch(s string) (e Epoch, err error) {
	return e, parseHex("epoch", s, e[:])
}

func (e Epoch) String() string { return hex.EncodeToString(e[:]) }

// IsZero reports whether e is the zero epoch, which names the absent parent of
// a gateway's first epoch.
func (e Epoch) IsZero() bool { return e == Epoch{} }

// MarshalText implements encoding.TextMarshaler.
func (e Epoch) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, e[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (e *Epoch) UnmarshalText(b []byte) error { return parseHex("epoch", string(b), e[:]) }

// A Seq counts the records of one (journal, epoch) from 0, without a gap. It is
// also the record's leaf index in the epoch's Merkle tree, so a tree size is
// the Seq of the next record.
type Seq uint64

// A Pos is the name of a record.
type Pos struct {
	Gateway GatewayID `json:"gateway"`
	Journal Journal   `json:"journal"`
	Epoch   Epoch     `json:"epoch"`
	Seq     Seq       `json:"seq"`
}

// String returns "gateway/journal/epoch/seq".
func (p Pos) String() string {
	return string(p.Gateway) + "/" + string(p.Journal) + "/" + p.Epoch.String() + "/" + strconv.FormatUint(uint64(p.Seq), 10)
}

// ParsePos is the inverse of [Pos.String].
func ParsePos(s string) (p Pos, err error) {
	part := strings.Split(s, "/")
	if len(part) != 4 {
		return p, fmt.Errorf("position %q, want gateway/journal/epoch/seq: %w", clip(s), ErrID)
	}
	if p.Gateway, err = ParseGatewayID(part[0]); err != nil {
		return Pos{}, err
	}
	if p.Journal, err = ParseJournal(part[1]); err != nil {
		return Pos{}, err
	}
	if p.Epoch, err = ParseEpoch(part[2]); err != nil {
		return Pos{}, err
	}
	n, err := strconv.ParseUint(part[3], 10, 64)
	if err != nil || part[3] != strconv.FormatUint(n, 10) {
		return Pos{}, fmt.Errorf("position %q: sequence %q: %w", clip(s), clip(part[3]), ErrID)
	}
	p.Seq = Seq(n)
	return p, nil
}

// A Hash is a SHA-256 sum; its text form is 64 lower-case hex digits.
type Hash [32]byte

// ParseHash is the inverse of [Hash.String].
func ParseHash(s string) (h Hash, err error) {
	return h, parseHex("hash", s, h[:])
}

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// IsZero reports whether h is all zero, which no record hashes to in practice.
func (h Hash) IsZero() bool { return h == Hash{} }

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hash) UnmarshalText(b []byte) error { return parseHex("hash", string(b), h[:]) }

// A SessionID names a charging session for ever: the Merkle leaf hash of the
// record that opened it. That record carries the gateway's boot nonce, so even
// an unnoticed clone of a gateway cannot make one id twice.
type SessionID Hash

// ParseSessionID is the inverse of [SessionID.String].
func ParseSessionID(s string) (SessionID, error) {
	h, err := ParseHash(s)
	return SessionID(h), err
}

func (s SessionID) String() string { return Hash(s).String() }

// Short returns the first 12 hex digits, for people; never use it as a key.
func (s SessionID) Short() string { return Hash(s).String()[:12] }

// IsZero reports whether s names no session.
func (s SessionID) IsZero() bool { return Hash(s).IsZero() }

// MarshalText implements encoding.TextMarshaler.
func (s SessionID) MarshalText() ([]byte, error) { return Hash(s).MarshalText() }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *SessionID) UnmarshalText(b []byte) error { return (*Hash)(s).UnmarshalText(b) }

func parseHex(what, s string, dst []byte) error {
	if len(s) != 2*len(dst) || strings.ToLower(s) != s {
		return fmt.Errorf("%s %q, want %d lower-case hex digits: %w", what, clip(s), 2*len(dst), ErrID)
	}
	if _, err := hex.Decode(dst, []byte(s)); err != nil {
		return fmt.Errorf("%s %q: %w", what, clip(s), ErrID)
	}
	return nil
}

// LeafHash is the RFC 6962 leaf hash of a record's bytes: SHA-256(0x00 ||
// record).
func LeafHash(record []byte) Hash {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(record)
	return Hash(h.Sum(nil))
}
