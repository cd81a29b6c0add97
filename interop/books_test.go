package interop

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"
)

// Bounds of a call to the cloud's API.
const (
	apiTimeout = 20 * time.Second
	maxAnswer  = 16 << 20 // bytes
)

// An api is the cloud as any program outside sees it.
type api struct {
	url, token string
	http       http.Client
}

// call sends one request; in and out may be nil.
func (a *api) call(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.url+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	if method == http.MethodPost {
		req.Header.Set("Idempotency-Key", rand.Text())
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: HTTP %s: %s", method, path, resp.Status, b)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

// furnish gives every site its cards and its tariff.
func (a *api) furnish(ctx context.Context) error {
	for _, card := range listed() {
		if err := a.call(ctx, http.MethodPost, "/v1/tokens", map[string]any{"value": card, "whitelist": "ALLOWED"}, nil); err != nil {
			return err
		}
	}
	if err := a.call(ctx, http.MethodPost, "/v1/tokens/revoke", map[string]any{"token": stolen}, nil); err != nil {
		return err
	}
	return a.call(ctx, http.MethodPost, "/v1/tariffs", map[string]any{"ocpi": json.RawMessage(tariff)}, nil)
}

func (a *api) must(t *testing.T, method, path string, in, out any) {
	t.Helper()
	if err := a.call(t.Context(), method, path, in, out); err != nil {
		t.Fatal(err)
	}
}

// list reads every page of a list, oldest first.
func list[T any](t *testing.T, path string, query url.Values) (all []T) {
	t.Helper()
	query.Set("limit", "100")
	query.Set("oldest", "true")
	for {
		var page struct {
			Items []T    `json:"items"`
			Next  string `json:"next"`
		}
		here.api.must(t, http.MethodGet, path+"?"+query.Encode(), nil, &page)
		all = append(all, page.Items...)
		if page.Next == "" {
			return all
		}
		query.Set("cursor", page.Next)
	}
}

// What the cloud's books say, in the API's own field names.
type (
	bookSession struct {
		ID      string            `json:"id"`
		Charger string            `json:"charger"`
		Running bool              `json:"running"`
		Stage   string            `json:"stage"`
		Offline bool              `json:"offline"`
		Started int64             `json:"started"`
		Stopped int64             `json:"stopped"`
		Wh      int64             `json:"wh"`
		Start   *int64            `json:"start"`
		Stop    *int64            `json:"stop"`
		Reason  string            `json:"reason"`
		Source  string            `json:"source"`
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
		Session string `json:"session"`
		Account string `json:"account"`
		Amount  int64  `json:"amount"`
	}
	bookException struct {
		Code    string `json:"code"`
		State   string `json:"state"`
		Session string `json:"session"`
		Detail  string `json:"detail"`
	}
	bookDirective struct {
		ID      string `json:"id"`
		Outcome string `json:"outcome"`
		Detail  string `json:"detail"`
	}
)

// The price of all tests: 0.60 EUR a kWh and 0.50 EUR a session before 20 % VAT,
// so that a bill is one line of integers.
const (
	tariff = `{"country_code": "DE", "party_id": "HLD", "id": "interop", "currency": "EUR", "last_updated": "2026-01-01T00:00:00Z",
  "elements": [{"price_components": [
    {"type": "ENERGY", "price": 0.60, "vat": 20.0, "step_size": 1},
    {"type": "FLAT", "price": 0.50, "vat": 20.0, "step_size": 1}]}]}`
	microsPerWh = 600
	flatMicros  = 500_000
)

func gross(wh int64) int64 { return (microsPerWh*wh + flatMicros) * 120 / 100 }

// A metered is a session as a charger's own meter knows it.
type metered struct {
	charger     string
	start, stop int64 // register, Wh
	offline     bool  // the site had no link when it began
}

// balanced waits until the cloud has rated every session of the chargers that
// want names, and fails unless the books hold each of them exactly once, with
// equal Wh, one current CDR, one balanced double entry at the right price, no
// other session of these chargers, and no exception that waits for a person.
func (s *site) balanced(want ...metered) {
	s.t.Helper()
	sessions := s.rated(want)
	known := map[string]bool{}
	for _, b := range sessions {
		known[b.ID] = true
	}
	site := url.Values{"site": {s.name}}
	cdrs := slices.DeleteFunc(list[bookCDR](s.t, "/v1/cdrs", site), func(c bookCDR) bool { return !known[c.Session] })
	entries := slices.DeleteFunc(list[bookEntry](s.t, "/v1/ledger", site), func(e bookEntry) bool { return !known[e.Session] })
	for _, e := range list[bookException](s.t, "/v1/exceptions", site) {
		if e.State == "open" {
			s.t.Errorf("exception %s: %s", e.Code, e.Detail)
		}
	}
	if len(sessions) != len(want) || len(cdrs) != len(want) {
		s.t.Errorf("%d sessions and %d CDRs in the books, want %d: %+v %+v", len(sessions), len(cdrs), len(want), sessions, cdrs)
	}
	for _, w := range want {
		s.billed(w, sessions, cdrs, entries)
	}
}

// rated waits for the sessions of the chargers in want to be rated, and returns
// all that these chargers have.
func (s *site) rated(want []metered) (sessions []bookSession) {
	s.t.Helper()
	defer func() {
		if s.t.Failed() {
			s.explain(sessions)
		}
	}()
	eventually(s.t, fmt.Sprintf("%d rated sessions of %s in the books", len(want), s.name), func() (bool, any) {
		sessions = slices.DeleteFunc(list[bookSession](s.t, "/v1/sessions", url.Values{"site": {s.name}}), func(b bookSession) bool {
			return !slices.ContainsFunc(want, func(w metered) bool { return w.charger == b.Charger })
		})
		open := slices.ContainsFunc(sessions, func(b bookSession) bool { return b.Stage != "rated" })
		return len(sessions) >= len(want) && !open, sessions
	})
	return sessions
}

func (s *site) billed(w metered, sessions []bookSession, cdrs []bookCDR, entries []bookEntry) {
	s.t.Helper()
	var found []bookSession
	for _, b := range sessions {
		if b.Charger == w.charger && b.Start != nil && *b.Start == w.start {
			found = append(found, b)
		}
	}
	if len(found) != 1 {
		s.t.Errorf("session of %s from %d Wh is in the books %d times: %+v", w.charger, w.start, len(found), sessions)
		return
	}
	b := found[0]
	if b.Running || b.Stop == nil || *b.Stop != w.stop || b.Wh != w.stop-w.start || b.Offline != w.offline {
		s.t.Errorf("session of %s is booked as %+v, metered as %+v", w.charger, b, w)
	}
	bills, receivable, net := 0, int64(0), int64(0)
	for _, c := range cdrs {
		if c.Session == b.ID && c.Current {
			bills++
			if c.Wh != w.stop-w.start || c.Gross != gross(c.Wh) {
				s.t.Errorf("session of %s is billed as %+v, metered %d Wh", w.charger, c, w.stop-w.start)
			}
		}
	}
	for _, e := range entries {
		if e.Session != b.ID {
			continue
		}
		net += e.Amount
		if e.Account == "receivable" {
			receivable += e.Amount
		}
	}
	if bills != 1 || net != 0 || receivable != gross(w.stop-w.start) {
		s.t.Errorf("session of %s: %d bills, entries add up to %d, receivable %d, want one bill, 0, %d", w.charger, bills, net, receivable, gross(w.stop-w.start))
	}
}

// order sends a command through the cloud's API and returns its directive.
func (s *site) order(path string, body any) string {
	s.t.Helper()
	var queued struct {
		Directive string `json:"directive"`
	}
	here.api.must(s.t, http.MethodPost, path, body, &queued)
	return queued.Directive
}

// outcome waits for what became of a directive.
func (s *site) outcome(id string) (d bookDirective) {
	s.t.Helper()
	eventually(s.t, "the outcome of "+id, func() (bool, any) {
		here.api.must(s.t, http.MethodGet, "/v1/directives/"+id, nil, &d)
		return d.Outcome != "", d
	})
	return d
}

// explain logs what the cloud knows about the site, for a failed test.
func (s *site) explain(sessions []bookSession) {
	for _, b := range sessions {
		var detail json.RawMessage
		if err := here.api.call(context.Background(), http.MethodGet, "/v1/sessions/"+b.ID, nil, &detail); err == nil {
			s.t.Logf("session %s", detail)
		}
	}
	var gw, exceptions json.RawMessage
	here.api.call(context.Background(), http.MethodGet, "/v1/gateways/gw-"+s.name, nil, &gw)
	here.api.call(context.Background(), http.MethodGet, "/v1/exceptions?site="+s.name, nil, &exceptions)
	s.t.Logf("gateway %s\nexceptions %s", gw, exceptions)
}
