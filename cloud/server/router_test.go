package server

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// knock hands one request, as it comes on the wire, to the operators' endpoint
// and says what is wrong with the answer: it failed (500), redirects, is an error
// and no problem, or is not as documented. A request that is not HTTP does not
// get that far.
func (w *world) knock(h http.Handler, wire []byte) (lies []string) {
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(wire)))
	if err != nil {
		return nil
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	a := answer{rec.Code, rec.Header(), rec.Body.Bytes()}
	if req.Method == http.MethodHead {
		a.body = nil
	}
	c, err := theContract()
	if err != nil {
		return []string{err.Error()}
	}
	lies = c.lies(req, body, a)
	if a.status == http.StatusInternalServerError || a.status >= 300 && a.status < 400 && a.status != http.StatusNotModified {
		lies = append(lies, fmt.Sprintf("HTTP %d", a.status))
	}
	if a.status >= 400 {
		p := &Problem{}
		if err := json.Unmarshal(a.body, p); len(a.body) > 0 && (err != nil || !slices.ContainsFunc(Problems(), func(k ProblemKind) bool { return k.Slug == p.Slug() })) {
			lies = append(lies, fmt.Sprintf("no documented problem: %q", a.body))
		}
	}
	return lies
}

// wire writes a request as a client would.
func wire(method, target string, header map[string]string, body []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: cloud\r\nContent-Length: %d\r\n", method, target, len(body))
	for k, v := range header {
		fmt.Fprintf(&b, "%s: %s\r\n", k, v)
	}
	fmt.Fprintf(&b, "\r\n%s", body)
	return b.Bytes()
}

// odd are values that people and programs send where another is wanted.
func odd() []any {
	return []any{
		nil, true, "", "x", -1, 0, 1, 1e300, json.Number("9223372036854775807"), json.Number("9223372036854775808"), 1.5,
		[]any{}, []any{nil}, object{}, object{"a": object{}}, strings.Repeat("x", 300), "é\u0000\u2028", "../..", "north", []any{"north", "south"},
		[]any{"north", "north"}, object{"wh": -1}, object{"s": json.Number("9223372036854775807")},
	}
}

// mutated is an example with one or two things changed.
func mutated(rt *rapid.T, example any) []byte {
	b, err := json.Marshal(example)
	if err != nil {
		rt.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		rt.Fatal(err)
	}
	body, ok := v.(object)
	if !ok {
		return b
	}
	for range rapid.IntRange(0, 2).Draw(rt, "changes") {
		key := rapid.SampledFrom(append(slices.Sorted(keysOf(body)), "unknown")).Draw(rt, "key")
		switch inner, ok := body[key].(object); {
		case ok && len(inner) > 0 && rapid.Bool().Draw(rt, "inside"):
			inner[rapid.SampledFrom(slices.Sorted(keysOf(inner))).Draw(rt, "inner key")] = rapid.SampledFrom(odd()).Draw(rt, "inner value")
		case rapid.Bool().Draw(rt, "remove"):
			delete(body, key)
		default:
			body[key] = rapid.SampledFrom(odd()).Draw(rt, "value")
		}
	}
	if b, err = json.Marshal(body); err != nil {
		rt.Fatal(err)
	}
	if cut := rapid.IntRange(0, 20*len(b)).Draw(rt, "cut"); cut < len(b) {
		b = b[:cut]
	}
	return b
}

