package tidy

import "slices"

// arrows keeps imports pointing one way.
func arrows(t *tree) (out []finding) {
	homeless := map[string]bool{}
	for _, f := range t.files {
		from, ok := roomOf(f.dir)
		if !ok {
			if homeless[f.dir] {
				continue
			}
			homeless[f.dir] = true
			out = append(out, t.at(f, f.ast.Package, f.dir,
				"package %s has no place in the house; give it a floor and a class in internal/tidy/house_test.go", f.dir))
			continue
		}
		for _, s := range f.ast.Imports {
			dir, ok := inside(imported(s))
			if !ok || dir == f.dir {
				continue
			}
			to, ok := roomOf(dir)
			if !ok {
				continue // reported where it is
			}
			if bad := forbidden(from, to, f.test); bad != "" {
				out = append(out, t.at(f, s.Pos(), dir, "%s must not import %s: %s; turn the arrow round, or move the code to the package that needs both",
					f.dir, dir, bad))
			}
		}
	}
	return out
}

// forbidden says why from must not import to, "" when it may. Tests may use the
// tools in internal, and see the floor below the next one: a golden test of the
// gateway speaks real OCPP dialects.
func forbidden(from, to room, test bool) string {
	for _, n := range from.never {
		if under(to.path, n) && !under(from.path, n) {
			return from.why
		}
	}
	if slices.Contains(from.also, to.path) || to.floor < from.floor {
		return ""
	}
	if test && (under(to.path, "internal") || under(to.path, from.path)) {
		return ""
	}
	if to.floor == from.floor {
		if from.why != "" {
			return from.why
		}
		return "they are on the same floor"
	}
	return "it is on a higher floor"
}
