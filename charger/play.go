package charger

import (
	"context"
	"fmt"
	"time"
)

// Play lets a scenario happen at a charger that runs. It returns at the first
// step that cannot happen or did not come out as expected, naming its line.
func (c *Charger) Play(ctx context.Context, s *Scenario) error {
	for range s.Repeat {
		for i := range s.Steps {
			if err := c.play(ctx, &s.Steps[i]); err != nil {
				return fmt.Errorf("%s: %w", s.Steps[i].line, err)
			}
		}
	}
	return nil
}

func (c *Charger) play(ctx context.Context, s *Step) error {
	switch {
	case s.Plug != 0:
		return c.Plug(s.Plug)
	case s.Unplug != 0:
		return c.Unplug(s.Unplug)
	case s.Stop != 0:
		return c.StopCharging(s.Stop)
	case s.ResetMeter != 0:
		return c.ResetMeter(s.ResetMeter)
	case s.Swipe != nil:
		ok, why := c.Swipe(ctx, s.Swipe.EVSE, s.Swipe.Token)
		if ok && s.Swipe.Expect == "refused" {
			return fmt.Errorf("the token was accepted, expected a refusal")
		}
		if !ok && s.Swipe.Expect == "accepted" {
			return fmt.Errorf("the token was refused: %s", why)
		}
		return ctx.Err()
	case s.Lose != nil:
		c.LoseAnswers(s.Lose.Action, s.Lose.Count)
		return nil
	case s.Do != "":
		return c.do(ctx, s.Do)
	}
	t := time.NewTimer(s.wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Charger) do(ctx context.Context, word string) error {
	switch word {
	case "ready":
		return c.Ready(ctx)
	case "cut":
		c.Cut()
	case "sever":
		c.Sever()
	case "mend":
		c.Mend()
	case "power_cycle":
		c.PowerCycle()
	case "settle":
		return c.Settle(ctx)
	}
	return nil
}
