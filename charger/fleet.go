package charger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// MaxFleet bounds the chargers of one process.
const MaxFleet = 5_000

// NewFleet makes n chargers that differ by their ids: "{n}" in the id becomes
// 1 to n; without it, and with n > 1, "-1" to "-n" are appended.
func NewFleet(o Options, n int) ([]*Charger, error) {
	if n < 1 || n > MaxFleet {
		return nil, fmt.Errorf("%d chargers: want 1 to %d", n, MaxFleet)
	}
	if n > 1 && !strings.Contains(o.ID, "{n}") {
		o.ID += "-{n}"
	}
	fleet := make([]*Charger, 0, n)
	for i := range n {
		one := o
		one.ID = strings.ReplaceAll(o.ID, "{n}", fmt.Sprint(i+1))
		c, err := New(one)
		if err != nil {
			return nil, err
		}
		fleet = append(fleet, c)
	}
	return fleet, nil
}

// PlayAll connects every charger, lets the scenario happen at each at the same
// time, waits up to settle until the other side has answered everything, and
// disconnects. Without a scenario the chargers stay until ctx ends. It returns
// what did not come out as expected, charger by charger.
func PlayAll(ctx context.Context, fleet []*Charger, s *Scenario, settle time.Duration) error {
	run, stop := context.WithCancel(ctx)
	var running, playing sync.WaitGroup
	defer running.Wait()
	defer stop()
	errs := make([]error, len(fleet))
	for i, c := range fleet {
		running.Go(func() { c.Run(run) }) //nolint:errcheck // always nil
		playing.Go(func() {
			if s == nil {
				<-ctx.Done()
				return
			}
			errs[i] = c.playAndSettle(ctx, s, settle)
		})
	}
	playing.Wait()
	stop()
	running.Wait()
	return errors.Join(errs...)
}

func (c *Charger) playAndSettle(ctx context.Context, s *Scenario, settle time.Duration) error {
	if err := c.Ready(ctx); err != nil {
		return err
	}
	if err := c.Play(ctx, s); err != nil {
		return fmt.Errorf("charger %s: %w", c.o.ID, err)
	}
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	if err := c.Settle(ctx); err != nil {
		return fmt.Errorf("messages still without an answer: %w", err)
	}
	return nil
}
