package server

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/uplink"
)

// An exceptionState is the value of the filter "state" of the exceptions.
type exceptionState string

func (s *Server) bookRoutes(r *routes) {
	notFound := []ProblemKind{kindNotFound}
	handle(r, route{at: "GET /v1/sessions", name: "sessions.list", doc: "charging sessions, as the records so far tell them",
		query: listOf(bySite(), query[holdfast.ChargerID]("charger", "only of this charger"),
			query[bool]("running", "only those that run, or only those that ended"),
			query[cloud.Stage]("stage", "only at this stage"))}, s.sessions)
	handle(r, route{at: "GET /v1/sessions/{session}", name: "sessions.show", problems: notFound,
		doc: "one session with its CDRs, exceptions and evidence, records verbatim"}, s.session)
	handle(r, route{at: "GET /v1/cdrs", name: "cdrs.list", doc: "charge detail records and the credits that take them back",
		query: listOf(bySite(), bySession(), query[bool]("current", "without credits and what they took back"))}, s.cdrs)
	handle(r, route{at: "GET /v1/exceptions", name: "exceptions.list", doc: "cases for a person ([exceptions.md](exceptions.md))",
		query: listOf(bySite(), query[string]("code", "only with this code"), query[exceptionState]("state", "only in this state"))}, s.exceptions)
	handle(r, route{at: "GET /v1/ledger", name: "ledger.list", doc: "entries of the ledger", query: listOf(bySite(), bySession(), byAccount())}, s.ledger)
	handle(r, route{at: "GET /v1/balances", name: "ledger.balances", query: []param{bySite(), byAccount()},
		doc: "sums by account and currency; the sum over accounts is zero"}, s.balances)
	handle(r, route{at: "GET /v1/totals", name: "totals", doc: "counts of what is in the books"},
		func(ctx context.Context, _ *call, _ none) (cloud.Totals, error) { return s.plane.Totals(ctx) })
}

func byAccount() param { return query[string]("account", "only of this account") }

func (s *Server) sessions(ctx context.Context, c *call, _ none) (List[cloud.Session], error) {
	page, q, err := c.page()
	if err != nil {
		return List[cloud.Session]{}, err
	}
	f := cloud.SessionFilter{Stage: cloud.Stage(q.Get("stage"))}
	switch f.Stage {
	case "", cloud.StageReceived, cloud.StageReconciled, cloud.StageRated:
	default:
		return List[cloud.Session]{}, kindInvalid.because("stage %q, want %s, %s or %s", clip(q.Get("stage")),
			cloud.StageReceived, cloud.StageReconciled, cloud.StageRated)
	}
	if f.Site, err = q.site("site"); err != nil {
		return List[cloud.Session]{}, err
	}
	if f.Charger, err = q.charger("charger"); err != nil {
		return List[cloud.Session]{}, err
	}
	if f.Running, err = q.flag("running"); err != nil {
		return List[cloud.Session]{}, err
	}
	return listed(s.plane.Sessions(ctx, f, page))
}

func (s *Server) session(ctx context.Context, c *call, _ none) (cloud.SessionDetail, error) {
	id, err := holdfast.ParseSessionID(c.req.PathValue("session"))
	if err != nil {
		return cloud.SessionDetail{}, err
	}
	return s.plane.Session(ctx, id)
}

func (s *Server) cdrs(ctx context.Context, c *call, _ none) (List[cloud.CDR], error) {
	page, q, err := c.page()
	if err != nil {
		return List[cloud.CDR]{}, err
	}
	var f cloud.CDRFilter
	if f.Site, err = q.site("site"); err != nil {
		return List[cloud.CDR]{}, err
	}
	if f.Session, err = q.session("session"); err != nil {
		return List[cloud.CDR]{}, err
	}
	current, err := q.flag("current")
	if err != nil {
		return List[cloud.CDR]{}, err
	}
	f.Current = current != nil && *current
	return listed(s.plane.CDRs(ctx, f, page))
}

func (s *Server) exceptions(ctx context.Context, c *call, _ none) (List[cloud.Exception], error) {
	page, q, err := c.page()
	if err != nil {
		return List[cloud.Exception]{}, err
	}
	f := cloud.ExceptionFilter{Code: q.Get("code"), State: q.Get("state")}
	if f.State != "" && f.State != "open" && f.State != "resolved" {
		return List[cloud.Exception]{}, kindInvalid.because("state %q, want open or resolved", clip(f.State))
	}
	if f.Site, err = q.site("site"); err != nil {
		return List[cloud.Exception]{}, err
	}
	return listed(s.plane.Exceptions(ctx, f, page))
}

