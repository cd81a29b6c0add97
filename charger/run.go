package charger

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Run connects the charger and keeps it connected until ctx ends; then it
// returns nil. Nothing that goes wrong ends it: a charger has nobody to tell.
// Run must not be called twice at one time.
func (c *Charger) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { c.sample(ctx) })
	wg.Go(func() { c.follow(ctx) })
	wait := c.o.ReconnectMin
	for ctx.Err() == nil {
		if c.wait(ctx, func() bool { return !c.severed }) != nil {
			break
		}
		l, err := c.dial(ctx)
		if err != nil {
			if ctx.Err() == nil {
				c.tell(Event{Kind: Trouble, Text: "cannot connect: " + err.Error()})
			}
			c.rest(ctx, c.jitter(wait))
			wait = min(2*wait, c.o.ReconnectMax)
			continue
		}
		c.serve(ctx, l)
		wait = c.o.ReconnectMin
		c.rest(ctx, wait)
	}
	return nil
}

// rest waits before the next connection; Mend and changes do not shorten it.
func (c *Charger) rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// jitter adds up to a fifth, so that a fleet does not return in step.
func (c *Charger) jitter(d time.Duration) time.Duration {
	c.mu.Lock()
	defer c.unlock()
	return d + time.Duration(c.rng.Int64N(int64(d)/5+1))
}

// serve lives on one connection until it breaks.
func (c *Charger) serve(ctx context.Context, l *link) {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer l.kill()
	c.mu.Lock()
	if c.severed {
		c.unlock()
		return
	}
	c.link = l
	c.tellLocked(Event{Kind: Connected, Text: "connected"})
	c.changedLocked()
	c.unlock()
	wg.Go(func() { l.read(ctx, func(f frame) { c.called(l, f) }) })
	wg.Go(func() { c.ping(ctx, l) })
	if c.boot(ctx, l) {
		c.present()
		wg.Go(func() { c.beat(ctx, l) })
		wg.Go(func() { c.talk(ctx, l) })
	}
	select {
	case <-l.done:
	case <-ctx.Done():
	}
	c.mu.Lock()
	c.link = nil
	c.tellLocked(Event{Kind: Disconnected, Text: "connection lost"})
	c.changedLocked()
	c.unlock()
}

// boot sends BootNotification until it is accepted, unless this power-up's was
// (OCPP 1.6 section 4.2: nothing else may be sent before). It reports whether
// the link is still good for more.
func (c *Charger) boot(ctx context.Context, l *link) bool {
	for {
		c.mu.Lock()
		booted, why := c.booted, c.why
		c.unlock()
		if booted {
			return true
		}
		pause, err := c.bootOnce(ctx, l, why)
		if errors.Is(err, errLinkLost) || ctx.Err() != nil {
			return false
		}
		if err != nil {
			c.tell(Event{Kind: Trouble, Text: "boot: " + err.Error()})
		}
		if !sleep(ctx, l, pause) {
			return false
		}
	}
}

// bootOnce sends one BootNotification and, with the flaw, a burst after it.
func (c *Charger) bootOnce(ctx context.Context, l *link, why string) (time.Duration, error) {
	r := c.d.boot(&c.o, why)
	payload, err := l.call(ctx, c.messageID(), r, c.o.CallTimeout)
	if err != nil {
		return c.set.seconds(retryInterval), err
	}
	status, now, interval, err := c.d.bootAnswer(payload)
	if err != nil {
		return c.set.seconds(retryInterval), err
	}
	if status != "Accepted" {
		return time.Duration(max(interval, 1)) * time.Second, nil
	}
	for range c.o.Flaws.BootBurst {
		if _, err := l.call(ctx, c.messageID(), r, c.o.CallTimeout); err != nil {
			return 0, fmt.Errorf("burst: %w", err)
		}
	}
	c.mu.Lock()
	defer c.unlock()
	c.booted = true
	if interval > 0 {
		c.set.put(heartbeatInterval, interval)
	}
	c.setClockLocked(now)
	c.tellLocked(Event{Kind: Booted, Text: "boot accepted"})
	c.changedLocked()
	return 0, nil
}

// setClockLocked follows the time in an answer when it is more than a second
// away from the charger's own.
func (c *Charger) setClockLocked(said time.Time) {
	if said.IsZero() || c.o.Flaws.DeafClock {
		return
	}
	off := said.Sub(c.o.Now())
	if d := off - c.clock; d > time.Second || d < -time.Second {
		c.clock = off
	}
}

// present reports every connector's status, which is what a charger does after
// each (re)connect; the history of statuses is not replayed (1.6 section 3.6).
func (c *Charger) present() {
	c.mu.Lock()
	defer c.unlock()
	for _, e := range c.evses {
		c.statusLocked(e)
	}
}

// statusLocked reports e's status when there is a link; a status that is lost
// is history.
func (c *Charger) statusLocked(e *evse) {
	c.sendLocked(c.d.status(e.id, c.plugState(e), stamp(c.o.Now().Add(c.clock))))
}

// laterLocked hands over a message that nobody waits for. They leave in order.
func (c *Charger) laterLocked(l *link, r request) {
	select {
	case l.later <- r:
	default: // somebody orders faster than the link carries
	}
}

// ping finds half-open connections: without a pong the link is dead.
func (c *Charger) ping(ctx context.Context, l *link) {
	for sleep(ctx, l, c.o.PingInterval) {
		wait, cancel := context.WithTimeout(ctx, c.o.CallTimeout)
		err := l.ws.Ping(wait)
		cancel()
		if err != nil {
			l.kill()
		}
	}
}

func (c *Charger) plugState(e *evse) plugState {
	switch {
	case !e.plugged:
		return vacant
	case e.session == nil:
		return occupied
	case e.meter.power == 0:
		return suspended
	}
	return charging
}

// beat sends heartbeats at the interval that the boot's answer set.
func (c *Charger) beat(ctx context.Context, l *link) {
	for {
		c.mu.Lock()
		every := c.set.seconds(heartbeatInterval)
		c.unlock()
		if !sleep(ctx, l, max(every, time.Second)) {
			return
		}
		payload, err := l.call(ctx, c.messageID(), c.d.heartbeat(), c.o.CallTimeout)
		if err != nil {
			continue // the link's end, if that was it, is seen above
		}
		if now, err := c.d.heartbeatAnswer(payload); err == nil {
			c.mu.Lock()
			c.setClockLocked(now)
			c.unlock()
		}
	}
}

// sample queues a meter sample of every running session at each interval.
func (c *Charger) sample(ctx context.Context) {
	for {
		c.mu.Lock()
		every := c.set.seconds(sampleInterval)
		c.unlock()
		c.rest(ctx, max(every, 10*time.Millisecond))
		if ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		for _, e := range c.evses {
			if e.session != nil {
				c.enqueueLocked(c.o.Now(), e.session, sampled, "MeterValuePeriodic")
			}
		}
		c.unlock()
	}
}

// followEvery is how late a period of a charging profile may begin or end.
const followEvery = 500 * time.Millisecond

// follow obeys charging profiles as time passes.
func (c *Charger) follow(ctx context.Context) {
	for ctx.Err() == nil {
		c.rest(ctx, followEvery)
		c.mu.Lock()
		for _, e := range c.followLocked() {
			c.statusLocked(e)
		}
		c.unlock()
	}
}
