package ocpp

import (
	"encoding/json"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds on what [Parse] lets through. Beyond them a frame is refused.
const (
	MaxFrameBytes  = 1 << 20 // bytes of a frame
	MaxDepth       = 32      // arrays and objects inside each other, the frame's own array included
	MaxNumberBytes = 64      // bytes of one number
	maxExponentLen = 3       // digits of an exponent: 1e999 is the largest that is looked at
)

// A scanner is one strict pass over JSON (RFC 8259). With build set it returns
// the value: map[string]any, []any, string, json.Number, bool or nil; without,
// it only checks, and allocates nothing in the common case.
type scanner struct {
	b     []byte
	i     int
	depth int
	build bool
	keys  [][]byte                        // names of the objects being scanned, outermost first
	on    func(name string, from, to int) // told of each scalar member, when set
}

// A syntaxError says what is wrong with the JSON, and where.
type syntaxError struct {
	at   int
	what string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.what, e.at) }

func (s *scanner) fail(what string) *syntaxError { return &syntaxError{s.i, what} }

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// peek returns the next byte that is not white space, 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.i == len(s.b) {
		return 0
	}
	return s.b[s.i]
}

func (s *scanner) value() (any, *syntaxError) {
	switch c := s.peek(); {
	case c == '{':
		return s.object()
	case c == '[':
		return s.array()
	case c == '"':
		return s.text()
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	case c == 't':
		return true, s.word("true")
	case c == 'f':
		return false, s.word("false")
	case c == 'n':
		return nil, s.word("null")
	case c == 0 && s.i == len(s.b):
		return nil, s.fail("unexpected end")
	}
	return nil, s.fail("not a JSON value")
}

func (s *scanner) word(w string) *syntaxError {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return s.fail("not a JSON value")
	}
	s.i += len(w)
	return nil
}

func (s *scanner) enter() *syntaxError {
	if s.depth++; s.depth > MaxDepth {
		return s.fail("nested too deeply")
	}
	s.i++
	return nil
}

func (s *scanner) array() (any, *syntaxError) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	list := []any{}
	if s.peek() == ']' {
		s.i, s.depth = s.i+1, s.depth-1
		return list, nil
	}
	for {
		v, err := s.value()
		if err != nil {
			return nil, err
		}
		if s.build {
			list = append(list, v)
		}
		switch s.peek() {
		case ',':
			s.i++
		case ']':
			s.i, s.depth = s.i+1, s.depth-1
			return list, nil
		default:
			return nil, s.fail("expected ',' or ']'")
		}
	}
}

func (s *scanner) object() (any, *syntaxError) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	var obj map[string]any
	if s.build {
		obj = map[string]any{}
	}
	base := len(s.keys)
	defer func() { s.keys = s.keys[:base] }()
	if s.peek() == '}' {
		s.i, s.depth = s.i+1, s.depth-1
		return obj, nil
	}
	var many map[string]bool
	for {
		name, err := s.name(base, &many)
		if err != nil {
			return nil, err
		}
		if err := s.member(name, obj); err != nil {
			return nil, err
		}
		switch s.peek() {
		case ',':
			s.i++
		case '}':
			s.i, s.depth = s.i+1, s.depth-1
			return obj, nil
		default:
			return nil, s.fail("expected ',' or '}'")
		}
	}
}

// fewNames is the number of names of one object up to which a new one is
// compared with each; above it a map is made, so that an object of 100,000
// names costs no more than its bytes.
const fewNames = 16

// name reads a member's name and the colon, and refuses a name that the object
// already has, however either is escaped.
func (s *scanner) name(base int, many *map[string]bool) ([]byte, *syntaxError) {
	if s.peek() != '"' {
		return nil, s.fail("expected a member name")
	}
	from := s.i
	if err := s.skipText(); err != nil {
		return nil, err
	}
	name := unquote(s.b[from:s.i])
	if *many != nil {
		if (*many)[string(name)] {
			return nil, &syntaxError{from, "duplicate member name"}
		}
		(*many)[string(name)] = true
	} else {
		for _, k := range s.keys[base:] {
			if string(k) == string(name) {
				return nil, &syntaxError{from, "duplicate member name"}
			}
		}
		s.keys = append(s.keys, name)
		if len(s.keys)-base > fewNames {
			*many = map[string]bool{}
			for _, k := range s.keys[base:] {
				(*many)[string(k)] = true
			}
		}
	}
	if s.peek() != ':' {
		return nil, s.fail("expected ':'")
	}
	s.i++
	return name, nil
}

