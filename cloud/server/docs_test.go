package server

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func page(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestProblemsAreDocumented(t *testing.T) {
	doc := page(t, "problems.md")
	var sections, want []string
	for _, m := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllStringSubmatch(doc, -1) {
		sections = append(sections, m[1])
	}
	for _, k := range Problems() {
		want = append(want, k.Slug)
		if !strings.Contains(doc, fmt.Sprintf("\n| `%s` | %d |", k.Slug, k.Status)) {
			t.Errorf("the table has no line for %s with status %d", k.Slug, k.Status)
		}
	}
	if !slices.Equal(sections, want) {
		t.Errorf("sections of docs/problems.md: %v\nkinds in the code:            %v", sections, want)
	}
}

// Every kind that the source makes is in Problems, so no answer has an
// undocumented type.
func TestProblemsListsEveryKind(t *testing.T) {
	src, err := os.ReadFile("problem.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`ProblemKind\{"([a-z-]+)"`).FindAllStringSubmatch(string(src), -1) {
		if !slices.ContainsFunc(Problems(), func(k ProblemKind) bool { return k.Slug == m[1] }) {
			t.Errorf("%s is not in Problems", m[1])
		}
	}
}

func TestRoutesAreDocumented(t *testing.T) {
	w := start(t)
	doc := page(t, "api.md")
	has := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z]+ /[^`]*)` \\|").FindAllStringSubmatch(doc, -1) {
		has[m[1]] = true
	}
	for _, p := range append(w.s.operators().patterns, w.s.gateways().patterns...) {
		if p == "/" || p == "/v1/" {
			continue
		}
		if !has[p] {
			t.Errorf("docs/api.md has no line for %s", p)
		}
		delete(has, p)
		if p == "GET /healthz" {
			has[p] = true // on both endpoints
		}
	}
	delete(has, "GET /healthz")
	for p := range has {
		t.Errorf("docs/api.md describes %s, which is not there", p)
	}
}

func TestMetricsAreDocumented(t *testing.T) {
	w := start(t)
	d := w.enrol("north")
	d.hello()
	d.put("evidence", d.journal(2).epoch, "7", compress(t, d.journal(8).slice(7))) // a mismatch, so that its counter is there
	d.put("evidence", d.journal(2).epoch, "0", []byte("x"))
	send(t, http.DefaultClient, "GET", w.s.APIURL()+"/v1/sites", nil, nil)
	d.put("evidence", d.journal(2).epoch, "0", compress(t, []byte("not a frame"))) // an open exception
	doc := page(t, "metrics.md")
	_, doc, ok := strings.Cut(doc, "\n## Cloud\n")
	if !ok {
		t.Fatal("docs/metrics.md has no section Cloud")
	}
	doc, _, _ = strings.Cut(doc, "\n## ")
	body := string(send(t, http.DefaultClient, "GET", w.s.APIURL()+"/metrics", nil, nil).body)
	served := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (holdfast_\w+) (\w+)$`).FindAllStringSubmatch(body, -1) {
		served[m[1]] = true
		if !strings.Contains(doc, fmt.Sprintf("\n| `%s` | %s |", m[1], m[2])) {
			t.Errorf("docs/metrics.md has no line for the %s %s", m[2], m[1])
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(holdfast_\\w+)` \\|").FindAllStringSubmatch(doc, -1) {
		if !served[m[1]] {
			t.Errorf("docs/metrics.md describes %s, which is not served", m[1])
		}
	}
}
