package demo

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/charger"
	"github.com/holdfast-ev/holdfast/internal/faultproxy"
	"github.com/holdfast-ev/holdfast/record"
)

// Bounds of the acts.
const (
	patience      = 12 * time.Second       // how long a driver waits for a charger to be ready
	afterRefusal  = 400 * time.Millisecond // before a refused driver leaves
	settleTimeout = 25 * time.Second       // for everything to be answered, uploaded and billed
)

// act lets the plan happen and returns when all of it has.
func (w *world) act(ctx context.Context, p *Plan) {
	began := time.Now()
	var wg sync.WaitGroup
	at := func(when time.Duration, do func()) {
		wg.Go(func() {
			if pause(ctx, when-time.Since(began)) {
				do()
			}
		})
	}
	for i, s := range w.sites {
		plan := &p.Sites[i]
		for _, c := range plan.Cuts {
			at(c.From, func() { w.cut(s, c.Kind) })
			at(c.To, func() { w.mend(s, c.Kind) })
		}
		for _, k := range plan.Kills {
			at(k.At, func() { w.kill(ctx, s, k.Down) })
		}
		for n, visits := range plan.Visits {
			wg.Go(func() {
				for _, v := range visits {
					if !pause(ctx, v.Arrive-time.Since(began)) {
						return
					}
					w.visit(ctx, s, s.chargers[n], v)
				}
			})
		}
	}
	wg.Wait()
}

// cut breaks a site's link.
func (w *world) cut(s *site, kind cutKind) {
	mode, text := faultproxy.Refuse, "THE LINK IS CUT: nothing gets through to the cloud"
	if kind == cutAnswers {
		mode, text = faultproxy.LoseAnswers, "THE LINK GOES DEAF: the cloud hears the site, the site hears nothing"
	}
	s.mu.Lock()
	s.cut, s.since = kind == cutCable, time.Now()
	s.mu.Unlock()
	w.story.say(s.name, "%s", text)
	w.try(s.link.Set(mode))
}

// mend brings a site's link back. After lost answers the connections break
// first, as they do in life: otherwise TCP would deliver the answers late.
func (w *world) mend(s *site, kind cutKind) {
	if kind == cutAnswers {
		s.link.Cut()
	}
	w.try(s.link.Set(faultproxy.Pass))
	s.mu.Lock()
	if s.cut {
		s.cuts = append(s.cuts, window{s.since, time.Now()})
	}
	s.cut = false
	s.mu.Unlock()
	w.story.say(s.name, "the link is back; the gateway will find out by itself")
}

func (w *world) try(err error) {
	if err != nil {
		w.problem("the stage is broken: %v", err)
	}
}

// kill ends a gateway with SIGKILL and starts it again after down.
func (w *world) kill(ctx context.Context, s *site, down time.Duration) {
	charging := 0
	for _, c := range s.chargers {
		for _, t := range c.Truth() {
			if t.StoppedAt.IsZero() {
				charging++
			}
		}
	}
	s.setRewaking(true)
	cars := fmt.Sprintf("%d cars are charging and go on charging", charging)
	if charging == 1 {
		cars = "1 car is charging and goes on charging"
	}
	w.story.say(s.name, "KILL -9: the gateway process is gone; %s", cars)
	w.try(s.gateway.kill())
	if !pause(ctx, down) {
		return
	}
	w.story.say(s.name, "the gateway is started again (after %.1f s)", down.Seconds())
	w.try(s.gateway.start())
}

func (s *site) setRewaking(is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rewaking = is
}

// visit is one driver's.
func (w *world) visit(ctx context.Context, s *site, c *charger.Charger, v Visit) {
	who := drivers[v.Driver]
	w.try(c.Plug(1))
	defer func() { w.try(c.Unplug(1)) }()
	wait, cancel := context.WithTimeout(ctx, patience)
	err := c.Ready(wait)
	cancel()
	if err != nil {
		if ctx.Err() == nil {
			w.problem("%s waited %s for %s to be ready", who.name, patience, c.ID())
		}
		return
	}
	if v.Lose {
		c.LoseAnswers(startAction(c), 1)
	}
	accepted, why := c.Swipe(ctx, 1, who.card)
	if ctx.Err() != nil {
		return
	}
	w.tellVerdict(s, c, who.name, accepted, why)
	if accepted == v.Refused {
		w.problem("%s at %s: accepted %v, expected %v (%s)", who.name, c.ID(), accepted, !v.Refused, why)
	}
	if !accepted {
		pause(ctx, afterRefusal)
		return
	}
	pause(ctx, v.Charge)
	if err := c.StopCharging(1); err != nil {
		w.problem("%s at %s: energy stopped before the driver did", who.name, c.ID())
		return
	}
	truth := c.Truth()
	w.story.say(s.name, "%s leaves %s with %s%s", who.name, c.ID(), holdfast.WattHours(truth[len(truth)-1].EnergyWh), s.without())
}

// startAction is the action whose answer tells a charger that its start is known.
func startAction(c *charger.Charger) string {
	if c.Version() == charger.V16 {
		return "StartTransaction"
	}
	return "TransactionEvent"
}

// without says that the cable is out, for the end of a sentence.
func (s *site) without() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut {
		return ", without a link"
	}
	return ""
}

