package tidy

import (
	"go/ast"
	"go/token"
	"strings"
)

// waiting keeps tests from sleeping on a real clock and from skipping. Inside a
// testing/synctest bubble the clock is virtual and a sleep costs nothing.
func waiting(t *tree) (out []finding) {
	var tests []*file
	for _, f := range t.files {
		if f.test || f.suite() {
			tests = append(tests, f)
		}
	}
	dirs, by := packages(tests)
	for _, dir := range dirs {
		v := virtual(by[dir])
		for _, f := range by[dir] {
			out = append(out, t.waits(f, v)...)
		}
	}
	return out
}

func (t *tree) waits(f *file, v *virtualTime) (out []finding) {
	names := f.localNames()
	for _, d := range f.ast.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		ast.Inspect(fn, func(n ast.Node) bool {
			pkg, name := qualified(names, n)
			switch {
			case pkg == "time" && name == "Sleep" && !v.at(fn, n.Pos()):
				out = append(out, t.at(f, n.Pos(), funcName(fn), "%s sleeps on a real clock: wait for an event, or run in a testing/synctest bubble", funcName(fn)))
			case skips(n):
				out = append(out, t.at(f, n.Pos(), funcName(fn), "%s skips: install what it needs in scripts/test.sh, or fail", funcName(fn)))
			}
			return true
		})
	}
	return out
}

func skips(n ast.Node) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	switch sel.Sel.Name {
	case "SkipNow":
		return true
	case "Skip", "Skipf": // others have a Skip too; a test's is called on t, b, f, tb
		id, ok := sel.X.(*ast.Ident)
		return ok && len(id.Name) <= 2 && strings.ContainsAny(id.Name, "tbf")
	}
	return false
}

// virtualTime knows which functions of a package's tests run in a bubble. It
// goes by names, which is enough within one package.
type virtualTime struct {
	bubbles map[*ast.FuncDecl][]ast.Node // calls whose arguments run in a bubble
	inside  map[string]bool              // functions that are only ever called in one
}

func virtual(files []*file) *virtualTime {
	v := &virtualTime{map[*ast.FuncDecl][]ast.Node{}, map[string]bool{}}
	var fns []*ast.FuncDecl
	makers := map[string]bool{}
	for _, f := range files {
		names := f.localNames()
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			fns = append(fns, fn)
			each(fn, func(c *ast.CallExpr) {
				if pkg, name := qualified(names, c.Fun); pkg == "testing/synctest" && name == "Test" {
					v.bubbles[fn] = append(v.bubbles[fn], c)
					makers[fn.Name.Name] = true
				}
			})
		}
	}
	for _, fn := range fns {
		each(fn, func(c *ast.CallExpr) {
			if makers[called(c)] {
				v.bubbles[fn] = append(v.bubbles[fn], c)
			}
		})
	}
	v.spread(fns)
	return v
}

// spread marks helpers all of whose calls are in a bubble, until nothing changes.
func (v *virtualTime) spread(fns []*ast.FuncDecl) {
	for again := true; again; {
		again = false
		in, out := map[string]bool{}, map[string]bool{}
		for _, fn := range fns {
			each(fn, func(c *ast.CallExpr) {
				if v.at(fn, c.Pos()) {
					in[called(c)] = true
				} else {
					out[called(c)] = true
				}
			})
		}
		for name := range in {
			if !out[name] && !v.inside[name] {
				v.inside[name], again = true, true
			}
		}
	}
}

// at reports whether a place in a function runs in a bubble.
func (v *virtualTime) at(fn *ast.FuncDecl, p token.Pos) bool {
	if v.inside[fn.Name.Name] {
		return true
	}
	for _, b := range v.bubbles[fn] {
		if b.Pos() < p && p < b.End() {
			return true
		}
	}
	return false
}

func each(fn *ast.FuncDecl, f func(*ast.CallExpr)) {
	ast.Inspect(fn, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok {
			f(c)
		}
		return true
	})
}

// called returns the bare name of what a call calls.
func called(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}
