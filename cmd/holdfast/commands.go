package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/cloud/server"
	"github.com/holdfast-ev/holdfast/uplink"
)

// pollEvery is how often a waiting command asks what became of its directive.
const pollEvery = 500 * time.Millisecond

func startCommand() *cobra.Command {
	c := &client{}
	var site, charger string
	var body uplink.StartBody
	var noWait bool
	cmd := &cobra.Command{
		Use:   "start TOKEN",
		Short: "Ask a charger to start a session (TOKEN - reads it from standard input)",
		Long: `Ask a charger to start a session for a token, and wait for the gateway's word.
The command expires after two minutes: a site that is offline does not start a
car tomorrow. Exit 1 when it is refused or expires.`,
		Example: `  holdfast start 04A2B3C4D5E680 --site north --charger CP-1 --evse 1`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if body.Token, err = secretArg(cmd, args[0]); err != nil {
				return err
			}
			if body.Charger, err = holdfast.ParseChargerID(charger); err != nil {
				return err
			}
			return order(cmd, c, sitePath(site, "/start"), body, noWait)
		},
	}
	f := cmd.Flags()
	f.StringVar(&site, "site", "", "the site (required)")
	f.StringVar(&charger, "charger", "", "the charger (required)")
	f.IntVar(&body.EVSE, "evse", 1, "the EVSE; 0 lets the charger choose")
	f.StringVar(&body.TokenType, "type", "", "OCPP 2.0.1 token type, for example ISO14443")
	noWaitFlag(cmd, &noWait)
	cobra.CheckErr(errors.Join(cmd.MarkFlagRequired("site"), cmd.MarkFlagRequired("charger")))
	return c.flags(cmd)
}

func stopCommand() *cobra.Command {
	c := &client{}
	cmd := orderOfSession(c, "stop", "stop", "Ask a charger to stop a session (SESSION may be the first digits)")
	cmd.Long = `Ask a charger to stop a session, and wait for the gateway's word. Exit 1 when
it is refused or expires.`
	return c.flags(cmd)
}

// orderOfSession makes a verb that sends a session's charger a command.
func orderOfSession(c *client, verb, name, short string) *cobra.Command {
	var noWait bool
	cmd := &cobra.Command{
		Use: verb + " SESSION", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := findSession(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			return order(cmd, c, "/v1/sessions/"+id+"/"+name, nil, noWait)
		},
	}
	noWaitFlag(cmd, &noWait)
	return cmd
}

func noWaitFlag(cmd *cobra.Command, noWait *bool) {
	cmd.Flags().BoolVar(noWait, "no-wait", false, "return when the cloud has taken the command")
}

// order sends a command and follows its directive to its end.
func order(cmd *cobra.Command, c *client, path string, body any, noWait bool) error {
	var q server.Queued
	raw, err := c.call(cmd.Context(), http.MethodPost, path, body, &q)
	if err != nil {
		return err
	}
	w := cmd.OutOrStdout()
	if noWait {
		if c.json {
			return printJSON(w, raw)
		}
		fmt.Fprintf(w, "Asked as directive %s; it expires at %s.\n", q.Directive, when(q.Expires))
		return nil
	}
	d, raw, err := follow(cmd.Context(), c, q)
	if err != nil {
		return err
	}
	if c.json {
		if err := printJSON(w, raw); err != nil {
			return err
		}
	}
	return outcome(cmd, c, d)
}

// follow waits until a directive has an outcome or has expired unheard.
func follow(ctx context.Context, c *client, q server.Queued) (d cloud.Directive, raw []byte, err error) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		raw, err = c.call(ctx, http.MethodGet, "/v1/directives/"+url.PathEscape(q.Directive), nil, &d)
		if err != nil || d.Outcome != "" || time.Now().After(q.Expires.Time()) {
			return d, raw, err
		}
		select {
		case <-ctx.Done():
			return d, raw, unreachable(fmt.Errorf("stopped waiting; directive %s is still under way", q.Directive))
		case <-tick.C:
		}
	}
}

func outcome(cmd *cobra.Command, c *client, d cloud.Directive) error {
	detail := ""
	if d.Detail != "" {
		detail = ": " + strings.TrimSpace(d.Detail)
	}
	switch d.Outcome {
	case "done":
		if !c.json {
			fmt.Fprintf(cmd.OutOrStdout(), "Done%s.\n", detail)
			return printResult(cmd.OutOrStdout(), d.Result)
		}
		return nil
	case "":
		return failed(fmt.Errorf("the gateway did not answer in time: its site is offline, or the charger is (holdfast sites show SITE)"))
	}
	return failed(fmt.Errorf("%s%s", d.Outcome, detail))
}

// printResult prints what a charger answered: values by key as a table, anything
// else as JSON.
func printResult(w io.Writer, raw json.RawMessage) error {
	if len(raw) == 0 {
		return nil
	}
	var values map[string]string
	if json.Unmarshal(raw, &values) != nil {
		return printJSON(w, raw)
	}
	t := newTable("KEY", "VALUE")
	for _, k := range slices.Sorted(maps.Keys(values)) {
		t.add(k, values[k])
	}
	t.print(w)
	return nil
}

func directivesCommand() *cobra.Command {
	c, p := &client{}, &paging{}
	var site string
	list := &cobra.Command{
		Use: "list", Short: "List what was asked of gateways and what became of it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return listing(cmd, c, p, "/v1/directives", url.Values{"site": {site}}, printDirectives)
		},
	}
	list.Flags().StringVar(&site, "site", "", "only of this site")
	return c.flags(noun("directives", "What was asked of gateways: installs and commands", p.add(list)))
}

func printDirectives(w io.Writer, list []cloud.Directive) {
	if len(list) == 0 {
		fmt.Fprintln(w, "Nothing was asked of any gateway yet.")
		return
	}
	t := newTable("QUEUED", "GATEWAY", "KIND", "DIRECTIVE", "OUTCOME")
	for _, d := range list {
		t.add(when(d.Queued), string(d.Gateway), string(d.Kind), d.ID, outcomeText(d))
	}
	t.print(w)
}

// outcomeText says which side has to act while there is no outcome.
func outcomeText(d cloud.Directive) string {
	switch {
	case d.Outcome == "" && d.Expires != 0 && d.Expires.Time().Before(time.Now()):
		return "expired unheard"
	case d.Outcome == "":
		return "waits for the gateway"
	case d.Detail != "":
		return d.Outcome + ": " + strings.TrimSpace(d.Detail)
	}
	return d.Outcome
}
