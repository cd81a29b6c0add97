package cloud

import (
	"context"
	"errors"
)

type joinKey struct{}

// joined is a transaction that the calls of a [Plane] under one context share.
type joined struct {
	tx     Tx
	failed error // of a call in it: nothing is committed, whatever the caller makes of it
	scrub  bool  // a call asked for it; it can only be done after the commit
}

func joinedIn(ctx context.Context) *joined {
	j, _ := ctx.Value(joinKey{}).(*joined)
	return j
}

// Atomic makes what do does with the context that it is given one transaction:
// every method of the plane that is called with it sees what the ones before
// wrote, and all of it is durable when Atomic returns nil, or none of it is
// there. do must not wait for anything: other writers wait for it.
func (p *Plane) Atomic(ctx context.Context, do func(context.Context) error) error {
	if joinedIn(ctx) != nil {
		return do(ctx)
	}
	j := &joined{}
	err := p.o.Store.Update(ctx, func(tx Tx) error {
		j.tx = tx
		if err := do(context.WithValue(ctx, joinKey{}, j)); err != nil {
			return err
		}
		return j.failed
	})
	if err != nil {
		return err
	}
	if j.scrub {
		return p.o.Store.Scrub(ctx)
	}
	return nil
}

// joining is a Store whose transactions become part of the one that the context
// carries, if there is one.
type joining struct{ Store }

func (s joining) Update(ctx context.Context, fn func(Tx) error) error {
	j := joinedIn(ctx)
	if j == nil {
		return s.Store.Update(ctx, fn)
	}
	err := fn(j.tx)
	j.failed = errors.Join(j.failed, err)
	return err
}

func (s joining) View(ctx context.Context, fn func(Tx) error) error {
	if j := joinedIn(ctx); j != nil {
		return fn(j.tx)
	}
	return s.Store.View(ctx, fn)
}

func (s joining) Scrub(ctx context.Context) error {
	if j := joinedIn(ctx); j != nil {
		j.scrub = true
		return nil
	}
	return s.Store.Scrub(ctx)
}
