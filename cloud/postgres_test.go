package cloud_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/cloud/store"
	"github.com/holdfast-ev/holdfast/internal/faultproxy"
	"github.com/holdfast-ev/holdfast/internal/pgtest"
)

// postgres is the server that the tests of this package share.
var postgres pgtest.Shared

func TestMain(m *testing.M) {
	code := m.Run()
	if err := postgres.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "stop PostgreSQL:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func openPostgres(t *testing.T, url string) *store.Postgres {
	t.Helper()
	s, err := store.OpenPostgres(t.Context(), store.PostgresOptions{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// upload sends everything that b has through a plane, in small slices, and goes
// on after every failure from where the cloud says. It never gives up within its
// budget, and returns what was acknowledged.
func (b *box) upload(t *testing.T, plane *cloud.Plane, failed func(error)) (acked uint64) {
	t.Helper()
	size, _ := b.evidence.Head()
	id := b.evidence.Identity()
	for at, budget := uint64(0), 2000; ; budget-- {
		if budget == 0 {
			t.Fatalf("gateway %s does not get through", b.id)
		}
		raw, err := b.evidence.Slice(id.Epoch, holdfast.Seq(at), 3000)
		if err != nil {
			t.Fatal(err)
		}
		ack, err := plane.Receive(context.Background(), b.w.now, b.id, id.Journal, id.Epoch, holdfast.Seq(at), raw)
		var p *cloud.PositionError
		switch {
		case err == nil:
			at, acked = ack.Received, max(acked, ack.Received)
		case errors.As(err, &p):
			if uint64(p.Expected) < acked {
				t.Fatalf("records up to %d were acknowledged, the cloud has %d", acked, p.Expected)
			}
			if at = uint64(p.Expected); at < size {
				continue
			}
		default:
			failed(err)
			continue
		}
		if at >= size {
			return acked
		}
	}
}

// busy fills a gateway's journal with sessions.
func (b *box) busy(sessions int) {
	for range sessions {
		b.charge(visit{wh: 10_000, mid: true})
	}
	b.checkpoint()
}

// told is what a cloud's books should be: one that was told everything once.
func (w *world) told(t *testing.T, boxes ...*box) string {
	t.Helper()
	clean := w.another()
	for _, b := range boxes {
		b.upload(t, clean.plane, func(err error) { t.Fatal(err) })
	}
	return clean.books()
}

func (w *world) wantBooks(t *testing.T, want string) {
	t.Helper()
	if got := w.books(); got != want {
		t.Errorf("books of one clean delivery and these: %s", firstDifference(want, got))
	}
	w.balanced()
	before := w.dump()
	w.must(w.plane.Rebuild(t.Context()))
	if after := w.dump(); after != before {
		t.Error(firstDifference(before, after))
	}
}

// Two processes on one database, each with a pool of its own, receive at the same
// time: two gateways side by side, and one gateway that reaches both.
func TestTwoWritersAtOnce(t *testing.T) {
	url := postgres.Server(t).Schema(t)
	w := newWorld(t, openPostgres(t, url), store.NewFiles(t.TempDir()))
	north, south := w.box("north"), w.box("south")
	north.busy(30)
	south.busy(30)
	want := w.told(t, north, south)
	second := *w
	second.over(openPostgres(t, url), w.archive)
	var wg sync.WaitGroup
	for _, p := range []*cloud.Plane{w.plane, second.plane} {
		for _, b := range []*box{north, south} {
			wg.Go(func() { b.upload(t, p, func(err error) { t.Error(err) }) })
		}
	}
	wg.Wait()
	w.wantBooks(t, want)
}

// The server is killed (SIGKILL) again and again while gateways upload, between
// commits and in them, and recovers. What was acknowledged is there; trying again
// gives the books of one clean delivery.
func TestPostgresKilledWhileReceiving(t *testing.T) {
	pg := pgtest.Start(t)
	w := newWorld(t, openPostgres(t, pg.Schema(t)), store.NewFiles(t.TempDir()))
	north, south := w.box("north"), w.box("south")
	north.busy(60)
	south.busy(60)
	want := w.told(t, north, south)
	const kills = 3
	cut := make(chan struct{}, 1) // an upload got through: time for the next cut
	up := sync.RWMutex{}          // held while the server is down, so that no try is wasted
	busy := &paced{Store: w.store, up: &up, cut: cut}
	w.over(busy, w.archive)
	var wg sync.WaitGroup
	failures := make(chan error, 4000)
	for _, b := range []*box{north, south} {
		wg.Go(func() { b.upload(t, w.plane, func(err error) { failures <- err }) })
	}
	through := make(chan struct{})
	go func() { wg.Wait(); close(through) }()
	for killed := 0; killed < kills; killed++ {
		select {
		case <-cut:
		case <-through:
			t.Fatalf("everything got through after %d kills", killed)
		}
		killed := make(chan error, 1)
		go func() { killed <- pg.Kill() }()
		up.Lock() // whoever is inside gets through or fails first
		if err := <-killed; err != nil {
			t.Error(err)
		}
		if err := pg.Restart(); err != nil {
			t.Error(err)
		}
		up.Unlock()
	}
	<-through
	if len(failures) == 0 {
		t.Error("no upload noticed: the kills prove nothing")
	}
	w.over(w.store, w.archive)
	w.wantBooks(t, want)
}

// paced lets one transaction in after another and says when some have passed.
type paced struct {
	cloud.Store
	up  *sync.RWMutex
	cut chan struct{}
	mu  sync.Mutex
	n   int
}

func (p *paced) View(ctx context.Context, fn func(cloud.Tx) error) error {
	p.up.RLock()
	defer p.up.RUnlock()
	return p.Store.View(ctx, fn)
}

func (p *paced) Update(ctx context.Context, fn func(cloud.Tx) error) error {
	p.up.RLock()
	defer p.up.RUnlock()
	return p.Store.Update(ctx, func(tx cloud.Tx) error {
		p.mu.Lock()
		p.n++
		if p.n%4 == 0 {
			select {
			case p.cut <- struct{}{}: // somewhere from here on the server dies
			default:
			}
		}
		p.mu.Unlock()
		return fn(tx)
	})
}

// The connection is cut at the commit: before the server hears of it, and after
// it has committed and before we hear of it. Both look the same to us; trying
// again converges, at once and with the connections that are left.
func TestConnectionCutAtCommit(t *testing.T) {
	for name, persisted := range map[string]bool{"not committed": false, "committed": true} {
		t.Run(name, func(t *testing.T) {
			pg := postgres.Server(t)
			url := pg.Schema(t)
			proxy, err := faultproxy.New(pg.Addr())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = proxy.Close() })
			w := newWorld(t, openPostgres(t, pgtest.Through(t, url, proxy.Addr())), store.NewFiles(t.TempDir()))
			b := readyBox(w, "north")
			b.busy(10)
			want := w.told(t, b)
			cut := &cutter{Store: w.store, proxy: proxy, beside: openPostgres(t, url), persisted: persisted}
			w.over(cut, w.archive)
			failures := 0
			b.upload(t, w.plane, func(err error) {
				failures++
				if cut.err != nil {
					t.Fatal(cut.err)
				}
			})
			if failures < 3 {
				t.Errorf("%d uploads failed at the commit: the cuts prove nothing", failures)
			}
			w.over(w.store, w.archive)
			w.wantBooks(t, want)
		})
	}
}

// cutter cuts the connection at every second commit.
type cutter struct {
	cloud.Store
	proxy     *faultproxy.Proxy
	beside    cloud.Store // the same, without the proxy
	persisted bool
	n         int
	err       error
}

func (c *cutter) Update(ctx context.Context, fn func(cloud.Tx) error) error {
	if c.n++; c.n%2 == 0 {
		return c.Store.Update(ctx, fn)
	}
	done := make(chan error, 1)
	err := c.Store.Update(ctx, func(tx cloud.Tx) error {
		if err := fn(tx); err != nil {
			close(done)
			return err
		}
		var before int
		if before, c.err = c.entries(); c.err != nil {
			return c.err
		}
		if !c.persisted {
			close(done)
			return c.proxy.Set(faultproxy.Refuse)
		}
		go func() { done <- c.whenCommitted(before) }()
		return c.proxy.Set(faultproxy.LoseAnswers)
	})
	if watched := <-done; watched != nil {
		c.err = watched
	}
	return errors.Join(err, c.proxy.Set(faultproxy.Pass))
}

// whenCommitted cuts the connections as soon as others see the commit.
func (c *cutter) whenCommitted(before int) error {
	for {
		now, err := c.entries()
		if err != nil {
			return err
		}
		if now > before {
			c.proxy.Cut()
			return nil
		}
	}
}

// entries counts the cloud's journal as others see it.
func (c *cutter) entries() (n int, err error) {
	err = c.beside.View(context.Background(), func(tx cloud.Tx) error {
		list, err := tx.ReadLog(0, 1<<20)
		n = len(list)
		return err
	})
	return n, err
}
