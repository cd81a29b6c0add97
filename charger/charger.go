package charger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// A Charger is one simulated charging station. Its methods may be called from
// any goroutine, also while nothing runs it: a driver can plug in at a charger
// that has no network.
type Charger struct {
	o Options
	d dialect

	telling  sync.Mutex // held while events are told
	mu       sync.Mutex // guards all below
	untold   []Event
	rng      *rand.Rand
	evses    []*evse
	sessions []*session
	refusals []TruthRefusal
	queue    []*message // transaction messages not yet answered, oldest first
	set      settings
	profiles []*profile      // charging profiles, kept over power cuts
	known    map[string]bool // the cache: tokens that were accepted (true) or turned down (false) before
	list     localList
	lose     map[string]int // answers still to lose, by action

	link     *link
	severed  bool // no reconnecting until Mend
	booted   bool // this power-up's BootNotification was accepted
	why      string
	clock    time.Duration // what the charger's clock shows minus the true time
	lastStop *message      // for the flaw StopAtBoot
	after    []func()      // to do, under mu, once the answer to the command at hand is out
	resetDue string        // boot reason of a reset that was ordered; "" none
	changed  chan struct{} // closed and replaced whenever something that somebody may wait for changed
}

// An evse is one outlet with its own meter.
type evse struct {
	id      int
	plugged bool
	meter   *meter
	session *session // nil when no energy may flow
	limit   int64    // W that charging profiles permit; noLimit
	invite  *invitation
}

// An invitation is a remote start that waits for a plug.
type invitation struct {
	token    string
	remoteID *int
}

// A session is a TruthSession with what only the charger needs.
type session struct {
	TruthSession
	e        *evse
	began    int64 // W ms on the meter
	seq      int   // next seqNo (2.0.1)
	remoteID *int
	ended    bool
	forgot   bool // the start will never be answered
}

func (s *session) energy(now time.Time) int64 {
	s.e.meter.advance(now)
	// As the difference of two displays would show it, were there no resets.
	return s.e.meter.total/whUnit - s.began/whUnit
}

// New makes a charger that is powered up and not connected.
func New(o Options) (*Charger, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Charger{
		o: o, rng: rand.New(rand.NewPCG(o.Seed, seedOf(o.ID))),
		known: map[string]bool{}, lose: map[string]int{},
		changed: make(chan struct{}), why: "PowerUp",
	}
	c.set = newSettings(&o)
	c.d = v16{}
	if o.Version == V201 {
		c.d = v201{}
	}
	now := o.Now()
	for i := range o.EVSEs {
		start := o.StartRegister
		if start == 0 {
			start = 1_000 + c.rng.Int64N(900_000)
		}
		c.evses = append(c.evses, &evse{id: i + 1, meter: newMeter(start, o.Speed, now), limit: -1})
	}
	c.powerUpLocked(now)
	return c, nil
}

// seedOf makes chargers of one seed differ by their names (FNV-1a).
func seedOf(id string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	return h
}

// Version returns the OCPP version that it speaks.
func (c *Charger) Version() Version { return c.o.Version }

// ID returns the charger's identity.
func (c *Charger) ID() string { return c.o.ID }

// Plug connects a car to an EVSE.
func (c *Charger) Plug(id int) error {
	c.mu.Lock()
	defer c.unlock()
	e, err := c.evseLocked(id)
	if err != nil {
		return err
	}
	if e.plugged {
		return fmt.Errorf("charger %s: EVSE %d already has a car", c.o.ID, id)
	}
	e.plugged = true
	c.tellLocked(Event{EVSE: id, Kind: PluggedIn, Text: "a car is plugged in"})
	if i := e.invite; i != nil {
		e.invite = nil
		c.startLocked(e, i.token, "remote", i.remoteID)
	}
	c.statusLocked(e)
	return nil
}

// Unplug takes the car away. A running session ends with reason EVDisconnected.
func (c *Charger) Unplug(id int) error {
	c.mu.Lock()
	defer c.unlock()
	e, err := c.evseLocked(id)
	if err != nil {
		return err
	}
	if !e.plugged {
		return fmt.Errorf("charger %s: EVSE %d has no car", c.o.ID, id)
	}
	if e.session != nil {
		c.stopLocked(e.session, "EVDisconnected")
	}
	e.plugged = false
	c.tellLocked(Event{EVSE: id, Kind: Unplugged, Text: "the car drives away"})
	c.statusLocked(e)
	return nil
}

// Swipe holds a token to the reader of an EVSE where a car is plugged in. It
// returns whether energy flows now and, when not, why; a refusal is also in
// [Charger.Refusals]. Online it asks (Authorize); without a link, or when the
// link breaks while asking, the charger decides alone.
func (c *Charger) Swipe(ctx context.Context, id int, token string) (accepted bool, reason string) {
	c.mu.Lock()
	e, err := c.evseLocked(id)
	if err == nil {
		err = e.canStart()
	}
	l := c.onlineLocked()
	c.unlock()
	if err != nil {
		return false, err.Error() // not a refusal of the driver: there is nothing to charge
	}
	if l == nil {
		return c.decideAlone(e, token)
	}
	if c.preAuthorized(token) {
		return c.admit(e, token, "local list")
	}
	status, err := c.authorize(ctx, l, token)
	switch {
	case errors.Is(err, errLinkLost):
		return c.decideAlone(e, token)
	case err != nil:
		return c.refuse(e, token, err.Error())
	case status != "Accepted":
		return c.refuse(e, token, status)
	}
	return c.admit(e, token, "authorized")
}

