package tidy

import (
	"go/ast"
	"path"
	"slices"
	"strings"
)

// names keeps folders telling the domain, packages named like their folders, and
// nothing running before main.
func names(t *tree) (out []finding) {
	for _, f := range t.files {
		pkg := strings.TrimSuffix(f.ast.Name.Name, "_test")
		switch {
		case slices.Contains(bannedNames, pkg):
			out = append(out, t.at(f, f.ast.Name.Pos(), pkg, "a package named %s holds anything: name it after the one noun it is about, or put the code where it is used", pkg))
		case f.dir != "." && pkg != "main" && pkg != path.Base(f.dir):
			out = append(out, t.at(f, f.ast.Name.Pos(), pkg, "package %s lives in %s: give both one name", pkg, f.dir))
		}
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				out = append(out, t.at(f, fn.Pos(), "init", "init runs behind the reader's back: call it from main, or use a value"))
			}
		}
	}
	return out
}
