package agent

import (
	"context"
	"crypto/ecdsa"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/statement"
	"github.com/holdfast-ev/holdfast/uplink"
)

// Bounds of the link.
const (
	MaxAsks        = 64               // online authorisations under way; one more is answered "no answer" at once
	LinkPingEvery  = 15 * time.Second // the doorbell is pinged so often
	LinkPongWithin = 10 * time.Second // and is dead without an answer for so long
	linkRetryMin   = time.Second      // pause before the doorbell is connected again
	linkRetryMax   = time.Minute
)

// A cloudLink carries the core's calls to the cloud, and answers into the feed
// that each call came from. Its methods return at once.
type cloudLink struct {
	log   *slog.Logger
	paths []*path // every way to the cloud
	clock *Clock
	key   *ecdsa.PublicKey // verifies the cloud's time

	asks chan struct{} // a token per ask under way
	work sync.WaitGroup

	mu      sync.Mutex
	at      *path    // in use
	closed  bool     // no route may be used: no doorbell either
	bell    *bell    // connected or being connected; nil: none
	refused *Refusal // the last upload, if the cloud refused its bytes
	stopped bool
}

// newCloudLink begins with the first of paths, of which there is at least one.
func newCloudLink(log *slog.Logger, paths []*path, clock *Clock, key *ecdsa.PublicKey) *cloudLink {
	return &cloudLink{log: log, paths: paths, at: paths[0], clock: clock, key: key, asks: make(chan struct{}, MaxAsks)}
}

// start runs fn on a goroutine of its own until f's core is gone.
func (l *cloudLink) start(f *feed, fn func(ctx context.Context)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return
	}
	l.work.Go(func() {
		ctx, cancel := f.context(context.Background())
		defer cancel()
		fn(ctx)
	})
}

// stop waits for everything that is under way. The feeds must be done.
func (l *cloudLink) stop() {
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
	l.work.Wait()
	for _, p := range l.paths {
		p.client.http.CloseIdleConnections()
	}
}

// hello says hello.
func (l *cloudLink) hello(f *feed, h uplink.Hello) {
	at := l.route()
	l.start(f, func(ctx context.Context) {
		if l.tooEarly(f, at) {
			return
		}
		var w uplink.Welcome
		began := time.Now()
		failed := l.twice(ctx, at, func() (err error) {
			began = time.Now()
			w, err = at.client.hello(ctx, h)
			return err
		})
		if failed != nil {
			l.down(ctx, f, at, *failed)
			return
		}
		up := gateway.LinkUp{Welcome: w, CloudTime: l.cloudTime(f, w.Time, h.Nonce, time.Since(began))}
		if f.put(up) {
			l.ring(f, at)
		}
	})
}

// cloudTime verifies the signed time of a welcome and sets the clock by it. It
// returns 0 when there is none to trust.
func (l *cloudLink) cloudTime(f *feed, signed []byte, nonce string, rtt time.Duration) holdfast.UnixMilli {
	if len(signed) == 0 {
		return 0
	}
	t, err := verifyTime(l.key, signed, nonce)
	if err != nil {
		l.log.Warn("the cloud's time does not verify; the clock stays as it is", "err", err.Error())
		return 0
	}
	now := l.clock.Now()
	if !l.clock.Sync(t, rtt) {
		l.log.Warn("the cloud signed a time that cannot be; the clock stays as it is", "signed", t.String(), "clock", now.Wall.String())
		f.put(gateway.ClockDoubted{Source: string(SourceCloud), OffsetMs: int64(t - now.Wall), Detail: "signed time " + t.String() + " is before, or years after, what was signed earlier"})
		return 0
	}
	return t
}

func verifyTime(key *ecdsa.PublicKey, signed []byte, nonce string) (holdfast.UnixMilli, error) {
	payload, err := statement.Verify(key, statement.TypTime, signed)
	if err != nil {
		return 0, err
	}
	t, err := statement.DecodeTime(payload)
	if err != nil {
		return 0, err
	}
	if t.Nonce != nonce {
		return 0, errors.New("it answers another question than ours")
	}
	return t.Now, nil
}

