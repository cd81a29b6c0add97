package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/cloud/server"
)

func sitesCommand() *cobra.Command {
	c := &client{}
	return c.flags(noun("sites", "Charging sites: add, list, show, give a code for a gateway",
		sitesList(c), sitesAdd(c), sitesCode(c), sitesShow(c), sitesPolicy(c)))
}

func sitesAdd(c *client) *cobra.Command {
	var in cloud.AddSite
	cmd := &cobra.Command{
		Use:     "add SITE",
		Short:   "Add a site and print the one-time code that enrols its gateway",
		Example: `  holdfast sites add north --name "Car park north"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.ID, err = holdfast.ParseSiteID(args[0]); err != nil {
				return err
			}
			var out server.NewSite
			raw, err := c.call(cmd.Context(), http.MethodPost, "/v1/sites", in, &out)
			if err != nil || c.json {
				return orJSON(cmd.OutOrStdout(), raw, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Added site %s.\n", out.Site.ID)
			printCode(cmd.OutOrStdout(), out)
			return nil
		},
	}
	cmd.Flags().StringVar(&in.Name, "name", "", "what people call it (default: SITE)")
	cmd.Flags().StringVar((*string)(&in.Gateway), "gateway", "", "id of its gateway (default: gw-SITE)")
	return cmd
}

func sitesCode(c *client) *cobra.Command {
	return &cobra.Command{
		Use:   "code SITE",
		Short: "Print a further one-time code, for a gateway that is replaced or whose code expired",
		Long: `Print a further one-time code. Codes of the site that were not used stop
working. A gateway in service goes on until the new code is redeemed; from then
on only the new one is let in.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var out server.NewSite
			raw, err := c.call(cmd.Context(), http.MethodPost, sitePath(args[0], "/codes"), nil, &out)
			if err != nil || c.json {
				return orJSON(cmd.OutOrStdout(), raw, err)
			}
			printCode(cmd.OutOrStdout(), out)
			return nil
		},
	}
}

func printCode(w io.Writer, s server.NewSite) {
	facts(w, "Gateway", string(s.Site.Gateway), "Code", s.Code, "Valid", "once, until "+when(s.CodeExpires))
	fmt.Fprintf(w, "The code is shown this once. On the gateway:\n  holdfast-gateway enroll --cloud %s --code %s --dir DIR\n", s.Endpoint, s.Code)
}

func sitesList(c *client) *cobra.Command {
	p := &paging{}
	cmd := &cobra.Command{
		Use: "list", Short: "List the sites with the state of their links", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return listing(cmd, c, p, "/v1/sites", nil, printSites)
		},
	}
	return p.add(cmd)
}

// sitePath is an address of the API under a site.
func sitePath(site, rest string) string { return "/v1/sites/" + url.PathEscape(site) + rest }

func printSites(w io.Writer, sites []cloud.Site) {
	if len(sites) == 0 {
		fmt.Fprintln(w, "No sites yet. Add the first one:\n  holdfast sites add SITE")
		return
	}
	t := newTable("SITE", "NAME", "LINK", "LAST CONTACT", ">BACKLOG", "GATEWAY", ">LIST")
	now := time.Now()
	for _, s := range sites {
		t.add(string(s.ID), s.Name, linkText(s.Enrolled, s.Contact), contactText(now, s.Contact),
			strconv.FormatUint(s.Contact.Backlog, 10), string(s.Gateway), "v"+strconv.FormatUint(s.ListVersion, 10))
	}
	t.print(w)
}

// linkText is the link's state as the cloud sees it. A site that nobody has
// heard of is unknown, not offline.
func linkText(enrolled holdfast.UnixMilli, c cloud.Contact) string {
	switch {
	case enrolled == 0:
		return "not enrolled"
	case c.Link == "":
		return "unknown"
	}
	return string(c.Link)
}

func contactText(now time.Time, c cloud.Contact) string {
	if c.Seen == 0 {
		return "never"
	}
	return ago(now, c.Seen) + " ago"
}

func sitesShow(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "show SITE", Short: "Show one site", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var s cloud.Site
			raw, err := c.call(cmd.Context(), http.MethodGet, sitePath(args[0], ""), nil, &s)
			if err != nil || c.json {
				return orJSON(cmd.OutOrStdout(), raw, err)
			}
			printSite(cmd.OutOrStdout(), s)
			return nil
		},
	}
}

