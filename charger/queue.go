package charger

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// A phase of a transaction, which is what a queued message tells of.
type phase int

const (
	started phase = iota
	sampled
	ended
)

// A message is a transaction message in the queue: what was true at one moment.
type message struct {
	phase    phase
	s        *session
	at       time.Time // of the charger's clock
	wh       int64     // register shown
	watts    int64
	seq      int    // 2.0.1 seqNo
	offline  bool   // 2.0.1: it happened without a link
	trigger  string // 2.0.1 triggerReason
	reason   string // stop reason
	id       string // of the last try
	tries    int    // CALLERRORs so far
	sent     int    // times it was sent
	answered bool
}

// enqueueLocked queues a message about s for the moment now, which is the one
// that the truth has: a register read a millisecond later may be another one.
func (c *Charger) enqueueLocked(now time.Time, s *session, p phase, trigger string) *message {
	m := &message{
		phase: p, s: s, at: now.Add(c.clock), wh: s.e.meter.shown(now), watts: s.e.meter.power,
		seq: s.seq, offline: c.onlineLocked() == nil, trigger: trigger,
	}
	if p == sampled && len(c.queue) >= MaxQueue {
		return m // OCPP 2.0.1 E04.FR.07: intermediate data may go when memory is short
	}
	s.seq++
	c.queue = append(c.queue, m)
	c.changedLocked()
	return m
}

// forgetLocked drops the unanswered start of s: it stays unknown whether the
// other side ever saw it.
func (c *Charger) forgetLocked(s *session) {
	s.forgot = true
	kept := c.queue[:0]
	for _, m := range c.queue {
		if m.s != s || m.phase == ended {
			kept = append(kept, m)
		}
	}
	c.queue = kept
}

// talk delivers what there is to say for as long as the link lives. What is not
// about a transaction goes first (1.6 section 3.7 allows it, and drivers and
// operators wait for it); the queue goes in order, and a message stays at its
// head until it was answered, so nothing overtakes.
func (c *Charger) talk(ctx context.Context, l *link) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	paused := true
	for {
		m, changed := c.head() // before looking for other messages: what one event made is there as a whole
		select {
		case r := <-l.later:
			//nolint:errcheck // nobody waits for it; a dead link is seen below
			l.call(ctx, c.messageID(), r, c.o.CallTimeout)
			continue
		default:
		}
		if m != nil && !paused {
			wait, err := c.deliver(ctx, l, m)
			if errors.Is(err, errLinkLost) || ctx.Err() != nil {
				return
			}
			paused = wait > 0
			pause.Reset(wait)
			continue
		}
		select {
		case r := <-l.later:
			//nolint:errcheck // as above
			l.call(ctx, c.messageID(), r, c.o.CallTimeout)
		case <-changed:
		case <-pause.C:
			paused = false
		case <-l.done:
			return
		case <-ctx.Done():
			return
		}
	}
}

// head returns the oldest message that can be sent. Samples of a 1.6
// transaction whose id will never be known have no address and are dropped.
func (c *Charger) head() (*message, <-chan struct{}) {
	c.mu.Lock()
	defer c.unlock()
	for len(c.queue) > 0 {
		m := c.queue[0]
		if m.phase != sampled || c.d.addressable(m.s) {
			return m, c.changed
		}
		c.queue = c.queue[1:]
		c.changedLocked()
	}
	return nil, c.changed
}

// deliver sends m once and acts on what comes back. It returns how long to wait
// before the queue goes on.
func (c *Charger) deliver(ctx context.Context, l *link, m *message) (time.Duration, error) {
	c.mu.Lock()
	if m.id == "" || !c.o.Flaws.RepeatID {
		m.id = uuidOf(c.rng)
	}
	m.sent++
	if m.sent > 1 {
		c.tellLocked(Event{EVSE: m.s.EVSE, Kind: Repeated, Token: m.s.Token, Session: m.s.N, Text: "sent again: no answer came"})
	}
	id, r := m.id, c.d.transaction(c, m)
	c.unlock()
	payload, err := l.call(ctx, id, r, c.o.CallTimeout)

	c.mu.Lock()
	defer c.unlock()
	if err == nil && c.lose[r.action] > 0 {
		c.lose[r.action]--
		err = errNoAnswer
	}
	var refused *callError
	switch {
	case err == nil:
		c.answeredLocked(m, payload)
		return 0, nil
	case errors.As(err, &refused):
		return c.failedLocked(m, refused), err
	case errors.Is(err, errNoAnswer):
		return c.set.seconds(retryInterval), err
	}
	return 0, err
}

// answeredLocked takes m out of the queue and acts on its answer.
func (c *Charger) answeredLocked(m *message, payload json.RawMessage) {
	m.answered = true
	c.dropLocked(m)
	s := m.s
	status, id, err := c.d.transacted(m.phase, payload)
	if err != nil {
		c.tellLocked(Event{EVSE: s.EVSE, Kind: Trouble, Session: s.N, Text: "unreadable answer: " + err.Error()})
	}
	switch m.phase {
	case started:
		s.StartAcked = true
		if id != "" && !s.forgot {
			s.TransactionID = id
		}
		c.noteTruthLocked("start_acked", s, nil)
		c.tellLocked(Event{EVSE: s.EVSE, Kind: Sent, Token: s.Token, Session: s.N, Text: "start acknowledged"})
	case ended:
		s.StopAcked = true
		c.noteTruthLocked("stop_acked", s, nil)
		c.tellLocked(Event{EVSE: s.EVSE, Kind: Sent, Token: s.Token, Session: s.N, Text: "stop acknowledged"})
	}
	if status != "" && status != "Accepted" && m.phase != ended {
		c.turnDownLocked(s, status)
	}
}

// turnDownLocked ends a session whose token was not accepted after all
// (StopTransactionOnInvalidId; 2.0.1 TxCtrlr.StopTxOnInvalidId).
func (c *Charger) turnDownLocked(s *session, status string) {
	s.Rejected = status
	c.rememberLocked(s.Token, false)
	c.noteTruthLocked("rejected", s, nil)
	c.tellLocked(Event{EVSE: s.EVSE, Kind: Refused, Token: s.Token, Session: s.N, Text: "turned down after the start: " + status})
	if !s.ended && c.set.on(stopOnInvalid) {
		c.stopLocked(s, "DeAuthorized")
		c.statusLocked(s.e)
	}
}

// failedLocked counts a failure to process and gives the message up after the
// last attempt, as both standards say.
func (c *Charger) failedLocked(m *message, e *callError) time.Duration {
	m.tries++
	if m.tries < c.set.number(attempts) {
		return c.set.seconds(retryInterval) * time.Duration(m.tries)
	}
	c.dropLocked(m)
	m.s.Discarded++
	if m.phase == started {
		m.s.forgot = true
	}
	c.noteTruthLocked("discarded", m.s, nil)
	c.tellLocked(Event{EVSE: m.s.EVSE, Kind: Discarded, Session: m.s.N, Token: m.s.Token, Text: "given up: " + e.Error()})
	return 0
}

// dropLocked removes m, which is usually the head; a start may have been
// forgotten meanwhile.
func (c *Charger) dropLocked(m *message) {
	for i, q := range c.queue {
		if q == m {
			c.queue = append(c.queue[:i], c.queue[i+1:]...)
			break
		}
	}
	c.changedLocked()
}

// sleep waits for d and reports whether link and context are still alive.
func sleep(ctx context.Context, l *link, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.done:
	case <-ctx.Done():
	}
	return false
}
