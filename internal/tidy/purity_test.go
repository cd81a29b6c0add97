package tidy

import (
	"go/ast"
	"go/token"
	"strings"
)

// purity keeps clocks, chance, goroutines, locks, logs, files and sockets out of
// the packages whose inputs they are.
func purity(t *tree) (out []finding) {
	for _, f := range t.code() {
		r, ok := roomOf(f.dir)
		if !ok || r.class == shell {
			continue
		}
		for _, s := range f.ast.Imports {
			if instead := banOf(imported(s), r.class); instead != "" {
				out = append(out, t.at(f, s.Pos(), imported(s), "%s is %s and must not import %q: %s", f.dir, r.class, imported(s), instead))
			}
		}
		names := f.localNames()
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if what, instead := impure(names, n); what != "" {
				out = append(out, t.at(f, n.Pos(), what, "%s is %s and must not use %s: %s", f.dir, r.class, what, instead))
			}
			return true
		})
	}
	return out
}

// impure names what is wrong with a node, and what to do instead.
func impure(names map[string]string, n ast.Node) (what, instead string) {
	switch n := n.(type) {
	case *ast.GoStmt:
		return "a goroutine", "return an effect; a shell runs it"
	case *ast.ChanType, *ast.SendStmt, *ast.SelectStmt:
		return "a channel", "return an effect; the answer comes back as an input"
	case *ast.UnaryExpr:
		if n.Op == token.ARROW {
			return "a channel", "return an effect; the answer comes back as an input"
		}
	case *ast.SelectorExpr:
		pkg, name := qualified(names, n)
		if instead := bannedCalls[pkg][name]; instead != "" {
			return pkg + "." + name, instead
		}
	case *ast.CallExpr:
		if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "print" || id.Name == "println") {
			return id.Name, "return the text"
		}
	}
	return "", ""
}

// syncs keeps fsync and rename in one package, where their order is written
// down. Calls of Sync on an interface (journal.FS) are not file operations and
// are told apart by the file not importing os.
func syncs(t *tree) (out []finding) {
	for _, f := range t.code() {
		if f.dir == syncHome {
			continue
		}
		names := f.localNames()
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if what := syncCall(names, n); what != "" {
				out = append(out, t.at(f, n.Pos(), what, "%s outside %s: use its WriteFile, Rename or Dir, which also sync the folder", what, syncHome))
			}
			return true
		})
	}
	return out
}

func syncCall(names map[string]string, n ast.Node) string {
	if call, ok := n.(*ast.CallExpr); ok && len(call.Args) == 0 && names["os"] == "os" {
		if sel, ok := call.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Sync" {
			return "Sync of a file"
		}
	}
	switch pkg, name := qualified(names, n); {
	case pkg == "os" && name == "Rename":
		return "os.Rename"
	case pkg == "syscall" || pkg == "golang.org/x/sys/unix":
		if name == "Fsync" || name == "Fdatasync" || strings.HasPrefix(name, "Sync") || name == "Rename" {
			return pkg + "." + name
		}
	}
	return ""
}

// shells keeps panics and sudden exits out of shells: an impossible state panics
// in the core, where it is a bug; what the world does to a shell is an error. A
// function that recovers may pass a panic on.
func shells(t *tree) (out []finding) {
	for _, f := range t.code() {
		if r, ok := roomOf(f.dir); !ok || r.class != shell || f.suite() {
			continue
		}
		names := f.localNames()
		for _, d := range f.ast.Decls {
			again := recovers(d)
			ast.Inspect(d, func(n ast.Node) bool {
				if what := sudden(names, n, isMain(f.dir)); what != "" && !(again && what == "panic") {
					out = append(out, t.at(f, n.Pos(), what, "%s in a shell: return an error that names the operation, the object and the cause", what))
				}
				return true
			})
		}
	}
	return out
}

func recovers(d ast.Decl) (yes bool) {
	ast.Inspect(d, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok && called(c) == "recover" {
			yes = true
		}
		return !yes
	})
	return yes
}

func sudden(names map[string]string, n ast.Node, main bool) string {
	if call, ok := n.(*ast.CallExpr); ok {
		if id, ok := call.Fun.(*ast.Ident); ok && id.Name == "panic" {
			return "panic"
		}
	}
	pkg, name := qualified(names, n)
	switch {
	case pkg == "log" && (strings.HasPrefix(name, "Fatal") || strings.HasPrefix(name, "Panic")),
		pkg == "os" && name == "Exit" && !main:
		return pkg + "." + name
	}
	return ""
}
