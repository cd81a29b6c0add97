package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Bounds of a call to the cloud's API.
const (
	callTimeout    = 10 * time.Second
	maxAnswerBytes = 16 << 20
	pageSize       = "100"
	maxPages       = 1000
)

// An api is the cloud as any program outside sees it: JSON over HTTP.
type api struct {
	url, token string
	http       http.Client
}

// call sends one request; in and out may be nil.
func (a *api) call(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.url+path, body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: HTTP %s: %s", method, path, resp.Status, bytes.TrimSpace(b))
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// list reads every page of a list.
func list[T any](ctx context.Context, a *api, path string) ([]T, error) {
	all, cursor := []T{}, ""
	for range maxPages {
		var page struct {
			Items []T    `json:"items"`
			Next  string `json:"next"`
		}
		sep := "?"
		if strings.Contains(path, "?") {
			sep = "&"
		}
		at := path + sep + "limit=" + pageSize
		if cursor != "" {
			at += "&cursor=" + cursor
		}
		if err := a.call(ctx, http.MethodGet, at, nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if cursor = page.Next; cursor == "" {
			return all, nil
		}
	}
	return nil, fmt.Errorf("GET %s: more than %d pages", path, maxPages)
}

// books reads all that the check needs.
func (a *api) books(ctx context.Context) (b Books, err error) {
	if b.Sessions, err = list[BookSession](ctx, a, "/v1/sessions"); err != nil {
		return b, err
	}
	if b.CDRs, err = list[BookCDR](ctx, a, "/v1/cdrs"); err != nil {
		return b, err
	}
	if b.Entries, err = list[BookEntry](ctx, a, "/v1/ledger"); err != nil {
		return b, err
	}
	b.Exceptions, err = list[BookException](ctx, a, "/v1/exceptions")
	return b, err
}

// addSite makes a site and returns its gateway's id and the one-time code.
func (a *api) addSite(ctx context.Context, site string) (gateway, code string, err error) {
	var made struct {
		Site struct {
			Gateway string `json:"gateway"`
		} `json:"site"`
		Code string `json:"code"`
	}
	err = a.call(ctx, http.MethodPost, "/v1/sites", map[string]any{"id": site}, &made)
	return made.Site.Gateway, made.Code, err
}

// The demo's prices: 0.60 EUR a kWh and 0.50 EUR a session before 20 % VAT, so
// that every bill is exact in micros and can be recomputed with one line.
var demoPrice = Price{PerWh: 600, Flat: 500_000, VATPercent: 20}

const demoTariff = `{
  "country_code": "DE", "party_id": "HLD", "id": "demo", "currency": "EUR", "last_updated": "2026-01-01T00:00:00Z",
  "elements": [{"price_components": [
    {"type": "ENERGY", "price": 0.60, "vat": 20.0, "step_size": 1},
    {"type": "FLAT", "price": 0.50, "vat": 20.0, "step_size": 1}
  ]}]
}`

// furnish sets the tariff and the drivers' cards at every site.
func (a *api) furnish(ctx context.Context) error {
	if err := a.call(ctx, http.MethodPost, "/v1/tariffs", map[string]any{"ocpi": json.RawMessage(demoTariff)}, nil); err != nil {
		return err
	}
	for i, d := range drivers {
		whitelist := "ALLOWED"
		if i == neverOffline {
			whitelist = "NEVER"
		}
		in := map[string]any{"value": d.card, "label": d.name, "whitelist": whitelist}
		if err := a.call(ctx, http.MethodPost, "/v1/tokens", in, nil); err != nil {
			return err
		}
	}
	return nil
}