func printSite(w io.Writer, s cloud.Site) {
	enrolled := when(s.Enrolled)
	if s.Enrolled == 0 {
		enrolled = "not yet; lost the code? holdfast sites code " + string(s.ID)
	}
	fmt.Fprintf(w, "Site %s\n", s.ID)
	facts(w, "Name", s.Name, "Gateway", string(s.Gateway), "Created", when(s.Created), "Enrolled", enrolled,
		"Link", linkText(s.Enrolled, s.Contact), "Last contact", contactText(time.Now(), s.Contact),
		"Gateway said", reported(s.Contact), "Backlog", count(int(s.Contact.Backlog), "record"),
		"Software", s.Contact.Software, "Access list", "v"+strconv.FormatUint(s.ListVersion, 10))
}

func sitesPolicy(c *client) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "policy SITE",
		Short: "Show or set how a site decides when nobody can be asked",
		Long: `Show how a site decides when nobody can be asked, defaults included. With --set
FILE the policy in FILE (JSON; - is standard input) takes its place; a field that
is left out is its default again. docs/access.md describes every field. Money is
in millionths of the currency unit.`,
		Example: `  holdfast sites policy north
  echo '{"token_cap": 50000000, "site_cap": 500000000}' | holdfast sites policy north --set -`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			path := sitePath(args[0], "/policy")
			var p access.Policy
			var raw []byte
			if file == "" {
				raw, err = c.call(cmd.Context(), http.MethodGet, path, nil, &p)
			} else {
				raw, err = c.replace(cmd, path, "policy", file, &p)
			}
			if err != nil || c.json {
				return orJSON(cmd.OutOrStdout(), raw, err)
			}
			printPolicy(cmd.OutOrStdout(), args[0], p)
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "set", "", "JSON file with the new policy")
	return cmd
}

func printPolicy(w io.Writer, site string, p access.Policy) {
	p = p.Effective()
	age := func(seconds int64) string {
		if p.Dark {
			return "never: this site is meant to live without a link"
		}
		return lasted(time.Duration(seconds) * time.Second)
	}
	unknown := "refused"
	if p.AcceptUnknown {
		unknown = "accepted, up to " + limitsText(p.Unknown)
	}
	fmt.Fprintf(w, "Policy of site %s while the cloud cannot be asked\n", site)
	facts(w, "A session", "up to "+limitsText(p.Offline),
		"A token owes at most", amountText(p.TokenCap), "The site is owed at most", amountText(p.SiteCap),
		"The list is old after", age(p.DegradedAfterS), "then a session", "up to "+limitsText(p.Degraded),
		"It is too old after", age(p.HardAfterS), "then a session", "up to "+limitsText(p.Hard)+", no grants, no ALLOWED tokens",
		"Unknown tokens", unknown, "Sessions of one token", strconv.FormatInt(p.MaxSessions, 10))
}

// amountText prints money of a site, whose currency is its tariff's.
func amountText(m holdfast.Micros) string { return strings.TrimSpace(money(m, "")) }

// reported is the last link change that the gateway recorded, which may be
// older than what the cloud sees.
func reported(c cloud.Contact) string {
	if c.Since.Wall == 0 {
		return ""
	}
	return fmt.Sprintf("last link change %s, cause %s", clockText(c.Since.Wall, c.Since.Quality), c.Cause)
}

func gatewaysCommand() *cobra.Command {
	c, p := &client{}, &paging{}
	list := &cobra.Command{
		Use: "list", Short: "List the gateways", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return listing(cmd, c, p, "/v1/gateways", nil, printGateways)
		},
	}
	show := &cobra.Command{
		Use: "show GATEWAY", Short: "Show one gateway and how far its journals have come", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var g cloud.Gateway
			raw, err := c.call(cmd.Context(), http.MethodGet, "/v1/gateways/"+url.PathEscape(args[0]), nil, &g)
			if err != nil || c.json {
				return orJSON(cmd.OutOrStdout(), raw, err)
			}
			printGateway(cmd.OutOrStdout(), g)
			return nil
		},
	}
	return c.flags(noun("gateways", "Gateways: list, show", p.add(list), show))
}

func printGateways(w io.Writer, list []cloud.Gateway) {
	if len(list) == 0 {
		fmt.Fprintln(w, "No gateways yet. Each site has one; add a site:\n  holdfast sites add SITE")
		return
	}
	t := newTable("GATEWAY", "SITE", "LINK", "LAST CONTACT", ">RECEIVED", ">RECONCILED", ">BACKLOG", "SOFTWARE")
	now := time.Now()
	for _, g := range list {
		received, reconciled := evidence(g)
		t.add(string(g.ID), string(g.Site), linkText(g.Enrolled, g.Contact), contactText(now, g.Contact),
			strconv.FormatUint(received, 10), strconv.FormatUint(reconciled, 10),
			strconv.FormatUint(g.Contact.Backlog, 10), g.Contact.Software)
	}
	t.print(w)
}

