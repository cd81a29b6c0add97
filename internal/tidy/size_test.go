package tidy

import (
	"go/ast"
	"go/token"
)

// size bounds files, functions and parameter lists.
func size(t *tree) (out []finding) {
	for _, f := range t.files {
		if f.gen {
			continue
		}
		if n := t.fset.File(f.ast.Pos()).LineCount(); n > t.limits.FileLines {
			g := t.at(f, f.ast.Package, "file", "%d lines, at most %d: is there a second thing inside?", n, t.limits.FileLines)
			g.size = n
			out = append(out, g)
		}
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				out = append(out, t.funcSize(f, fn)...)
			}
		}
	}
	return out
}

func (t *tree) funcSize(f *file, fn *ast.FuncDecl) (out []finding) {
	if f.test {
		return nil // as long as its table
	}
	n := t.lines(fn.Type.Pos(), fn.End())
	if n > t.limits.FuncLines && !t.flat(fn) {
		g := t.at(f, fn.Pos(), funcName(fn), "%s has %d lines, at most %d: split it where its comments would be", funcName(fn), n, t.limits.FuncLines)
		g.size = n
		out = append(out, g)
	}
	if n := params(fn.Type); n > t.limits.Params {
		g := t.at(f, fn.Pos(), funcName(fn)+"()", "%s has %d parameters, at most %d: which of them are one thing with a name?", funcName(fn), n, t.limits.Params)
		g.size = n
		out = append(out, g)
	}
	return out
}

// flat reports whether a function is a dispatch: one switch with short cases,
// and next to nothing around it.
func (t *tree) flat(fn *ast.FuncDecl) bool {
	if fn.Body == nil {
		return true
	}
	around, flat := t.lines(fn.Type.Pos(), fn.End()), false
	for _, s := range fn.Body.List {
		var body *ast.BlockStmt
		switch s := s.(type) {
		case *ast.SwitchStmt:
			body = s.Body
		case *ast.TypeSwitchStmt:
			body = s.Body
		default:
			continue
		}
		flat = true
		around -= t.lines(s.Pos(), s.End())
		for _, c := range body.List {
			if t.lines(c.Pos(), c.End()) > t.limits.CaseLines {
				return false
			}
		}
	}
	return flat && around <= t.limits.FuncLines/3
}

// params counts parameters that a caller could mix up: contexts and testing.Ts
// have a type that nothing else has.
func params(fn *ast.FuncType) (n int) {
	for _, p := range fn.Params.List {
		if own(p.Type) {
			continue
		}
		n += max(1, len(p.Names))
	}
	return n
}

func own(e ast.Expr) bool {
	if star, ok := e.(*ast.StarExpr); ok {
		e = star.X
	}
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	id, ok := sel.X.(*ast.Ident)
	return ok && (id.Name == "context" && sel.Sel.Name == "Context" || id.Name == "testing")
}

// funcName returns "Name" or "Type.Name".
func funcName(fn *ast.FuncDecl) string {
	if r := receiver(fn); r != "" {
		return r + "." + fn.Name.Name
	}
	return fn.Name.Name
}

// receiver returns the name of a method's type, "" for a function.
func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return ""
	}
	e := fn.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// documented keeps exported names and packages explained.
func documented(t *tree) (out []finding) {
	dirs, by := packages(t.code())
	for _, dir := range dirs {
		if !hasManual(by[dir]) {
			f := by[dir][0]
			out = append(out, t.at(f, f.ast.Package, "package "+dir, "package %s has no package comment: write its manual in doc.go", dir))
		}
		if isMain(dir) {
			continue
		}
		for _, f := range by[dir] {
			out = append(out, t.documentedFile(f)...)
		}
	}
	return out
}

func hasManual(files []*file) bool {
	for _, f := range files {
		if f.ast.Doc != nil {
			return true
		}
	}
	return false
}

func (t *tree) documentedFile(f *file) (out []finding) {
	missing := func(p token.Pos, name string) {
		out = append(out, t.at(f, p, name, "%s is exported and has no comment: say what it promises (units, range, errors), not its name", name))
	}
	var before *ast.FuncDecl // the last documented method, or one that shares its comment
	for _, d := range f.ast.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			// Methods on consecutive lines with one name share the comment above the first.
			shares := before != nil && before.Name.Name == d.Name.Name && t.line(d.Pos()) == t.line(before.End())+1
			if d.Doc == nil && !shares {
				if exportedFunc(d) {
					missing(d.Pos(), funcName(d))
				}
				before = nil
				continue
			}
			before = d
		case *ast.GenDecl:
			for _, n := range undocumented(d) {
				missing(n.Pos(), n.Name)
			}
		}
	}
	return out
}

// exportedFunc reports whether a function needs a comment: it can be called from
// outside, and its meaning is not fixed by the standard library.
func exportedFunc(fn *ast.FuncDecl) bool {
	if !fn.Name.IsExported() {
		return false
	}
	if fn.Recv == nil {
		return true
	}
	switch fn.Name.Name {
	case "Error", "String", "Unwrap", "Is", "As", "Len", "Less", "Swap":
		return false
	}
	return ast.IsExported(receiver(fn))
}

// undocumented returns the exported names of a declaration that have no comment
// of their own and are in no group that has one.
func undocumented(d *ast.GenDecl) (out []*ast.Ident) {
	if d.Doc != nil {
		return nil
	}
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && s.Doc == nil {
				out = append(out, s.Name)
			}
		case *ast.ValueSpec:
			for _, n := range s.Names {
				if n.IsExported() && s.Doc == nil && s.Comment == nil {
					out = append(out, n)
				}
			}
		}
	}
	return out
}
