package tidy

import (
	"flag"
	"fmt"
	"go/ast"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast/record"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the generated tables in docs/")

// compareBlock compares the text between "<!-- NAME -->" and "<!-- end -->" of a
// document with what it should be, or rewrites it.
func compareBlock(t *testing.T, doc, name, want string) {
	t.Helper()
	file := filepath.Join(top, filepath.FromSlash(doc))
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin := "<!-- " + name + " -->\n"
	before, rest, ok := strings.Cut(string(text), begin)
	have, after, ok2 := strings.Cut(rest, "<!-- end -->")
	if !ok || !ok2 {
		t.Fatalf("%s: no block between %q and <!-- end -->", doc, begin)
	}
	if have == want {
		return
	}
	if !*rewrite {
		t.Errorf("%s: the table %q is not what the code says; run: go test ./internal/tidy -rewrite\n%s", doc, name, firstDifference(have, want))
		return
	}
	if err := os.WriteFile(file, []byte(before+begin+want+"<!-- end -->"+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func firstDifference(have, want string) string {
	h, w := strings.Split(have, "\n"), strings.Split(want, "\n")
	for i := range max(len(h), len(w)) {
		if i >= len(h) || i >= len(w) || h[i] != w[i] {
			return fmt.Sprintf("have: %s\nwant: %s", strings.Join(h[min(i, len(h)):min(i+1, len(h))], ""), strings.Join(w[min(i, len(w)):min(i+1, len(w))], ""))
		}
	}
	return ""
}

// TestRecordsDoc compares docs/records.md with package record: every kind, its
// journal, its meaning and its members.
func TestRecordsDoc(t *testing.T) {
	tree, err := load(filepath.Join(top, "record"))
	if err != nil {
		t.Fatal(err)
	}
	docs := typeDocs(tree)
	var b strings.Builder
	b.WriteString("| kind | journal | what it says | members |\n|---|---|---|---|\n")
	for _, body := range record.Kinds() {
		typ := reflect.TypeOf(body).Elem()
		said := strings.TrimPrefix(docs[typ.Name()], typ.Name()+" ")
		if said == "" {
			t.Errorf("record.%s has no comment", typ.Name())
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", body.Type(), record.JournalOf(body.Type()), cell(said), members(typ))
	}
	compareBlock(t, "docs/records.md", "records", b.String())
}

// typeDocs returns the comments of a package's types.
func typeDocs(tree *tree) map[string]string {
	docs := map[string]string{}
	for _, f := range tree.code() {
		for _, d := range f.ast.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, s := range g.Specs {
				if ts, ok := s.(*ast.TypeSpec); ok {
					docs[ts.Name.Name] = strings.Join(strings.Fields(g.Doc.Text()), " ")
				}
			}
		}
	}
	return docs
}

// cell makes a Go comment fit a table: no links to Go names, no bars.
func cell(s string) string {
	s = regexp.MustCompile(`\[(\w+)\]`).ReplaceAllString(s, "$1")
	return strings.ReplaceAll(s, "|", "\\|")
}

// members lists the JSON members of a record's body; a question mark follows
// those that may be missing.
func members(typ reflect.Type) string {
	var out []string
	for i := range typ.NumField() {
		name, opts, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		if strings.Contains(opts, "omitempty") || strings.Contains(opts, "omitzero") {
			name += "?"
		}
		out = append(out, "`"+name+"`")
	}
	return strings.Join(out, " ")
}

// documents returns every Markdown file of the repository.
func documents(t *testing.T) (out []string) {
	t.Helper()
	err := filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && p != top && skipped(d.Name()) {
			return filepath.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(p, ".md") {
			out = append(out, p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var (
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	proof    = regexp.MustCompile("`([a-z0-9/-]+) ((?:Test|Fuzz|Benchmark)[A-Za-z0-9_]+)`")
	fence    = regexp.MustCompile("(?s)```.*?```")
	sourceIn = regexp.MustCompile("`([a-z0-9./-]+\\.(?:go|sh|md|sql|txtar))`")
)

// TestLinks follows every relative link in every document, its anchor included.
func TestLinks(t *testing.T) {
	for _, doc := range documents(t) {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(string(text), ""), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			if why := follow(doc, m[1]); why != "" {
				t.Errorf("%s: link to %s: %s", name(doc), m[1], why)
			}
		}
	}
}

func follow(doc, target string) string {
	file, anchor, _ := strings.Cut(target, "#")
	if file == "" {
		file = doc
	} else {
		file = filepath.Join(filepath.Dir(doc), filepath.FromSlash(file))
	}
	info, err := os.Stat(file)
	if err != nil {
		return "there is no such file"
	}
	if anchor == "" || info.IsDir() {
		return ""
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	for _, h := range heading.FindAllStringSubmatch(string(text), -1) {
		if slug(h[1]) == anchor {
			return ""
		}
	}
	return "there is no such heading"
}

// slug is how a heading becomes an anchor.
func slug(h string) string {
	h = strings.ToLower(strings.TrimSpace(h))
	h = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(h, "")
	return strings.ReplaceAll(h, " ", "-")
}

func name(doc string) string {
	rel, err := filepath.Rel(top, doc)
	if err != nil {
		return doc
	}
	return filepath.ToSlash(rel)
}

// TestProofsExist checks that every test and every file that a document names
// exists: `package TestName` in code font is a proof, `dir/file.go` a place.
func TestProofsExist(t *testing.T) {
	tree, err := load(top)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	for _, f := range tree.files {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && f.test {
				tests[f.dir+" "+fn.Name.Name] = true
			}
		}
	}
	proofs := 0
	for _, doc := range documents(t) {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range proof.FindAllStringSubmatch(string(text), -1) {
			proofs++
			if !tests[m[1]+" "+m[2]] {
				t.Errorf("%s names %s in %s, which does not exist", name(doc), m[2], m[1])
			}
		}
		for _, m := range sourceIn.FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(m[1], "/") {
				continue
			}
			if _, err := os.Stat(filepath.Join(top, m[1])); err != nil {
				t.Errorf("%s names the file %s, which does not exist", name(doc), m[1])
			}
		}
	}
	if proofs == 0 {
		t.Error("no document names a test")
	}
}

// TestDocsNamedInCodeExist checks that the pages which comments send the reader
// to are there.
func TestDocsNamedInCodeExist(t *testing.T) {
	tree, err := load(top)
	if err != nil {
		t.Fatal(err)
	}
	page := regexp.MustCompile(`docs/[a-z0-9/-]+\.md`)
	for _, f := range tree.files {
		for _, c := range f.ast.Comments {
			for _, p := range page.FindAllString(c.Text(), -1) {
				if _, err := os.Stat(filepath.Join(top, filepath.FromSlash(p))); err != nil {
					t.Errorf("%s:%d: the comment names %s, which does not exist", f.path, tree.line(c.Pos()), p)
				}
			}
		}
	}
}

// TestDependenciesDoc compares docs/dependencies.md with the imports: every
// module that we import has a section with its version and who imports it.
func TestDependenciesDoc(t *testing.T) {
	tree, err := load(top)
	if err != nil {
		t.Fatal(err)
	}
	versions := required(t)
	users := importers(tree, versions)
	file := filepath.Join(top, "docs", "dependencies.md")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(text), "\n### ")
	described := map[string]bool{}
	for i, s := range parts[1:] {
		head, body, _ := strings.Cut(s, "\n")
		module, _, _ := strings.Cut(head, " ")
		described[module] = true
		if users[module] == nil {
			t.Errorf("docs/dependencies.md: nothing imports %s any more: delete its section", module)
			continue
		}
		want := module + " " + versions[module] + "\n" + usedIn.ReplaceAllLiteralString(body, used(users[module]))
		if want != s && !*rewrite {
			t.Errorf("docs/dependencies.md: the section of %s is out of date; run: go test ./internal/tidy -rewrite\nwant: %s %s: %s",
				module, module, versions[module], used(users[module]))
		}
		parts[i+1] = want
	}
	for module, in := range users {
		if !described[module] {
			t.Errorf("docs/dependencies.md: no section `### %s %s`: what for, why this one, what it costs. %s", module, versions[module], used(in))
		}
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(strings.Join(parts, "\n### ")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// usedIn is the last line of a section.
var usedIn = regexp.MustCompile(`(?m)^Used in .*\n`)

func used(in []string) string {
	if len(in) == 0 {
		return "Used in tests.\n"
	}
	return "Used in " + strings.Join(in, ", ") + ".\n"
}

// required reads the modules that go.mod requires, with their versions.
func required(t *testing.T) map[string]string {
	t.Helper()
	gomod, err := os.ReadFile(filepath.Join(top, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\s*(?:require )?(\S+\.\S+/\S+|\S+\.\S+) (v\S+)`).FindAllStringSubmatch(string(gomod), -1) {
		versions[m[1]] = m[2]
	}
	return versions
}

// importers returns the packages that import each module. A module that tests
// alone import has an empty list.
func importers(tree *tree, versions map[string]string) map[string][]string {
	users := map[string][]string{}
	for _, f := range tree.files {
		for _, s := range f.ast.Imports {
			module := moduleOf(imported(s), versions)
			if module == "" {
				continue
			}
			in := users[module]
			if in == nil {
				in = []string{}
			}
			if !f.test && !slices.Contains(in, f.dir) {
				in = append(in, f.dir)
			}
			users[module] = in
		}
	}
	return users
}

func moduleOf(imported string, versions map[string]string) string {
	for p := imported; p != "." && p != "/"; p = path.Dir(p) {
		if versions[p] != "" {
			return p
		}
	}
	return ""
}
