package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-ev/holdfast/cloud/server"
)

// Bounds of a call to the cloud.
const (
	callTimeout    = 60 * time.Second
	maxAnswerBytes = 64 << 20
	maxSends       = 3 // of one request whose answers are lost on the way
)

// A client calls the cloud's API. Every verb that talks to a cloud has one.
type client struct {
	json bool // print what the API answered instead of a table
	flag struct{ cloud, token, tokenFile, ca string }
	http *http.Client
	auth string
	etag string // of what was read last: what a PUT replaces
}

// flags adds the flags that every verb of the cloud has.
func (c *client) flags(cmd *cobra.Command) *cobra.Command {
	f := cmd.PersistentFlags()
	f.StringVar(&c.flag.cloud, "cloud", envOr("HOLDFAST_CLOUD", "http://"+server.DefaultAPIAddr), "URL of the cloud's API (env HOLDFAST_CLOUD)")
	f.StringVar(&c.flag.token, "token", "", "API token; others on this machine can see it: rather use --token-file or env HOLDFAST_TOKEN")
	f.StringVar(&c.flag.tokenFile, "token-file", os.Getenv("HOLDFAST_TOKEN_FILE"), "file with the API token (env HOLDFAST_TOKEN_FILE)")
	f.StringVar(&c.flag.ca, "ca", os.Getenv("HOLDFAST_CA"), "PEM file with the cloud's authority, for an https API (env HOLDFAST_CA)")
	f.BoolVar(&c.json, "json", false, "print the API's JSON")
	return cmd
}

func envOr(key, otherwise string) string {
	if v := os.Getenv(key); v != "" {
		return v
	}
	return otherwise
}

// call sends one request. in is nil for none; out gets the decoded answer and
// raw is the answer as it came.
func (c *client) call(ctx context.Context, method, path string, in, out any) (raw []byte, err error) {
	if err := c.open(); err != nil {
		return nil, err
	}
	var body []byte
	if in != nil {
		if body, err = json.Marshal(in); err != nil {
			return nil, fmt.Errorf("%s %s: %w", method, path, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	header := http.Header{"Authorization": {"Bearer " + c.auth}}
	if in != nil {
		header.Set("Content-Type", "application/json")
	}
	if method == http.MethodPut {
		header.Set("If-Match", c.etag)
	}
	if method == http.MethodPost {
		header.Set("Idempotency-Key", rand.Text())
	}
	resp, err := c.send(ctx, method, path, header, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	c.etag = resp.Header.Get("ETag")
	return readAnswer(resp, out)
}

// replace puts what file holds (a JSON text about what; "-" is standard input) in
// place of what is at path.
func (c *client) replace(cmd *cobra.Command, path, what, file string, out any) (raw []byte, err error) {
	in, err := readJSON(cmd.InOrStdin(), what, file)
	if err != nil {
		return nil, err
	}
	var before json.RawMessage // its ETag goes with the PUT
	if _, err := c.call(cmd.Context(), http.MethodGet, path, nil, &before); err != nil {
		return nil, err
	}
	return c.call(cmd.Context(), http.MethodPut, path, in, out)
}

// send sends a request, and sends it again when its answer was lost on the way:
// a GET and a PUT may be repeated, and a POST has a key under which it counts
// once.
func (c *client) send(ctx context.Context, method, path string, header http.Header, body []byte) (resp *http.Response, err error) {
	for range maxSends {
		req, err := http.NewRequestWithContext(ctx, method, c.flag.cloud+path, bytes.NewReader(body))
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", method, path, err)
		}
		req.Header = header.Clone()
		resp, err = c.http.Do(req)
		if err == nil {
			return resp, nil
		}
		if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			return nil, c.noAnswer(err)
		}
	}
	return nil, c.noAnswer(io.ErrUnexpectedEOF)
}

func (c *client) noAnswer(err error) error {
	return unreachable(fmt.Errorf("no answer from the cloud at %s: %w (is it running? start one with: holdfast cloud)", c.flag.cloud, cause(err)))
}

func readAnswer(resp *http.Response, out any) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	if err != nil {
		return nil, unreachable(fmt.Errorf("the cloud's answer broke off: %w", err))
	}
	if len(raw) > maxAnswerBytes {
		return nil, unreachable(fmt.Errorf("the cloud's answer is larger than %d bytes: ask for less with --limit", maxAnswerBytes))
	}
	if resp.StatusCode >= 300 {
		return raw, asFailure(resp, raw)
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return raw, unreachable(fmt.Errorf("the answer is not from a Holdfast cloud of this version: %w", err))
	}
	return raw, nil
}

// asFailure gives a problem its exit code: a wrong question, an answer of "no",
// or no answer.
func asFailure(resp *http.Response, raw []byte) error {
	p := &server.Problem{}
	if json.Unmarshal(raw, p) != nil || p.Slug() == "" {
		return unreachable(fmt.Errorf("the answer (HTTP %s) is not from a Holdfast cloud: check --cloud", resp.Status))
	}
	err := &refusal{p}
	switch {
	case p.Status >= 500 || p.Status == http.StatusTooManyRequests || p.LaterMs > 0:
		return unreachable(err)
	case p.Status == http.StatusNotFound || p.Status == http.StatusConflict || p.Status == http.StatusForbidden,
		p.Status == http.StatusPreconditionFailed || p.Status == http.StatusGone:
		return failed(err)
	}
	return &failure{exitUsage, err}
}

// A refusal is a problem as a person at a terminal wants it: what, what next,
// and where to read more.
type refusal struct{ problem *server.Problem }

func (r *refusal) Error() string {
	p := r.problem
	s := p.Detail
	if s == "" {
		s = p.Title
	}
	if p.Hint != "" {
		s += "\n  next: " + p.Hint
	}
	return s + "\n  code: " + p.Slug() + " (docs/problems.md#" + p.Slug() + ")"
}

// unreachable marks err as "nobody knows": asking again may help.
func unreachable(err error) error { return &failure{exitUnreachable, err} }

// cause is err without the URL that net/http puts before it.
func cause(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err
	}
	return err
}

