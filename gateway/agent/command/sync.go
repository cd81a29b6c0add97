package command

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway/agent"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A socketFlag finds the local API of the gateway on this machine.
type socketFlag struct{ file, dir, socket string }

func (s *socketFlag) add(c *cobra.Command) {
	configFlag(c, &s.file)
	c.Flags().StringVar(&s.dir, "dir", "", "data directory, instead of --config")
	c.Flags().StringVar(&s.socket, "socket", "", "unix socket of the local API, instead of --config")
}

func (s *socketFlag) path() (string, error) {
	switch {
	case s.socket != "":
		return s.socket, nil
	case s.dir != "":
		return filepath.Join(s.dir, "gateway.sock"), nil
	}
	cfg, err := agent.LoadConfig(s.file)
	if err != nil {
		return "", err
	}
	return cfg.Local.Socket, nil
}

// report asks the gateway for its report.
func (s *socketFlag) report(ctx context.Context) (*agent.Report, error) {
	socket, err := s.path()
	if err != nil {
		return nil, err
	}
	r, err := agent.FetchReport(ctx, socket)
	return r, failed(err)
}

func syncCommand() *cobra.Command {
	var at socketFlag
	c := &cobra.Command{
		Use:   "sync now",
		Short: "Upload what waits, whatever upload windows say",
		Long: fmt.Sprintf(`Ask the gateway on this machine to call its cloud and upload what waits. For
%d minutes upload windows and the holds of a low data budget are lifted; a budget
that is spent stays spent. The request is written into the journal.

Exit code 0 when the gateway has taken the request; 1 when it does not answer.`, uplink.OverrideMillis/60_000),
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"now"},
	}
	at.add(c)
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		socket, err := at.path()
		if err != nil {
			return err
		}
		if err := agent.SyncNow(c.Context(), socket); err != nil {
			return failed(err)
		}
		r, err := agent.FetchReport(c.Context(), socket)
		if err != nil {
			return failed(err)
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), struct {
				Asked   bool               `json:"asked"`
				Link    holdfast.LinkState `json:"link"`
				Backlog uint64             `json:"backlog"`
			}{true, r.Link, r.Backlog})
		}
		return printSync(c.OutOrStdout(), r)
	}
	return c
}

func printSync(out io.Writer, r *agent.Report) error {
	said := fmt.Sprintf("The gateway calls its cloud; windows and holds are lifted for %d minutes.", uplink.OverrideMillis/60_000)
	switch {
	case r.Link == holdfast.Offline:
		said += fmt.Sprintf("\nThe link is OFFLINE, cause %s: %d records wait until it is back.", r.Cause, r.Backlog)
	case r.Backlog == 0:
		said += "\nNo evidence waits."
	default:
		said += fmt.Sprintf("\n%d records wait. Look with: holdfast-gateway status", r.Backlog)
	}
	_, err := fmt.Fprintln(out, said)
	return err
}

// printLinks shows the ways to the cloud, when there is anything to choose or
// to bound.
func printLinks(out io.Writer, r *agent.Report) error {
	if len(r.Links) == 0 || len(r.Links) == 1 && r.Links[0].Name == uplink.DefaultLink && len(r.Links[0].Endpoints) < 2 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "\nLINK\tENDPOINT\tSTATE\tMONTH\tBUDGET\tTELEMETRY\tWHY")
	for _, l := range r.Links {
		for i, e := range l.Endpoints {
			name, used, budget, telemetry := l.Name, usedOf(l), budgetOf(l), telemetryOf(l)
			if i > 0 {
				name, used, budget, telemetry = "", "", "", ""
			}
			state := e.State
			if l.State == uplink.Spent {
				state = uplink.Spent
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", name, e.URL, state, used, budget, telemetry, whyOf(e))
		}
	}
	return w.Flush()
}

func usedOf(l uplink.LinkStatus) string {
	s := bytesOf(l.Total())
	if l.Spent > 0 {
		s += fmt.Sprintf(", cost %d.%02d", l.Spent/1_000_000, l.Spent%1_000_000/10_000)
	}
	return s
}

func budgetOf(l uplink.LinkStatus) string {
	if l.Left < 0 {
		return "none"
	}
	s := fmt.Sprintf("%s left of %s, %s", bytesOf(l.Left), bytesOf(l.Budget), l.Stage)
	if l.Resets != 0 {
		s += ", anew on " + l.Resets.Time().Format("2006-01-02 15:04Z")
	}
	return s
}

func telemetryOf(l uplink.LinkStatus) string {
	switch {
	case l.Carry != uplink.CarryAll:
		return "never"
	case l.Stage != uplink.StageOpen:
		return "stopped: budget"
	case l.Open:
		return "now"
	case l.NextOpen != 0:
		return "from " + l.NextOpen.Time().Format("15:04Z")
	}
	return "waits for the time"
}

func whyOf(e uplink.EndpointStatus) string {
	switch {
	case e.State == uplink.Failing:
		s := string(e.Cause)
		if e.Detail != "" {
			s += ": " + e.Detail
		}
		if e.RetryInS > 0 {
			s += fmt.Sprintf(" (again in %s)", span(e.RetryInS))
		}
		return s
	case e.State == uplink.Trying:
		return "works again; watched before it is used"
	}
	return "-"
}