// authorize asks the other side about a token.
func (c *Charger) authorize(ctx context.Context, l *link, token string) (status string, err error) {
	payload, err := l.call(ctx, c.messageID(), c.d.authorize(token), c.o.CallTimeout)
	if err != nil {
		return "", err
	}
	if status, err = c.d.authorized(payload); err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.unlock()
	c.rememberLocked(token, status == "Accepted")
	return status, nil
}

// decideAlone applies the charger's own offline rules.
func (c *Charger) decideAlone(e *evse, token string) (bool, string) {
	c.mu.Lock()
	why := c.aloneLocked(token)
	c.unlock()
	if why != "" {
		return c.refuse(e, token, why)
	}
	return c.admit(e, token, "offline")
}

func (c *Charger) refuse(e *evse, token, reason string) (bool, string) {
	c.mu.Lock()
	defer c.unlock()
	r := TruthRefusal{Charger: c.o.ID, EVSE: e.id, Token: token, At: c.o.Now(), Reason: reason}
	c.refusals = append(c.refusals, r)
	c.noteTruthLocked("refused", nil, &r)
	c.tellLocked(Event{EVSE: e.id, Kind: Refused, Token: token, Text: reason})
	return false, reason
}

func (c *Charger) admit(e *evse, token, source string) (bool, string) {
	c.mu.Lock()
	defer c.unlock()
	if err := e.canStart(); err != nil { // the world went on while we asked
		return false, err.Error()
	}
	c.tellLocked(Event{EVSE: e.id, Kind: Accepted, Token: token, Text: "accepted (" + source + ")"})
	c.startLocked(e, token, source, nil)
	c.statusLocked(e)
	return true, ""
}

func (e *evse) canStart() error {
	switch {
	case !e.plugged:
		return fmt.Errorf("EVSE %d has no car", e.id)
	case e.session != nil:
		return fmt.Errorf("EVSE %d is charging already", e.id)
	}
	return nil
}

// startLocked closes the contactor and queues the start message.
func (c *Charger) startLocked(e *evse, token, source string, remoteID *int) {
	now := c.o.Now()
	s := &session{e: e, remoteID: remoteID}
	s.TruthSession = TruthSession{
		Charger: c.o.ID, N: len(c.sessions) + 1, EVSE: e.id, Token: token, Source: source,
		StartWh: e.meter.shown(now), StartedAt: now, TransactionID: c.d.newTransactionID(c.rng),
	}
	s.began = e.meter.total
	e.session = s
	c.sessions = append(c.sessions, s)
	e.limit = c.limitOf(e, now.Add(c.clock))
	e.meter.set(c.powerOf(e), now)
	c.noteTruthLocked("started", s, nil)
	c.tellLocked(Event{EVSE: e.id, Kind: Started, Token: token, Session: s.N, Wh: s.StartWh, Text: "energy flows"})
	c.enqueueLocked(now, s, started, triggerOf(source))
}

func triggerOf(source string) string {
	if source == "remote" {
		return "RemoteStart"
	}
	return "Authorized"
}

// StopCharging ends the session at an EVSE as its driver does, with reason
// Local. It does not wait for the other side.
func (c *Charger) StopCharging(id int) error {
	c.mu.Lock()
	defer c.unlock()
	e, err := c.evseLocked(id)
	if err != nil {
		return err
	}
	if e.session == nil {
		return fmt.Errorf("charger %s: EVSE %d is not charging", c.o.ID, id)
	}
	c.stopLocked(e.session, "Local")
	c.statusLocked(e)
	return nil
}

// stopLocked opens the contactor, fixes the truth and queues the stop message.
func (c *Charger) stopLocked(s *session, reason string) {
	now := c.o.Now()
	s.e.meter.set(0, now)
	s.StopWh, s.StoppedAt, s.Reason = s.e.meter.shown(now), now, reason
	s.EnergyWh, s.ended = s.energy(now), true
	s.e.session = nil
	c.forgetProfilesLocked(s.e.id)
	c.followLocked()
	c.noteTruthLocked("stopped", s, nil)
	c.tellLocked(Event{EVSE: s.EVSE, Kind: Stopped, Token: s.Token, Session: s.N, Wh: s.EnergyWh, Text: "stopped: " + reason})
	if c.o.Flaws.ForgetStart && !s.StartAcked {
		c.forgetLocked(s)
	}
	m := c.enqueueLocked(now, s, ended, stopTrigger(reason))
	m.reason = reason
	c.lastStop = m
}

