package server

import (
	"context"
	"net/http"
	"slices"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/uplink"
)

// Bounds of request bodies.
const (
	smallBody  = 16 << 10  // most requests
	tariffBody = 128 << 10 // an OCPI tariff
)

// operatorName is who the cloud's own journal says did it. There is one API
// token, so there is one name.
const operatorName = "api"

// operators makes the operators' endpoint. docs/api.md describes every route.
func (s *Server) operators() *routes {
	api := newRoutes()
	s.siteRoutes(api)
	s.accessRoutes(api)
	s.bookRoutes(api)
	s.commandRoutes(api)
	api.Handle("/", s.notFound(api.ServeMux))

	mux := newRoutes()
	mux.Handle("/v1/", s.operator(api))
	mux.Handle("GET /healthz", s.health())
	mux.Handle("GET /readyz", s.ready())
	metrics := s.metrics.handler()
	if s.exposed {
		metrics = s.operator(metrics)
	}
	mux.Handle("GET /metrics", metrics)
	mux.Handle("/", s.notFound(mux.ServeMux))
	mux.patterns = append(mux.patterns, api.patterns...)
	return mux
}

// A List is a page of a list. Next goes into the query of the next page, as
// cursor; "" says that this was the last.
type List[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// page reads the query keys that every list has.
func (c *call) page(filters ...string) (cloud.Page, values, error) {
	q, err := c.params(append(filters, "cursor", "limit", "oldest")...)
	if err != nil {
		return cloud.Page{}, q, err
	}
	n, err := q.pageSize()
	if err != nil {
		return cloud.Page{}, q, err
	}
	oldest, err := q.flag("oldest")
	if err != nil {
		return cloud.Page{}, q, err
	}
	return cloud.Page{Cursor: q.Get("cursor"), Limit: n, Oldest: oldest != nil && *oldest}, q, nil
}

func listed[T any](items []T, next string, err error) (List[T], error) {
	if items == nil {
		items = []T{} // an empty list is [], never null
	}
	return List[T]{items, next}, err
}

// A NewSite answers POST /v1/sites and POST /v1/sites/{site}/codes.
type NewSite struct {
	Site        cloud.Site         `json:"site"`
	Code        string             `json:"code"`         // shown this once
	CodeExpires holdfast.UnixMilli `json:"code_expires"` //
	Endpoint    string             `json:"endpoint"`     // where the gateway redeems it
}

func (s *Server) siteRoutes(mux *routes) {
	mux.Handle("POST /v1/sites", handle(s, route{name: "sites.add", limit: smallBody, status: http.StatusCreated},
		func(ctx context.Context, c *call, in cloud.AddSite) (NewSite, error) {
			in.By = operatorName
			site, code, err := s.plane.AddSite(ctx, c.now, in)
			return NewSite{site, code, c.now + cloud.CodeLifeMillis, s.GatewayURL()}, err
		}))
	mux.Handle("POST /v1/sites/{site}/codes", handle(s, route{name: "sites.code", status: http.StatusCreated},
		func(ctx context.Context, c *call, _ none) (NewSite, error) {
			id, err := c.site()
			if err != nil {
				return NewSite{}, err
			}
			code, err := s.plane.NewCode(ctx, c.now, id, operatorName)
			if err != nil {
				return NewSite{}, err
			}
			site, err := s.plane.Site(ctx, id)
			return NewSite{site, code, c.now + cloud.CodeLifeMillis, s.GatewayURL()}, err
		}))
	mux.Handle("GET /v1/sites", handle(s, route{name: "sites.list"},
		func(ctx context.Context, c *call, _ none) (List[cloud.Site], error) {
			page, _, err := c.page()
			if err != nil {
				return List[cloud.Site]{}, err
			}
			sites, next, err := s.plane.Sites(ctx, page)
			for i := range sites {
				sites[i].Contact.Link = sites[i].Contact.LinkAt(c.now)
			}
			return listed(sites, next, err)
		}))
	mux.Handle("GET /v1/sites/{site}", handle(s, route{name: "sites.show"},
		func(ctx context.Context, c *call, _ none) (cloud.Site, error) {
			id, err := c.site()
			if err != nil {
				return cloud.Site{}, err
			}
			site, err := s.plane.Site(ctx, id)
			site.Contact.Link = site.Contact.LinkAt(c.now)
			return site, err
		}))
	mux.Handle("PUT /v1/sites/{site}/policy", handle(s, route{name: "sites.policy", limit: smallBody}, s.setPolicy))
	s.gatewayReads(mux)
}

// setPolicy replaces a site's policy whole: a field that is left out is its
// default again.
func (s *Server) setPolicy(ctx context.Context, c *call, in access.Policy) (cloud.Site, error) {
	id, err := c.site()
	if err != nil {
		return cloud.Site{}, err
	}
	if err := s.plane.SetPolicy(ctx, c.now, id, in, operatorName); err != nil {
		return cloud.Site{}, err
	}
	site, err := s.plane.Site(ctx, id)
	site.Contact.Link = site.Contact.LinkAt(c.now)
	return site, s.ringSites(ctx, err, []holdfast.SiteID{id})
}

func (s *Server) gatewayReads(mux *routes) {
	mux.Handle("GET /v1/gateways", handle(s, route{name: "gateways.list"},
		func(ctx context.Context, c *call, _ none) (List[cloud.Gateway], error) {
			page, _, err := c.page()
			if err != nil {
				return List[cloud.Gateway]{}, err
			}
			list, next, err := s.plane.Gateways(ctx, page)
			for i := range list {
				list[i].Contact.Link = list[i].Contact.LinkAt(c.now)
			}
			return listed(list, next, err)
		}))
	mux.Handle("GET /v1/gateways/{id}", handle(s, route{name: "gateways.show"},
		func(ctx context.Context, c *call, _ none) (cloud.Gateway, error) {
			id, err := holdfast.ParseGatewayID(c.req.PathValue("id"))
			if err != nil {
				return cloud.Gateway{}, err
			}
			g, err := s.plane.Gateway(ctx, id)
			g.Contact.Link = g.Contact.LinkAt(c.now)
			return g, err
		}))
}

// A TokenName says which token, by its value or its id. It travels in a body,
// because addresses end up in logs.
type TokenName struct {
	Token string `json:"token"`
}

// An Erased answers POST /v1/tokens/erase.
type Erased struct {
	KeysDestroyed int `json:"keys_destroyed"` // of sealed fields that nobody can read again
}

// A SiteList answers GET /v1/sites/{site}/list.
type SiteList struct {
	Version   uint64 `json:"version"`
	Statement []byte `json:"statement"` // COSE_Sign1, typ holdfast/list+v1
}

func (s *Server) accessRoutes(mux *routes) {
	mux.Handle("POST /v1/tokens", handle(s, route{name: "tokens.put", limit: smallBody},
		func(ctx context.Context, c *call, in cloud.PutToken) (cloud.Token, error) {
			in.By = operatorName
			t, err := s.plane.PutToken(ctx, c.now, in)
			return t, s.ringSites(ctx, err, t.Sites)
		}))
	mux.Handle("GET /v1/tokens", handle(s, route{name: "tokens.list"},
		func(ctx context.Context, c *call, _ none) (List[cloud.Token], error) {
			page, _, err := c.page()
			if err != nil {
				return List[cloud.Token]{}, err
			}
			return listed(s.plane.Tokens(ctx, page))
		}))
	mux.Handle("POST /v1/tokens/revoke", handle(s, route{name: "tokens.revoke", limit: smallBody},
		func(ctx context.Context, c *call, in TokenName) (cloud.Token, error) {
			t, err := s.plane.RevokeToken(ctx, c.now, in.Token, operatorName)
			return t, s.ringSites(ctx, err, t.Sites)
		}))
	mux.Handle("POST /v1/tokens/erase", handle(s, route{name: "tokens.erase", limit: smallBody},
		func(ctx context.Context, c *call, in TokenName) (Erased, error) {
			keys, err := s.plane.EraseToken(ctx, c.now, in.Token, operatorName)
			return Erased{keys}, s.ringSites(ctx, err, nil)
		}))
	mux.Handle("GET /v1/sites/{site}/list", handle(s, route{name: "sites.access_list"},
		func(ctx context.Context, c *call, _ none) (SiteList, error) {
			id, err := c.site()
			if err != nil {
				return SiteList{}, err
			}
			b, version, err := s.plane.ListFor(ctx, c.now, id)
			return SiteList{version, b}, err
		}))
	s.tariffRoutes(mux)
}

func (s *Server) tariffRoutes(mux *routes) {
	mux.Handle("POST /v1/tariffs", handle(s, route{name: "tariffs.put", limit: tariffBody},
		func(ctx context.Context, c *call, in cloud.PutTariff) (cloud.Tariff, error) {
			in.By = operatorName
			t, err := s.plane.PutTariff(ctx, c.now, in)
			return t, s.ringSites(ctx, err, t.Sites)
		}))
	mux.Handle("GET /v1/tariffs", handle(s, route{name: "tariffs.list"},
		func(ctx context.Context, c *call, _ none) (List[cloud.Tariff], error) {
			page, _, err := c.page()
			if err != nil {
				return List[cloud.Tariff]{}, err
			}
			return listed(s.plane.Tariffs(ctx, page))
		}))
	mux.Handle("POST /v1/grants", handle(s, route{name: "grants.issue", limit: smallBody, status: http.StatusCreated},
		func(ctx context.Context, c *call, in cloud.IssueGrant) (cloud.Grant, error) {
			in.By = operatorName
			if in.NotBefore == 0 {
				in.NotBefore = c.now
			}
			g, err := s.plane.IssueGrant(ctx, c.now, in)
			return g, s.ringSites(ctx, err, []holdfast.SiteID{in.Site})
		}))
}

// ringSites wakes the gateways of the sites that a change concerns; no sites
// means every site. It passes err through, and wakes nobody when there is one.
// A gateway that is not woken learns of the change at its next contact, so a
// failure to look a site up is no failure of the call.
func (s *Server) ringSites(ctx context.Context, err error, sites []holdfast.SiteID) error {
	if err != nil {
		return err
	}
	if len(sites) == 0 {
		s.links.ringAll()
		return nil
	}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(sites))) {
		site, err := s.plane.Site(ctx, id)
		if err != nil {
			s.log.Warn("cannot wake the gateway of a site", "site", string(id), "err", err.Error())
			continue
		}
		s.links.ring(site.Gateway)
	}
	return nil
}

// due is what a knock carries.
func (s *Server) due(ctx context.Context, gw holdfast.GatewayID) ([]uplink.Directive, error) {
	return s.plane.Due(ctx, s.now(), gw)
}
