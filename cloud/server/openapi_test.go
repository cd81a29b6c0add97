package server

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Where what is made from the code lies.
const (
	wordsFile    = "words.json"
	documentFile = "../../docs/openapi.json"
)

// The comments that the document quotes are those in the source.
func TestWordsAreTheSources(t *testing.T) {
	s := &Server{metrics: newMetrics("")}
	g := newSchemas(nil)
	for _, rt := range s.operators().declared() {
		g.operation(rt, object{})
	}
	g.of(reflect.TypeFor[Problem]())
	said := map[string]words{}
	read := map[string]map[string]words{}
	for _, names := range []map[reflect.Type]string{g.names, g.asked} {
		for typ := range names {
			dir := "../.." + strings.TrimPrefix(typ.PkgPath(), "github.com/holdfast-ev/holdfast")
			if read[dir] == nil {
				read[dir] = readWords(t, dir)
			}
			name := typeName(typ)
			said[name] = read[dir][name[strings.LastIndexByte(name, '.')+1:]]
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(said); err != nil {
		t.Fatal(err)
	}
	made(t, wordsFile, b.Bytes())
}

// made compares a file with what it should hold, or writes it (-rewrite).
func made(t *testing.T, file string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(file)
	if err == nil && bytes.Equal(got, want) {
		return
	}
	if !*rewrite {
		t.Errorf("%s is not what the code makes: go test ./cloud/server -rewrite", filepath.Base(file))
		return
	}
	if err := os.WriteFile(file, want, 0o644); err != nil {
		t.Fatal(err)
	}
}

// readWords collects the comments of the types in a package, by their names.
func readWords(t *testing.T, dir string) map[string]words {
	t.Helper()
	out := map[string]words{}
	files, err := filepath.Glob(dir + "/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no source in %s: %v", dir, err)
	}
	var consts []*ast.GenDecl
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			switch g, ok := d.(*ast.GenDecl); {
			case ok && g.Tok == token.TYPE:
				for _, s := range g.Specs {
					out[s.(*ast.TypeSpec).Name.Name] = typeWords(g, s.(*ast.TypeSpec))
				}
			case ok && g.Tok == token.CONST:
				consts = append(consts, g)
			}
		}
	}
	for _, g := range consts {
		constWords(out, g)
	}
	return out
}

func typeWords(g *ast.GenDecl, s *ast.TypeSpec) words {
	w := words{Doc: prose(s.Doc.Text()), Fields: map[string]string{}}
	if w.Doc == "" {
		w.Doc = prose(g.Doc.Text())
	}
	st, ok := s.Type.(*ast.StructType)
	if !ok {
		return words{Doc: w.Doc}
	}
	for _, f := range st.Fields.List {
		text := prose(f.Doc.Text())
		if text == "" {
			text = prose(f.Comment.Text())
		}
		for _, n := range f.Names {
			if text != "" {
				w.Fields[n.Name] = text
			}
		}
	}
	return w
}

// constWords adds the constants of named strings to their types.
func constWords(out map[string]words, g *ast.GenDecl) {
	for _, s := range g.Specs {
		v := s.(*ast.ValueSpec)
		typ, ok := v.Type.(*ast.Ident)
		if !ok || len(v.Values) != 1 {
			continue
		}
		lit, ok := v.Values[0].(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			continue
		}
		value, err := strconv.Unquote(lit.Value)
		if err != nil {
			continue
		}
		w := out[typ.Name]
		w.Enum = append(w.Enum, enumWord{value, prose(v.Comment.Text())})
		out[typ.Name] = w
	}
}

var docLink = regexp.MustCompile(`\[\*?([A-Za-z.]+)\]`)

// prose makes one paragraph of a comment for readers who do not have the source.
func prose(s string) string {
	return docLink.ReplaceAllString(strings.Join(strings.Fields(s), " "), "$1")
}

func TestDocumentIsCommitted(t *testing.T) {
	s := &Server{metrics: newMetrics("")}
	b, err := os.ReadFile(wordsFile) // what TestWordsAreTheSources may just have written
	if err != nil {
		t.Fatal(err)
	}
	var w map[string]words
	if err := json.Unmarshal(b, &w); err != nil {
		t.Fatal(err)
	}
	doc, err := encodeDocument(s.operators().declared(), w)
	if err != nil {
		t.Fatal(err)
	}
	made(t, documentFile, doc)
}

// The document is OpenAPI 3.1 by the schema that its authors publish, and every
// JSON Schema in it is one (draft 2020-12).
func TestDocumentIsOpenAPI31(t *testing.T) {
	meta, err := jsonschema.NewCompiler().Compile("testdata/openapi-3.1-schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc := document(t)
	if err := meta.Validate(doc.tree); err != nil {
		t.Fatal(err)
	}
	for name := range doc.tree["components"].(object)["schemas"].(object) {
		if _, err := doc.schema("/components/schemas/" + name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := maps.Clone(doc.tree)
	delete(broken, "info")
	if meta.Validate(broken) == nil {
		t.Fatal("a document without info passes: the schema checks nothing")
	}
}

// exampleNow is a moment at which every example of the document makes sense.
func exampleNow() time.Time { return time.UnixMilli(1_800_000_000_000 - 3600_000) }

// Every example is a request that the cloud takes.
func TestExamplesAreTaken(t *testing.T) {
	w := start(t, func(o *Options) { o.Clock = exampleNow })
	n := 0
	for _, rt := range w.s.operators().declared() {
		if rt.example == nil {
			continue
		}
		n++
		method, at := fill(rt.at)
		if a := w.ask(method, at, rt.example); a.status != rt.success() {
			t.Errorf("%s: HTTP %d: %s", rt.at, a.status, a.body)
		}
	}
	if n < 10 {
		t.Fatalf("only %d examples", n)
	}
}

// What lies just outside a documented bound is refused.
func TestBoundsAreTheServers(t *testing.T) {
	w := start(t, func(o *Options) { o.Clock = exampleNow })
	do[NewSite](w, "POST", "/v1/sites", `{"id":"north"}`)
	left := bounds()
	for _, rt := range w.s.operators().declared() {
		if rt.example == nil {
			continue
		}
		for _, f := range jsonFields(rt.in) {
			at := typeName(f.owner) + "." + f.Name
			for _, value := range outside(bounds()[at]) {
				var body object
				if err := json.Unmarshal(mustJSON(t, rt.example), &body); err != nil {
					t.Fatal(err)
				}
				body[f.key] = value
				method, address := fill(rt.at)
				w.ask(method, address, body).want(t, kindInvalid)
			}
			delete(left, at)
		}
	}
	for at := range left {
		t.Errorf("no request has the bounded field %s", at)
	}
}

// outside are values that a bound does not allow.
func outside(bound object) (out []any) {
	for key, n := range bound {
		switch n := n.(int); key {
		case "minLength":
			out = append(out, strings.Repeat("x", n-1))
		case "maxLength":
			out = append(out, strings.Repeat("x", n+1))
		case "minimum":
			out = append(out, n-1)
		case "maximum":
			out = append(out, n+1)
		}
	}
	return out
}
