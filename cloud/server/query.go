package server

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
)

// values is the query of a list, with typed readers. An absent key is the zero
// value everywhere.
type values struct{ url.Values }

// params reads the query. Keys that the route does not declare are refused, so
// that a mistyped filter does not quietly list everything.
func (c *call) params() (values, error) {
	q, err := url.ParseQuery(c.req.URL.RawQuery)
	if err != nil {
		return values{}, kindBadRequest.because("query: %v", err)
	}
	var known []string
	for _, p := range c.route.query {
		known = append(known, p.name)
	}
	for k, v := range q {
		if !slices.Contains(known, k) {
			want := "this call takes none"
			if known != nil {
				want = "want one of: " + strings.Join(known, ", ")
			}
			return values{}, kindBadRequest.because("query key %q is not known here, %s", clip(k), want)
		}
		if len(v) > 1 {
			return values{}, kindBadRequest.because("query key %q is given twice", clip(k))
		}
	}
	return values{q}, nil
}

// page reads the query of a list: see [listOf].
func (c *call) page() (cloud.Page, values, error) {
	q, err := c.params()
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

// linkTo names the next page of the list that was asked for (RFC 8288).
func (c *call) linkTo(next string) string {
	q := c.req.URL.Query()
	q.Set("cursor", next)
	return "<" + c.req.URL.EscapedPath() + "?" + q.Encode() + `>; rel="next"`
}

// pageSize reads "limit".
func (q values) pageSize() (int, error) {
	v := q.Get("limit")
	if v == "" {
		return cloud.DefaultPage, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > cloud.MaxPage {
		return 0, kindInvalid.because("limit %q, want 1 to %d", clip(v), cloud.MaxPage)
	}
	return n, nil
}

func (q values) flag(key string) (*bool, error) {
	var b bool
	switch v := q.Get(key); v {
	case "":
		return nil, nil
	case "true":
		b = true
	case "false":
	default:
		return nil, kindInvalid.because("%s %q, want true or false", key, clip(v))
	}
	return &b, nil
}

func (q values) site(key string) (holdfast.SiteID, error) {
	if q.Get(key) == "" {
		return "", nil
	}
	return holdfast.ParseSiteID(q.Get(key))
}

func (q values) charger(key string) (holdfast.ChargerID, error) {
	if q.Get(key) == "" {
		return "", nil
	}
	return holdfast.ParseChargerID(q.Get(key))
}

func (q values) session(key string) (holdfast.SessionID, error) {
	if q.Get(key) == "" {
		return holdfast.SessionID{}, nil
	}
	return holdfast.ParseSessionID(q.Get(key))
}

func (q values) ledger() (f cloud.LedgerFilter, err error) {
	f.Account = q.Get("account")
	if f.Site, err = q.site("site"); err != nil {
		return f, err
	}
	f.Session, err = q.session("session")
	return f, err
}

// site reads the site in the address.
func (c *call) site() (holdfast.SiteID, error) {
	return holdfast.ParseSiteID(c.req.PathValue("site"))
}
