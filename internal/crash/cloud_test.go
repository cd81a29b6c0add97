package crash

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-ev/holdfast/cloud/server"
)

// callTimeout bounds a call to the cloud's API.
const callTimeout = 30 * time.Second

const tariffJSON = `{
  "country_code": "DE", "party_id": "HLD", "id": "crash", "currency": "EUR", "last_updated": "2026-01-01T00:00:00Z",
  "elements": [{"price_components": [
    {"type": "ENERGY", "price": 0.60, "vat": 20.0, "step_size": 1},
    {"type": "FLAT", "price": 0.50, "vat": 20.0, "step_size": 1}
  ]}]
}`

// A cloud is a running cloud, seen through its API as any program sees it.
type cloud struct {
	gateways string // https URL for gateways
	api      string
	token    string
}

// newCloud starts a cloud with its store in a directory of its own.
func newCloud(t *testing.T) *cloud {
	t.Helper()
	log := &cloudErrors{}
	s, err := server.Start(context.WithoutCancel(t.Context()), server.Options{
		DataDir: t.TempDir(), APIAddr: "127.0.0.1:0", GatewayAddr: "127.0.0.1:0", Version: "crash",
		Log: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the cloud: %v", err)
		}
		if t.Failed() {
			t.Logf("what the cloud called an error:\n%s", log.String())
		}
	})
	c := &cloud{gateways: s.GatewayURL(), api: s.APIURL(), token: s.Token()}
	if err := c.call(http.MethodPost, "/v1/tariffs", map[string]any{"ocpi": json.RawMessage(tariffJSON)}, nil); err != nil {
		t.Fatal(err)
	}
	return c
}

// cloudErrors keeps the first errors that the cloud logs, for a test that fails.
type cloudErrors struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (f *cloudErrors) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.buf.Len() < 16<<10 {
		f.buf.Write(p)
	}
	return len(p), nil
}

func (f *cloudErrors) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.buf.String()
}

// call sends one request; in and out may be nil.
func (c *cloud) call(method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.api+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if method == http.MethodPost {
		req.Header.Set("Idempotency-Key", rand.Text())
	}
	req.Header.Set("Content-Type", "application/json")
	if in == nil {
		req.Body, req.ContentLength = http.NoBody, 0
	}
	resp, err := (&http.Client{}).Do(req)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: HTTP %s: %s", method, path, resp.Status, bytes.TrimSpace(b))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

// addSite makes a site whose caps are out of the way, and its drivers' cards.
func (c *cloud) addSite(site string, cards []string) (gateway, code string, err error) {
	var made struct {
		Site struct {
			Gateway string `json:"gateway"`
		} `json:"site"`
		Code string `json:"code"`
	}
	policy := map[string]any{"token_cap": int64(1e12), "site_cap": int64(1e13), "max_sessions": 50}
	if err := c.call(http.MethodPost, "/v1/sites", map[string]any{"id": site, "policy": policy}, &made); err != nil {
		return "", "", err
	}
	for _, card := range cards {
		if err := c.call(http.MethodPost, "/v1/tokens", map[string]any{"value": card, "whitelist": "ALWAYS"}, nil); err != nil {
			return "", "", err
		}
	}
	return made.Site.Gateway, made.Code, nil
}

// listVersion is the version of a site's newest access list.
func (c *cloud) listVersion(site string) (uint64, error) {
	var shown struct {
		ListVersion uint64 `json:"list_version"`
	}
	err := c.call(http.MethodGet, "/v1/sites/"+site, nil, &shown)
	return shown.ListVersion, err
}

// The books of a site, in the API's own field names.
type (
	books struct {
		sessions   []bookSession
		cdrs       []bookCDR
		ledger     []bookEntry
		exceptions []bookException
	}
	bookSession struct {
		ID      string            `json:"id"`
		Charger string            `json:"charger"`
		Running bool              `json:"running"`
		Start   *int64            `json:"start"`
		Stop    *int64            `json:"stop"`
		Labels  map[string]string `json:"labels"`
	}
	bookCDR struct {
		ID      string `json:"id"`
		Session string `json:"session"`
		Current bool   `json:"current"`
		Wh      int64  `json:"wh"`
		Gross   int64  `json:"gross"`
	}
	bookEntry struct {
		Key     string `json:"key"`
		Booking string `json:"booking"`
		Session string `json:"session"`
		Account string `json:"account"`
		Amount  int64  `json:"amount"`
	}
	bookException struct {
		Code    string `json:"code"`
		Site    string `json:"site"`
		Session string `json:"session"`
		Detail  string `json:"detail"`
		State   string `json:"state"`
	}
)

// books reads all books of a site.
func (c *cloud) books(site string) (b *books, err error) {
	b = &books{}
	if b.sessions, err = list[bookSession](c, "/v1/sessions?site="+site); err != nil {
		return nil, err
	}
	if b.cdrs, err = list[bookCDR](c, "/v1/cdrs?site="+site); err != nil {
		return nil, err
	}
	if b.ledger, err = list[bookEntry](c, "/v1/ledger?site="+site); err != nil {
		return nil, err
	}
	b.exceptions, err = list[bookException](c, "/v1/exceptions?site="+site)
	return b, err
}

// entries are the cloud's sessions in the checker's form. The cloud shows one
// stop register, however many stops it has folded.
func (b *books) entries() (out []entry) {
	for _, s := range b.sessions {
		e := entry{id: s.ID, charger: s.Charger, tx: s.Labels[label16], start: s.Start, running: s.Running}
		if e.tx == "" {
			e.tx = s.Labels[label201]
		}
		if !s.Running && s.Stop != nil {
			e.ends = []int64{*s.Stop}
		}
		out = append(out, e)
	}
	return out
}

// list reads every page of a list.
func list[T any](c *cloud, path string) (all []T, err error) {
	cursor := ""
	for {
		var page struct {
			Items []T    `json:"items"`
			Next  string `json:"next"`
		}
		at := path + "&limit=100"
		if cursor != "" {
			at += "&cursor=" + cursor
		}
		if err := c.call(http.MethodGet, at, nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if cursor = page.Next; cursor == "" {
			return all, nil
		}
	}
}
