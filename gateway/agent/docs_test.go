package agent

import (
	"context"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/uplink"
)

var update = flag.Bool("update", false, "rewrite the generated parts of docs/gateway.md and docs/native.md")

// The reference in docs/gateway.md says what the comments in config.go say.
func TestConfigReference(t *testing.T) {
	generated(t, "gateway.md", "reference", reference(t))
}

// generated compares the part of a page in docs/ that is made from the code with
// what it should be, or writes it.
func generated(t *testing.T, page, mark, text string) {
	t.Helper()
	path, from, to := "../../docs/"+page, "<!-- "+mark+" -->\n", "<!-- /"+mark+" -->"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(b), from)
	_, after, ok2 := strings.Cut(rest, to)
	if !ok1 || !ok2 {
		t.Fatalf("docs/%s has no part %q", page, mark)
	}
	want := before + from + text + to + after
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(b) != want {
		t.Errorf("docs/%s is older than the code: run go test ./gateway/agent -run %s -update", page, t.Name())
	}
}

// reference renders the struct types of config.go as tables.
func reference(t *testing.T) string {
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	structs := make(map[string]*ast.StructType)
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.TypeSpec); ok {
			if s, ok := spec.Type.(*ast.StructType); ok {
				structs[spec.Name.Name] = s
			}
		}
		return true
	})
	var out strings.Builder
	out.WriteString("\n| key | |\n|---|---|\n")
	rows(&out, structs, "Config", "")
	out.WriteString("\n")
	return out.String()
}

func rows(out *strings.Builder, structs map[string]*ast.StructType, name, path string) {
	for _, f := range structs[name].Fields.List {
		key := path + reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("yaml")
		text := strings.Join(strings.Fields(f.Doc.Text()), " ")
		text = strings.TrimPrefix(strings.TrimPrefix(text, f.Names[0].Name+" "), "is ")
		sub := ""
		switch typ := f.Type.(type) {
		case *ast.Ident:
			sub = typ.Name
		case *ast.ArrayType:
			sub, key = fmt.Sprint(typ.Elt), key+"[]"
		}
		fmt.Fprintf(out, "| `%s` | %s |\n", key, strings.ReplaceAll(text, "|", "\\|"))
		if structs[sub] != nil {
			rows(out, structs, sub, key+".")
		}
	}
}

// docs/causes.md has a section for each cause, in the order of the list.
func TestCausesAreDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/causes.md")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, c := range holdfast.Causes() {
		want = append(want, string(c))
	}
	for i, part := range strings.Split(string(b), "\n## ") {
		if i == 0 {
			continue
		}
		name, text, _ := strings.Cut(part, "\n")
		got = append(got, name)
		if paragraphs := strings.Split(strings.TrimSpace(text), "\n\n"); len(paragraphs) < 2 {
			t.Errorf("%s: says what it is or what to do, not both", name)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("docs/causes.md has %v\nthe list is %v", got, want)
	}
}

// The gateway's section of docs/metrics.md names what is served, and nothing
// else.
func TestMetricsAreDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(b), "\n## Gateway\n")
	if !ok {
		t.Fatal("docs/metrics.md has no section Gateway")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	documented := make(map[string]bool)
	for _, m := range regexp.MustCompile("(?m)^\\| `(holdfast_[a-z_]+)` \\| (gauge|counter|histogram) \\|").FindAllStringSubmatch(section, -1) {
		documented[m[1]+" "+m[2]] = true
	}
	full := &Report{Clock: ClockStatus{NTP: &HintStatus{}}, LinkBytes: []LinkBytes{{Link: "lte"}}, Status: gateway.Status{
		Link: holdfast.Online, Site: "s", Power: &gateway.PowerStatus{}, Links: []uplink.LinkStatus{{Name: "lte", Endpoints: []uplink.EndpointStatus{{}}}},
	}, counters: gateway.Counters{
		Starts: map[gateway.StartKey]uint64{{}: 1}, Transitions: map[gateway.TransitionKey]uint64{{}: 1},
		Security: map[string]uint64{"a": 1}, Exceptions: map[string]uint64{"a": 1}, Limits: map[string]uint64{"a": 1},
		ClockDoubts: map[string]uint64{"ntp": 1},
	}}
	m := &metrics{software: "test", server: &chargerServer{}, link: newLinkMetrics(), report: func(context.Context) (*Report, error) { return full, nil }}
	registry := prometheus.NewRegistry()
	registry.MustRegister(m)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		name := f.GetName() + " " + strings.ToLower(f.GetType().String())
		if !documented[name] {
			t.Errorf("docs/metrics.md has no line for the gateway's %s", name)
		}
		delete(documented, name)
	}
	for name := range documented {
		t.Errorf("docs/metrics.md describes the gateway's %s, which is not served", name)
	}
}
