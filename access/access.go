// Package access answers one question: may this token charge here, now, with or
// without a link, and within which limits? It is PURE: time, link state and
// prices come in with the [Request].
//
// # What decides
//
// A site's access [List] (signed by the cloud) names the tokens it knows, each
// with OCPI's whitelist mode, and the [Policy] for everything else. A [Grant]
// (signed too, short-lived) is a permission for one token at one site. The
// caller verifies the signatures (package statement); this package sees what
// was decoded. [Rules] is the whole decision as an ordered table; the first rule
// that applies decides, and docs/access.md shows the same table.
//
// # State
//
// [State] is durable: it is folded from the evidence journal and changes only
// through its methods, each called when a record is applied, never when a
// decision is made. [State.Decide] changes nothing. A State marshals to JSON
// deterministically (snapshots are hashed) and comes back equal.
//
// # Time
//
// Three clocks can lie (wall, RTC, charger) and two things cannot: what the
// cloud signed, and the monotonic clock of one boot. So the package keeps a
// *proven time*, the floor: the latest signed time plus all monotonic time seen
// to pass since. The truth is never before it. A wall clock counts only when its
// quality is S and it is later. Expiry is judged at [State.TimeAt]: a clock set
// back cannot revive a credential, and a clock that stands in 2095 unproved
// cannot refuse everybody.
//
// A NotBefore in the future of an untrusted clock is judged at the proven time
// as well, which is early: the grant is not used until its time is proven
// ([NotBeforeLeeway] allows for the trip from the cloud).
//
// # Freshness
//
// A list that nobody confirms grows old: revocations may wait at the cloud. Its
// age runs from the last contact that showed it to be the newest
// ([State.Confirm]), on the monotonic clock within a boot and by trusted wall
// clocks from one boot to the next. When a reboot came between and no clock is
// trusted, the age is unknown: at least the time seen to pass, and never better
// than degraded. Past Policy.DegradedAfterS limits tighten; past
// Policy.HardAfterS grants and ALLOWED tokens stop and ALWAYS and
// ALLOWED_OFFLINE shrink. A site of the dark profile is exempt.
//
// # Exposure
//
// Exposure is the money that could be lost if every running and unreconciled
// session went unpaid: the worst case of each running session (a reservation)
// plus the cost of each ended one (a spend) until the cloud has reconciled it.
// Each is kept under an opaque key, in practice the Seq of the decision, and is
// released, spent and settled exactly once. A new session is accepted only
// within the caps that are left, online and offline: a session accepted online
// may outlive the link.
package access

import (
	"errors"

	"github.com/holdfast-ev/holdfast"
)

// Bounds. What exceeds one is refused where it enters, except where noted.
const (
	MaxEntries = 10_000                      // tokens in one list; statement.MaxBytes may bind earlier
	MaxGrants  = 4_096                       // grants held at once: a new one is refused with ErrFull when none has expired
	MaxHeld    = 65_536                      // reservations and spends held at once: further sessions are refused by rule cap.full
	MaxAmount  = 10_000_000_000_000          // micros: 10 million currency units; larger amounts count as this
	MaxSeconds = 366 * 24 * 3600             // longest duration limit or policy age
	MaxEnergy  = holdfast.WattHours(100e9)   // 100 GWh
	MaxPower   = holdfast.Watts(100_000_000) // 100 MW
	MaxName    = 36                          // bytes of a group, grant id or tariff id (OCPI CiString(36))

	// NotBeforeLeeway is how far in the future of the judged time a grant's
	// NotBefore may lie: the monotonic clock starts after the cloud's answer
	// was on its way. Expiry has no leeway.
	NotBeforeLeeway = 60_000 // ms
)

// Errors of the installing methods.
var (
	ErrOlder   = errors.New("older than what is installed") // version rollback, or another content under one version
	ErrSite    = errors.New("made for another site")
	ErrExpired = errors.New("already expired")
	ErrFull    = errors.New("no room")
	ErrInvalid = errors.New("invalid access statement")
)

// A Whitelist is OCPI's WhitelistType of a token (OCPI 2.2.1 section 12.4.6).
type Whitelist string

// The whitelist modes.
const (
	Always         Whitelist = "ALWAYS"          // the site decides, even online
	Allowed        Whitelist = "ALLOWED"         // the site may decide, or ask
	AllowedOffline Whitelist = "ALLOWED_OFFLINE" // the cloud is asked; when it cannot be, the token shall be allowed
	Never          Whitelist = "NEVER"           // the cloud decides each time; without it, nobody
)

// The verdicts, in OCPP's words (package ocpp, AuthStatus).
const (
	StatusAccepted   = "Accepted"
	StatusBlocked    = "Blocked"
	StatusExpired    = "Expired"
	StatusInvalid    = "Invalid"
	StatusConcurrent = "ConcurrentTx"
	StatusNoCredit   = "NoCredit"
)

// What a decision rests on (record.AccessDecided, source).
const (
	SourceList  = "list"
	SourceGrant = "grant"
	SourceCloud = "cloud"
	SourceNone  = "none"
)
