package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/cloud/server"
)

func tokensCommand() *cobra.Command {
	c, p := &client{}, &paging{}
	list := &cobra.Command{
		Use: "list", Short: "List the tokens; their values are never shown", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return listing(cmd, c, p, "/v1/tokens", nil, printTokens)
		},
	}
	return c.flags(noun("tokens", "Drivers' tokens (cards, apps): add, revoke, list",
		p.add(list), tokensAdd(c), tokensRevoke(c)))
}

func tokensAdd(c *client) *cobra.Command {
	var in cloud.PutToken
	var limits limitFlags
	var until string
	cmd := &cobra.Command{
		Use:   "add TOKEN",
		Short: "Let a token charge, or change what it may (TOKEN - reads it from standard input)",
		Long: `Let a token charge, or change what it may. The cloud keeps a keyed hash and a
sealed copy; the value is never shown again. Give it a --label, so that people
know which card it is.

--whitelist is OCPI's: ALWAYS and ALLOWED_OFFLINE may charge while the site is
offline, ALLOWED may as long as the access list is fresh, NEVER needs a link.`,
		Example: `  holdfast tokens add 04A2B3C4D5E680 --label "Fleet 17" --max-kwh 60
  holdfast tokens add - --label "Visitor" --site north < card.txt`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.Value, err = secretArg(cmd, args[0]); err != nil {
				return err
			}
			if in.Limits, err = limits.limits(); err != nil {
				return err
			}
			if in.Expires, err = parseTime("--expires", until); err != nil {
				return err
			}
			var t cloud.Token
			raw, err := c.call(cmd.Context(), http.MethodPost, "/v1/tokens", in, &t)
			if err != nil || c.json {
				return orJSON(cmd.OutOrStdout(), raw, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Token %s may charge.\n", tokenName(t))
			printToken(cmd.OutOrStdout(), t)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.Label, "label", "", "what people call it; never the card's number")
	f.Var((*siteFlag)(&in.Sites), "site", "where it counts (repeatable; default: every site)")
	f.StringVar((*string)(&in.Whitelist), "whitelist", "", "ALWAYS, ALLOWED, ALLOWED_OFFLINE or NEVER (default ALLOWED)")
	f.StringVar(&in.Group, "group", "", "tokens of one group may stop each other's sessions")
	f.StringVar(&until, "expires", "", "last moment, RFC 3339 or YYYY-MM-DD (default: never)")
	limits.add(cmd)
	return cmd
}

func tokensRevoke(c *client) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke TOKEN|ID",
		Short: "Stop a token from charging, everywhere",
		Long: `Stop a token from charging. It stays on the lists as revoked. A site that is
offline learns of it when its link is back; until then its own limits hold.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			value, err := secretArg(cmd, args[0])
			if err != nil {
				return err
			}
			var t cloud.Token
			raw, err := c.call(cmd.Context(), http.MethodPost, "/v1/tokens/revoke", server.TokenName{Token: value}, &t)
			if err != nil || c.json {
				return orJSON(cmd.OutOrStdout(), raw, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Token %s is revoked. Sites that are offline learn of it when their link is back.\n", tokenName(t))
			return nil
		},
	}
}

func tokenName(t cloud.Token) string {
	if t.Label == "" {
		return t.ID
	}
	return fmt.Sprintf("%s (%s)", t.ID, t.Label)
}

func printToken(w io.Writer, t cloud.Token) {
	expires := "never"
	if t.Expires != 0 {
		expires = when(t.Expires)
	}
	limits := limitsText(t.Limits)
	if limits == "" {
		limits = "none of its own"
	}
	facts(w, "Sites", joinIDs(t.Sites, "every site"), "Whitelist", string(t.Whitelist), "Group", t.Group,
		"Expires", expires, "Limits", limits)
}

func printTokens(w io.Writer, list []cloud.Token) {
	if len(list) == 0 {
		fmt.Fprintln(w, "No tokens yet: nobody can charge. Add the first one:\n  holdfast tokens add TOKEN --label WHO")
		return
	}
	t := newTable("ID", "LABEL", "STATE", "WHITELIST", "SITES", "EXPIRES", "LIMITS PER SESSION")
	for _, tok := range list {
		t.add(tok.ID, tok.Label, tokenState(tok), string(tok.Whitelist), joinIDs(tok.Sites, "every site"), when(tok.Expires), limitsText(tok.Limits))
	}
	t.print(w)
}

func tokenState(t cloud.Token) string {
	switch {
	case !t.Valid:
		return "revoked"
	case t.Expires != 0 && t.Expires.Time().Before(time.Now()):
		return "expired"
	}
	return "valid"
}

func tariffsCommand() *cobra.Command {
	c, p := &client{}, &paging{}
	list := &cobra.Command{
		Use: "list", Short: "List every version of every tariff", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return listing(cmd, c, p, "/v1/tariffs", nil, printTariffs)
		},
	}
	return c.flags(noun("tariffs", "Tariffs: set, list", p.add(list), tariffsSet(c)))
}

func tariffsSet(c *client) *cobra.Command {
	var in cloud.PutTariff
	cmd := &cobra.Command{
		Use:   "set FILE",
		Short: "Set the tariff in FILE (an OCPI 2.2.1 Tariff as JSON; - is standard input)",
		Long: `Set a tariff. FILE holds an OCPI 2.2.1 Tariff object; its id names the tariff,
and setting it again makes the next version. Sessions that start after a site's
gateway installed it are priced with it; sessions that run keep their price.`,
		Example: `  holdfast tariffs set tariff.json
  holdfast tariffs set night.json --site north --site south`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.OCPI, err = readJSON(cmd.InOrStdin(), "tariff", args[0]); err != nil {
				return err
			}
			var t cloud.Tariff
			raw, err := c.call(cmd.Context(), http.MethodPost, "/v1/tariffs", in, &t)
			if err != nil || c.json {
				return orJSON(cmd.OutOrStdout(), raw, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Tariff %s is at version %d.\n", t.ID, t.Version)
			facts(cmd.OutOrStdout(), "Currency", t.Currency, "Sites", joinIDs(t.Sites, "every site"), "Hash", t.Hash.String())
			return nil
		},
	}
	cmd.Flags().Var((*siteFlag)(&in.Sites), "site", "where it counts (repeatable; default: every site)")
	return cmd
}

func printTariffs(w io.Writer, list []cloud.Tariff) {
	if len(list) == 0 {
		fmt.Fprintln(w, "No tariffs yet: sessions cannot be priced. Set the first one:\n  holdfast tariffs set FILE    (an OCPI 2.2.1 Tariff; docs/cli.md has one to start from)")
		return
	}
	t := newTable("TARIFF", ">VERSION", "CURRENCY", "SITES", "SET", "HASH")
	for _, tar := range list {
		t.add(tar.ID, strconv.FormatUint(tar.Version, 10), tar.Currency, joinIDs(tar.Sites, "every site"), when(tar.Added), tar.Hash.String()[:12])
	}
	t.print(w)
}

func grantsCommand() *cobra.Command {
	c := &client{}
	return c.flags(group("grants", "Grants: signed, short-lived permissions that a site can check on its own", grantsIssue(c)))
}

func grantsIssue(c *client) *cobra.Command {
	var in cloud.IssueGrant
	var limits limitFlags
	var life time.Duration
	var file string
	cmd := &cobra.Command{
		Use:   "issue TOKEN",
		Short: "Let a token charge at one site for a while (TOKEN - reads it from standard input)",
		Long: `Sign a grant and send it to the site's gateway. The token need not be on any
list. The grant works while the site is offline, once it has arrived; with
--out it can be carried there by other ways.`,
		Example: `  holdfast grants issue 04A2B3C4D5E680 --site north --for 4h --max-cost 25.00`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.Token, err = secretArg(cmd, args[0]); err != nil {
				return err
			}
			if in.Limits, err = limits.limits(); err != nil {
				return err
			}
			in.Expires = holdfast.UnixMilli(time.Now().Add(life).UnixMilli())
			var g cloud.Grant
			raw, err := c.call(cmd.Context(), http.MethodPost, "/v1/grants", in, &g)
			if err == nil && file != "" {
				err = os.WriteFile(file, g.Statement, 0o600)
			}
			if err != nil || c.json {
				return orJSON(cmd.OutOrStdout(), raw, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Grant %s is on its way to %s.\n", g.ID, g.Site)
			facts(cmd.OutOrStdout(), "Valid", "until "+when(g.Expires), "Sessions", strconv.FormatInt(g.MaxSessions, 10),
				"Limits", limitsText(g.Limits), "Statement", file)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar((*string)(&in.Site), "site", "", "the site (required)")
	f.DurationVar(&life, "for", 4*time.Hour, "how long it is valid, at most 744h")
	f.Int64Var(&in.MaxSessions, "sessions", 1, "most sessions")
	f.StringVar(&file, "out", "", "also write the signed statement to this file")
	limits.add(cmd)
	cobra.CheckErr(cmd.MarkFlagRequired("site"))
	return cmd
}

func eraseCommand() *cobra.Command {
	c := &client{}
	var yes bool
	token := &cobra.Command{
		Use:   "token TOKEN|ID",
		Short: "Forget a driver: destroy the keys that their token was sealed with",
		Long: `Forget a driver. The token leaves every list and the keys of every field that
was sealed for it are destroyed, in the cloud and in what gateways uploaded. The
records stay, verify and bill as before; nobody can read the token in them
again. This cannot be undone.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				return errors.New("this cannot be undone; say --yes if you mean it")
			}
			value, err := secretArg(cmd, args[0])
			if err != nil {
				return err
			}
			var out server.Erased
			raw, err := c.call(cmd.Context(), http.MethodPost, "/v1/tokens/erase", server.TokenName{Token: value}, &out)
			if err != nil || c.json {
				return orJSON(cmd.OutOrStdout(), raw, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Erased. %s destroyed; sessions and bills are unchanged.\n", count(out.KeysDestroyed, "key"))
			return nil
		},
	}
	token.Flags().BoolVar(&yes, "yes", false, "do it")
	return c.flags(group("erase", "Erase personal data for good", token))
}
