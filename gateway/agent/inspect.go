package agent

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/journal"
)

// The pace of the inspection. A sealed segment of the usual size is read in some
// ten milliseconds, so a full evidence journal of 256 MiB takes about half a
// minute at the start, and then one round in about four hours.
const (
	InspectFirstPause = 50 * time.Millisecond // between two segments of the first round
	InspectEvery      = time.Minute           // and of every later one
)

// An inspector reads the sealed segments of the journals again and again, one
// at a time and beside the core, so that damage in what nobody reads any more is
// found while the cloud still has a copy. What it finds it tells the core, whose
// loop sets the segment aside.
type inspector struct {
	log    *slog.Logger
	feed   func() *feed
	opened <-chan struct{}
	dir    func(holdfast.Journal) (journal.FS, error)
	pause  func(first bool) time.Duration

	checked  atomic.Int64 // segments, since the start
	damaged  atomic.Int64
	wholeAt  atomic.Int64 // when the last round ended, in ms since 1970; 0 never
	unreadIn map[string]bool
}

func newInspector(log *slog.Logger, e *engine, dir func(holdfast.Journal) (journal.FS, error)) *inspector {
	return &inspector{
		log: log, feed: e.feed, opened: e.opened, dir: dir, unreadIn: map[string]bool{},
		pause: func(first bool) time.Duration {
			if first {
				return InspectFirstPause
			}
			return InspectEvery
		},
	}
}

// run inspects until ctx ends.
func (i *inspector) run(ctx context.Context) {
	select {
	case <-i.opened:
	case <-ctx.Done():
		return
	}
	for first := true; ctx.Err() == nil; {
		if i.round(ctx, first) {
			first = false
			i.wholeAt.Store(time.Now().UnixMilli())
		}
		i.sleep(ctx, i.pause(first))
	}
}

// round checks every segment that is sealed now. It reports false when the core
// went away meanwhile: then the next core's journals are looked at from the
// beginning.
func (i *inspector) round(ctx context.Context, first bool) bool {
	f := i.feed()
	if f == nil {
		return false
	}
	for _, j := range []holdfast.Journal{holdfast.Evidence, holdfast.Telemetry} {
		dir, err := i.dir(j)
		if err != nil {
			i.log.Error("a journal cannot be inspected", "journal", string(j), "err", err.Error())
			return false
		}
		var list []journal.SegmentInfo
		if f.do(ctx, func(c *core) { list = c.segments(j) }) != nil {
			return false
		}
		for _, s := range list {
			if !s.Sealed {
				continue
			}
			if !i.check(f, j, dir, s) || !i.sleep(ctx, i.pause(first)) {
				return false
			}
		}
	}
	return true
}

// check reads one segment. It reports false when the core is gone.
func (i *inspector) check(f *feed, j holdfast.Journal, dir journal.FS, s journal.SegmentInfo) bool {
	err := journal.CheckSegment(dir, s)
	i.checked.Add(1)
	d := (*journal.Damage)(nil)
	name := string(j) + "/" + s.Name
	switch {
	case err == nil:
		delete(i.unreadIn, name)
		return true
	case errors.As(err, &d):
	case errors.Is(err, fs.ErrNotExist): // pruned, or set aside, while we looked
		return true
	case errors.Is(err, syscall.EIO) && i.unreadIn[name]: // twice: a bad place on the disk
		d = &journal.Damage{Segment: s.Name, What: "the disk cannot read it: " + err.Error()}
	default:
		i.unreadIn[name] = true
		i.log.Error("a journal segment cannot be read", "journal", string(j), "segment", s.Name, "err", err.Error())
		return true
	}
	delete(i.unreadIn, name)
	i.damaged.Add(1)
	i.log.Error("a journal segment is damaged and is set aside", "journal", string(j), "segment", d.Segment, "offset", d.Offset, "what", d.What)
	return f.put(gateway.SegmentDamaged{Journal: j, File: d.Segment, Offset: d.Offset, Detail: d.What})
}

// sleep waits, and reports false when ctx ended.
func (i *inspector) sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// An Inspection is how far the inspection of the journals is.
type Inspection struct {
	Segments int64              `json:"segments"`           // checked since the start
	Damaged  int64              `json:"damaged"`            // found damaged
	WholeAt  holdfast.UnixMilli `json:"whole_at,omitempty"` // when every segment had been checked last; 0 not yet
}

func (i *inspector) report() Inspection {
	return Inspection{Segments: i.checked.Load(), Damaged: i.damaged.Load(), WholeAt: holdfast.UnixMilli(i.wholeAt.Load())}
}
