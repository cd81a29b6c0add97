package server

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write what is made from the code: docs/api.md")

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

// The tables of docs/api.md are made from the declarations.
func TestRoutesAreDocumented(t *testing.T) {
	s := &Server{metrics: newMetrics("test")}
	doc := page(t, "api.md")
	made := doc
	routes := append(s.operators().declared(), s.gateways().declared()...)
	for tag, rows := range tables(routes) {
		head := "\n## " + tag + "\n"
		before, section, ok := strings.Cut(made, head)
		if !ok {
			t.Fatalf("docs/api.md has no section %q", tag)
		}
		table := regexp.MustCompile("\\n\\| call \\| \\|\n\\|---\\|---\\|\n(\\|.*\n)*").FindStringIndex(section)
		if table == nil {
			t.Fatalf("section %q of docs/api.md has no table of calls", tag)
		}
		made = before + head + section[:table[0]] + "\n| call | |\n|---|---|\n" + rows + section[table[1]:]
	}
	if made == doc {
		return
	}
	if *rewrite {
		if err := os.WriteFile("../../docs/api.md", []byte(made), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Error("the tables of docs/api.md are not those of the routes: go test ./cloud/server -rewrite")
}

// tables makes the rows of each section.
func tables(routes []route) map[string]string {
	out := map[string]string{}
	for _, rt := range routes {
		row := "| `" + rt.at + "` | " + rt.doc
		if rt.limit > 0 && rt.who == callerOperator {
			row += "; takes `" + bodyKeys(rt.in) + "`"
		}
		if rt.mustKey {
			row += "; needs an `Idempotency-Key`"
		}
		if rt.success() != http.StatusOK {
			row += fmt.Sprintf("; answers %d", rt.success())
		}
		if names := filters(rt); len(names) > 0 {
			row += "; filters `" + strings.Join(names, "`, `") + "`"
		}
		out[rt.tag] += row + " |\n"
	}
	return out
}

// bodyKeys are those of a body; "?" marks what may be left out.
func bodyKeys(t reflect.Type) string {
	var out []string
	for _, f := range jsonFields(t) {
		mark := "?"
		if f.required(true) {
			mark = ""
		}
		out = append(out, fmt.Sprintf("%q", f.key)+mark)
	}
	return "{" + strings.Join(out, ", ") + "}"
}

// filters are the query keys of a list that not every list has.
func filters(rt route) (names []string) {
	for _, p := range rt.query {
		if p.name != "limit" && p.name != "cursor" && p.name != "oldest" && p.name != "to" {
			names = append(names, p.name)
		}
	}
	return names
}

// A declaration says everything that the document and the mux need.
func TestRoutesAreDeclaredWhole(t *testing.T) {
	s := &Server{metrics: newMetrics("test")}
	names := map[string]bool{"healthz": true}
	for _, rt := range append(s.operators().declared(), s.gateways().declared()...) {
		if rt.tag == "" || rt.doc == "" || rt.name == "" {
			t.Errorf("%s: tag %q, doc %q, name %q", rt.at, rt.tag, rt.doc, rt.name)
		}
		if rt.limit > 0 && rt.who == callerOperator && rt.example == nil {
			t.Errorf("%s: takes a body and shows none", rt.at)
		}
		if names[rt.name] && rt.name != "healthz" {
			t.Errorf("%s: the name %s is taken", rt.at, rt.name)
		}
		names[rt.name] = true
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
