package agent

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxYAMLDepth bounds the nesting of flow collections, which the parser
// descends into recursively.
const maxYAMLDepth = 64

// A yamlReader fills a struct from a YAML tree and remembers where each value
// stood, so that a complaint about a value names its line. It is stricter than
// YAML: unknown and repeated keys, anchors, aliases, tags and a second
// document are problems.
type yamlReader struct {
	file     string
	at       map[string]*token.Position
	problems []Problem
}

// readYAML fills the struct that dst points to. The zero values of dst stand
// for what the text does not say.
func readYAML(file string, text []byte, dst any) (*yamlReader, []Problem) {
	r := &yamlReader{file: file, at: make(map[string]*token.Position)}
	if len(text) > MaxConfigBytes {
		r.wrong(nil, "", "%d bytes, at most %d", len(text), MaxConfigBytes)
		return r, r.problems
	}
	if tooDeep(text) {
		r.wrong(nil, "", "brackets nested deeper than %d", maxYAMLDepth)
		return r, r.problems
	}
	tree, err := parser.ParseBytes(text, 0)
	if err != nil {
		r.syntax(err)
		return r, r.problems
	}
	switch n := len(tree.Docs); {
	case n == 0 || n == 1 && tree.Docs[0].Body == nil:
	case n > 1:
		r.wrong(tree.Docs[1].Start, "", "a second document; a configuration is one")
	default:
		r.value(tree.Docs[0].Body, reflect.ValueOf(dst).Elem(), "")
	}
	return r, r.problems
}

func tooDeep(text []byte) bool {
	depth := 0
	for _, c := range text {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(0, depth-1)
		}
		if depth > maxYAMLDepth {
			return true
		}
	}
	return false
}

// syntax reports an error of the parser.
func (r *yamlReader) syntax(err error) {
	var bad yaml.Error
	if errors.As(err, &bad) {
		r.wrong(bad.GetToken(), "", "not YAML: %s", bad.GetMessage())
		return
	}
	r.wrong(nil, "", "not YAML: %v", err)
}

func (r *yamlReader) wrong(tk *token.Token, path, format string, a ...any) {
	p := Problem{File: r.file, Path: path, Message: fmt.Sprintf(format, a...)}
	if tk != nil && tk.Position != nil {
		p.Line, p.Col = tk.Position.Line, tk.Position.Column
	}
	r.problems = append(r.problems, p)
}

// place adds file, line and column to problems that name a path only. A key
// that is missing is placed at the nearest key around it.
func (r *yamlReader) place(problems []Problem) {
	for i := range problems {
		p := &problems[i]
		p.File = r.file
		for path := p.Path; ; {
			if at, ok := r.at[path]; ok {
				p.Line, p.Col = at.Line, at.Column
				break
			}
			cut := strings.LastIndexAny(path, ".[")
			if cut < 0 {
				break
			}
			path = path[:cut]
		}
	}
	slices.SortStableFunc(problems, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Col - b.Col
	})
}

// value fills v from n.
func (r *yamlReader) value(n ast.Node, v reflect.Value, path string) {
	if tk := n.GetToken(); tk != nil && tk.Position != nil {
		if _, known := r.at[path]; !known {
			r.at[path] = tk.Position
		}
	}
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		r.wrong(n.GetToken(), path, "anchors, aliases and tags are not supported; write the value out")
		return
	case *ast.NullNode:
		r.wrong(n.GetToken(), path, "has no value; leave the key out for its default")
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		r.mapping(n, v, path)
	case reflect.Slice:
		r.sequence(n, v, path)
	default:
		r.scalar(n, v, path)
	}
}

func (r *yamlReader) mapping(n ast.Node, v reflect.Value, path string) {
	m, ok := n.(ast.MapNode)
	if !ok {
		r.wrong(n.GetToken(), path, "%s, want keys: %s", describe(n), strings.Join(keysOf(v.Type()), ", "))
		return
	}
	for it := m.MapRange(); it.Next(); {
		key := it.Key()
		if key.IsMergeKey() {
			r.wrong(key.GetToken(), path, "merge keys are not supported; write the values out")
			continue
		}
		r.entry(key.GetToken(), it.Value(), v, path)
	}
}

// entry fills the field of v that key names.
func (r *yamlReader) entry(key *token.Token, n ast.Node, v reflect.Value, path string) {
	keys := keysOf(v.Type())
	i := slices.Index(keys, key.Value)
	if i < 0 {
		r.wrong(key, path, "unknown key %q, want one of: %s", key.Value, strings.Join(keys, ", "))
		return
	}
	sub := key.Value
	if path != "" {
		sub = path + "." + sub
	}
	if _, twice := r.at[sub]; twice {
		r.wrong(key, sub, "given twice")
		return
	}
	r.at[sub] = key.Position
	if n == nil {
		r.wrong(key, sub, "has no value; leave the key out for its default")
		return
	}
	r.value(n, v.Field(i), sub)
}

func (r *yamlReader) sequence(n ast.Node, v reflect.Value, path string) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		r.wrong(n.GetToken(), path, "%s, want a list", describe(n))
		return
	}
	for i, item := range s.Values {
		e := reflect.New(v.Type().Elem()).Elem()
		r.value(item, e, fmt.Sprintf("%s[%d]", path, i))
		v.Set(reflect.Append(v, e))
	}
}

func (r *yamlReader) scalar(n ast.Node, v reflect.Value, path string) {
	tk := n.GetToken()
	switch v.Kind() {
	case reflect.String:
		switch n := n.(type) {
		case *ast.StringNode:
			v.SetString(n.Value)
		case *ast.LiteralNode:
			v.SetString(strings.TrimSuffix(n.Value.Value, "\n"))
		case *ast.IntegerNode, *ast.FloatNode:
			v.SetString(tk.Value) // a charger may be called 00042: the digits as written
		default:
			r.wrong(tk, path, "%s, want text; put it in quotes", describe(n))
		}
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			r.wrong(tk, path, "%s, want true or false", describe(n))
			return
		}
		v.SetBool(b.Value)
	case reflect.Int64:
		i, ok := wholeNumber(n)
		if !ok {
			r.wrong(tk, path, "%s, want a whole number", describe(n))
			return
		}
		v.SetInt(i)
	}
}

func wholeNumber(n ast.Node) (int64, bool) {
	i, ok := n.(*ast.IntegerNode)
	if !ok {
		return 0, false
	}
	switch x := i.Value.(type) {
	case int64:
		return x, true
	case uint64:
		return int64(x), x <= math.MaxInt64
	}
	return 0, false
}

// describe names what stands in the file, for a message.
func describe(n ast.Node) string {
	switch n := n.(type) {
	case ast.MapNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode:
		return fmt.Sprintf("%q", clipText(n.Value))
	}
	if tk := n.GetToken(); tk != nil {
		return string(bytes.TrimSpace([]byte(clipText(tk.Value))))
	}
	return "nothing"
}

func clipText(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}

// keysOf lists the yaml names of t's fields, in order.
func keysOf(t reflect.Type) []string {
	keys := make([]string, t.NumField())
	for i := range keys {
		keys[i] = t.Field(i).Tag.Get("yaml")
	}
	return keys
}
