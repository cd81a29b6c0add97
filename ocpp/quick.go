package ocpp

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// A shape is a JSON schema as far as the usual message needs it. It can say that
// a payload is valid, in one pass and without building it; it never says that
// one is not: whatever is not plainly valid goes to the full schema, which alone
// finds faults. So a shape may know less than the schema (it gives up at an
// escape, a letter beyond ASCII, an exponent, a keyword it has not heard of),
// and must never accept more. A fuzz test compares the two.
type shape struct {
	kind    byte // 'o'bject, 'a'rray, 's'tring, 'i'nteger, 'n'umber, 'b'oolean; 0: not judged here
	members map[string]member
	need    uint64 // bits of the members that must be there
	item    *shape
	least   int // elements of an array
	most    int // elements of an array, characters of a string; -1: no bound
	one     []string
}

// A member of an object, and its bit.
type member struct {
	bit   uint64
	shape *shape
}

// shapeOf compiles a schema; refs are the definitions compiled so far.
func shapeOf(doc, root map[string]any, refs map[string]*shape) *shape {
	if ref, ok := doc["$ref"].(string); ok {
		name, _ := strings.CutPrefix(ref, "#/definitions/")
		if s := refs[name]; s != nil {
			return s
		}
		definitions, _ := root["definitions"].(map[string]any)
		to, ok := definitions[name].(map[string]any)
		if !ok {
			return &shape{}
		}
		s := &shape{}
		refs[name] = s // before it is filled: a definition may name itself
		*s = *shapeOf(to, root, refs)
		return s
	}
	s := &shape{most: -1}
	known := true
	kind, _ := doc["type"].(string)
	for key, v := range doc {
		known = s.keyword(kind, key, v, root, refs) && known
	}
	if known && (kind != "array" || s.item != nil) && (kind != "object" || s.members != nil) {
		s.kind = kindOf(kind)
	}
	if s.kind == 'o' {
		known = s.require(doc["required"])
	}
	if !known {
		return &shape{}
	}
	return s
}

func kindOf(t string) byte {
	switch t {
	case "object", "array", "string", "integer", "number", "boolean":
		return t[0]
	}
	return 0
}

// keyword takes one keyword of a schema. It reports whether it is understood.
func (s *shape) keyword(kind, key string, v any, root map[string]any, refs map[string]*shape) bool {
	whole := func(to *int) bool {
		n, ok := v.(json.Number)
		i, err := strconv.Atoi(string(n))
		*to = i
		return ok && err == nil
	}
	switch key {
	case "$schema", "$id", "$comment", "comment", "description", "title", "default", "javaType", "definitions", "type", "required":
		return true
	case "format": // not asserted
		return true
	case "additionalItems": // without effect, since items is one schema for all
		return kind == "array"
	case "additionalProperties":
		allowed, ok := v.(bool)
		return ok && (!allowed || kind == "object") // an unknown member is never accepted here
	case "maxLength":
		return kind == "string" && whole(&s.most)
	case "minItems":
		return kind == "array" && whole(&s.least)
	case "maxItems":
		return kind == "array" && whole(&s.most)
	case "enum":
		list, ok := v.([]any)
		for _, e := range list {
			text, isText := e.(string)
			ok = ok && isText
			s.one = append(s.one, text)
		}
		return ok && kind == "string"
	case "items":
		doc, ok := v.(map[string]any)
		if ok {
			s.item = shapeOf(doc, root, refs)
		}
		return ok
	case "properties":
		return s.properties(v, root, refs)
	}
	return false
}

func (s *shape) properties(v any, root map[string]any, refs map[string]*shape) bool {
	all, ok := v.(map[string]any)
	if !ok || len(all) > 64 {
		return false
	}
	s.members = make(map[string]member, len(all))
	for name, doc := range all {
		of, ok := doc.(map[string]any)
		if !ok {
			return false
		}
		s.members[name] = member{1 << len(s.members), shapeOf(of, root, refs)}
	}
	return true
}

