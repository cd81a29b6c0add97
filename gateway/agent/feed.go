package agent

import (
	"context"
	"sync"

	"github.com/holdfast-ev/holdfast/gateway"
)

// Bounds of the way into the core.
const (
	// FeedLength is how many inputs may wait for the core. When they do, whoever
	// brings another one waits: a charger's socket is then not read, and TCP
	// makes the charger wait too.
	FeedLength = 4096
	// MaxTurnInputs is how many waiting inputs the core takes in one turn, and so
	// how many share one sync.
	MaxTurnInputs = 512
	// MaxFeedBytes is how many bytes of frames may wait for the core. It is far
	// above what well-behaved chargers send, and keeps large frames of a broken
	// one from taking the memory.
	MaxFeedBytes = 32 << 20
)

// A feed leads into one core. A core that is discarded takes its feed with it:
// what is still brought to it afterwards was meant for a core that no longer
// exists, and is refused.
type feed struct {
	in    chan gateway.Input
	calls chan func(*core) // run on the core's goroutine, between turns
	done  chan struct{}    // closed when the core is gone

	mu    sync.Mutex
	bytes int           // of the frames in in
	freed chan struct{} // closed, and made anew, when bytes goes down
}

func newFeed() *feed {
	return &feed{
		in:    make(chan gateway.Input, FeedLength),
		calls: make(chan func(*core), 16),
		done:  make(chan struct{}),
		freed: make(chan struct{}),
	}
}

// put waits until the core's queue takes in, and reports false when the core is
// gone. It must not be called on the core's goroutine.
func (f *feed) put(in gateway.Input) bool {
	select {
	case <-f.done:
		return false
	default:
	}
	if frame, ok := in.(gateway.Frame); ok && !f.reserve(len(frame.Raw)) {
		return false
	}
	select {
	case f.in <- in:
		return true
	case <-f.done:
		return false
	}
}

// reserve waits until n more bytes may wait. One frame may always.
func (f *feed) reserve(n int) bool {
	for {
		f.mu.Lock()
		if f.bytes == 0 || f.bytes+n <= MaxFeedBytes {
			f.bytes += n
			f.mu.Unlock()
			return true
		}
		freed := f.freed
		f.mu.Unlock()
		select {
		case <-freed:
		case <-f.done:
			return false
		}
	}
}

// took gives back what the inputs that the core has taken had reserved.
func (f *feed) took(batch []gateway.Input) {
	n := 0
	for _, in := range batch {
		if frame, ok := in.(gateway.Frame); ok {
			n += len(frame.Raw)
		}
	}
	if n == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bytes -= n
	close(f.freed)
	f.freed = make(chan struct{})
}

// offer is put for what may be dropped when the queue is full.
func (f *feed) offer(in gateway.Input) bool {
	select {
	case f.in <- in:
		return true
	default:
		return false
	}
}

// do runs fn on the core's goroutine and waits for it.
func (f *feed) do(ctx context.Context, fn func(*core)) error {
	ran := make(chan struct{})
	select {
	case f.calls <- func(c *core) { fn(c); close(ran) }:
	case <-f.done:
		return errCoreGone
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-ran:
		return nil
	case <-f.done:
		return errCoreGone
	case <-ctx.Done():
		return ctx.Err()
	}
}

// context returns a context that ends with ctx or with the feed.
func (f *feed) context(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-f.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
