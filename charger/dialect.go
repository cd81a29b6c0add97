package charger

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// A request is a CALL before it has an id.
type request struct {
	action  string
	payload any
}

// A dialect builds and reads the payloads of one OCPP version, as a charger.
// The rules are in the other files and know no version.
type dialect interface {
	protocol() string // WebSocket subprotocol

	boot(o *Options, reason string) request
	bootAnswer(payload json.RawMessage) (status string, now time.Time, intervalS int, err error)
	heartbeat() request
	heartbeatAnswer(payload json.RawMessage) (now time.Time, err error)
	status(evse int, s plugState, at string) request
	authorize(token string) request
	authorized(payload json.RawMessage) (status string, err error)

	// newTransactionID returns the id of a new transaction, "" when the other
	// side assigns it; addressable reports whether samples of s can be sent.
	newTransactionID(r *rand.Rand) string
	addressable(s *session) bool
	transaction(c *Charger, m *message) request
	transacted(p phase, payload json.RawMessage) (status, id string, err error)
	// meterValues is a reading outside the queue, when somebody triggers one.
	meterValues(c *Charger, e *evse, at string, wh int64) request

	// command carries out a CALL of the other side, under the charger's lock. It
	// returns the answer's payload.
	command(c *Charger, action string, payload json.RawMessage) (any, *callError)
}

// plugState is what a connector is doing.
type plugState int

const (
	vacant    plugState = iota
	occupied            // a car, no energy allowed
	charging            //
	suspended           // a session, held at zero by us
)

// register formats Wh in the unit that the charger reports in.
func (o *Options) register(wh int64) (value, unit string) {
	if o.KWh {
		return fmt.Sprintf("%d.%03d", wh/1000, wh%1000), "kWh"
	}
	return strconv.FormatInt(wh, 10), "Wh"
}

// clip cuts s to the length that a field allows.
func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// read decodes a payload of the other side leniently, as firmware does.
func read(payload json.RawMessage, into any) error {
	if err := json.Unmarshal(payload, into); err != nil {
		return fmt.Errorf("payload: %w", err)
	}
	return nil
}

func formation(code string, err error) *callError {
	return &callError{Code: code, Text: clip(err.Error(), 255)}
}
