package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/klauspost/compress/zstd"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/uplink"
)

// Bounds of calls to the cloud.
const (
	HelloTimeout  = 15 * time.Second
	UploadTimeout = 80 * time.Second // below uplink.AnswerLimitMillis, after which the core takes the call for dead
	StallTimeout  = 20 * time.Second // an upload of which nothing moves for so long is given up
	DialTimeout   = 10 * time.Second
	// UploadTarget is how long a slice should take: slices shrink on a slow link
	// until they do, and grow again.
	UploadTarget  = 10 * time.Second
	MinSliceBytes = 16 << 10
)

// A client speaks the wire of package uplink. It makes single calls; when to
// call, what to send and what an answer means is the core's business.
type client struct {
	http     *http.Client
	endpoint *url.URL
	gateway  holdfast.GatewayID
	zstd     *zstd.Encoder
	slice    atomic.Int64 // bytes that the next slice should have at most
}

// A dialFunc connects as net.Dialer.DialContext does.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// newClient returns a client of the cloud at endpoint whose sockets come from
// dial.
func newClient(endpoint *url.URL, id holdfast.GatewayID, config *tls.Config, dial dialFunc) (*client, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("zstd encoder: %w", err)
	}
	c := &client{
		endpoint: endpoint, gateway: id, zstd: enc,
		http: &http.Client{
			Transport: &http.Transport{
				TLSClientConfig:       config,
				DialContext:           dial,
				TLSHandshakeTimeout:   DialTimeout,
				IdleConnTimeout:       90 * time.Second,
				MaxIdleConnsPerHost:   4,
				MaxConnsPerHost:       80,
				ResponseHeaderTimeout: UploadTimeout,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	c.slice.Store(256 << 10)
	return c, nil
}

// A callError is an answer of the cloud that is not the one that was hoped for:
// the cause is known without probing.
type callError struct {
	cause  holdfast.Cause
	detail string
	later  time.Duration // > 0: not before
	named  bool          // the cloud itself named that time
	status int           // of HTTP; 0 when the answer had the right one

	code     string        // evidence refused: of the exception that the cloud raised
	expected *holdfast.Seq // evidence refused: where the cloud's good copy ends
}

func (e *callError) Error() string { return e.detail }

// Unanswered reports whether err is a call to the cloud that got no answer, or
// none that decides anything: the cloud cannot be reached, is busy or failed,
// and the call can be made again.
func Unanswered(err error) bool {
	if e := (*callError)(nil); errors.As(err, &e) {
		return e.cause == holdfast.CauseCloudBusy || e.status >= 500
	}
	u := (*url.Error)(nil)
	return errors.As(err, &u) && !errors.Is(err, errFingerprint) && !errors.Is(err, errNotPinned)
}

// hello opens a contact.
func (c *client) hello(ctx context.Context, h uplink.Hello) (uplink.Welcome, error) {
	ctx, cancel := context.WithTimeout(ctx, HelloTimeout)
	defer cancel()
	var w uplink.Welcome
	return w, c.json(ctx, "hello", h, &w)
}

// authorize asks about a token.
func (c *client) authorize(ctx context.Context, a uplink.Ask) (uplink.Told, error) {
	ctx, cancel := context.WithTimeout(ctx, uplink.MaxAskWaitMillis*time.Millisecond)
	defer cancel()
	var t uplink.Told
	return t, c.json(ctx, "authorize", a, &t)
}

// json posts in and reads out.
func (c *client) json(ctx context.Context, call string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode %s: %w", call, err)
	}
	req, err := c.request(ctx, http.MethodPost, bytes.NewReader(body), call)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header["X-Idempotency-Key"] = nil // lets net/http repeat it on a stale connection; not sent
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w", call, err)
	}
	defer drainClose(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return problemOf(call, resp)
	}
	return decodeAnswer(call, resp, out)
}

func (c *client) request(ctx context.Context, method string, body io.Reader, path ...string) (*http.Request, error) {
	u := c.endpoint.JoinPath(append([]string{"v1", "gateways", string(c.gateway)}, path...)...)
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	req.Header.Set("Accept", "application/json, application/problem+json")
	return req, nil
}

// upload sends a slice. A position mismatch is not an error: it is returned.
func (c *client) upload(ctx context.Context, slot uplink.Slot, slice []byte) (ack uplink.Ack, mismatch *uplink.Mismatch, err error) {
	ctx, cancel := context.WithTimeout(ctx, UploadTimeout)
	defer cancel()
	packed := c.zstd.EncodeAll(slice, nil)
	body := &movingReader{r: bytes.NewReader(packed), stalled: time.AfterFunc(StallTimeout, cancel)}
	defer body.stalled.Stop()
	req, err := c.request(ctx, http.MethodPut, body,
		"journals", string(slot.Journal), slot.Epoch.String(), strconv.FormatUint(uint64(slot.First), 10))
	if err != nil {
		return ack, nil, err
	}
	req.ContentLength = int64(len(packed))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed)), nil }
	req.Header.Set("Content-Type", "application/octet-stream")
	req.Header.Set("Content-Encoding", "zstd")
	began := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		c.adapt(len(slice), UploadTimeout)
		return ack, nil, fmt.Errorf("upload: %w", err)
	}
	defer drainClose(resp.Body)
	c.adapt(len(slice), time.Since(began))
	switch resp.StatusCode {
	case http.StatusOK:
		return ack, nil, decodeAnswer("upload", resp, &ack)
	case http.StatusConflict:
		mismatch = new(uplink.Mismatch)
		if err := decodeAnswer("upload", resp, mismatch); err != nil || mismatch.Type != uplink.ProblemPositionMismatch {
			return ack, nil, &callError{cause: holdfast.CauseCloudError, detail: "upload: 409 that is not a position mismatch"}
		}
		return ack, mismatch, nil
	}
	return ack, nil, problemOf("upload", resp)
}

