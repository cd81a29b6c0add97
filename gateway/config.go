package gateway

import (
	"crypto/ecdsa"
	"fmt"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/power"
	"github.com/holdfast-ev/holdfast/uplink"
)

// Bounds of the core.
const (
	MaxChargers           = 500       // per gateway; check-config refuses more
	MaxEVSEs              = 64        // per charger
	MaxEndedKept          = 16        // ended sessions per charger kept for late and repeated stops
	MaxFrameBytes         = 256 << 10 // of a charger's CALL: escaped, and its readings beside it, it still fits a record
	MaxCallQueue          = 32        // commands waiting for one charger; more are refused
	MaxPendingAsks        = 256       // online authorisations under way; more are decided locally
	MaxDoneDirectives     = 1024      // outcomes remembered; a directive older than these expires anyway
	CallTimeoutMillis     = 30_000    // a command without an answer has failed
	FreedGraceMillis      = 300_000   // a freed EVSE may still send its stop for this long
	HourlyMillis          = 3_600_000 // a running session's register becomes evidence this often
	CheckpointEveryMillis = 300_000   // a checkpoint at least this often while there is change
	CoalesceMillis        = 60_000    // refusals, flaps and security events are recorded at most this often each
	MaxCoalesced          = 256       // distinct things coalesced at once; the rest share one count
	SnapshotEvery         = 10_000    // records between snapshots
	SnapshotPauseMillis   = 60_000    // and at least so much time between them
	SnapshotMost          = 50_000    // but never more records than this
	SessionReserveBytes   = 16 << 10  // space that a session needs to end well
	SpaceMarginBytes      = 1 << 20   // never handed to sessions: the gateway's own records
	StopRetryMillis       = 30_000    // a session over its limit is told again this often
	ReplayMemory          = 8         // answers remembered per connection for a repeated message id
	RecentStartMillis     = 120_000   // a start whose claim is older than this was made without us
)

// A ChargerConfig is what a gateway knows of a charger beforehand.
type ChargerConfig struct {
	MaxPower holdfast.Watts // per connector; 0 unknown: then 350 kW is assumed as the worst
	Native   *NativeConfig  // in place of the site's; nil: the site's
	Feed     ChargerFeed    // how it hangs on the site's supply
}

// AssumedPower is the worst case for a connector of unknown power.
const AssumedPower holdfast.Watts = 350_000

// Config is everything that a core is told at its start. It is not durable.
type Config struct {
	Gateway    holdfast.GatewayID
	Site       holdfast.SiteID
	Software   string
	ConfigHash holdfast.Hash
	Chargers   map[holdfast.ChargerID]ChargerConfig
	HeartbeatS int // interval given to chargers; 0: 300

	Power  power.Site   // what the site was commissioned for; zero: no limit is shared
	CutOut CutOutConfig // the safety cut-out

	TokenKey     []byte           // the site's token hash key
	SealKey      [32]byte         // wraps the keys of sealed fields
	StatementKey *ecdsa.PublicKey // verifies what the cloud signed; nil: nothing can be installed
	Seed         [32]byte         // fresh per boot; message ids, nonces, jitter

	Dialects []ocpp.Dialect
	Schemas  *ocpp.Schemas
	Routes   uplink.Routes // the ways to the cloud
	// AllowWeaker lets a charger come back with a lower security profile than it
	// has used, and lets charger.call send it a lower one.
	AllowWeaker bool
	Native      *NativeConfig // how chargers are prepared for a time without the gateway; nil: they are left alone
	Lenient     bool          // schema violations in events are journaled and tolerated where the event still decodes
}

// Validate refuses what the core could not run on.
func (c *Config) Validate() error {
	if _, err := holdfast.ParseGatewayID(string(c.Gateway)); err != nil {
		return err
	}
	if _, err := holdfast.ParseSiteID(string(c.Site)); err != nil {
		return err
	}
	if len(c.Chargers) > MaxChargers {
		return fmt.Errorf("%d chargers, at most %d on one gateway", len(c.Chargers), MaxChargers)
	}
	if c.Native != nil {
		if err := c.Native.Validate(); err != nil {
			return err
		}
	}
	if len(c.TokenKey) < 16 {
		return fmt.Errorf("token key of %d bytes, want at least 16: enrol the gateway", len(c.TokenKey))
	}
	if err := c.Routes.Validate(); err != nil {
		return err
	}
	for id, ch := range c.Chargers {
		if ch.MaxPower < 0 || ch.MaxPower > 10_000_000 {
			return fmt.Errorf("charger %s: max power %d W, want 0 to 10000000", id, ch.MaxPower)
		}
		if ch.Native != nil {
			if err := ch.Native.Validate(); err != nil {
				return fmt.Errorf("charger %s: %w", id, err)
			}
		}
	}
	return c.checkPower()
}

func (c *Config) heartbeat() int {
	if c.HeartbeatS <= 0 {
		return 300
	}
	return c.HeartbeatS
}

func (c *Config) power(id holdfast.ChargerID) holdfast.Watts {
	if p := c.Chargers[id].MaxPower; p > 0 {
		return p
	}
	return AssumedPower
}