// upload sends a slice.
func (l *cloudLink) upload(f *feed, u gateway.Upload, slice []byte) {
	at := l.route()
	l.start(f, func(ctx context.Context) {
		if l.tooEarly(f, at) {
			return
		}
		slot := uplink.Slot{Journal: u.Journal, Epoch: u.Epoch, First: u.First}
		done := gateway.UploadDone{Journal: u.Journal, Epoch: u.Epoch, First: u.First}
		failed := l.twice(ctx, at, func() error {
			ack, mismatch, err := at.client.upload(ctx, slot, cutSlice(slice, at.client.sliceBytes()))
			done.Ack = ack
			if mismatch != nil {
				done.Mismatch = &mismatch.Expected
				l.log.Info("the cloud expects another position", "journal", string(u.Journal), "epoch", u.Epoch.String(), "sent", uint64(u.First), "expected", mismatch.Expected)
			}
			l.noteRefused(slot, err)
			return err
		})
		if failed != nil {
			l.down(ctx, f, at, *failed)
			return
		}
		f.put(done)
	})
}

// cutSlice returns a prefix of whole frames (package journal: a 20-byte header
// that begins with the body's length) of at most most bytes, but at least up to
// and with the first record.
func cutSlice(slice []byte, most int) []byte {
	const headerLen, kindRecord = 20, 1
	end, records := 0, 0
	for end+headerLen <= len(slice) {
		next := end + headerLen + int(min(binary.BigEndian.Uint32(slice[end:]), uplink.MaxSliceBytes))
		if next > len(slice) || records > 0 && next > most {
			break
		}
		if slice[end+4] == kindRecord {
			records++
		}
		end = next
	}
	if end == 0 {
		return slice
	}
	return slice[:end]
}

// ask asks about a token; it reports false when too many are being asked about.
func (l *cloudLink) ask(f *feed, a gateway.Ask) bool {
	select {
	case l.asks <- struct{}{}:
	default:
		return false
	}
	at := l.route()
	l.start(f, func(ctx context.Context) {
		defer func() { <-l.asks }()
		told, err := at.client.authorize(ctx, a.Ask)
		answer := gateway.Told{ID: a.ID, Ack: told}
		if err != nil {
			answer.Err = err.Error()
		}
		f.put(answer)
	})
	return true
}

// twice makes a call, looks for the cause when it fails, and makes it once more
// when the probes find everything working: connections that the network has
// forgotten fail on first use, and that is not an outage.
func (l *cloudLink) twice(ctx context.Context, at *path, call func() error) *finding {
	for again := false; ; again = true {
		err := call()
		if err == nil {
			return nil
		}
		l.noteBusy(at, err)
		found := at.prober.diagnose(ctx, err)
		if found.cause != holdfast.CauseNone {
			return &found
		}
		if again || ctx.Err() != nil {
			found.cause = holdfast.CauseCloudUnreachable
			return &found
		}
		at.client.http.CloseIdleConnections()
	}
}

// noteBusy keeps the time until which a busy cloud is to be left alone. One that
// the cloud has named holds for all its endpoints.
func (l *cloudLink) noteBusy(at *path, err error) {
	e := (*callError)(nil)
	if !errors.As(err, &e) || e.later == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.paths {
		if p == at || e.named {
			p.busyTill = time.Now().Add(e.later)
		}
	}
}

// noteRefused keeps the refusal of an upload whose bytes do not verify, until an
// upload works: sending them again does not help, and a person has to know why
// the backlog stays.
func (l *cloudLink) noteRefused(slot uplink.Slot, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.refused = nil
	}
	e := (*callError)(nil)
	if !errors.As(err, &e) || e.status != http.StatusUnprocessableEntity || e.code == "" {
		return
	}
	l.refused = &Refusal{Journal: slot.Journal, Epoch: slot.Epoch, First: slot.First, Code: e.code, Expected: e.expected, Detail: e.detail}
	l.log.Error("the cloud refuses an upload: its bytes do not verify there", "journal", string(slot.Journal), "epoch", slot.Epoch.String(),
		"first", uint64(slot.First), "code", e.code, "expected", e.expected, "detail", e.detail)
}

// refusal returns the last upload if it was refused.
func (l *cloudLink) refusal() *Refusal {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused
}