func (s *scanner) member(name []byte, obj map[string]any) *syntaxError {
	c := s.peek()
	from := s.i
	v, err := s.value()
	if err != nil {
		return err
	}
	if obj != nil {
		obj[string(name)] = v
	}
	if s.on != nil && c != '{' && c != '[' {
		s.on(string(name), from, s.i)
	}
	return nil
}

func (s *scanner) text() (any, *syntaxError) {
	from := s.i
	if err := s.skipText(); err != nil || !s.build {
		return nil, err
	}
	return string(unquote(s.b[from:s.i])), nil
}

// skipText checks a string's syntax and moves behind it.
func (s *scanner) skipText() *syntaxError {
	for s.i++; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return nil
		case c < ' ':
			return s.fail("control character in a string")
		case c == '\\':
			if err := s.escape(); err != nil {
				return err
			}
		}
	}
	return s.fail("unexpected end of a string")
}

// escape checks one escape sequence and stops on its last byte.
func (s *scanner) escape() *syntaxError {
	s.i++
	if s.i == len(s.b) {
		return s.fail("unexpected end of a string")
	}
	switch s.b[s.i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
		if len(s.b)-s.i > 4 && hex4(s.b[s.i+1:]) >= 0 {
			s.i += 4
			return nil
		}
	}
	return s.fail("bad escape")
}

// unquote returns the content of a string that skipText has checked; the bytes
// are the source's own when nothing is escaped.
func unquote(q []byte) []byte {
	q = q[1 : len(q)-1]
	plain := true
	for _, c := range q {
		if c == '\\' {
			plain = false
			break
		}
	}
	if plain {
		return q
	}
	out := make([]byte, 0, len(q))
	for i := 0; i < len(q); i++ {
		if q[i] != '\\' {
			out = append(out, q[i])
			continue
		}
		i++
		switch q[i] {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, more := unescapeRune(q[i+1:])
			out = utf8.AppendRune(out, r)
			i += 4 + more
		default: // '"', '\\', '/'
			out = append(out, q[i])
		}
	}
	return out
}

// unescapeRune reads the four digits of a \u escape, and the second half of a
// surrogate pair; more is the length of that half. A lone half is U+FFFD.
func unescapeRune(q []byte) (r rune, more int) {
	r = hex4(q)
	if !utf16.IsSurrogate(r) {
		return r, 0
	}
	if len(q) >= 10 && q[4] == '\\' && q[5] == 'u' {
		if pair := utf16.DecodeRune(r, hex4(q[6:])); pair != utf8.RuneError {
			return pair, 6
		}
	}
	return utf8.RuneError, 0
}

// hex4 reads four hex digits, -1 when there are none. len(b) >= 4.
func hex4(b []byte) (r rune) {
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

func (s *scanner) number() (any, *syntaxError) {
	from := s.i
	if s.b[s.i] == '-' {
		s.i++
	}
	whole := s.digits()
	if whole == 0 || whole > 1 && s.b[s.i-whole] == '0' {
		return nil, &syntaxError{from, "not a JSON number"}
	}
	if s.i < len(s.b) && s.b[s.i] == '.' {
		if s.i++; s.digits() == 0 {
			return nil, &syntaxError{from, "not a JSON number"}
		}
	}
	if s.i < len(s.b) && s.b[s.i]|0x20 == 'e' {
		if s.i++; s.i < len(s.b) && (s.b[s.i] == '+' || s.b[s.i] == '-') {
			s.i++
		}
		switch n := s.digits(); {
		case n == 0:
			return nil, &syntaxError{from, "not a JSON number"}
		case n > maxExponentLen:
			return nil, &syntaxError{from, "number out of bounds"}
		}
	}
	if s.i-from > MaxNumberBytes {
		return nil, &syntaxError{from, "number out of bounds"}
	}
	if !s.build {
		return nil, nil
	}
	return json.Number(s.b[from:s.i]), nil
}

func (s *scanner) digits() int {
	from := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i - from
}

// decode reads one whole JSON text into a value; see scanner.
func decode(b []byte) (any, *syntaxError) {
	if !utf8.Valid(b) {
		return nil, &syntaxError{0, "not UTF-8"}
	}
	s := scanner{b: b, build: true}
	v, err := s.value()
	if err != nil {
		return nil, err
	}
	if s.space(); s.i < len(b) {
		return nil, s.fail("data after the value")
	}
	return v, nil
}

// appendText appends t as a JSON string. What is not UTF-8 becomes U+FFFD.
func appendText(b []byte, t string) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range t {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ':
			b = append(b, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}
