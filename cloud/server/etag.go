package server

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"

	"github.com/holdfast-ev/holdfast/cloud"
)

// etag is the strong validator of a body (RFC 9110 section 8.8.3): the same bytes
// have the same one, whoever made them.
func etag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}

// tagged reports whether an answer of the route has an ETag.
func (rt route) tagged() bool {
	return rt.who == callerOperator && (rt.method() == http.MethodGet || rt.replaces)
}

// writeTagged sends v with its ETag, or 304 when the caller has it already.
func writeTagged(w http.ResponseWriter, c *call, v any) (int, error) {
	b, err := encodeJSON(v)
	if err != nil {
		return 0, err
	}
	tag := etag(b)
	h := w.Header()
	h.Set("ETag", tag)
	h.Set("Cache-Control", "private, no-cache")
	if c.route.method() == http.MethodGet && matches(c.req.Header.Values("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return http.StatusNotModified, nil
	}
	h.Set("Content-Type", "application/json")
	w.WriteHeader(c.route.success())
	w.Write(b) // the peer may be gone; there is nobody to tell
	return c.route.success(), nil
}

// matches reports whether a list of entity tags has tag, or is "*". Ours are
// strong and have no comma in them.
func matches(lines []string, tag string) bool {
	for _, line := range lines {
		for one := range strings.SplitSeq(line, ",") {
			one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
			if one == tag || one == "*" {
				return true
			}
		}
	}
	return false
}

// replace routes a PUT to f, which replaces what current answers. The caller
// says which state it replaces: If-Match with the ETag that a GET of the same
// address answered, or If-None-Match: * for what is not there yet. The
// comparison and f are one transaction, so that of two people who change the
// same at the same time one is told.
func replace[In, Out any](r *routes, rt route, current func(context.Context, *call, none) (Out, error), f func(context.Context, *call, In) (Out, error)) {
	rt.replaces = true
	handle(r, rt, func(ctx context.Context, c *call, in In) (out Out, err error) {
		want, fresh := c.req.Header.Values("If-Match"), c.req.Header.Values("If-None-Match")
		if len(want) == 0 && !matches(fresh, "*") {
			return out, kindUnconditional.because("%s %s needs the header If-Match", c.req.Method, clip(c.req.URL.Path)).
				next("GET the same address, change what it answers, and send it back with the ETag as If-Match; or If-None-Match: * for what is not there yet")
		}
		c.holding = true
		err = r.s.plane.Atomic(ctx, func(ctx context.Context) error {
			if err := precondition(ctx, c, want, current); err != nil {
				return err
			}
			out, err = f(ctx, c, in)
			return err
		})
		if err == nil {
			c.committed()
		}
		return out, err
	})
}

// precondition compares what is there with what the caller means to replace.
func precondition[Out any](ctx context.Context, c *call, want []string, current func(context.Context, *call, none) (Out, error)) error {
	have, err := current(ctx, c, none{})
	switch {
	case errors.Is(err, cloud.ErrNotFound) && len(want) == 0:
		return nil
	case errors.Is(err, cloud.ErrNotFound):
		return kindStale.because("there is nothing at this address to replace").next("If-None-Match: * makes it")
	case err != nil:
		return err
	case len(want) == 0:
		return kindStale.because("there is something at this address already").next("GET it and send its ETag as If-Match")
	}
	b, err := encodeJSON(have)
	if err != nil {
		return err
	}
	if !matches(want, etag(b)) {
		return kindStale.because("it was changed since you read it").next("GET it again, and decide again")
	}
	return nil
}
