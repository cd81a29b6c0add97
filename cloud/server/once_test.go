package server

import (
	"bytes"
	"context"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast/cloud"
)

// askOnce is ask with a key.
func (w *world) askOnce(path, key string, in any) answer {
	w.t.Helper()
	header := map[string]string{"Authorization": "Bearer " + w.s.fresh}
	if key != "" {
		header[keyHeader] = key
	}
	var body []byte
	if in != nil {
		body = mustJSON(w.t, in)
		header["Content-Type"] = "application/json"
	}
	return send(w.t, http.DefaultClient, "POST", w.s.APIURL()+path, header, body)
}

// draft-ietf-httpapi-idempotency-key-header: every POST of an operator takes a
// key; the same key and request get the first answer, byte for byte, also after
// a restart; the same key and another request are refused.
func TestEveryPostCountsOnce(t *testing.T) {
	w := start(t, func(o *Options) { o.Clock = exampleNow })
	type sent struct {
		path, key string
		body      any
		first     answer
	}
	var all []sent
	for _, rt := range w.s.operators().declared() {
		if rt.method() != "POST" || strings.Contains(rt.at, "{session}") { // there is no session to stop
			continue
		}
		_, at := fill(rt.at)
		x := sent{path: at, key: "key of " + rt.name, body: rt.example}
		if x.first = w.askOnce(at, x.key, x.body); x.first.status != rt.success() || x.first.header.Get(againHeader) != "" {
			t.Fatalf("%s: HTTP %d %v: %s", rt.at, x.first.status, x.first.header, x.first.body)
		}
		all = append(all, x)
	}
	before := w.books()
	if err := w.s.Close(); err != nil {
		t.Fatal(err)
	}
	w.open(func(o *Options) { o.Clock = exampleNow })
	for _, x := range all {
		if x.path == "/v1/tokens" || x.path == "/v1/tokens/revoke" { // the token was erased then, and the answers with it
			w.askOnce(x.path, x.key, x.body).want(t, kindKeyErased)
			continue
		}
		a := w.askOnce(x.path, `"`+x.key+`"`, x.body) // as a string of structured fields it is the same key
		if a.status != x.first.status || !bytes.Equal(a.body, x.first.body) || a.header.Get(againHeader) != "true" {
			t.Errorf("%s again: HTTP %d %s\nfirst: HTTP %d %s", x.path, a.status, a.body, x.first.status, x.first.body)
		}
		w.askOnce("/v1/sites", x.key, cloud.AddSite{ID: "another"}).want(t, kindKeyReused)
	}
	if after := w.books(); after != before {
		t.Errorf("repetitions changed something:\n%s\n%s", before, after)
	}
}

// books is what is there, but for when.
func (w *world) books() string {
	w.t.Helper()
	var b strings.Builder
	for _, at := range []string{"/v1/sites", "/v1/tokens", "/v1/tariffs", "/v1/directives"} {
		b.Write(w.ask("GET", at, nil).body)
	}
	return b.String()
}

func TestKeysAreChecked(t *testing.T) {
	w := start(t)
	do[NewSite](w, "POST", "/v1/sites", `{"id":"north"}`)
	order := map[string]any{"charger": "CP-1", "message": "Heartbeat"}
	w.askOnce("/v1/sites/north/trigger", "", order).want(t, kindKeyMissing)
	w.askOnce("/v1/sites/north/trigger", strings.Repeat("k", cloud.MaxRequestKey+1), order).want(t, kindBadRequest)
	w.askOnce("/v1/sites/north/trigger", `"unclosed`, order).want(t, kindBadRequest)
	w.askOnce("/v1/sites/north/trigger", "caf\xc3\xa9", order).want(t, kindBadRequest)
	if list := do[List[cloud.Directive]](w, "GET", "/v1/directives?site=north", nil); len(list.Items) != 0 {
		t.Fatalf("a refused request was done: %+v", list.Items)
	}
	// What was refused did not use the key up.
	w.askOnce("/v1/sites/south/trigger", "k", order).want(t, kindNotFound)
	if a := w.askOnce("/v1/sites/north/trigger", "k", order); a.status != http.StatusAccepted {
		t.Fatalf("HTTP %d: %s", a.status, a.body)
	}
	// A call without one still works where doing it twice is harmless.
	if a := w.askOnce("/v1/tokens", "", cloud.PutToken{Value: "04AA"}); a.status != http.StatusOK {
		t.Fatalf("HTTP %d: %s", a.status, a.body)
	}
}

// A repetition while the first is under way is told to ask again, and does not
// wait; then it gets the first answer.
func TestKeyInProgress(t *testing.T) {
	w := start(t)
	r := w.s.newRoutes(callerOperator)
	entered, release := make(chan struct{}), make(chan struct{})
	n := 0
	handle(r, route{at: "POST /slow", name: "slow"}, func(context.Context, *call, none) (Health, error) {
		n++
		close(entered)
		<-release
		return Health{"done"}, nil
	})
	post := func() *httptest.ResponseRecorder {
		req := httptest.NewRequest("POST", "/slow", nil)
		req.Header.Set(keyHeader, "k")
		rec := httptest.NewRecorder()
		r.ServeHTTP(rec, req)
		return rec
	}
	first := make(chan *httptest.ResponseRecorder, 1)
	go func() { first <- post() }()
	<-entered
	rec := post()
	if p := (answer{rec.Code, rec.Header(), rec.Body.Bytes()}).want(t, kindKeyBusy); p.LaterMs != waitMillis || rec.Header().Get("Retry-After") != "1" {
		t.Errorf("come back in %d ms, Retry-After %q", p.LaterMs, rec.Header().Get("Retry-After"))
	}
	close(release)
	a, b := <-first, post()
	if a.Code != 200 || b.Body.String() != a.Body.String() || b.Header().Get(againHeader) != "true" || n != 1 {
		t.Errorf("first %d %s, again %d %s, done %d times", a.Code, a.Body, b.Code, b.Body, n)
	}
}

// A one-time code is kept for repetitions, and nobody who has the store alone
// can read it; the request's token is not there at all.
func TestKeptAnswersAreSealedOnDisk(t *testing.T) {
	w := start(t)
	site := do[NewSite](w, "POST", "/v1/sites", `{"id":"north"}`)
	const card = "04DEADBEEF7780"
	w.askOnce("/v1/tokens", "put "+card, cloud.PutToken{Value: card, Label: "Visitor"})
	if err := w.s.Close(); err != nil {
		t.Fatal(err)
	}
	files := 0
	err := filepath.WalkDir(filepath.Join(w.dir, "store"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		b, err := os.ReadFile(path)
		for name, secret := range map[string]string{"enrolment code": site.Code, "card": card} {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s holds the %s", path, name)
			}
		}
		return err
	})
	if err != nil || files == 0 {
		t.Fatalf("%d files, %v", files, err)
	}
}