// adapt learns how large a slice this link carries in [UploadTarget].
func (c *client) adapt(sent int, took time.Duration) {
	now := c.slice.Load()
	switch {
	case took > UploadTarget:
		now = min(now, int64(sent)) * int64(UploadTarget) / int64(took)
	case took < UploadTarget/4 && int64(sent) >= now/2:
		now *= 2
	}
	c.slice.Store(min(max(now, MinSliceBytes), uplink.MaxSliceBytes))
}

// sliceBytes is how many bytes the next slice should have at most.
func (c *client) sliceBytes() int { return int(c.slice.Load()) }

// A movingReader puts the stall off whenever bytes are taken from it.
type movingReader struct {
	r       *bytes.Reader
	stalled *time.Timer
}

func (m *movingReader) Read(p []byte) (int, error) {
	m.stalled.Reset(StallTimeout)
	return m.r.Read(p[:min(len(p), 16<<10)])
}

// link opens the WebSocket that directives and the doorbell come down.
func (c *client) link(ctx context.Context) (*websocket.Conn, error) {
	u := c.endpoint.JoinPath("v1", "gateways", string(c.gateway), "link")
	ws, resp, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{HTTPClient: c.http})
	if err != nil {
		if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
			return nil, problemOf("link", resp)
		}
		return nil, fmt.Errorf("link: %w", err)
	}
	ws.SetReadLimit(uplink.MaxMessageBytes)
	return ws, nil
}

func decodeAnswer(call string, resp *http.Response, out any) error {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if kind != "application/json" && kind != "application/problem+json" {
		return &callError{cause: holdfast.CauseCloudError, detail: fmt.Sprintf("%s: %d with content type %q, which is not the protocol", call, resp.StatusCode, clipText(kind))}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, uplink.MaxMessageBytes+1))
	if err != nil {
		return fmt.Errorf("%s: read the answer: %w", call, err)
	}
	if len(body) > uplink.MaxMessageBytes {
		return &callError{cause: holdfast.CauseCloudError, detail: fmt.Sprintf("%s: an answer of more than %d bytes", call, uplink.MaxMessageBytes)}
	}
	if err := json.Unmarshal(body, out); err != nil {
		return &callError{cause: holdfast.CauseCloudError, detail: fmt.Sprintf("%s: an answer that is not the protocol: %v", call, err)}
	}
	return nil
}

// problemOf classifies an answer by its status; what it says goes into the
// detail.
func problemOf(call string, resp *http.Response) error {
	e := &callError{cause: holdfast.CauseCloudError, detail: fmt.Sprintf("%s: HTTP %d", call, resp.StatusCode), status: resp.StatusCode}
	var p struct {
		Title   string `json:"title"`
		Detail  string `json:"detail"`
		LaterMs int64  `json:"later_ms"`

		Code     string        `json:"code"`
		Expected *holdfast.Seq `json:"expected"`
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if json.Unmarshal(body, &p) == nil && p.Title != "" {
		e.detail += ": " + clipText(p.Title)
		if p.Detail != "" {
			e.detail += ": " + clipDetail(p.Detail)
		}
		e.code, e.expected = clipText(p.Code), p.Expected
	}
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		e.cause = holdfast.CauseAuthRejected
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		e.cause = holdfast.CauseCloudBusy
		e.later = time.Duration(p.LaterMs) * time.Millisecond
		if s, err := strconv.ParseInt(resp.Header.Get("Retry-After"), 10, 32); err == nil && e.later == 0 {
			e.later = time.Duration(s) * time.Second
		}
		e.named = e.later > 0
		e.later = min(max(e.later, time.Second), uplink.MaxLaterMillis*time.Millisecond)
	}
	return e
}

func clipDetail(s string) string {
	if len(s) > 256 {
		return s[:256] + "..."
	}
	return s
}

// drainClose reads what little is left, so that the connection can be used
// again.
func drainClose(body io.ReadCloser) {
	io.Copy(io.Discard, io.LimitReader(body, 64<<10))
	body.Close()
}

// enrol redeems a one-time code at the cloud. It returns the answer after
// checking that the authority in it is the one that the code pinned.
func enrol(ctx context.Context, endpoint *url.URL, code string, csr []byte) (uplink.Enrolled, error) {
	var out uplink.Enrolled
	print, err := codeFingerprint(code)
	if err != nil {
		return out, err
	}
	var ca *x509.Certificate
	transport := &http.Transport{
		TLSClientConfig:     enrolTLS(print, func(c *x509.Certificate) { ca = c }),
		TLSHandshakeTimeout: DialTimeout,
		DisableKeepAlives:   true,
	}
	body, err := json.Marshal(uplink.Enrol{Code: code, CSR: csr})
	if err != nil {
		return out, fmt.Errorf("encode enrol: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*HelloTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint.JoinPath("v1", "enrol").String(), bytes.NewReader(body))
	if err != nil {
		return out, fmt.Errorf("make a request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return out, fmt.Errorf("enrol: %w", err)
	}
	defer drainClose(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return out, problemOf("enrol", resp)
	}
	if err := decodeAnswer("enrol", resp, &out); err != nil {
		return out, err
	}
	if ca == nil || !bytes.Equal(out.CA, ca.Raw) {
		return out, errors.New("enrol: the cloud answered with another authority than it showed; nothing was stored")
	}
	return out, nil
}
