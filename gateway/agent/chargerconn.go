package agent

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
)

// An outgoing is a frame for a charger, or the end of its connection.
type outgoing struct {
	frame  []byte
	code   websocket.StatusCode // > 0: close with it
	reason string
}

// A chargerConn is one connection of a charger.
type chargerConn struct {
	id      gateway.ConnID
	charger holdfast.ChargerID
	remote  string
	ws      *websocket.Conn
	feed    *feed

	queue   chan outgoing
	queued  atomic.Int64 // bytes in queue
	heard   atomic.Int64 // Unix ns: the last sign of life
	waiting atomic.Bool  // the reader waits for the core, so nobody reads pongs
	mute    atomic.Bool  // closing: what the charger still says is not passed on

	once   sync.Once
	gone   chan struct{} // closed when the connection is over
	detail string        // why, for the record; written before gone is closed
}

// push queues o without waiting. A charger that does not read fills its queue,
// and is disconnected then: it must not hold up the core or eat its memory.
func (c *chargerConn) push(o outgoing) {
	if c.queued.Add(int64(len(o.frame))) > SendQueueBytes {
		go c.abort("does not read: too many bytes waiting")
		return
	}
	if o.code != 0 {
		c.mute.Store(true)
	}
	select {
	case c.queue <- o:
	default:
		go c.abort("does not read: too many frames waiting")
	}
}

// write is the writing goroutine. One timer bounds each frame: a context per
// frame would cost more than the frame.
func (c *chargerConn) write() {
	limit := time.AfterFunc(WriteTimeout, func() { c.abort("does not read: a frame took too long") })
	defer limit.Stop()
	limit.Stop()
	for {
		select {
		case o := <-c.queue:
			if o.code != 0 {
				c.finish(o.code, o.reason)
				return
			}
			c.queued.Add(-int64(len(o.frame)))
			limit.Reset(WriteTimeout)
			err := c.ws.Write(context.Background(), websocket.MessageText, o.frame)
			limit.Stop()
			if err != nil {
				c.abort("writing failed: " + err.Error())
				return
			}
		case <-c.gone:
			return
		}
	}
}

// read is the reading goroutine; closing the connection ends it. It reports whether a message was too large.
func (c *chargerConn) read(rate int64) (tooLarge bool) {
	limit := bucket{}
	every := time.Second / time.Duration(rate)
	for {
		kind, raw, err := c.ws.Read(context.Background())
		if err != nil {
			if errors.Is(err, websocket.ErrMessageTooBig) {
				c.abort("message too large")
				return true
			}
			c.abort("connection lost: " + err.Error())
			return false
		}
		c.heard.Store(time.Now().UnixNano())
		if kind != websocket.MessageText {
			c.finish(websocket.StatusUnsupportedData, "OCPP messages are text")
			return false
		}
		if c.mute.Load() {
			continue // read on: the closing handshake needs it
		}
		c.waiting.Store(true)
		ok := c.throttle(&limit, every) && c.feed.put(gateway.Frame{Conn: c.id, Raw: raw})
		c.waiting.Store(false)
		if !ok {
			c.finish(websocket.StatusServiceRestart, "gateway restarts, please reconnect")
			return false
		}
	}
}

// throttle waits until the connection's rate allows one more frame.
func (c *chargerConn) throttle(limit *bucket, every time.Duration) bool {
	for limit.refill(time.Now(), framesBurst, every); limit.left == 0; limit.refill(time.Now(), framesBurst, every) {
		wait := time.NewTimer(every)
		select {
		case <-wait.C:
		case <-c.gone:
			wait.Stop()
			return false
		}
	}
	limit.left--
	return true
}

// watch pings a silent charger, so that a half-open socket (the cable was
// pulled, the router forgot the connection) does not live on for hours.
func (c *chargerConn) watch(ctx context.Context, every time.Duration) {
	c.heard.Store(time.Now().UnixNano())
	timer := time.NewTimer(every)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-c.gone:
			return
		}
		silent := time.Duration(time.Now().UnixNano() - c.heard.Load())
		if silent >= every && !c.waiting.Load() {
			if !c.answersPing(ctx) {
				c.abort("no answer to a ping")
				return
			}
			silent = 0
		}
		timer.Reset(max(every-silent, time.Second))
	}
}

// answersPing pings. While the reader waits for the core the answer cannot be
// seen, and counts as given.
func (c *chargerConn) answersPing(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, PongTimeout)
	defer cancel()
	if err := c.ws.Ping(ctx); err != nil && !c.waiting.Load() {
		return false
	}
	c.heard.Store(time.Now().UnixNano())
	return true
}

// finish ends the connection politely, which takes up to the 5 s of the library's
// closing handshake.
func (c *chargerConn) finish(code websocket.StatusCode, reason string) {
	c.mute.Store(true)
	c.once.Do(func() {
		c.detail = "closed by the gateway: " + reason
		if len(reason) > 120 {
			reason = reason[:120] // RFC 6455 section 5.5: control frames hold 125 bytes
		}
		c.ws.Close(code, reason)
		close(c.gone)
	})
}

// abort ends the connection at once.
func (c *chargerConn) abort(detail string) {
	c.mute.Store(true)
	c.once.Do(func() {
		c.detail = detail
		c.ws.CloseNow()
		close(c.gone)
	})
}

// why waits for the end and says what it was.
func (c *chargerConn) why() string {
	<-c.gone
	return c.detail
}
