package server

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/holdfast-ev/holdfast/cloud"
)

// words.json holds what reflection cannot see of the types of the API: their
// comments, and the constants of the named strings. A test makes it from the
// source (-rewrite) and fails when it is not what the source says.
//
//go:embed words.json
var wordsJSON []byte

// words are the comments of one type: its own, its fields' and its constants'.
type words struct {
	Doc    string            `json:"doc,omitempty"`
	Fields map[string]string `json:"fields,omitempty"`
	Enum   []enumWord        `json:"enum,omitempty"`
}

type enumWord struct {
	Value string `json:"value"`
	Doc   string `json:"doc,omitempty"`
}

// object is a JSON object under construction.
type object = map[string]any

// Document returns the OpenAPI 3.1 document of the operators' endpoint, made
// from its routes, the types that they read and answer, the comments of those
// types and [Problems]. It is the same for every server of this version.
func Document() ([]byte, error) {
	var w map[string]words
	if err := json.Unmarshal(wordsJSON, &w); err != nil {
		return nil, fmt.Errorf("make the OpenAPI document: %w", err)
	}
	s := &Server{metrics: newMetrics("")} // declares its routes and never serves
	return encodeDocument(s.operators().declared(), w)
}

func encodeDocument(list []route, w map[string]words) ([]byte, error) {
	doc, err := newDocument(list, w)
	if err != nil {
		return nil, fmt.Errorf("make the OpenAPI document: %w", err)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(doc); err != nil {
		return nil, fmt.Errorf("make the OpenAPI document: %w", err)
	}
	return b.Bytes(), nil
}

// newDocument makes the document of routes.
func newDocument(list []route, w map[string]words) (object, error) {
	g := newSchemas(w)
	for _, rt := range list { // answers first: a type that is asked for as well gets a second name
		if rt.out != nil {
			g.of(rt.out)
		}
	}
	paths, responses, tags := object{}, object{}, []object{}
	for _, rt := range list {
		item, ok := paths[rt.path()].(object)
		if !ok {
			item = object{}
			paths[rt.path()] = item
		}
		item[strings.ToLower(rt.method())] = g.operation(rt, responses)
		if !slices.ContainsFunc(tags, func(t object) bool { return t["name"] == rt.tag }) {
			tags = append(tags, object{"name": rt.tag})
		}
	}
	g.of(reflect.TypeFor[Problem]())
	if g.unknown != nil {
		return nil, fmt.Errorf("no JSON Schema for %s: schema.go does not know this kind of value", g.unknown)
	}
	return object{
		"openapi":           "3.1.0",
		"jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
		"info": object{
			"title": "Holdfast", "version": "1",
			"description": "The operators' API of a Holdfast cloud. docs/api.md says what all calls have in common.",
			"license":     object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers": []object{{"url": "/", "description": "the cloud that serves this document"}},
		"tags":    tags,
		"paths":   paths,
		"components": object{
			"schemas":   g.made,
			"responses": responses,
			"securitySchemes": object{"apiToken": object{
				"type": "http", "scheme": "bearer", "description": "The API token, which the cloud prints at its first start.",
			}},
			"headers": object{
				"X-Request-Id": object{
					"description": "The id of this request in the cloud's log.", "schema": object{"type": "string", "pattern": "^[0-9a-f]{16}$"},
				},
				"ETag": object{"description": "Changes when the answer does.", "schema": object{"type": "string"}},
				"Link": object{"description": "The next page, rel=\"next\"; none on the last one.", "schema": object{"type": "string"}},
				againHeader: object{
					"description": "Present when this is the answer to an earlier request with the same key.", "schema": object{"const": "true"},
				},
			},
		},
	}, nil
}

func ref(kind, name string) object { return object{"$ref": "#/components/" + kind + "/" + name} }

// operation makes the document's part about one route.
func (g *schemas) operation(rt route, responses object) object {
	op := object{"operationId": operationID(rt.name), "tags": []string{rt.tag}, "summary": rt.doc, "responses": g.answers(rt, responses)}
	token := object{"apiToken": []string{}}
	switch {
	case rt.who == callerOperator:
		op["security"] = []object{token}
	case slices.Contains(rt.problems, kindToken): // sometimes
		op["security"] = []object{{}, token}
	default:
		op["security"] = []object{}
	}
	if list := g.parameters(rt); len(list) > 0 {
		op["parameters"] = list
	}
	if rt.limit > 0 {
		media := object{"schema": g.request(rt.in)}
		if rt.example != nil {
			media["example"] = rt.example
		}
		op["requestBody"] = object{
			"required": true, "description": "At most " + strconv.FormatInt(rt.limit, 10) + " bytes.",
			"content": object{"application/json": media},
		}
	}
	return op
}

// operationID is a route's name in the form that most generators of clients use
// as it is: "sites.add" is sitesAdd.
func operationID(name string) string {
	parts := strings.FieldsFunc(name, func(r rune) bool { return r == '.' || r == '_' })
	for i := 1; i < len(parts); i++ {
		parts[i] = strings.ToUpper(parts[i][:1]) + parts[i][1:]
	}
	return strings.Join(parts, "")
}

func (g *schemas) parameters(rt route) (out []object) {
	for rest := rt.path(); ; {
		_, after, ok := strings.Cut(rest, "{")
		if !ok {
			break
		}
		name, tail, _ := strings.Cut(after, "}")
		p := pathParams()[name]
		out = append(out, object{"name": name, "in": "path", "required": true, "description": p.doc, "schema": g.of(p.is)})
		rest = tail
	}
	if rt.keyed() {
		out = append(out, object{
			"name": keyHeader, "in": "header", "required": rt.mustKey,
			"description": "Chosen by the caller. The same key with the same request gets the first answer again and does nothing.",
			"schema":      object{"type": "string", "minLength": 1, "maxLength": cloud.MaxRequestKey, "examples": []string{"8e03978e-40d5-43e8-bc93-6894a57f9324"}},
		})
	}
	if rt.tagged() {
		out = append(out, conditions(rt)...)
	}
	for _, p := range rt.query {
		out = append(out, object{"name": p.name, "in": "query", "description": p.doc, "schema": g.of(p.is)})
	}
	return out
}

// conditions are the headers that compare ETags.
func conditions(rt route) []object {
	tags := object{"type": "string", "examples": []string{`"3q2-7wAAAAAAAAAA"`}}
	if !rt.replaces {
		return []object{{"name": "If-None-Match", "in": "header", "schema": tags,
			"description": "An ETag that was answered before: 304 when nothing has changed."}}
	}
	return []object{
		{"name": "If-Match", "in": "header", "schema": tags, "description": "The ETag of the state that is replaced. This or If-None-Match has to be given."},
		{"name": "If-None-Match", "in": "header", "schema": object{"const": "*"}, "description": "For what is not there yet."},
	}
}

// answers makes the responses of a route; those with problems are shared.
func (g *schemas) answers(rt route, responses object) object {
	out := object{}
	good := object{"description": http.StatusText(rt.success()), "headers": object{"X-Request-Id": ref("headers", "X-Request-Id")}}
	headers := good["headers"].(object)
	if rt.tagged() {
		headers["ETag"] = ref("headers", "ETag")
		if rt.method() == http.MethodGet {
			out["304"] = object{"description": "Not Modified", "headers": object{
				"ETag": ref("headers", "ETag"), "X-Request-Id": ref("headers", "X-Request-Id"),
			}}
		}
	}
	if slices.ContainsFunc(rt.query, func(p param) bool { return p.name == "cursor" }) {
		headers["Link"] = ref("headers", "Link")
	}
	if rt.keyed() {
		headers[againHeader] = ref("headers", againHeader)
	}
	switch {
	case rt.media != "":
		schema := object{"type": "string"}
		if strings.HasSuffix(rt.media, "json") {
			schema = object{"type": "object"}
		}
		good["content"] = object{rt.media: object{"schema": schema}}
	case rt.out != nil:
		good["content"] = object{"application/json": object{"schema": g.of(rt.out)}}
	}
	out[strconv.Itoa(rt.success())] = good
	byStatus := map[int][]ProblemKind{}
	for _, k := range rt.kinds() {
		if !slices.Contains(byStatus[k.Status], k) {
			byStatus[k.Status] = append(byStatus[k.Status], k)
		}
	}
	for status, kinds := range byStatus {
		out[strconv.Itoa(status)] = g.problems(kinds, responses)
	}
	return out
}

// problems makes the shared response of kinds with one status.
func (g *schemas) problems(kinds []ProblemKind, responses object) object {
	slices.SortFunc(kinds, func(a, b ProblemKind) int { return strings.Compare(a.Slug, b.Slug) })
	var slugs, types, text []string
	for _, k := range kinds {
		slugs, types = append(slugs, k.Slug), append(types, ProblemBase+k.Slug)
		text = append(text, fmt.Sprintf("[%s](%s%s): %s.", k.Slug, ProblemBase, k.Slug, k.Title))
	}
	name := strings.Join(slugs, "_or_")
	responses[name] = object{
		"description": strings.Join(text, "\n"),
		"headers":     object{"X-Request-Id": ref("headers", "X-Request-Id")},
		"content": object{"application/problem+json": object{"schema": object{
			"allOf":      []object{ref("schemas", "Problem")},
			"properties": object{"type": object{"enum": types}, "status": object{"const": kinds[0].Status}},
		}}},
	}
	return ref("responses", name)
}

// serveDocument answers GET /v1/openapi.json; the document is made once.
func serveDocument() func(http.ResponseWriter, *call) (int, error) {
	document := sync.OnceValues(Document)
	return func(w http.ResponseWriter, _ *call) (int, error) {
		b, err := document()
		if err != nil {
			return 0, err
		}
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "no-cache")
		w.Write(b) // the peer may be gone; there is nobody to tell
		return http.StatusOK, nil
	}
}