func stopTrigger(reason string) string {
	switch reason {
	case "Remote":
		return "RemoteStop"
	case "DeAuthorized":
		return "Deauthorized"
	case "EVDisconnected":
		return "EVDeparted"
	case "PowerLoss", "Reboot":
		return "AbnormalCondition"
	}
	return "StopAuthorized"
}

// ResetMeter makes the meter of an EVSE show 0, as a swapped or cleared meter
// does, in the middle of whatever is going on.
func (c *Charger) ResetMeter(id int) error {
	c.mu.Lock()
	defer c.unlock()
	e, err := c.evseLocked(id)
	if err != nil {
		return err
	}
	e.meter.reset(c.o.Now())
	return nil
}

// LoseAnswers makes the next n answers to messages of an action
// ("StartTransaction", "TransactionEvent", ...) vanish on the way: the other
// side has acted, the charger does not know.
func (c *Charger) LoseAnswers(action string, n int) {
	c.mu.Lock()
	defer c.unlock()
	c.lose[action] = n
}

// Cut breaks the connection as a pulled cable does. The charger reconnects by
// itself.
func (c *Charger) Cut() {
	c.mu.Lock()
	l := c.link
	c.unlock()
	if l != nil {
		l.kill()
	}
}

// Sever breaks the connection and keeps it broken until [Charger.Mend].
func (c *Charger) Sever() {
	c.mu.Lock()
	c.severed = true
	c.unlock()
	c.Cut()
}

// Mend lets a severed charger connect again.
func (c *Charger) Mend() {
	c.mu.Lock()
	defer c.unlock()
	c.severed = false
	c.changedLocked()
}

// PowerCycle cuts the charger's power and gives it back. Running sessions end
// at the register of this moment with reason PowerLoss; the queue survives, as
// it does in flash; clock and connection do not.
func (c *Charger) PowerCycle() {
	c.mu.Lock()
	for _, e := range c.evses {
		if e.session != nil {
			c.stopLocked(e.session, "PowerLoss")
		}
		e.invite = nil
	}
	c.booted, c.why = false, "PowerUp"
	c.tellLocked(Event{Kind: PowerCycled, Text: "power lost and back"})
	c.powerUpLocked(c.o.Now())
	if again := c.lastStop; again != nil && c.o.Flaws.StopAtBoot && again.answered {
		m := *again
		m.answered, m.tries = false, 0
		c.queue = append(c.queue, &m)
	}
	c.unlock()
	c.Cut()
}

// powerUpLocked starts the charger's clock.
func (c *Charger) powerUpLocked(now time.Time) {
	c.clock = 0
	if c.o.Flaws.Clock1970 {
		c.clock = time.Unix(0, 0).Sub(now)
	}
}

// Settle waits until every queued message was answered (or given up) and no
// session runs whose start is unanswered. It returns the context's error when
// that takes too long.
func (c *Charger) Settle(ctx context.Context) error {
	return c.wait(ctx, func() bool { return len(c.queue) == 0 })
}

// Ready waits until the charger is connected and its boot was accepted.
func (c *Charger) Ready(ctx context.Context) error {
	return c.wait(ctx, func() bool { return c.onlineLocked() != nil })
}

// Lost waits until the charger has noticed that it is not connected. What it does
// before that it reports as done online.
func (c *Charger) Lost(ctx context.Context) error {
	return c.wait(ctx, func() bool { return c.link == nil })
}

// wait blocks until what holds, which is called with the lock held.
func (c *Charger) wait(ctx context.Context, what func() bool) error {
	for {
		c.mu.Lock()
		holds, changed := what(), c.changed
		c.unlock()
		if holds {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("charger %s: %w", c.o.ID, ctx.Err())
		}
	}
}

// changedLocked wakes everybody in wait.
func (c *Charger) changedLocked() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *Charger) evseLocked(id int) (*evse, error) {
	if id < 1 || id > len(c.evses) {
		return nil, fmt.Errorf("charger %s: EVSE %d: want 1 to %d", c.o.ID, id, len(c.evses))
	}
	return c.evses[id-1], nil
}

// onlineLocked returns the link when it can carry more than boots, else nil.
func (c *Charger) onlineLocked() *link {
	if c.booted {
		return c.link
	}
	return nil
}

// powerOf returns what a session at e may draw now, in W.
func (c *Charger) powerOf(e *evse) int64 {
	if e.limit >= 0 {
		return min(c.o.Power, e.limit)
	}
	return c.o.Power
}

// stamp formats a time of the charger's clock as OCPP wants it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// messageID returns a fresh message id: 36 characters, UUID shaped.
func (c *Charger) messageID() string {
	c.mu.Lock()
	defer c.unlock()
	return uuidOf(c.rng)
}

func uuidOf(r *rand.Rand) string {
	a, b := r.Uint64(), r.Uint64()
	a = a&^0xf000 | 0x4000 // version 4
	b = b&^(3<<62) | 1<<63 // RFC 9562 variant
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", a>>32, a>>16&0xffff, a&0xffff, b>>48, b&0xffffffffffff)
}
