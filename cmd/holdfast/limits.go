package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/holdfast-ev/holdfast/cloud"
)

func limitsCommand() *cobra.Command {
	c := &client{}
	return c.flags(group("limits", "Power limits: what a site as a whole may draw, and when", limitsShow(c), limitsSet(c)))
}

func limitsShow(c *client) *cobra.Command {
	return &cobra.Command{
		Use:   "show SITE",
		Short: "Show a site's limit schedule, and the limit that its gateway last recorded",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var l cloud.SiteLimits
			raw, err := c.call(cmd.Context(), http.MethodGet, sitePath(args[0], "/limits"), nil, &l)
			if err != nil || c.json {
				return orJSON(cmd.OutOrStdout(), raw, err)
			}
			var s cloud.Site
			if _, err := c.call(cmd.Context(), http.MethodGet, sitePath(args[0], ""), nil, &s); err != nil {
				return err
			}
			printLimits(cmd.OutOrStdout(), l, s.Contact)
			return nil
		},
	}
}

func limitsSet(c *client) *cobra.Command {
	return &cobra.Command{
		Use:   "set SITE FILE",
		Short: "Set the limit schedule in FILE (JSON; - is standard input)",
		Long: `Set what a site as a whole may draw. FILE holds {"after_w": W, "periods":
[{"from": MS, "to": MS, "limit_w": W}, ...]}: times in milliseconds since 1970 UTC,
ascending and without overlap; after_w holds outside the periods. The schedule is
signed, and the gateway obeys it with or without a link. A limit above what the
site was commissioned for, or of 0, is refused; to stop a site there is its
cut-out. docs/power.md says which limit holds when.`,
		Example: `  echo '{"after_w": 20000, "periods": []}' | holdfast limits set north -
  holdfast limits set north tomorrow.json`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var l cloud.SiteLimits
			raw, err := c.replace(cmd, sitePath(args[0], "/limits"), "limit schedule", args[1], &l)
			if err != nil || c.json {
				return orJSON(cmd.OutOrStdout(), raw, err)
			}
			printLimits(cmd.OutOrStdout(), l, cloud.Contact{})
			return nil
		},
	}
}

func printLimits(w io.Writer, l cloud.SiteLimits, c cloud.Contact) {
	if c.PowerMax > 0 {
		fmt.Fprintf(w, "The gateway of site %s recorded a limit of %d W (%s); it is commissioned for %d W.\n", l.Site, c.PowerLimit, c.PowerSource, c.PowerMax)
	}
	if l.Version == 0 {
		fmt.Fprintf(w, "No limit schedule was set for site %s: its own configuration holds.\n  holdfast limits set %s FILE\n", l.Site, l.Site)
		return
	}
	fmt.Fprintf(w, "Limit schedule of site %s, set %s\n", l.Site, when(l.Issued))
	t := newTable("FROM", "TO", ">LIMIT")
	for _, p := range l.Periods {
		t.add(p.From.String(), p.To.String(), strconv.FormatInt(int64(p.Limit), 10)+" W")
	}
	t.add("otherwise", "", strconv.FormatInt(int64(l.After), 10)+" W")
	t.print(w)
}