func (s *Server) ledger(ctx context.Context, c *call, _ none) (List[cloud.Entry], error) {
	page, q, err := c.page()
	if err != nil {
		return List[cloud.Entry]{}, err
	}
	f, err := q.ledger()
	if err != nil {
		return List[cloud.Entry]{}, err
	}
	return listed(s.plane.Ledger(ctx, f, page))
}

func (s *Server) balances(ctx context.Context, c *call, _ none) (List[cloud.Balance], error) {
	q, err := c.params()
	if err != nil {
		return List[cloud.Balance]{}, err
	}
	f, err := q.ledger()
	if err != nil {
		return List[cloud.Balance]{}, err
	}
	list, err := s.plane.Balances(ctx, f)
	return listed(list, "", err)
}

// A Queued answers every command to a charger: the command waits for its
// gateway, and GET /v1/directives/{id} tells what became of it.
type Queued struct {
	Directive string             `json:"directive"`
	Expires   holdfast.UnixMilli `json:"expires"`
}

func (s *Server) commandRoutes(r *routes) {
	command(r, "start", uplink.StartBody{Charger: "CP-1", EVSE: 1, Token: "04A2B3C4D5E680"}, "ask a charger to start a session", s.plane.RemoteStart)
	sessionCommand(r, "stop", "ask a session's charger to stop it", s.plane.RemoteStop)
	command(r, "trigger", uplink.TriggerBody{Charger: "CP-1", Message: "StatusNotification"}, "ask a charger for a message", s.plane.Trigger)
	command(r, "config", uplink.ConfigBody{Charger: "CP-1", Keys: []string{"HeartbeatInterval"}}, "read (`keys`) or write (`key`, `value`) a charger's configuration", s.plane.Config)
	command(r, "data", uplink.DataBody{Charger: "CP-1", Vendor: "org.example", Data: json.RawMessage(`{"lamp":"on"}`)}, "send a charger a DataTransfer", s.plane.Data)
	s.deviceRoutes(r)
	handle(r, route{at: "GET /v1/directives", name: "directives.list", doc: "what was asked of gateways and what became of it", query: listOf(bySite()),
		problems: []ProblemKind{kindNotFound}}, s.directives)
	handle(r, route{at: "GET /v1/directives/{directive}", name: "directives.show", doc: "what became of one",
		problems: []ProblemKind{kindNotFound}},
		func(ctx context.Context, c *call, _ none) (cloud.Directive, error) {
			return s.plane.Directive(ctx, c.req.PathValue("directive"))
		})
}

// command declares POST /v1/sites/{site}/NAME, one of the plane's commands.
func command[B any](r *routes, name string, example B, doc string, ask func(context.Context, holdfast.UnixMilli, holdfast.SiteID, B, string) (string, error)) {
	rt := route{
		at: "POST /v1/sites/{site}/" + name, name: "commands." + name, mustKey: true, doc: doc, example: example,
		limit: uplink.MaxMessageBytes / 16, status: http.StatusAccepted, problems: []ProblemKind{kindNotFound, kindFull},
	}
	handle(r, rt, func(ctx context.Context, c *call, in B) (Queued, error) {
		site, err := c.site()
		if err != nil {
			return Queued{}, err
		}
		directive, err := ask(ctx, c.now, site, in, operatorName)
		return r.s.queued(ctx, directive, err)
	})
}

// sessionCommand declares POST /v1/sessions/{session}/NAME, a command about a
// session.
func sessionCommand(r *routes, name, doc string, ask func(context.Context, holdfast.UnixMilli, holdfast.SessionID, string) (string, error)) {
	rt := route{
		at: "POST /v1/sessions/{session}/" + name, name: "commands." + name, mustKey: true, doc: doc,
		status: http.StatusAccepted, problems: []ProblemKind{kindNotFound, kindFull},
	}
	handle(r, rt, func(ctx context.Context, c *call, _ none) (Queued, error) {
		id, err := holdfast.ParseSessionID(c.req.PathValue("session"))
		if err != nil {
			return Queued{}, err
		}
		directive, err := ask(ctx, c.now, id, operatorName)
		return r.s.queued(ctx, directive, err)
	})
}

func (s *Server) directives(ctx context.Context, c *call, _ none) (List[cloud.Directive], error) {
	page, q, err := c.page()
	if err != nil {
		return List[cloud.Directive]{}, err
	}
	site, err := q.site("site")
	if err != nil {
		return List[cloud.Directive]{}, err
	}
	return listed(s.plane.Directives(ctx, site, page))
}

// queued wakes the gateway that a directive is for.
func (s *Server) queued(ctx context.Context, id string, err error) (Queued, error) {
	if err != nil {
		return Queued{}, err
	}
	d, err := s.plane.Directive(ctx, id)
	if err != nil {
		return Queued{}, err
	}
	afterCommit(ctx, func() { s.links.ring(d.Gateway) })
	return Queued{id, d.Expires}, nil
}
