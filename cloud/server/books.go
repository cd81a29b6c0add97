package server

import (
	"context"
	"net/http"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/uplink"
)

func (s *Server) bookRoutes(mux *routes) {
	mux.Handle("GET /v1/sessions", handle(s, route{name: "sessions.list"}, s.sessions))
	mux.Handle("GET /v1/sessions/{session}", handle(s, route{name: "sessions.show"}, s.session))
	mux.Handle("GET /v1/cdrs", handle(s, route{name: "cdrs.list"}, s.cdrs))
	mux.Handle("GET /v1/exceptions", handle(s, route{name: "exceptions.list"}, s.exceptions))
	mux.Handle("GET /v1/ledger", handle(s, route{name: "ledger.list"}, s.ledger))
	mux.Handle("GET /v1/balances", handle(s, route{name: "ledger.balances"}, s.balances))
	mux.Handle("GET /v1/totals", handle(s, route{name: "totals"},
		func(ctx context.Context, _ *call, _ none) (cloud.Totals, error) { return s.plane.Totals(ctx) }))
}

func (s *Server) sessions(ctx context.Context, c *call, _ none) (List[cloud.Session], error) {
	page, q, err := c.page("site", "charger", "running", "stage")
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
	page, q, err := c.page("site", "session", "current")
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
	page, q, err := c.page("site", "code", "state")
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
	page, q, err := c.page("site", "session", "account")
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
	q, err := c.params("site", "session", "account")
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

func (s *Server) commandRoutes(mux *routes) {
	command(s, mux, "start", s.plane.RemoteStart)
	command(s, mux, "trigger", s.plane.Trigger)
	command(s, mux, "config", s.plane.Config)
	command(s, mux, "data", s.plane.Data)
	mux.Handle("POST /v1/sessions/{session}/stop", handle(s, route{name: "commands.stop", status: http.StatusAccepted},
		func(ctx context.Context, c *call, _ none) (Queued, error) {
			id, err := holdfast.ParseSessionID(c.req.PathValue("session"))
			if err != nil {
				return Queued{}, err
			}
			directive, err := s.plane.RemoteStop(ctx, c.now, id, operatorName)
			return s.queued(ctx, c, directive, err)
		}))
	mux.Handle("GET /v1/directives", handle(s, route{name: "directives.list"},
		func(ctx context.Context, c *call, _ none) (List[cloud.Directive], error) {
			page, q, err := c.page("site")
			if err != nil {
				return List[cloud.Directive]{}, err
			}
			site, err := q.site("site")
			if err != nil {
				return List[cloud.Directive]{}, err
			}
			return listed(s.plane.Directives(ctx, site, page))
		}))
	mux.Handle("GET /v1/directives/{directive}", handle(s, route{name: "directives.show"},
		func(ctx context.Context, c *call, _ none) (cloud.Directive, error) {
			return s.plane.Directive(ctx, c.req.PathValue("directive"))
		}))
}

// command routes POST /v1/sites/{site}/NAME to one of the plane's commands.
func command[B any](s *Server, mux *routes, name string,
	ask func(context.Context, holdfast.UnixMilli, holdfast.SiteID, B, string) (string, error)) {
	mux.Handle("POST /v1/sites/{site}/"+name,
		handle(s, route{name: "commands." + name, limit: uplink.MaxMessageBytes / 16, status: http.StatusAccepted},
			func(ctx context.Context, c *call, in B) (Queued, error) {
				site, err := c.site()
				if err != nil {
					return Queued{}, err
				}
				directive, err := ask(ctx, c.now, site, in, operatorName)
				return s.queued(ctx, c, directive, err)
			}))
}

// queued wakes the gateway that a directive is for.
func (s *Server) queued(ctx context.Context, c *call, id string, err error) (Queued, error) {
	if err != nil {
		return Queued{}, err
	}
	d, err := s.plane.Directive(ctx, id)
	if err != nil {
		return Queued{}, err
	}
	s.links.ring(d.Gateway)
	return Queued{id, d.Expires}, nil
}