// tooEarly answers a call that comes before the time that the cloud named,
// without bothering the cloud.
func (l *cloudLink) tooEarly(f *feed, at *path) bool {
	l.mu.Lock()
	wait := time.Until(at.busyTill)
	l.mu.Unlock()
	if wait <= 0 {
		return false
	}
	f.put(gateway.LinkDown{
		Cause: holdfast.CauseCloudBusy, Detail: fmt.Sprintf("the cloud asked to come back in %d s", int64(wait/time.Second)+1), Named: true, Route: &at.Route,
	})
	return true
}

// down reports a failed contact, unless it failed because the core is gone.
func (l *cloudLink) down(ctx context.Context, f *feed, at *path, found finding) {
	if ctx.Err() != nil {
		return
	}
	l.log.Info("contact with the cloud failed", "link", at.Link, "endpoint", at.Endpoint, "cause", string(found.cause), "detail", found.detail)
	f.put(gateway.LinkDown{Cause: found.cause, Detail: found.detail, Named: found.named, Route: &at.Route})
}

// ring sees to it that the doorbell of f's core is connected over the path in
// use.
func (l *cloudLink) ring(f *feed, at *path) {
	l.mu.Lock()
	if l.closed || l.at != at || l.bell != nil && l.bell.feed == f {
		l.mu.Unlock()
		return
	}
	mine := newBell(f)
	l.bell = mine
	l.mu.Unlock()
	l.start(f, func(ctx context.Context) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(mine.ctx, cancel)()
		defer mine.hangUp()
		l.doorbell(ctx, f, at)
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.bell == mine {
			l.bell = nil
		}
	})
}

// doorbell keeps the WebSocket to the cloud, until the cloud cannot be reached
// any more: the next welcome starts it again. A cloud that is reached but whose
// WebSocket does not work costs promptness and nothing else.
func (l *cloudLink) doorbell(ctx context.Context, f *feed, at *path) {
	for pause := linkRetryMin; ctx.Err() == nil; pause = min(2*pause, linkRetryMax) {
		began := time.Now()
		err := l.listen(ctx, f, at)
		if time.Since(began) > linkRetryMax {
			pause = linkRetryMin
		}
		answer := (*callError)(nil)
		if ctx.Err() == nil && !errors.As(err, &answer) {
			if found := at.prober.diagnose(ctx, err); found.cause != holdfast.CauseNone {
				l.down(ctx, f, at, found)
				return
			}
		}
		l.log.Debug("doorbell lost, connecting again", "err", fmt.Sprint(err))
		select {
		case <-time.After(pause + rand.N(pause/2)):
		case <-ctx.Done():
		}
	}
}

// listen connects the doorbell once and hears it until it breaks.
func (l *cloudLink) listen(ctx context.Context, f *feed, at *path) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dialCtx, dialed := context.WithTimeout(ctx, HelloTimeout)
	ws, err := at.client.link(dialCtx)
	dialed()
	if err != nil {
		return err
	}
	defer ws.CloseNow()
	var pinging sync.WaitGroup
	defer pinging.Wait()
	defer cancel()
	pinging.Go(func() { pingLink(ctx, ws) })
	for {
		kind, raw, err := ws.Read(ctx)
		if err != nil {
			return fmt.Errorf("link: %w", err)
		}
		var k uplink.Knock
		if kind != websocket.MessageText || json.Unmarshal(raw, &k) != nil || len(k.Directives) > uplink.MaxDirectives {
			return &callError{cause: holdfast.CauseCloudError, detail: "link: a message that is not the protocol"}
		}
		if !f.put(gateway.Directives{List: k.Directives}) {
			return errCoreGone
		}
	}
}

// pingLink finds out when nobody is at the other end any more, and then closes.
func pingLink(ctx context.Context, ws *websocket.Conn) {
	every := time.NewTicker(LinkPingEvery)
	defer every.Stop()
	for {
		select {
		case <-every.C:
		case <-ctx.Done():
			return
		}
		pingCtx, cancel := context.WithTimeout(ctx, LinkPongWithin)
		err := ws.Ping(pingCtx)
		cancel()
		if err != nil {
			ws.CloseNow()
			return
		}
	}
}
