package tidy

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const top = "../.." // the repository, from this folder

// TestRepository applies every rule to every Go file of the repository.
func TestRepository(t *testing.T) {
	tree, err := load(top)
	if err != nil {
		t.Fatal(err)
	}
	known := readRatchet(t, "ratchet.txt")
	for _, r := range rules {
		for _, f := range r.check(tree) {
			f.rule = r.name
			if !known.holds(f) {
				t.Errorf("%v\n\t(%s)", f, r.why)
			}
		}
	}
	for _, line := range known.unused() {
		t.Errorf("ratchet.txt:%d: nothing to hold any more: delete the line %q", line.number, line.text)
	}
}

// TestEveryRuleCanFail applies each rule to its own small tree, where a comment
// stands on every line that it must find and nothing else may be found.
func TestEveryRuleCanFail(t *testing.T) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			root := filepath.Join("testdata", r.name)
			tree, err := load(root)
			if err != nil {
				t.Fatal(err)
			}
			tree.limits = limits{FileLines: 40, FuncLines: 12, CaseLines: 3, Params: 5}
			want := wanted(t, root, tree)
			if len(want) == 0 {
				t.Fatalf("%s wants nothing: a rule needs a place where it fails", root)
			}
			for _, f := range r.check(tree) {
				key := fmt.Sprintf("%s:%d", f.path, f.line)
				i := slices.IndexFunc(want[key], func(w string) bool { return strings.Contains(f.text, w) })
				if i < 0 {
					t.Errorf("%s: unexpected: %s", key, f.text)
					continue
				}
				want[key] = slices.Delete(want[key], i, i+1)
			}
			for key, left := range want {
				for _, w := range left {
					t.Errorf("%s: not found: %q", key, w)
				}
			}
		})
	}
}

// wanted reads the `// want "..." "..."` comments of a tree.
func wanted(t *testing.T, root string, tree *tree) map[string][]string {
	t.Helper()
	quoted := regexp.MustCompile(`"([^"]*)"`)
	want := map[string][]string{}
	for _, f := range tree.files {
		src, err := os.ReadFile(filepath.Join(root, f.path))
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(src), "\n") {
			_, after, ok := strings.Cut(line, "// want ")
			if !ok {
				continue
			}
			for _, m := range quoted.FindAllStringSubmatch(after, -1) {
				key := fmt.Sprintf("%s:%d", f.path, i+1)
				want[key] = append(want[key], m[1])
			}
		}
	}
	return want
}

// A ratchet is the known exceptions.
type ratchet []*ratchetLine

type ratchetLine struct {
	number              int
	text                string
	rule, path, subject string
	size                int // 0: any
	used                bool
}

func readRatchet(t *testing.T, name string) ratchet {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var out ratchet
	scan := bufio.NewScanner(file)
	for n := 1; scan.Scan(); n++ {
		text := strings.TrimSpace(scan.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		line, err := parseRatchet(text)
		if err != nil {
			t.Errorf("%s:%d: %v", name, n, err)
			continue
		}
		line.number = n
		out = append(out, line)
	}
	if err := scan.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// parseRatchet reads "rule path subject [size] # reason".
func parseRatchet(text string) (*ratchetLine, error) {
	what, reason, ok := strings.Cut(text, " # ")
	if !ok || strings.TrimSpace(reason) == "" {
		return nil, fmt.Errorf("%q has no reason: want `rule path subject [size] # reason`", text)
	}
	name, rest, _ := strings.Cut(strings.TrimSpace(what), " ")
	path, subject, _ := strings.Cut(rest, " ")
	line := &ratchetLine{text: text, rule: name, path: path, subject: strings.TrimSpace(subject)}
	if i := strings.LastIndexByte(line.subject, ' '); i > 0 {
		if n, err := strconv.Atoi(line.subject[i+1:]); err == nil {
			line.subject, line.size = line.subject[:i], n
		}
	}
	if !slices.ContainsFunc(rules, func(r rule) bool { return r.name == name }) || line.subject == "" {
		return nil, fmt.Errorf("%q: want `rule path subject [size] # reason`", text)
	}
	return line, nil
}

// holds reports whether a finding is known, and no larger than it was.
func (r ratchet) holds(f finding) bool {
	for _, l := range r {
		if l.rule == f.rule && l.path == f.path && l.subject == f.subject {
			l.used = true
			return l.size == 0 || f.size <= l.size
		}
	}
	return false
}

func (r ratchet) unused() (out []*ratchetLine) {
	for _, l := range r {
		if !l.used {
			out = append(out, l)
		}
	}
	return out
}

func TestRatchet(t *testing.T) {
	line, err := parseRatchet("size a/b.go T.Long 84 # a table; split it with the next kind")
	if err != nil {
		t.Fatal(err)
	}
	r := ratchet{line}
	f := finding{rule: "size", path: "a/b.go", subject: "T.Long", size: 84}
	if !r.holds(f) {
		t.Error("a known finding is not held")
	}
	f.size = 85
	if r.holds(f) {
		t.Error("a finding that grew is held")
	}
	f.path = "a/c.go"
	if r.holds(f) {
		t.Error("a finding in another file is held")
	}
	if len(r.unused()) != 0 || len(ratchet{{}}.unused()) != 1 {
		t.Error("unused lines are not told from used ones")
	}
	for _, bad := range []string{"", "size a/b.go F", "size a/b.go F #", "size a/b.go # why", "nothing a/b.go F # why"} {
		if _, err := parseRatchet(bad); err == nil {
			t.Errorf("parseRatchet(%q) succeeded", bad)
		}
	}
}
