package charger

import (
	"encoding/json"
	"time"
)

// A TruthSession is one charging session as the charger knows it: what its
// meter measured and what the other side acknowledged.
type TruthSession struct {
	Charger string `json:"charger"`
	N       int    `json:"n"` // the charger's own count, from 1
	EVSE    int    `json:"evse"`
	Token   string `json:"token"`
	Source  string `json:"source"` // "authorized", "offline" or "remote"

	StartWh   int64     `json:"start_wh"`   // register shown when energy began to flow
	StopWh    int64     `json:"stop_wh"`    // register shown when it ended; 0 while it flows
	EnergyWh  int64     `json:"energy_wh"`  // what flowed, whatever resets did to the display
	StartedAt time.Time `json:"started_at"` // by the true clock, not the charger's
	StoppedAt time.Time `json:"stopped_at,omitzero"`
	Reason    string    `json:"reason,omitempty"` // OCPP stop reason

	TransactionID string `json:"transaction_id,omitempty"` // 1.6: as the other side assigned it; 2.0.1: our own
	StartAcked    bool   `json:"start_acked"`              // the start message was answered
	StopAcked     bool   `json:"stop_acked"`               // the stop message was answered
	Discarded     int    `json:"discarded,omitempty"`      // messages thrown away after their last attempt
	Rejected      string `json:"rejected,omitempty"`       // status with which the token was turned down after the start
}

// A TruthRefusal is a driver who was turned away.
type TruthRefusal struct {
	Charger string    `json:"charger"`
	EVSE    int       `json:"evse"`
	Token   string    `json:"token"`
	At      time.Time `json:"at"`
	Reason  string    `json:"reason"`
}

// Truth returns every session so far in the order in which they began, with
// running sessions metered up to now.
func (c *Charger) Truth() []TruthSession {
	c.mu.Lock()
	defer c.unlock()
	out := make([]TruthSession, 0, len(c.sessions))
	for _, s := range c.sessions {
		t := s.TruthSession
		if !s.ended {
			t.EnergyWh = s.energy(c.o.Now())
		}
		out = append(out, t)
	}
	return out
}

// Refusals returns every driver who was turned away, in order.
func (c *Charger) Refusals() []TruthRefusal {
	c.mu.Lock()
	defer c.unlock()
	return append([]TruthRefusal(nil), c.refusals...)
}

// truthLine is one line of the truth log.
type truthLine struct {
	At      time.Time     `json:"at"`
	What    string        `json:"what"` // "started", "start_acked", "stopped", "stop_acked", "rejected", "discarded" or "refused"
	Session *TruthSession `json:"session,omitempty"`
	Refusal *TruthRefusal `json:"refusal,omitempty"`
}

// noteTruthLocked writes one line; the log is the caller's, and an error on it
// is reported as an event rather than ending a charging session.
func (c *Charger) noteTruthLocked(what string, s *session, r *TruthRefusal) {
	if c.o.TruthLog == nil {
		return
	}
	line := truthLine{At: c.o.Now(), What: what, Refusal: r}
	if s != nil {
		t := s.TruthSession
		line.Session = &t
	}
	b, err := json.Marshal(line)
	if err == nil {
		_, err = c.o.TruthLog.Write(append(b, '\n'))
	}
	if err != nil {
		c.tellLocked(Event{Kind: Trouble, Text: "truth log: " + err.Error()})
	}
}
