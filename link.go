package holdfast

import "fmt"

// LinkState is the state of a site's link to its cloud. Link state is not
// service state: a site that is OFFLINE charges cars.
type LinkState string

// The link states and the only cycle through them.
const (
	Online  LinkState = "ONLINE"  // the link works and records flow as they are made
	Offline LinkState = "OFFLINE" // the cloud cannot be reached; deciding locally
	Syncing LinkState = "SYNCING" // the link is back and the backlog is draining
	Synced  LinkState = "SYNCED"  // all that the outage held back is reconciled
)

// A Cause says why a link, a charger connection or a service changed state. The
// list is fixed and documented in docs/causes.md; a cause is found by looking
// (staged probes), not guessed from one error.
type Cause string

// The causes.
const (
	CauseNone             Cause = "NONE"               // nothing is wrong: the way back up
	CauseStartup          Cause = "STARTUP"            // the gateway has just started and has not looked yet
	CauseNetworkDown      Cause = "NETWORK_DOWN"       // no carrier, no address or no route
	CauseDNSFailure       Cause = "DNS_FAILURE"        // the cloud's name does not resolve
	CauseCloudUnreachable Cause = "CLOUD_UNREACHABLE"  // the name resolves, TCP does not connect, or it connects and nobody answers
	CauseTLSFailure       Cause = "TLS_FAILURE"        // TCP connects, TLS does not: wrong certificate, captive portal, version
	CauseAuthRejected     Cause = "AUTH_REJECTED"      // the cloud answered and refuses this gateway (401, 403)
	CauseCloudBusy        Cause = "CLOUD_BUSY"         // the cloud said: later, at this time (429, 503)
	CauseCloudError       Cause = "CLOUD_ERROR"        // the cloud answered with something else than the protocol
	CauseUpstreamCSMSDown Cause = "UPSTREAM_CSMS_DOWN" // the operator's own CSMS behind the gateway is gone
	CauseChargerLinkDown  Cause = "CHARGER_LINK_DOWN"  // a charger's connection to the gateway broke
	CausePowerCycle       Cause = "POWER_CYCLE"        // the gateway lost power or was killed
	CauseClockUntrusted   Cause = "CLOCK_UNTRUSTED"    // the clock is below the time floor or was never set
	CauseStoragePressure  Cause = "STORAGE_PRESSURE"   // too little space to accept a new session
	CauseBudgetSpent      Cause = "BUDGET_SPENT"       // the data budget of every link that works is spent
	CausePlanned          Cause = "PLANNED"            // a person or a maintenance window did it
)

// Causes lists every cause in the order of docs/causes.md.
func Causes() []Cause {
	return []Cause{
		CauseNone, CauseStartup, CauseNetworkDown, CauseDNSFailure, CauseCloudUnreachable, CauseTLSFailure,
		CauseAuthRejected, CauseCloudBusy, CauseCloudError, CauseUpstreamCSMSDown, CauseChargerLinkDown,
		CausePowerCycle, CauseClockUntrusted, CauseStoragePressure, CauseBudgetSpent, CausePlanned,
	}
}

// ParseCause accepts the text of a known cause.
func ParseCause(s string) (Cause, error) {
	for _, c := range Causes() {
		if string(c) == s {
			return c, nil
		}
	}
	return "", fmt.Errorf("cause %q is not in the list: %w", clip(s), ErrID)
}
