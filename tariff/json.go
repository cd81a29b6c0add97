package tariff

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// maxDepth bounds the nesting of a tariff document; OCPI needs six levels.
const maxDepth = 16

// A node is a JSON value with its path. Reading by hand instead of into structs
// lets every error name its place, and keeps three habits of encoding/json out
// of prices: it takes the last of two equal keys, it matches keys without
// regard to case, and it skips keys it does not know.
type node struct {
	path   string
	kind   string // "object", "array", "string", "number", "boolean", "null"
	text   string // of a string or number
	keys   []string
	fields map[string]*node
	items  []*node
}

func readJSON(b []byte) (*node, *Error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	n, err := readNode(d, "$", 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fault(CodeJSON, "$", "something follows the tariff object")
	}
	return n, nil
}

func readNode(d *json.Decoder, path string, depth int) (*node, *Error) {
	if depth > maxDepth {
		return nil, fault(CodeJSON, path, fmt.Sprintf("nested deeper than %d levels", maxDepth))
	}
	t, err := d.Token()
	if err != nil {
		return nil, fault(CodeJSON, path, fmt.Sprintf("not JSON: %v", err))
	}
	n := &node{path: path}
	switch v := t.(type) {
	case json.Delim:
		if v == '{' {
			return n, n.readObject(d, depth)
		}
		return n, n.readArray(d, depth)
	case string:
		n.kind, n.text = "string", v
	case json.Number:
		n.kind, n.text = "number", v.String()
	case bool:
		n.kind = "boolean"
	default:
		n.kind = "null"
	}
	return n, nil
}

func (n *node) readObject(d *json.Decoder, depth int) *Error {
	n.kind, n.fields = "object", map[string]*node{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return fault(CodeJSON, n.path, fmt.Sprintf("not JSON: %v", err))
		}
		key, _ := t.(string) // the decoder allows nothing else as a key
		path := n.path + "." + clip(key)
		if n.fields[key] != nil {
			return fault(CodeJSON, path, "the key is there twice")
		}
		v, fail := readNode(d, path, depth+1)
		if fail != nil {
			return fail
		}
		n.keys = append(n.keys, key)
		n.fields[key] = v
	}
	return n.readEnd(d)
}

func (n *node) readArray(d *json.Decoder, depth int) *Error {
	n.kind = "array"
	for d.More() {
		v, fail := readNode(d, n.path+"["+strconv.Itoa(len(n.items))+"]", depth+1)
		if fail != nil {
			return fail
		}
		n.items = append(n.items, v)
	}
	return n.readEnd(d)
}

func (n *node) readEnd(d *json.Decoder) *Error {
	if _, err := d.Token(); err != nil {
		return fault(CodeJSON, n.path, fmt.Sprintf("not JSON: %v", err))
	}
	return nil
}

// get returns the field, or nil when it is absent or null: OCPI reads a null
// as a field that was not specified.
func (n *node) get(key string) *node {
	if v := n.fields[key]; v != nil && v.kind != "null" {
		return v
	}
	return nil
}

// want returns a required field of the given kind.
func (n *node) want(key, kind string) (*node, *Error) {
	v := n.get(key)
	if v == nil {
		return nil, fault(CodeMissing, n.path+"."+key, "is required and missing")
	}
	return v, v.is(kind)
}

func (n *node) is(kind string) *Error {
	if n.kind != kind {
		return fault(CodeType, n.path, fmt.Sprintf("is a %s, want a %s", n.kind, kind))
	}
	return nil
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}
