package tidy

import (
	"errors"
	"go/ast"
	"go/token"
	"go/types"
)

// state finds package-level variables that change, and uses of other packages'
// global values. It sees names, not types of other packages, so it is a
// heuristic: a method that changes its receiver escapes it.
func state(t *tree) (out []finding) {
	dirs, by := packages(t.code())
	for _, dir := range dirs {
		out = append(out, t.changing(by[dir])...)
		for _, f := range by[dir] {
			out = append(out, t.globalUses(f)...)
			out = append(out, t.locks(f)...)
		}
	}
	return out
}

func (t *tree) globalUses(f *file) (out []finding) {
	names := f.localNames()
	ast.Inspect(f.ast, func(n ast.Node) bool {
		pkg, name := qualified(names, n)
		if instead := globals[pkg][name]; instead != "" {
			out = append(out, t.at(f, n.Pos(), pkg+"."+name, "%s.%s belongs to the whole process: %s", pkg, name, instead))
		}
		return true
	})
	return out
}

// locks finds package-level locks, atomics and channels: where one is needed,
// something changes.
func (t *tree) locks(f *file) (out []finding) {
	for _, d := range f.ast.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			if v.Type == nil || !lockType(f.localNames(), v.Type) {
				continue
			}
			for _, n := range v.Names {
				out = append(out, t.at(f, n.Pos(), n.Name, "package-level %s guards state that belongs to the process: move it into a struct that somebody owns", n.Name))
			}
		}
	}
	return out
}

func lockType(names map[string]string, e ast.Expr) bool {
	if star, ok := e.(*ast.StarExpr); ok {
		e = star.X
	}
	if index, ok := e.(*ast.IndexExpr); ok {
		e = index.X
	}
	if _, ok := e.(*ast.ChanType); ok {
		return true
	}
	pkg, _ := qualified(names, e)
	return pkg == "sync" || pkg == "sync/atomic"
}

// changing finds assignments to package-level variables inside functions.
func (t *tree) changing(files []*file) (out []finding) {
	uses := t.resolve(files)
	for _, f := range files {
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				for _, e := range changed(n) {
					if id := root(e); id != nil && packageVar(uses[id]) {
						out = append(out, t.at(f, id.Pos(), id.Name, "%s is package-level and changes here: move it into a struct that somebody owns", id.Name))
					}
				}
				return true
			})
		}
	}
	return out
}

// changed returns the expressions that a node writes to, or lets others write to.
func changed(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			return n.Lhs
		}
	case *ast.IncDecStmt:
		return []ast.Expr{n.X}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			return []ast.Expr{n.X}
		}
	case *ast.RangeStmt:
		if n.Tok == token.ASSIGN {
			return []ast.Expr{n.Key, n.Value}
		}
	case *ast.CallExpr:
		if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "delete" || id.Name == "clear") && len(n.Args) > 0 {
			return n.Args[:1]
		}
	}
	return nil
}

// root returns the variable that an expression such as v.f[i] is a part of.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

func packageVar(o types.Object) bool {
	v, ok := o.(*types.Var)
	return ok && v.Parent() != nil && v.Pkg() != nil && v.Parent() == v.Pkg().Scope()
}

// resolve says what each identifier of a package refers to. Imports stay
// unresolved, which go/types tolerates: names of this package do not need them.
func (t *tree) resolve(files []*file) map[*ast.Ident]types.Object {
	var asts []*ast.File
	for _, f := range files {
		asts = append(asts, f.ast)
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: nothing{}, Error: func(error) {}, FakeImportC: true}
	// The error is the missing imports.
	_, _ = conf.Check(files[0].dir, t.fset, asts, info)
	return info.Uses
}

// nothing imports nothing.
type nothing struct{}

func (nothing) Import(string) (*types.Package, error) { return nil, errors.New("not needed") }