func keysOf(m object) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// drawn is a request that is about right.
func drawn(rt *rapid.T, w *world, list []route) []byte {
	r := list[rapid.IntRange(0, len(list)-1).Draw(rt, "route")]
	part := rapid.SampledFrom([]string{
		"north", "south", "", "x", "..", ".", "%2e%2e", "%2F", "%00", "a%20b", strings.Repeat("a", 64), strings.Repeat("0", 64), "d-0", "standard", "é", "gw-north", "*",
	})
	target := r.path()
	for strings.Contains(target, "{") {
		before, rest, _ := strings.Cut(target, "{")
		_, after, _ := strings.Cut(rest, "}")
		target = before + part.Draw(rt, "part") + after
	}
	if rapid.IntRange(0, 9).Draw(rt, "bend") == 0 {
		target = rapid.SampledFrom([]string{"/" + target, target + "/", target + "//x", target + "/..", "/v1", "/v1/", "/", "*", target + "/./x", "http://other" + target}).Draw(rt, "bent")
	}
	q := url.Values{}
	for range rapid.IntRange(0, 2).Draw(rt, "keys") {
		names := []string{"unknown", "limit", "cursor"}
		for _, p := range r.query {
			names = append(names, p.name)
		}
		q.Add(rapid.SampledFrom(names).Draw(rt, "name"), rapid.SampledFrom([]string{
			"", "1", "0", "-1", "99999999999999999999", "true", "yes", "north", "open", "rated", strings.Repeat("0", 64), "\x00", "AQAAAAAAAAE",
		}).Draw(rt, "query value"))
	}
	if len(q) > 0 {
		target += "?" + q.Encode()
	}
	header := map[string]string{"Authorization": "Bearer " + w.s.fresh}
	for _, h := range []struct {
		name   string
		values []string
	}{
		{"Content-Type", []string{"application/json", "application/json", "application/json", "application/json; charset=utf-8", "text/plain", ";"}},
		{"Content-Encoding", []string{"", "", "", "", "gzip"}},
		{keyHeader, []string{"", `"a"`, "k1", "k2", "\"", strings.Repeat("k", 300)}},
		{"If-Match", []string{"", "*", `"x"`, "x,,"}},
		{"If-None-Match", []string{"", "*", "\"", "W/"}},
		{"Authorization", []string{header["Authorization"], header["Authorization"], header["Authorization"], "Bearer", ""}},
	} {
		if header[h.name] = rapid.SampledFrom(h.values).Draw(rt, h.name); header[h.name] == "" {
			delete(header, h.name)
		}
	}
	method := r.method()
	if rapid.IntRange(0, 9).Draw(rt, "other method") == 0 {
		method = rapid.SampledFrom([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "BREW"}).Draw(rt, "method")
	}
	return wire(method, target, header, mutated(rt, r.example))
}

// Whatever is asked, nothing fails, and every error is a documented problem.
func TestNoRequestFails(t *testing.T) {
	w, h := quiet(t)
	rapid.Check(t, func(rt *rapid.T) {
		for range 20 {
			raw := drawn(rt, w, h.declared())
			if lies := w.knock(h, raw); lies != nil {
				rt.Fatalf("%q:\n%s", raw, strings.Join(lies, "\n"))
			}
		}
	})
}

// A query key that a call does not declare is refused by every call that needs
// the token, before anything is done.
func TestUnknownQueryKeysAreRefused(t *testing.T) {
	w := start(t)
	do[NewSite](w, "POST", "/v1/sites", `{"id":"north"}`)
	for _, rt := range w.s.operators().declared() {
		if rt.who != callerOperator {
			continue
		}
		method, at := fill(rt.at)
		header := map[string]string{
			"Authorization": "Bearer " + w.s.fresh, "Content-Type": "application/json", keyHeader: newRequestID(), "If-Match": "*",
		}
		a := send(t, http.DefaultClient, method, w.s.APIURL()+at+"?unknown=1", header, mustJSON(t, rt.example))
		if p := a.problem(t); a.status != http.StatusBadRequest || !strings.Contains(p.Detail, `query key "unknown"`) {
			t.Errorf("%s: HTTP %d: %s", rt.at, a.status, a.body)
		}
	}
}

// FuzzRequest is TestNoRequestFails for bytes that nobody would think of.
func FuzzRequest(f *testing.F) {
	w, h := quiet(f)
	for _, rt := range h.declared() {
		body := []byte(nil)
		if rt.example != nil {
			body, _ = encodeJSON(rt.example)
		}
		method, at := fill(rt.at)
		f.Add(wire(method, at, map[string]string{"Content-Type": "application/json", keyHeader: "k"}, body))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		head, rest, _ := bytes.Cut(raw, []byte("\r\n"))
		raw = slices.Concat(head, []byte("\r\nAuthorization: Bearer "+w.s.fresh+"\r\n"), rest)
		for _, lie := range w.knock(h, raw) {
			t.Errorf("%q: %s", raw, lie)
		}
	})
}

// quiet is a cloud with a site, for many requests that do not go through a
// socket.
func quiet(t testing.TB) (*world, *routes) {
	t.Helper()
	s, err := Start(t.Context(), Options{DataDir: t.TempDir(), APIAddr: "127.0.0.1:0", GatewayAddr: "127.0.0.1:0", Clock: exampleNow})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	h := s.operators()
	w := &world{s: s}
	for _, rt := range h.declared() {
		if rt.name != "sites.add" && rt.name != "tariffs.put" {
			continue
		}
		body, err := encodeJSON(rt.example)
		if err != nil {
			t.Fatal(err)
		}
		header := map[string]string{"Content-Type": "application/json", "Authorization": "Bearer " + s.fresh}
		if lies := w.knock(h, wire(rt.method(), rt.path(), header, body)); lies != nil {
			t.Fatal(lies)
		}
	}
	return w, h
}