// open checks the flags once.
func (c *client) open() error {
	if c.http != nil {
		return nil
	}
	u, err := url.Parse(c.flag.cloud)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("--cloud %q: want a URL such as http://%s", c.flag.cloud, server.DefaultAPIAddr)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return fmt.Errorf("--cloud %q: the token would travel in clear; use https with --ca", c.flag.cloud)
	}
	c.flag.cloud = strings.TrimSuffix(c.flag.cloud, "/")
	if c.auth, err = c.readToken(); err != nil {
		return err
	}
	tr := http.DefaultTransport.(*http.Transport).Clone()
	if c.flag.ca != "" {
		if tr.TLSClientConfig, err = trust(c.flag.ca); err != nil {
			return err
		}
	}
	c.http = &http.Client{Transport: tr}
	return nil
}

func trust(file string) (*tls.Config, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the cloud's authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read the cloud's authority %s: no PEM certificate in it", file)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// readToken looks where a token may be, in this order: --token, --token-file,
// HOLDFAST_TOKEN, the user's own file.
func (c *client) readToken() (string, error) {
	if c.flag.token != "" {
		return c.flag.token, nil
	}
	file := c.flag.tokenFile
	if file == "" {
		if v := os.Getenv("HOLDFAST_TOKEN"); v != "" {
			return v, nil
		}
		file = ownTokenFile()
	}
	b, err := os.ReadFile(file)
	if c.flag.tokenFile == "" && (file == "" || errors.Is(err, os.ErrNotExist)) {
		return "", fmt.Errorf("no API token: set HOLDFAST_TOKEN, or put it into %s (the cloud prints it at its first start; holdfast cloud --new-token makes another)", file)
	}
	if err != nil {
		return "", fmt.Errorf("read the API token: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

func ownTokenFile() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "holdfast", "token")
}
