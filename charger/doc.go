// Package charger is a simulated charging station for any OCPP endpoint: 1.6J
// and 2.0.1 over WebSocket, Basic auth, one or more EVSEs. It stands on the
// other side of the wire from a gateway and shares none of its tables: frames
// and payloads are built here from the standards' own text, so that a mistake
// in the gateway's translation meets somebody who does not share it.
//
// # A charger's life
//
//	c, err := charger.New(charger.Options{URL: "ws://127.0.0.1:8887/ocpp", ID: "CP1", Version: charger.V16})
//	go c.Run(ctx)                     // connects, boots, beats, reconnects for ever
//	c.Plug(1)                         // a driver plugs in
//	ok, why := c.Swipe(ctx, 1, token) // and holds a card to the reader
//	c.StopCharging(1)                 // energy stops; the stop message is queued
//	c.Unplug(1)
//	c.Settle(ctx)                     // until everything queued was answered
//
// Messages that concern a transaction go through one queue in the order in
// which things happened (OCPP 1.6 section 3.7, 2.0.1 E04 and E13). They keep
// the time and the register of the moment they tell of, however late they are
// sent. A CALLERROR is a failure to process: the message is repeated after the
// retry interval times the number of tries so far, and thrown away after
// [Options.Attempts] of them (1.6 section 3.7.1, 2.0.1 E13.FR.04). No answer at
// all is not: it is repeated for as long as it takes, as a new message with a
// new id, which is what real firmware does.
//
// # Truth
//
// The charger has a meter of its own that nobody else can touch: energy is
// power times time, in watt-milliseconds, shown as whole Wh. What it metered,
// and what it was told about each message, is its truth ([Charger.Truth], and
// as NDJSON to [Options.TruthLog]). A checker compares books against this, and
// never against anything the system under test wrote.
//
// # Time
//
// Timestamps are real: they come from [Options.Now]. [Options.Speed] makes
// energy flow faster than the clock, for long sessions in short tests; a
// gateway that checks energy against power and elapsed time will rightly
// object, so the default is 1 and a demonstration uses a strong charger
// instead (300 kW is 83 Wh a second).
//
// # Flaws
//
// Field chargers misbehave in known ways. [Flaws] turns each on: placeholder
// zero baselines, an unset clock, stops for transaction -1, stops repeated at
// boot, bursts of boots. [Charger.LoseAnswers], [Charger.ResetMeter] and
// [Charger.PowerCycle] make the rest happen at a chosen moment.
package charger
