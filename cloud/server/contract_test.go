package server

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// A contract is the OpenAPI document as a test reads it: without any of the
// code that made it.
type contract struct {
	tree object

	mu       sync.Mutex // of the compiler
	compiler *jsonschema.Compiler
}

// theContract is one for all tests: each schema is compiled once.
var theContract = sync.OnceValues(readContract)

const contractURL = "https://holdfast.invalid/openapi.json"

func document(t testing.TB) *contract {
	t.Helper()
	c, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// readContract reads the document more strictly than a client should: an answer
// has no field that the document does not name.
func readContract() (*contract, error) {
	b, err := Document()
	if err != nil {
		return nil, err
	}
	tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	c := &contract{tree: tree.(object), compiler: jsonschema.NewCompiler()}
	for _, s := range c.tree["components"].(object)["schemas"].(object) {
		if s := s.(object); s["properties"] != nil {
			s["additionalProperties"] = false
		}
	}
	return c, c.compiler.AddResource(contractURL, tree)
}

// schema compiles the schema at a JSON pointer.
func (c *contract) schema(pointer string) (*jsonschema.Schema, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.compiler.Compile(contractURL + "#" + pointer)
}

// operation finds what the document says of a method and an address.
func (c *contract) operation(method, address string) (op object, pointer string) {
	parts := strings.Split(address, "/")
	best := -1
	for path, item := range c.tree["paths"].(object) {
		found, ok := item.(object)[strings.ToLower(method)]
		if !ok {
			continue
		}
		if n := literal(strings.Split(path, "/"), parts); n > best {
			best, op = n, found.(object)
			pointer = "/paths/" + escape(path) + "/" + strings.ToLower(method)
		}
	}
	return op, pointer
}

// literal counts the parts of a path that are no wildcard, -1 when it is not the
// path of address.
func literal(path, address []string) (n int) {
	if len(path) != len(address) {
		return -1
	}
	for i, p := range path {
		switch {
		case p == address[i]:
			n++
		case !strings.HasPrefix(p, "{"):
			return -1
		}
	}
	return n
}

// escape is a part of a pointer in a URL's fragment (RFC 6901 section 6).
func escape(s string) string {
	return url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(s))
}

// check holds an exchange against the document.
func (c *contract) check(t testing.TB, req *http.Request, body []byte, a answer) {
	t.Helper()
	for _, lie := range c.lies(req, body, a) {
		t.Errorf("%s %s: HTTP %d: %s\n%s", req.Method, req.URL.Path, a.status, lie, a.body)
	}
}

// lies says where an exchange and the document differ: the answer is not one
// that it promises, or a request succeeded that it does not allow.
func (c *contract) lies(req *http.Request, body []byte, a answer) []string {
	method := req.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	op, pointer := c.operation(method, req.URL.EscapedPath())
	media, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	switch {
	case a.status >= 400 && media != "application/problem+json":
		return []string{"an error, and no problem"}
	case op == nil && a.status < 400 && !ofGateways(req.URL.Path):
		return []string{"the document does not know the call"}
	case op == nil:
		return nil
	}
	status := strconv.Itoa(a.status)
	response, ok := op["responses"].(object)[status].(object)
	if !ok {
		return []string{"not among the answers in the document"}
	}
	at := pointer + "/responses/" + status
	if r, ok := response["$ref"].(string); ok {
		at = strings.TrimPrefix(r, "#")
		response = c.tree["components"].(object)["responses"].(object)[r[strings.LastIndexByte(r, '/')+1:]].(object)
	}
	headers, _ := response["headers"].(object)
	for _, name := range []string{"X-Request-Id", "ETag"} { // those that are always there
		if _, promised := headers[name]; promised != (a.header.Get(name) != "") {
			return []string{fmt.Sprintf("header %s %q, promised %t", name, a.header.Get(name), promised)}
		}
	}
	content, _ := response["content"].(object)
	if _, ok := content[media]; !ok && len(a.body) > 0 {
		return []string{"the document does not have " + media}
	}
	var out []string
	if strings.HasSuffix(media, "json") && req.Method != http.MethodHead {
		out = append(out, c.valid("the answer", at+"/content/"+escape(media)+"/schema", a.body)...)
	}
	if a.status < 300 && op["requestBody"] != nil {
		out = append(out, c.valid("the request, which was done,", pointer+"/requestBody/content/"+escape("application/json")+"/schema", body)...)
	}
	return out
}

// ofGateways reports whether an address is one of the gateway endpoint, which
// docs/uplink.md describes.
func ofGateways(path string) bool {
	return path == "/v1/enrol" || strings.HasPrefix(path, "/v1/gateways/") && strings.Count(path, "/") > 3
}

func (c *contract) valid(what, pointer string, body []byte) []string {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return []string{fmt.Sprintf("%s: %v", what, err)}
	}
	s, err := c.schema(pointer)
	if err == nil {
		err = s.Validate(v)
	}
	if err != nil {
		return []string{fmt.Sprintf("%s is not as documented: %v", what, err)}
	}
	return nil
}

// The check that every answer of every test goes through sees a lie.
func TestContractSeesLies(t *testing.T) {
	c := document(t)
	site := `{"id":"north","name":"n","gateway":"gw-north","created":1,"enrolled":0,"list_version":1,"policy":{"offline":{},"degraded":{},"hard":{},"unknown":{}},"contact":{"seen":0,"backlog":0}}`
	problem := `{"type":"https://holdfast-ev.github.io/problems/not-found","title":"t","status":404}`
	for _, lie := range []struct {
		name, method, path, request string
		status                      int
		body                        string
		want                        int
	}{
		{"the truth", "GET", "/v1/sites/north", "", 200, site, 0},
		{"a problem of its own", "GET", "/v1/sites/north", "", 404, problem, 0},
		{"another problem", "GET", "/v1/sites/north", "", 404, strings.Replace(problem, "not-found", "gone", 1), 1},
		{"another status", "GET", "/v1/sites/north", "", 202, site, 1},
		{"a field that is not named", "GET", "/v1/sites/north", "", 200, strings.Replace(site, "{", `{"new":1,`, 1), 1},
		{"a field is missing", "GET", "/v1/sites/north", "", 200, strings.Replace(site, `"created":1,`, "", 1), 1},
		{"a field of another type", "GET", "/v1/sites/north", "", 200, strings.Replace(site, `"created":1,`, `"created":"1",`, 1), 1},
		{"null for a list", "GET", "/v1/sites", "", 200, `{"items":null}`, 1},
		{"an unknown call", "GET", "/v1/nothing", "", 200, `{}`, 1},
		{"a request that it does not allow", "POST", "/v1/tokens/erase", `{"tokn":"1"}`, 200, `{"keys_destroyed":0}`, 1},
	} {
		req, err := http.NewRequest(lie.method, "http://127.0.0.1"+lie.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		media, tag := "application/json", []string{"x"}
		if lie.status >= 400 {
			media, tag = "application/problem+json", nil
		}
		if lie.method == "POST" {
			tag = nil
		}
		got := c.lies(req, []byte(lie.request), answer{lie.status, http.Header{"Content-Type": {media}, "X-Request-Id": {"0"}, "Etag": tag}, []byte(lie.body)})
		if len(got) != lie.want {
			t.Errorf("%s: %d found: %v", lie.name, len(got), got)
		}
	}
}
