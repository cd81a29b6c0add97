package server

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
)

// A route declares one endpoint, once. The mux, the checks before the endpoint's
// function, the tables of docs/api.md and the tests are all made from it, so
// that none of them can know an endpoint that the others do not.
type route struct {
	at   string // method and path, as [http.ServeMux] has them
	name string // in metrics and the log; unique
	// doc says in a line or two what it is for, in the Markdown of docs/api.md.
	doc   string
	query []param // the keys that its query may have
	limit int64   // largest body in bytes; 0: there is none
	// lenient lets unknown keys of the body pass (gateways may be newer than the
	// cloud).
	lenient bool
	status  int // of success; 0 is 200
	// problems are those that its function answers with, beside the ones that
	// follow from the rest of the declaration: see [route.kinds].
	problems []ProblemKind
	// mustKey refuses a POST without an Idempotency-Key: doing it twice would do
	// two things. Every other POST of an operator takes one.
	mustKey bool
	example any    // a body that it takes; nil when there is none
	media   string // of the answer, when it is not JSON

	// replaces: a PUT with a precondition; set by [replace].
	replaces bool

	tag     string       // section of docs/api.md; set by [routes.under]
	who     caller       // set by the endpoint that it is routed on
	in, out reflect.Type // set by [handle]; nil for what is no JSON
}

// A caller is who may call a route.
type caller int

// The callers.
const (
	callerAny      caller = iota
	callerOperator        // shows the API token
	callerGateway         // shows the certificate of the gateway in the address
)

// A param is a key of a query.
type param struct {
	name string
	is   reflect.Type
	doc  string
}

// query declares a key whose value is read as a T.
func query[T any](name, doc string) param { return param{name, reflect.TypeFor[T](), doc} }

// pageLimit is the type of the key "limit": 1 to [cloud.MaxPage].
type pageLimit int

// listOf is the query of a list with these filters.
func listOf(filters ...param) []param {
	return append(filters,
		query[pageLimit]("limit", fmt.Sprintf("most items of a page, 1 to %d; default %d", cloud.MaxPage, cloud.DefaultPage)),
		query[string]("cursor", "`next` of the page before"),
		query[bool]("oldest", "oldest first; newest come first otherwise"))
}

func bySite() param    { return query[holdfast.SiteID]("site", "only of this site") }
func bySession() param { return query[holdfast.SessionID]("session", "only of this session") }

// success is the status of an answer that is no problem.
func (rt route) success() int { return cmp.Or(rt.status, http.StatusOK) }

// method and path split at.
func (rt route) method() string { m, _, _ := strings.Cut(rt.at, " "); return m }
func (rt route) path() string   { _, p, _ := strings.Cut(rt.at, " "); return p }

// kinds lists the problems that the route can answer with: those that follow
// from who calls, the body, the query and the address, then its own.
func (rt route) kinds() (out []ProblemKind) {
	switch rt.who {
	case callerOperator:
		out = append(out, kindToken)
	case callerGateway:
		out = append(out, kindCertificate, kindForeign, kindUnknown)
	}
	if rt.limit > 0 || rt.who != callerAny {
		out = append(out, kindBadRequest)
	}
	if slices.ContainsFunc(rt.query, func(p param) bool { return p.name == "cursor" }) {
		out = append(out, kindCursor)
	}
	if rt.replaces {
		out = append(out, kindStale, kindUnconditional)
	}
	if rt.mustKey {
		out = append(out, kindKeyMissing)
	}
	if rt.keyed() {
		out = append(out, kindKeyBusy, kindKeyReused, kindKeyErased, kindFull)
	}
	if rt.limit > 0 {
		out = append(out, kindTooLarge, kindMedia)
	}
	if rt.limit > 0 || len(rt.query) > 0 || strings.Contains(rt.at, "{") {
		out = append(out, kindInvalid)
	}
	return append(append(out, rt.problems...), kindBusy, kindInternal)
}

// routes is a mux that keeps what was declared.
type routes struct {
	s    *Server
	mux  *http.ServeMux
	who  caller
	tag  string
	list *[]route
}

