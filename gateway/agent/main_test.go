package agent

import (
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.NewJSONHandler(io.Discard, nil)) }

// A recorder is a core that writes down its inputs and does what act says.
type recorder struct {
	mu     sync.Mutex
	inputs []gateway.Input
	news   chan struct{} // a hint that inputs grew
	act    func(in gateway.Input) error
	closed int
}

func newRecorder() *recorder { return &recorder{news: make(chan struct{}, 1)} }

func (r *recorder) core() *core {
	return &core{
		turn: func(_ holdfast.Instant, in []gateway.Input) error {
			for _, i := range in {
				if _, tick := i.(gateway.Tick); tick {
					continue
				}
				r.mu.Lock()
				r.inputs = append(r.inputs, i)
				r.mu.Unlock()
				select {
				case r.news <- struct{}{}:
				default:
				}
				if r.act != nil {
					if err := r.act(i); err != nil {
						return err
					}
				}
			}
			return nil
		},
		later:  func() []gateway.Input { return nil },
		report: func() *Report { return &Report{} },
		close:  func() error { r.closed++; return nil },
	}
}

// wait returns the first input that ok accepts, and fails the test when none
// comes.
func wait[T gateway.Input](t testing.TB, r *recorder, ok func(T) bool) T {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		r.mu.Lock()
		for _, in := range r.inputs {
			if in, is := in.(T); is && (ok == nil || ok(in)) {
				r.mu.Unlock()
				return in
			}
		}
		r.mu.Unlock()
		select {
		case <-r.news:
		case <-limit:
			t.Fatalf("no such input; there were %v", r.inputs)
		}
	}
}

// running starts an engine around r and ends it with the test.
func (r *recorder) running(t testing.TB, dropped func()) *engine {
	t.Helper()
	e := newEngine(quiet(), NewClock(1), func(*feed) (*core, error) { return r.core(), nil }, dropped)
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- e.run(stop) }()
	t.Cleanup(func() {
		close(stop)
		if err := <-ended; err != nil {
			t.Errorf("engine: %v", err)
		}
	})
	<-e.opened
	return e
}