// evidence sums the evidence cursors of all epochs.
func evidence(g cloud.Gateway) (received, reconciled uint64) {
	for _, c := range g.Cursors {
		if c.Journal == holdfast.Evidence {
			received += c.Received
			reconciled += c.Reconciled
		}
	}
	return received, reconciled
}

func printGateway(w io.Writer, g cloud.Gateway) {
	enrolled := when(g.Enrolled)
	if g.Enrolled == 0 {
		enrolled = "not yet; lost the code? holdfast sites code " + string(g.Site)
	}
	fmt.Fprintf(w, "Gateway %s\n", g.ID)
	facts(w, "Site", string(g.Site), "Enrolled", enrolled, "Key", g.KeyID, "Link", linkText(g.Enrolled, g.Contact),
		"Last contact", contactText(time.Now(), g.Contact), "Gateway said", reported(g.Contact), "Software", g.Contact.Software)
	if len(g.Cursors) == 0 {
		fmt.Fprintln(w, "Nothing received yet.")
		return
	}
	t := newTable("JOURNAL", "EPOCH", ">RECEIVED", ">RECONCILED")
	for _, cur := range g.Cursors {
		t.add(string(cur.Journal), cur.Epoch.String(), strconv.FormatUint(cur.Received, 10), strconv.FormatUint(cur.Reconciled, 10))
	}
	fmt.Fprintln(w)
	t.print(w)
}

// orJSON ends a command that failed, or that prints the answer as it came.
func orJSON(w io.Writer, raw []byte, err error) error {
	if err != nil {
		return err
	}
	return printJSON(w, raw)
}

// paging are the flags of every list.
type paging struct {
	limit  int
	cursor string
	oldest bool
}

func (p *paging) add(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().IntVar(&p.limit, "limit", cloud.DefaultPage, "most rows")
	cmd.Flags().StringVar(&p.cursor, "cursor", "", `go on where a list ended ("next" in its --json)`)
	cmd.Flags().BoolVar(&p.oldest, "oldest", false, "oldest first")
	return cmd
}

// listing fetches a list and prints it: as JSON one page as it came, for people
// as many pages as --limit asks for.
func listing[T any](cmd *cobra.Command, c *client, p *paging, path string, filter url.Values, print func(io.Writer, []T)) error {
	w := cmd.OutOrStdout()
	if p.limit < 1 {
		return fmt.Errorf("--limit %d: want 1 or more", p.limit)
	}
	if c.json {
		_, raw, err := fetch[T](cmd.Context(), c, p.query(filter, min(p.limit, cloud.MaxPage), p.cursor), path)
		return orJSON(w, raw, err)
	}
	var all []T
	for next := p.cursor; ; {
		page, _, err := fetch[T](cmd.Context(), c, p.query(filter, min(p.limit-len(all), cloud.MaxPage), next), path)
		if err != nil {
			return err
		}
		all = append(all, page.Items...)
		if next = page.Next; next == "" || len(all) >= p.limit {
			if len(all) == 0 && narrowed(filter) {
				fmt.Fprintln(w, nothingMatches)
				return nil
			}
			print(w, all)
			if next != "" {
				fmt.Fprintf(w, "There is more: --limit %d, or --cursor %s\n", p.limit*10, next)
			}
			return nil
		}
	}
}

const nothingMatches = "Nothing matches."

// narrowed reports whether a filter leaves something out, beside the state that
// exceptions are always listed by.
func narrowed(filter url.Values) bool {
	for k, v := range filter {
		if k != "state" && len(v) > 0 && v[0] != "" {
			return true
		}
	}
	return false
}

func fetch[T any](ctx context.Context, c *client, q url.Values, path string) (page server.List[T], raw []byte, err error) {
	raw, err = c.call(ctx, http.MethodGet, path+"?"+q.Encode(), nil, &page)
	return page, raw, err
}

func (p *paging) query(filter url.Values, limit int, cursor string) url.Values {
	q := url.Values{}
	for k, v := range filter {
		if len(v) > 0 && v[0] != "" {
			q[k] = v
		}
	}
	q.Set("limit", strconv.Itoa(limit))
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	if p.oldest {
		q.Set("oldest", "true")
	}
	return q
}