func (s *shape) require(v any) bool {
	list, ok := v.([]any)
	for _, e := range list {
		name, _ := e.(string)
		m, known := s.members[name]
		ok = ok && known
		s.need |= m.bit
	}
	return ok || v == nil
}

// accepts reports whether payload is plainly valid.
func (s *shape) accepts(payload []byte) bool {
	q := quick{b: payload}
	return q.value(s) && q.next() == 0 && q.i == len(payload)
}

// A quick is the pass over a payload.
type quick struct {
	b []byte
	i int
}

// next skips white space and returns the byte there, 0 at the end.
func (q *quick) next() byte {
	for ; q.i < len(q.b); q.i++ {
		switch c := q.b[q.i]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// take moves behind c, if it is next.
func (q *quick) take(c byte) bool {
	if q.next() != c {
		return false
	}
	q.i++
	return true
}

func (q *quick) value(s *shape) bool {
	switch s.kind {
	case 'o':
		return q.take('{') && q.object(s)
	case 'a':
		return q.take('[') && q.array(s)
	case 's':
		text, ok := q.text()
		return ok && (s.most < 0 || len(text) <= s.most) && s.allows(text)
	case 'i':
		return q.number(false)
	case 'n':
		return q.number(true)
	case 'b':
		return q.word("true") || q.word("false")
	}
	return false
}

func (s *shape) allows(text []byte) bool {
	for _, e := range s.one {
		if string(text) == e {
			return true
		}
	}
	return s.one == nil
}

func (q *quick) object(s *shape) bool {
	var seen uint64
	for !q.take('}') {
		if seen != 0 && !q.take(',') {
			return false
		}
		name, ok := q.text()
		if !ok || !q.take(':') {
			return false
		}
		m, ok := s.members[string(name)]
		if !ok || seen&m.bit != 0 || !q.value(m.shape) {
			return false
		}
		seen |= m.bit
	}
	return seen&s.need == s.need
}

func (q *quick) array(s *shape) bool {
	n := 0
	for ; !q.take(']'); n++ {
		if n > 0 && !q.take(',') || !q.value(s.item) {
			return false
		}
	}
	return n >= s.least && (s.most < 0 || n <= s.most)
}

// text reads a string of plain ASCII.
func (q *quick) text() ([]byte, bool) {
	if !q.take('"') {
		return nil, false
	}
	from := q.i
	for ; q.i < len(q.b); q.i++ {
		switch c := q.b[q.i]; {
		case c == '"':
			q.i++
			return q.b[from : q.i-1], true
		case c < ' ' || c == '\\' || c > '~':
			return nil, false
		}
	}
	return nil, false
}

// maxPlain bounds the characters of a number that is judged here.
const maxPlain = 15

// number reads a number of plain digits, with a fraction where one may be.
func (q *quick) number(fraction bool) bool {
	q.next()
	from := q.i
	if q.i < len(q.b) && q.b[q.i] == '-' {
		q.i++
	}
	whole := q.digits()
	if whole == 0 || whole > 1 && q.b[q.i-whole] == '0' {
		return false
	}
	if fraction && q.i < len(q.b) && q.b[q.i] == '.' {
		if q.i++; q.digits() == 0 {
			return false
		}
	}
	if q.i < len(q.b) && (q.b[q.i] == '.' || q.b[q.i]|0x20 == 'e') {
		return false
	}
	return q.i-from <= maxPlain
}

func (q *quick) digits() int {
	from := q.i
	for q.i < len(q.b) && q.b[q.i] >= '0' && q.b[q.i] <= '9' {
		q.i++
	}
	return q.i - from
}

func (q *quick) word(w string) bool {
	if q.next(); !bytes.HasPrefix(q.b[q.i:], []byte(w)) {
		return false
	}
	q.i += len(w)
	return true
}
