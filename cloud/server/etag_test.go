package server

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
	"github.com/holdfast-ev/holdfast/cloud"
)

// with is ask with further headers and none of its own but the token.
func (w *world) with(method, path string, body any, header map[string]string) answer {
	w.t.Helper()
	all := map[string]string{"Authorization": "Bearer " + w.s.fresh}
	for k, v := range header {
		all[k] = v
	}
	var b []byte
	if body != nil {
		b, all["Content-Type"] = mustJSON(w.t, body), "application/json"
	}
	return send(w.t, http.DefaultClient, method, w.s.APIURL()+path, all, b)
}

// RFC 9110 section 13.1.2: a reader who has it already is told so, in no bytes.
func TestReadsHaveETags(t *testing.T) {
	w := start(t, func(o *Options) { o.Clock = exampleNow })
	do[NewSite](w, "POST", "/v1/sites", `{"id":"north"}`)
	do[cloud.Tariff](w, "POST", "/v1/tariffs", exampleTariff())
	n := 0
	for _, rt := range w.s.operators().declared() {
		_, at := fill(rt.at)
		if !rt.tagged() || rt.replaces || strings.Contains(rt.at, "{session}") || strings.Contains(rt.at, "{directive}") {
			continue
		}
		n++
		a := w.with("GET", at, nil, nil)
		tag := a.header.Get("ETag")
		if a.status != http.StatusOK || tag == "" {
			t.Errorf("%s: HTTP %d, ETag %q: %s", rt.at, a.status, tag, a.body)
		}
		for _, have := range []string{tag, `W/` + tag, `"other", ` + tag, "*"} {
			if a := w.with("GET", at, nil, map[string]string{"If-None-Match": have}); a.status != http.StatusNotModified || len(a.body) != 0 || a.header.Get("ETag") != tag {
				t.Errorf("%s, If-None-Match %s: HTTP %d, ETag %q, %d bytes", rt.at, have, a.status, a.header.Get("ETag"), len(a.body))
			}
		}
		if a := w.with("GET", at, nil, map[string]string{"If-None-Match": `"other"`}); a.status != http.StatusOK {
			t.Errorf("%s, another ETag: HTTP %d", rt.at, a.status)
		}
	}
	if n < 15 {
		t.Fatalf("only %d reads were tried", n)
	}
	before := w.with("GET", "/v1/sites/north/policy", nil, nil).header.Get("ETag")
	do[access.Policy](w, "PUT", "/v1/sites/north/policy", access.Policy{Dark: true})
	if a := w.with("GET", "/v1/sites/north/policy", nil, map[string]string{"If-None-Match": before}); a.status != http.StatusOK {
		t.Errorf("what was changed has the old ETag: HTTP %d", a.status)
	}
}

// A replacement says what it replaces (RFC 6585 section 3, RFC 9110 section
// 13.1.1), and what was changed meanwhile is not replaced.
func TestReplacingNeedsTheState(t *testing.T) {
	w := start(t)
	do[NewSite](w, "POST", "/v1/sites", `{"id":"north"}`)
	for at, bodies := range map[string][2]any{
		"/v1/sites/north/policy": {access.Policy{TokenCap: 5}, access.Policy{TokenCap: 6}},
		"/v1/tariffs/standard":   {exampleTariff(), cloud.PutTariff{OCPI: []byte(strings.Replace(string(exampleTariff().OCPI), "0.45", "0.55", 1))}},
	} {
		w.with("PUT", at, bodies[0], nil).want(t, kindUnconditional)
		w.with("PUT", at, bodies[0], map[string]string{"If-Match": `"other"`}).want(t, kindStale)
		tag := w.with("GET", at, nil, nil).header.Get("ETag")
		cond := map[string]string{"If-Match": tag}
		if tag == "" {
			cond = map[string]string{"If-None-Match": "*"}
		}
		first := w.with("PUT", at, bodies[0], cond)
		if first.status != http.StatusOK || first.header.Get("ETag") == "" {
			t.Fatalf("%s: HTTP %d: %s", at, first.status, first.body)
		}
		if got := w.with("GET", at, nil, nil); got.header.Get("ETag") != first.header.Get("ETag") || string(got.body) != string(first.body) {
			t.Errorf("%s: PUT answered %s, GET %s", at, first.body, got.body)
		}
		w.with("PUT", at, bodies[1], cond).want(t, kindStale) // of the state before
		w.with("PUT", at, bodies[1], map[string]string{"If-None-Match": "*"}).want(t, kindStale)
		if a := w.with("PUT", at, bodies[1], map[string]string{"If-Match": first.header.Get("ETag")}); a.status != http.StatusOK {
			t.Errorf("%s: HTTP %d: %s", at, a.status, a.body)
		}
	}
	w.with("PUT", "/v1/tariffs/other", exampleTariff(), map[string]string{"If-None-Match": "*"}).want(t, kindInvalid)
	if list := do[List[cloud.Tariff]](w, "GET", "/v1/tariffs", nil); len(list.Items) != 2 {
		t.Errorf("%d versions of tariffs, want 2: a refused one was kept", len(list.Items))
	}
}

// Of many who replace one state at the same time, one does.
func TestOneOfManyReplaces(t *testing.T) {
	w := start(t)
	do[NewSite](w, "POST", "/v1/sites", `{"id":"north"}`)
	tag := w.with("GET", "/v1/sites/north/policy", nil, nil).header.Get("ETag")
	got := make([]int, 8)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			got[i] = w.with("PUT", "/v1/sites/north/policy", access.Policy{LapseS: int64(60 + i)}, map[string]string{"If-Match": tag}).status
		})
	}
	wg.Wait()
	slices.Sort(got)
	if want := []int{200, 412, 412, 412, 412, 412, 412, 412}; !slices.Equal(got, want) {
		t.Errorf("answers %v, want %v", got, want)
	}
}

// A list is read to its end by its Link headers alone (RFC 8288), and a cursor
// of another question is refused.
func TestListsAreReadByTheirLinks(t *testing.T) {
	w := start(t)
	for i := range 7 {
		do[NewSite](w, "POST", "/v1/sites", cloud.AddSite{ID: holdfast.SiteID(fmt.Sprint("site-", i))})
	}
	link := regexp.MustCompile(`^<(/v1/sites\?[^>]*)>; rel="next"$`)
	seen := map[string]bool{}
	at, pages := "/v1/sites?limit=3&oldest=true", 0
	for at != "" {
		pages++
		a := w.ask("GET", at, nil)
		for _, m := range regexp.MustCompile(`"id":"(site-[^"]*)"`).FindAllStringSubmatch(string(a.body), -1) {
			seen[m[1]] = true
		}
		m := link.FindStringSubmatch(a.header.Get("Link"))
		if at = ""; m != nil {
			at = m[1]
		}
	}
	if pages != 3 || len(seen) != 7 {
		t.Errorf("%d pages, %d sites", pages, len(seen))
	}
	page := do[List[cloud.Site]](w, "GET", "/v1/sites?limit=3", nil)
	w.ask("GET", "/v1/sites?oldest=true&cursor="+page.Next, nil).want(t, kindCursor)
	w.ask("GET", "/v1/tokens?cursor="+page.Next, nil).want(t, kindCursor)
	w.ask("GET", "/v1/sites?cursor=x", nil).want(t, kindCursor)
}