func (s *Server) newRoutes(who caller) *routes {
	return &routes{s: s, mux: http.NewServeMux(), who: who, list: &[]route{}}
}

// under returns the same routes for a section of docs/api.md.
func (r *routes) under(tag string) *routes {
	c := *r
	c.tag = tag
	return &c
}

// declared lists the routes in the order in which they were declared.
func (r *routes) declared() []route { return *r.list }

// ServeHTTP implements [http.Handler]. An address that is not in its plain form
// ("//", "..", or none) is a problem: the mux would answer with a page in HTML
// that sends the caller, and what it posts, elsewhere.
func (r *routes) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	at := req.URL.EscapedPath()
	if clean := path.Clean("/" + at); at != clean && (at != clean+"/" || clean == "/") {
		r.s.serve(route{name: "none"}, func(http.ResponseWriter, *call) (int, error) {
			return 0, kindNotFound.because("the address %s is not in its plain form %s", clip(at), clip(clean))
		}).ServeHTTP(w, req)
		return
	}
	r.mux.ServeHTTP(w, req)
}

// raw routes to f, which reads and writes for itself.
func (r *routes) raw(rt route, f func(http.ResponseWriter, *call) (int, error)) {
	rt.tag, rt.who = r.tag, r.who
	r.add(rt, r.s.serve(rt, f))
}

// add declares rt and routes it to h, behind the check of who calls.
func (r *routes) add(rt route, h http.Handler) {
	rt.tag, rt.who = r.tag, r.who
	*r.list = append(*r.list, rt)
	if rt.who == callerGateway {
		h = r.s.device(h)
	}
	r.mux.Handle(rt.at, h)
}

// handle routes to f: read and bound the body, decode it strictly, call f, and
// answer with its result as JSON or with a problem; log and count either way. An
// endpoint is its declaration and f, and nothing else.
func handle[In, Out any](r *routes, rt route, f func(context.Context, *call, In) (Out, error)) {
	rt.in, rt.out = reflect.TypeFor[In](), reflect.TypeFor[Out]()
	r.raw(rt, func(w http.ResponseWriter, c *call) (int, error) {
		var in In
		body, err := c.read(w, &in)
		if err != nil {
			return 0, err
		}
		return r.s.reply(w, c, body, func(ctx context.Context) (any, error) { return f(ctx, c, in) })
	})
}

// read refuses a query that the route does not declare, and decodes the body, if
// the route has one, into in.
func (c *call) read(w http.ResponseWriter, in any) (body []byte, err error) {
	if c.route.who == callerOperator {
		if _, err := c.params(); err != nil {
			return nil, err
		}
	}
	if c.route.limit == 0 {
		return nil, nil
	}
	if body, err = readBody(w, c.req, c.route.limit, "application/json", ""); err != nil {
		return nil, err
	}
	if err := decodeStrict(body, in, c.route.lenient); err != nil {
		return nil, kindBadRequest.because("%v", err)
	}
	if c.route.lenient {
		return body, nil
	}
	return body, checkShape(body, c.route.in, "the body")
}

// reply answers with what do returns. With an Idempotency-Key that is what the
// first request with it was answered.
func (s *Server) reply(w http.ResponseWriter, c *call, body []byte, do func(context.Context) (any, error)) (int, error) {
	if c.route.keyed() {
		key, err := requestKey(c.req)
		if err != nil {
			return 0, err
		}
		if key != "" {
			return s.once(w, c, key, body, do)
		}
		if c.route.mustKey {
			return 0, kindKeyMissing.because("%s %s needs the header %s", c.req.Method, c.req.URL.Path, keyHeader).
				next("choose a new random key for each thing that you want done, and send the same key when you send the same again")
		}
	}
	out, err := do(c.req.Context())
	if err != nil {
		return 0, err
	}
	if p, ok := out.(interface{ nextPage() string }); ok && p.nextPage() != "" {
		w.Header().Set("Link", c.linkTo(p.nextPage()))
	}
	if c.route.tagged() {
		return writeTagged(w, c, out)
	}
	return writeJSON(w, c.route.success(), out)
}

// none is the input of an endpoint without a body.
type none struct{}
