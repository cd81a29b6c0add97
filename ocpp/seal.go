package ocpp

import (
	"strings"
	"unicode/utf8"
)

// SealTokens returns raw with the value of every member that holds a driver's
// token replaced by seal(token), and everything else as it was, byte for byte.
// Such members are idTag and parentIdTag (1.6), idToken and additionalIdToken
// (2.x) at any depth and in any case, whether the value is a string or, by
// mistake, another scalar; an empty one is left. A raw text that is not strict
// JSON yields nil: nobody can say where its tokens are, so it must not be kept.
func SealTokens(raw []byte, seal func(tok string) string) []byte {
	if !utf8.Valid(raw) {
		return nil
	}
	out := make([]byte, 0, len(raw)+128)
	done := 0
	s := scanner{b: raw, on: func(name string, from, to int) {
		if !isToken(name) || string(raw[from:to]) == "null" {
			return
		}
		tok := string(raw[from:to])
		if raw[from] == '"' {
			tok = string(unquote(raw[from:to]))
		}
		if tok == "" {
			return
		}
		out = append(out, raw[done:from]...)
		out = appendText(out, seal(tok))
		done = to
	}}
	if _, err := s.value(); err != nil {
		return nil
	}
	if s.space(); s.i < len(raw) {
		return nil
	}
	return append(out, raw[done:]...)
}

func isToken(name string) bool {
	for _, n := range [...]string{"idTag", "parentIdTag", "idToken", "additionalIdToken"} {
		if strings.EqualFold(name, n) {
			return true
		}
	}
	return false
}
