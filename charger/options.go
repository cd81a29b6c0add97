package charger

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"
)

// A Version is the OCPP version that a charger speaks.
type Version string

// The versions.
const (
	V16  Version = "1.6"
	V201 Version = "2.0.1"
)

// Bounds of a charger.
const (
	MaxEVSEs      = 64        // more is refused by New
	MaxQueue      = 10_000    // transaction messages held while offline; beyond it samples are dropped, starts and stops never
	MaxFrameBytes = 1 << 20   // a longer frame from the other side ends the connection
	MaxPower      = 4_000_000 // W; the strongest megawatt charger there is
	MaxSpeed      = 100_000   // meter seconds per clock second
	MaxLocalList  = 100_000   // entries of a local list
	maxLater      = 256       // statuses and messages sent on order (TriggerMessage) that may wait; more are dropped
)

// Options say what a charger is and where it connects. The zero value of a
// field means the default named beside it.
type Options struct {
	URL      string  // ws:// or wss:// endpoint; the id is appended. Required
	ID       string  // identity: the last path element and the Basic auth user. Required
	Version  Version // V16
	Password string  // Basic auth password; "" sends none (security profile 0)

	EVSEs         int   // EVSEs 1..n with one connector each; default 1
	Power         int64 // W that a car draws; default 11,000
	StartRegister int64 // Wh that each meter shows when new; default drawn from the seed
	Speed         int64 // meter seconds per clock second; default 1
	KWh           bool  // report registers as kWh with three decimals instead of Wh
	Vendor, Model string

	SampleInterval time.Duration // between meter samples of a session; default 60 s
	CallTimeout    time.Duration // how long an answer may take; default 30 s
	ReconnectMin   time.Duration // wait before the first reconnect; default 1 s, doubling
	ReconnectMax   time.Duration // up to this; default 30 s
	PingInterval   time.Duration // between WebSocket pings; default 30 s
	Attempts       int           // TransactionMessageAttempts: tries before a refused message is thrown away; default 3
	RetryInterval  time.Duration // TransactionMessageRetryInterval; default 60 s

	// While offline a token that was accepted before may charge when OfflineKnown
	// is set (LocalAuthorizeOffline with an authorisation cache), any other when
	// OfflineUnknown is (AllowOfflineTxForUnknownId).
	OfflineKnown, OfflineUnknown bool

	// LocalList is how many entries its local authorisation list can hold; 0: it
	// has none. The list is off until the other side switches it on. ListChunk is
	// how many entries one SendLocalList may have; default 16.
	LocalList, ListChunk int

	Flaws Flaws

	Seed     uint64                                                            // of message ids, transaction ids, meters and jitter
	Now      func() time.Time                                                  // default time.Now
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error) // default net.Dialer
	TLS      *tls.Config                                                       // for wss
	OnEvent  func(Event)                                                       // called for everything that happens, in order, from the charger's goroutines; must not call back
	TruthLog io.Writer                                                         // NDJSON, one line each time the truth changes
}

// Flaws are ways in which real chargers deviate. All are off by default.
type Flaws struct {
	PlaceholderStart bool // the start is reported with register 0 although the meter shows more
	Clock1970        bool // after power-up the clock stands at 1970 until the other side tells the time
	DeafClock        bool // the time in answers is ignored
	ForgetStart      bool // a stop before the start was answered: the start is forgotten and the stop sent for transaction -1 (1.6)
	StopAtBoot       bool // the last stop is sent once more after every power-up (libocpp 907)
	BootBurst        int  // further BootNotifications right after the accepted one
	RepeatID         bool // a repeated message keeps its message id
}

// FlawNames lists the names that [Flaws.Set] accepts, for help texts.
func FlawNames() []string {
	return []string{"placeholder_start", "clock_1970", "deaf_clock", "forget_start", "stop_at_boot", "boot_burst", "repeat_id"}
}

// Set turns the named flaw on.
func (f *Flaws) Set(name string) error {
	switch name {
	case "placeholder_start":
		f.PlaceholderStart = true
	case "clock_1970":
		f.Clock1970 = true
	case "deaf_clock":
		f.DeafClock = true
	case "forget_start":
		f.ForgetStart = true
	case "stop_at_boot":
		f.StopAtBoot = true
	case "boot_burst":
		f.BootBurst = 10
	case "repeat_id":
		f.RepeatID = true
	default:
		return fmt.Errorf("flaw %q: want one of %s", name, strings.Join(FlawNames(), ", "))
	}
	return nil
}

// withDefaults fills what was left out and checks the rest.
func (o Options) withDefaults() (Options, error) {
	setDefault(&o.Version, V16)
	setDefault(&o.EVSEs, 1)
	setDefault(&o.Power, 11_000)
	setDefault(&o.Speed, 1)
	setDefault(&o.Vendor, "Holdfast")
	setDefault(&o.Model, "Simulated")
	setDefault(&o.SampleInterval, time.Minute)
	setDefault(&o.CallTimeout, 30*time.Second)
	setDefault(&o.ReconnectMin, time.Second)
	setDefault(&o.ReconnectMax, max(30*time.Second, o.ReconnectMin))
	setDefault(&o.PingInterval, 30*time.Second)
	setDefault(&o.Attempts, 3)
	setDefault(&o.ListChunk, 16)
	setDefault(&o.RetryInterval, time.Minute)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	return o, o.check()
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func (o *Options) check() error {
	u, err := url.Parse(o.URL)
	switch {
	case err != nil:
		return fmt.Errorf("charger %s: endpoint: %w", o.ID, err)
	case u.Scheme != "ws" && u.Scheme != "wss":
		return fmt.Errorf("charger %s: endpoint %q: want ws:// or wss://", o.ID, o.URL)
	case o.ID == "" || len(o.ID) > 48 || strings.ContainsAny(o.ID, ":/%"):
		return fmt.Errorf("charger id %q: want 1 to 48 characters without colon, slash and percent sign", o.ID)
	case o.Version != V16 && o.Version != V201:
		return fmt.Errorf("charger %s: version %q: want %q or %q", o.ID, o.Version, V16, V201)
	case o.EVSEs < 1 || o.EVSEs > MaxEVSEs:
		return fmt.Errorf("charger %s: %d EVSEs: want 1 to %d", o.ID, o.EVSEs, MaxEVSEs)
	case o.Power < 0 || o.Power > MaxPower:
		return fmt.Errorf("charger %s: power %d W: want 1 to %d", o.ID, o.Power, int64(MaxPower))
	case o.Speed < 1 || o.Speed > MaxSpeed:
		return fmt.Errorf("charger %s: speed %d: want 1 to %d", o.ID, o.Speed, MaxSpeed)
	case o.LocalList < 0 || o.LocalList > MaxLocalList || o.ListChunk < 1:
		return fmt.Errorf("charger %s: a local list of %d entries in pieces of %d: want 0 to %d and at least 1", o.ID, o.LocalList, o.ListChunk, MaxLocalList)
	case o.Attempts < 1:
		return fmt.Errorf("charger %s: %d attempts: want at least 1", o.ID, o.Attempts)
	case min(o.SampleInterval, o.CallTimeout, o.PingInterval, o.ReconnectMin, o.RetryInterval) < 0:
		return errors.New("charger " + o.ID + ": intervals must not be negative")
	}
	return nil
}
