package server

import (
	"context"
	"encoding/json"
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

// operators makes the operators' endpoint: under /v1 the API, which needs the
// token, and beside it what needs none.
func (s *Server) operators() *routes {
	api := s.newRoutes(callerOperator)
	s.siteRoutes(api.under("Sites and gateways"))
	s.accessRoutes(api.under("Access"))
	s.bookRoutes(api.under("Books"))
	s.commandRoutes(api.under("Commands to chargers"))
	api.mux.Handle("/", s.notFound(api.mux))

	open := s.newRoutes(callerAny)
	open.list = api.list
	open.mux.Handle("/v1/", s.operator(api))
	open.mux.Handle("/v1", s.operator(s.notFound(api.mux))) // which would be sent to /v1/
	s.openRoutes(open.under("Operations"))
	open.mux.Handle("/", s.notFound(open.mux))
	return open
}

// openRoutes are what machines ask that watch the cloud.
func (s *Server) openRoutes(r *routes) {
	handle(r, route{at: "GET /healthz", name: "healthz", doc: "200 while the process lives"}, s.health)
	handle(r, route{at: "GET /readyz", name: "readyz",
		doc: "200 while calls are served; 503 when the store does not answer or the cloud is stopping"}, s.ready)
	document := route{at: "GET /v1/openapi.json", name: "openapi", doc: "this API as an OpenAPI 3.1 document", media: "application/json"}
	r.raw(document, serveDocument())
	numbers := s.metrics.handler()
	metrics := s.serve(route{name: "metrics"}, func(w http.ResponseWriter, c *call) (int, error) {
		numbers.ServeHTTP(w, c.req)
		return http.StatusOK, nil
	})
	if s.exposed {
		metrics = s.operator(metrics)
	}
	r.add(route{at: "GET /metrics", name: "metrics", media: "text/plain", problems: []ProblemKind{kindToken},
		doc: "Prometheus text, [metrics.md](metrics.md); needs the token when the API is exposed"}, metrics)
}

// A List is a page of a list. Next goes into the query of the next page, as
// cursor; "" says that this was the last.
type List[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

func (l List[T]) nextPage() string { return l.Next }

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

func (s *Server) siteRoutes(r *routes) {
	handle(r, route{at: "POST /v1/sites", name: "sites.add", limit: smallBody, status: http.StatusCreated, example: cloud.AddSite{ID: "north", Name: "Car park north"},
		problems: []ProblemKind{kindConflict},
		doc:      "add a site; answers the one-time code that enrols its gateway"},
		s.addSite)
	handle(r, route{at: "GET /v1/sites", name: "sites.list", query: listOf(), doc: "the sites with their gateways' last contacts"}, s.sites)
	handle(r, route{at: "GET /v1/sites/{site}", name: "sites.show", problems: []ProblemKind{kindNotFound},
		doc: "one site with its gateway's last contact"}, s.site)
	handle(r, route{at: "POST /v1/sites/{site}/codes", name: "sites.code", status: http.StatusCreated,
		problems: []ProblemKind{kindNotFound},
		doc:      "a further one-time code, answered as above; earlier ones that were not used stop working"}, s.newCode)
	handle(r, route{at: "GET /v1/sites/{site}/list", name: "sites.access_list", problems: []ProblemKind{kindNotFound},
		doc: "the access list as it is signed for the gateway (COSE_Sign1, base64)"}, s.accessList)
	handle(r, route{at: "GET /v1/sites/{site}/limits", name: "sites.limits.show", problems: []ProblemKind{kindNotFound},
		doc: "the site's power limit schedule ([power.md](power.md)); version 0 when none was set"}, s.limits)
	replace(r, route{at: "PUT /v1/sites/{site}/limits", name: "sites.limits", limit: tariffBody, example: exampleLimits(), problems: []ProblemKind{kindNotFound},
		doc: "set the site's power limit schedule: signed, and obeyed with or without a link"}, s.limits, s.putLimits)
	handle(r, route{at: "GET /v1/sites/{site}/policy", name: "sites.policy.show", problems: []ProblemKind{kindNotFound},
		doc: "how the site decides when nobody can be asked ([access.md](access.md)); a field that is missing is its default"}, s.policy)
	replace(r, route{at: "PUT /v1/sites/{site}/policy", name: "sites.policy", limit: smallBody, example: access.Policy{TokenCap: 50_000_000, SiteCap: 500_000_000}, problems: []ProblemKind{kindNotFound},
		doc: "replaces the policy whole: a field that is left out is its default"},
		s.policy, s.setPolicy)
	handle(r, route{at: "GET /v1/gateways", name: "gateways.list", query: listOf(), doc: "the gateways"}, s.listGateways)
	handle(r, route{at: "GET /v1/gateways/{id}", name: "gateways.show", problems: []ProblemKind{kindNotFound},
		doc: "one gateway with its cursors"}, s.showGateway)
}

func (s *Server) addSite(ctx context.Context, c *call, in cloud.AddSite) (NewSite, error) {
	in.By = operatorName
	site, code, err := s.plane.AddSite(ctx, c.now, in)
	return NewSite{site, code, c.now + cloud.CodeLifeMillis, s.GatewayURL()}, err
}

func (s *Server) newCode(ctx context.Context, c *call, _ none) (NewSite, error) {
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
}

func (s *Server) sites(ctx context.Context, c *call, _ none) (List[cloud.Site], error) {
	page, _, err := c.page()
	if err != nil {
		return List[cloud.Site]{}, err
	}
	sites, next, err := s.plane.Sites(ctx, page)
	for i := range sites {
		sites[i].Contact.Link = sites[i].Contact.LinkAt(c.now)
	}
	return listed(sites, next, err)
}

func (s *Server) site(ctx context.Context, c *call, _ none) (cloud.Site, error) {
	id, err := c.site()
	if err != nil {
		return cloud.Site{}, err
	}
	site, err := s.plane.Site(ctx, id)
	site.Contact.Link = site.Contact.LinkAt(c.now)
	return site, err
}

func (s *Server) policy(ctx context.Context, c *call, _ none) (access.Policy, error) {
	id, err := c.site()
	if err != nil {
		return access.Policy{}, err
	}
	site, err := s.plane.Site(ctx, id)
	return site.Policy, err
}

// setPolicy replaces a site's policy whole: a field that is left out is its
// default again.
func (s *Server) setPolicy(ctx context.Context, c *call, in access.Policy) (access.Policy, error) {
	id, err := c.site()
	if err != nil {
		return access.Policy{}, err
	}
	err = s.plane.SetPolicy(ctx, c.now, id, in, operatorName)
	return in, s.ringSites(ctx, err, []holdfast.SiteID{id})
}

func (s *Server) listGateways(ctx context.Context, c *call, _ none) (List[cloud.Gateway], error) {
	page, _, err := c.page()
	if err != nil {
		return List[cloud.Gateway]{}, err
	}
	list, next, err := s.plane.Gateways(ctx, page)
	for i := range list {
		list[i].Contact.Link = list[i].Contact.LinkAt(c.now)
	}
	return listed(list, next, err)
}

func (s *Server) showGateway(ctx context.Context, c *call, _ none) (cloud.Gateway, error) {
	id, err := holdfast.ParseGatewayID(c.req.PathValue("id"))
	if err != nil {
		return cloud.Gateway{}, err
	}
	g, err := s.plane.Gateway(ctx, id)
	g.Contact.Link = g.Contact.LinkAt(c.now)
	return g, err
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

func (s *Server) accessRoutes(r *routes) {
	handle(r, route{at: "POST /v1/tokens", name: "tokens.put", limit: smallBody, example: cloud.PutToken{Value: "04A2B3C4D5E680", Label: "Fleet 17", Limits: holdfast.Limits{Energy: 60_000}}, problems: []ProblemKind{kindNotFound, kindFull},
		doc: "add a token, or change what it may"},
		s.putToken)
	handle(r, route{at: "GET /v1/tokens", name: "tokens.list", query: listOf(), doc: "the tokens, without their values"}, s.tokens)
	handle(r, route{at: "POST /v1/tokens/revoke", name: "tokens.revoke", limit: smallBody, example: TokenName{"04A2B3C4D5E680"}, problems: []ProblemKind{kindNotFound},
		doc: "stop a token, named by value or id, from charging anywhere"}, s.revokeToken)
	handle(r, route{at: "POST /v1/tokens/erase", name: "tokens.erase", limit: smallBody, example: TokenName{"04A2B3C4D5E680"}, problems: []ProblemKind{kindNotFound},
		doc: "forget a driver by a token's value or id: destroys the keys that it was sealed with. Cannot be undone"}, s.eraseToken)
	handle(r, route{at: "POST /v1/tariffs", name: "tariffs.put", limit: tariffBody, example: exampleTariff(), problems: []ProblemKind{kindNotFound},
		doc: "the next version of an OCPI 2.2.1 tariff"}, s.putTariff)
	handle(r, route{at: "GET /v1/tariffs", name: "tariffs.list", query: listOf(), doc: "every version of every tariff"}, s.tariffs)
	handle(r, route{at: "GET /v1/tariffs/{tariff}", name: "tariffs.show", problems: []ProblemKind{kindNotFound},
		doc: "the newest version of a tariff"}, s.tariff)
	replace(r, route{at: "PUT /v1/tariffs/{tariff}", name: "tariffs.replace", limit: tariffBody, example: exampleTariff(), problems: []ProblemKind{kindNotFound},
		doc: "the next version of the tariff at this address, which is its id"}, s.tariff, s.replaceTariff)
	handle(r, route{at: "POST /v1/grants", name: "grants.issue", mustKey: true, limit: smallBody, status: http.StatusCreated, example: cloud.IssueGrant{Site: "north", Token: "04A2B3C4D5E680", Expires: 1_800_000_000_000, MaxSessions: 1},
		problems: []ProblemKind{kindNotFound, kindFull},
		doc:      "a signed, short-lived permission for a token at a site"},
		s.issueGrant)
}

func exampleTariff() cloud.PutTariff {
	return cloud.PutTariff{OCPI: json.RawMessage(
		`{"id":"standard","currency":"EUR","elements":[{"price_components":[{"type":"ENERGY","price":0.45,"vat":19,"step_size":1}]}]}`)}
}

func (s *Server) accessList(ctx context.Context, c *call, _ none) (SiteList, error) {
	id, err := c.site()
	if err != nil {
		return SiteList{}, err
	}
	b, version, err := s.plane.ListFor(ctx, c.now, id)
	return SiteList{version, b}, err
}

func (s *Server) putToken(ctx context.Context, c *call, in cloud.PutToken) (cloud.Token, error) {
	in.By = operatorName
	t, err := s.plane.PutToken(ctx, c.now, in)
	return t, s.ringSites(ctx, err, t.Sites)
}

func (s *Server) tokens(ctx context.Context, c *call, _ none) (List[cloud.Token], error) {
	page, _, err := c.page()
	if err != nil {
		return List[cloud.Token]{}, err
	}
	return listed(s.plane.Tokens(ctx, page))
}

func (s *Server) revokeToken(ctx context.Context, c *call, in TokenName) (cloud.Token, error) {
	t, err := s.plane.RevokeToken(ctx, c.now, in.Token, operatorName)
	return t, s.ringSites(ctx, err, t.Sites)
}

func (s *Server) eraseToken(ctx context.Context, c *call, in TokenName) (Erased, error) {
	keys, err := s.plane.EraseToken(ctx, c.now, in.Token, operatorName)
	return Erased{keys}, s.ringSites(ctx, err, nil)
}

func (s *Server) putTariff(ctx context.Context, c *call, in cloud.PutTariff) (cloud.Tariff, error) {
	in.By = operatorName
	t, err := s.plane.PutTariff(ctx, c.now, in)
	return t, s.ringSites(ctx, err, t.Sites)
}

func (s *Server) tariffs(ctx context.Context, c *call, _ none) (List[cloud.Tariff], error) {
	page, _, err := c.page()
	if err != nil {
		return List[cloud.Tariff]{}, err
	}
	return listed(s.plane.Tariffs(ctx, page))
}

func (s *Server) tariff(ctx context.Context, c *call, _ none) (cloud.Tariff, error) {
	return s.plane.Tariff(ctx, c.req.PathValue("tariff"))
}

// replaceTariff is putTariff for whoever wants to be told when somebody else
// has changed the tariff meanwhile.
func (s *Server) replaceTariff(ctx context.Context, c *call, in cloud.PutTariff) (cloud.Tariff, error) {
	t, err := s.putTariff(ctx, c, in)
	if err == nil && t.ID != c.req.PathValue("tariff") {
		err = kindInvalid.because("the tariff in the body is %q, the address is %q's", clip(t.ID), clip(c.req.PathValue("tariff")))
	}
	return t, err
}

func (s *Server) issueGrant(ctx context.Context, c *call, in cloud.IssueGrant) (cloud.Grant, error) {
	in.By = operatorName
	if in.NotBefore == 0 {
		in.NotBefore = c.now
	}
	g, err := s.plane.IssueGrant(ctx, c.now, in)
	return g, s.ringSites(ctx, err, []holdfast.SiteID{in.Site})
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
		afterCommit(ctx, s.links.ringAll)
		return nil
	}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(sites))) {
		site, err := s.plane.Site(ctx, id)
		if err != nil {
			s.log.Warn("cannot wake the gateway of a site", "site", string(id), "err", err.Error())
			continue
		}
		afterCommit(ctx, func() { s.links.ring(site.Gateway) })
	}
	return nil
}

// due is what a knock carries.
func (s *Server) due(ctx context.Context, gw holdfast.GatewayID) ([]uplink.Directive, error) {
	return s.plane.Due(ctx, s.now(), gw)
}
