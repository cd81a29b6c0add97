package tidy

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A tree is every Go file below a root.
type tree struct {
	fset   *token.FileSet
	files  []*file
	limits limits
}

// limits are the bounds of the rule "size".
type limits struct {
	FileLines int // of any file that is not generated
	FuncLines int // of a function, from its first line to its last
	CaseLines int // of a case in a flat switch, which FuncLines does not bound
	Params    int // of a function, its context and its testing.T apart
}

var bounds = limits{FileLines: 600, FuncLines: 70, CaseLines: 8, Params: 5}

// A file is one parsed Go file.
type file struct {
	path string // from the root, with slashes
	dir  string // "." for the root
	test bool
	gen  bool // generated
	ast  *ast.File
}

// A finding is one place where a rule is broken.
type finding struct {
	rule    string
	path    string
	line    int
	subject string // what the ratchet names, so that a line number may move
	size    int    // for bounds, else 0
	text    string
}

func (f finding) String() string { return fmt.Sprintf("%s:%d: %s: %s", f.path, f.line, f.rule, f.text) }

// load parses the Go files below root.
func load(root string) (*tree, error) {
	t := &tree{fset: token.NewFileSet(), limits: bounds}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if p != root && skipped(d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		return t.add(root, p)
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(t.files, func(a, b *file) int { return cmp.Compare(a.path, b.path) })
	return t, nil
}

// skipped names folders that hold no code of ours.
func skipped(name string) bool {
	switch name {
	case "testdata", "vendor", "bin", "dist":
		return true
	}
	return strings.HasPrefix(name, ".")
}

func (t *tree) add(root, p string) error {
	src, err := os.ReadFile(p)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(root, p)
	if err != nil {
		return err
	}
	rel = filepath.ToSlash(rel)
	a, err := parser.ParseFile(t.fset, rel, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	t.files = append(t.files, &file{
		path: rel, dir: path.Dir(rel), test: strings.HasSuffix(rel, "_test.go"), gen: ast.IsGenerated(a), ast: a,
	})
	return nil
}

// code is the files that go into a build.
func (t *tree) code() []*file {
	return slices.DeleteFunc(slices.Clone(t.files), func(f *file) bool { return f.test })
}

// suite reports whether a file is part of a test that several packages run.
func (f *file) suite() bool {
	return slices.ContainsFunc(f.ast.Imports, func(s *ast.ImportSpec) bool { return imported(s) == "testing" })
}

// packages groups files by folder, in order.
func packages(files []*file) (dirs []string, by map[string][]*file) {
	by = map[string][]*file{}
	for _, f := range files {
		if by[f.dir] == nil {
			dirs = append(dirs, f.dir)
		}
		by[f.dir] = append(by[f.dir], f)
	}
	return dirs, by
}

// line returns the line of a position.
func (t *tree) line(p token.Pos) int { return t.fset.Position(p).Line }

// lines counts the lines from one position to another, both included.
func (t *tree) lines(from, to token.Pos) int { return t.line(to) - t.line(from) + 1 }

// at starts a finding.
func (t *tree) at(f *file, p token.Pos, subject, format string, args ...any) finding {
	return finding{path: f.path, line: t.line(p), subject: subject, text: fmt.Sprintf(format, args...)}
}

// imported returns the path of an import.
func imported(s *ast.ImportSpec) string {
	p, err := strconv.Unquote(s.Path.Value)
	if err != nil {
		return s.Path.Value
	}
	return p
}

// localNames maps the names by which a file knows its imports to their paths.
func (f *file) localNames() map[string]string {
	names := map[string]string{}
	for _, s := range f.ast.Imports {
		p := imported(s)
		name := path.Base(p)
		if s.Name != nil {
			name = s.Name.Name
		} else if strings.HasPrefix(name, "v") && len(name) < 4 && path.Dir(p) != "." {
			name = path.Base(path.Dir(p)) // a major version
		}
		names[name] = p
	}
	return names
}

// qualified returns the import path and name of a selector such as time.Now, or
// "" when x is not the name of an import.
func qualified(names map[string]string, n ast.Node) (pkg, name string) {
	sel, ok := n.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	id, ok := sel.X.(*ast.Ident)
	if !ok {
		return "", ""
	}
	return names[id.Name], sel.Sel.Name
}