// tellVerdict tells what became of a swipe and why, from the gateway's journal:
// the decision was durable before the charger was answered.
func (w *world) tellVerdict(s *site, c *charger.Charger, who string, accepted bool, why string) {
	w.catchUp(s)
	s.mu.Lock()
	d, known := s.told[c.ID()]
	s.mu.Unlock()
	because := why
	if known && d.accepted == accepted {
		because, _, _ = strings.Cut(d.reason, ". ")
		because = strings.TrimSuffix(because, ".")
		if d.link == string(holdfast.Offline) {
			because += fmt.Sprintf(" (decided on site, access list %d)", d.version)
		}
	}
	word := "charges at"
	if !accepted {
		word = "is REFUSED at"
	}
	w.story.say(s.name, "%s %s %s%s: %s", who, word, c.ID(), s.without(), because)
}

// tell tells what chargers report beyond what the drivers do.
func (w *world) tell(s *site, e charger.Event) {
	switch e.Kind {
	case charger.Repeated:
		w.story.say(s.name, "%s had no answer and says it again, with a new message id", e.Charger)
	case charger.Discarded, charger.Trouble:
		s.mu.Lock()
		expected := s.rewaking
		s.mu.Unlock()
		if !expected {
			w.story.say(s.name, "%s: %s", e.Charger, e.Text)
		}
	}
}

// follow tells what the gateways write into their journals until ctx ends.
func (w *world) follow(ctx context.Context) {
	for pause(ctx, watchEvery) {
		for _, s := range w.sites {
			w.catchUp(s)
		}
	}
}

// catchUp reads what is new in a site's journal.
func (w *world) catchUp(s *site) {
	s.mu.Lock()
	fresh, err := s.watch.read()
	for _, r := range fresh {
		if d, ok := r.Body.(*record.AccessDecided); ok {
			s.told[string(r.Charger)] = decision{d.Accepted, d.Reason, string(d.Link), d.ListVersion}
		}
	}
	s.mu.Unlock()
	if err != nil {
		w.problem("read the journal of %s: %v", s.name, err)
	}
	for _, r := range fresh {
		w.tellRecord(s, r)
	}
}

func (w *world) tellRecord(s *site, r record.Record) {
	switch b := r.Body.(type) {
	case *record.LinkChanged:
		switch b.To {
		case holdfast.Offline:
			w.story.say(s.name, "gateway: OFFLINE, cause %s", b.Cause)
		case holdfast.Syncing:
			w.story.say(s.name, "gateway: SYNCING what the outage held back")
		case holdfast.Synced:
			w.story.say(s.name, "gateway: SYNCED, everything is in the cloud's books")
		}
	case *record.GatewayBooted:
		if b.Cause == holdfast.CausePowerCycle {
			s.setRewaking(false)
			w.story.say(s.name, "gateway: boot %d after a POWER_CYCLE, state folded from the journal", b.Boot)
		}
	}
}

// settle heals the world and waits until nothing is on its way any more, or
// until it takes too long; the check then says what is missing.
func (w *world) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	for _, s := range w.sites {
		for _, c := range s.chargers {
			if err := c.Settle(ctx); err != nil {
				w.problem("%v: messages without an answer", err)
			}
		}
		w.drained(ctx, s)
	}
	sessions := 0
	for _, c := range w.chargers() {
		sessions += len(c.Truth())
	}
	for {
		books, err := w.api.books(ctx)
		if err == nil && books.settled(sessions) {
			return nil
		}
		if !pause(ctx, 2*pollEvery) {
			return context.Cause(ctx)
		}
	}
}

// settled reports whether every session has its bill or its exception.
func (b *Books) settled(sessions int) bool {
	done := map[string]bool{}
	for _, c := range b.CDRs {
		done[c.Session] = done[c.Session] || c.Current
	}
	for _, e := range b.Exceptions {
		done[e.Session] = done[e.Session] || e.State == "open"
	}
	n := 0
	for _, s := range b.Sessions {
		if done[s.ID] {
			n++
		}
	}
	return n >= sessions
}

// drained waits until the cloud has every record that a gateway has written.
func (w *world) drained(ctx context.Context, s *site) {
	for {
		if err := s.gateway.alive(); err != nil {
			w.problem("%v", err)
			return
		}
		if st, err := s.gateway.status(ctx); err == nil && st.online() && w.received(ctx, s, st) {
			return
		}
		if !pause(ctx, pollEvery) {
			w.problem("the gateway of %s still holds records that the cloud lacks", s.name)
			return
		}
	}
}

// received reports whether the cloud says that it has all that st counts.
func (w *world) received(ctx context.Context, s *site, st status) bool {
	var shown struct {
		Cursors []struct {
			Journal  string `json:"journal"`
			Epoch    string `json:"epoch"`
			Received uint64 `json:"received"`
		} `json:"cursors"`
	}
	if err := w.api.call(ctx, http.MethodGet, "/v1/gateways/"+s.gateway.id, nil, &shown); err != nil {
		return false
	}
	for _, c := range shown.Cursors {
		if c.Journal == "evidence" && c.Epoch == st.Epoch {
			return c.Received >= st.Records
		}
	}
	return false
}

func (w *world) chargers() (all []*charger.Charger) {
	for _, s := range w.sites {
		all = append(all, s.chargers[:]...)
	}
	return all
}
