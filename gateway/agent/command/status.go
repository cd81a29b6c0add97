package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/gateway/agent"
	"github.com/holdfast-ev/holdfast/uplink"
)

func statusCommand() *cobra.Command {
	var at socketFlag
	c := &cobra.Command{
		Use:   "status",
		Short: "Show how a running gateway is doing",
		Long: `Show how the gateway on this machine is doing: its link, whether drivers can
charge, chargers, running sessions, and what the cloud does not have yet.

Exit code 0 when the gateway answers, whatever it says; 1 when it does not.`,
		Args: cobra.NoArgs,
	}
	at.add(c)
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		r, err := at.report(c.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), r)
		}
		return printStatus(c.OutOrStdout(), r)
	}
	return c
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// printStatus is the report for people: the two marks first, then what is held
// for the cloud, then chargers and sessions.
func printStatus(out io.Writer, r *agent.Report) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "gateway\t%s at site %s, boot %d, %s\n", r.Gateway, r.Site, r.Boot, r.Software)
	fmt.Fprintf(w, "link\t%s\n", linkLine(r))
	fmt.Fprintf(w, "charging\t%s\n", chargingLine(r))
	fmt.Fprintf(w, "held\t%s\n", heldLine(r))
	printPower(w, r)
	fmt.Fprintf(w, "access list\t%s\n", listLine(r))
	fmt.Fprintf(w, "journal\t%d records, %s on disk, room for %s\n", r.Records, bytesOf(r.Bytes), roomOf(r.FreeBytes))
	for _, g := range r.Gaps {
		fmt.Fprintf(w, "damaged\t%s\n", gapLine(g))
	}
	if x := r.Refused; x != nil {
		fmt.Fprintf(w, "refused\tthe cloud does not take %s records from %d on: %s: %s\n", x.Journal, x.First, x.Code, x.Detail)
	}
	fmt.Fprintf(w, "clock\t%s\n", clockLine(r))
	if r.Recoveries > 0 {
		fmt.Fprintf(w, "disk\tthe core was recovered %d times since the start: look at the log\n", r.Recoveries)
	}
	if err := errors.Join(w.Flush(), printLinks(out, r)); err != nil {
		return err
	}
	printChargers(w, r)
	printSessions(w, r)
	return w.Flush()
}

func linkLine(r *agent.Report) string {
	s := fmt.Sprintf("%s for %s", r.Link, span(r.LinkForS))
	if r.Cause != holdfast.CauseNone && r.Cause != "" {
		s += fmt.Sprintf(", cause %s", r.Cause)
	}
	if by := r.Route(); r.Link != holdfast.Offline && by.Link != "" && by.Link != uplink.DefaultLink {
		s += ", over " + by.Link
	}
	if r.Link == holdfast.Offline {
		s += fmt.Sprintf("; charging locally, %d sessions running", len(r.Sessions))
	}
	return s
}

func chargingLine(r *agent.Report) string {
	if r.Why == "" {
		return string(r.Charging)
	}
	return fmt.Sprintf("%s: %s", r.Charging, r.Why)
}

func heldLine(r *agent.Report) string {
	if r.Backlog == 0 {
		return "nothing; the cloud has everything in its books"
	}
	s := fmt.Sprintf("%d records that the cloud has not reconciled", r.Backlog)
	if r.OldestUnsynced != 0 {
		s += ", the oldest of " + r.OldestUnsynced.String()
	}
	return s
}

func gapLine(g gateway.Gap) string {
	what := "waiting for the cloud's copy"
	if g.Lost {
		what = "the cloud has no copy"
	}
	if g.File == "" {
		return fmt.Sprintf("%s records %d to %d: %s; %s", g.Journal, g.First, g.To-1, g.Detail, what)
	}
	return fmt.Sprintf("%s records %d to %d, %s at offset %d: %s; %s", g.Journal, g.First, g.To-1, g.File, g.Offset, g.Detail, what)
}

func listLine(r *agent.Report) string {
	switch {
	case r.ListVersion == 0:
		return "none installed: only grants are accepted; it comes with the first contact to the cloud"
	case r.ListAgeS < 0:
		return fmt.Sprintf("version %d, age unknown, %s", r.ListVersion, r.ListStage)
	}
	return fmt.Sprintf("version %d, %s old, %s", r.ListVersion, span(r.ListAgeS), r.ListStage)
}

func printChargers(w io.Writer, r *agent.Report) {
	if len(r.Chargers) == 0 {
		fmt.Fprintln(w, "\nNo chargers are configured. Add them under chargers: in the configuration.")
		return
	}
	fmt.Fprintln(w, "\nCHARGER\tCONNECTED\tOCPP\tMODEL\tFIRMWARE\tALONE\tCONNECTORS")
	for _, ch := range r.Chargers {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", ch.ID, yesNo(ch.Connected), dash(ch.Version), dash(strings.TrimSpace(ch.Vendor+" "+ch.Model)), dash(ch.Firmware), ch.Native.Verdict, connectors(ch))
	}
}

func connectors(ch gateway.ChargerStatus) string {
	if len(ch.Connectors) == 0 {
		return "-"
	}
	var list []string
	for i := 0; i <= gateway.MaxEVSEs; i++ {
		if st, ok := ch.Connectors[i]; ok {
			list = append(list, fmt.Sprintf("%d %v", i, st))
		}
	}
	return strings.Join(list, ", ")
}

func printSessions(w io.Writer, r *agent.Report) {
	if len(r.Sessions) == 0 {
		fmt.Fprintln(w, "\nNo session is running.")
		return
	}
	fmt.Fprintln(w, "\nSESSION\tCHARGER\tEVSE\tFOR\tENERGY\tPOWER\tSET-POINT\tBEGUN")
	for _, s := range r.Sessions {
		begun := "online"
		if s.Offline {
			begun = "offline"
		}
		if s.Stopping {
			begun += ", stopping at a limit"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%d W\t%s\t%s\n", s.ID.Short(), s.Charger, s.EVSE, span(s.ForS), s.Energy, s.Power, setPoint(s.SetPoint), begun)
	}
}

// span prints seconds as people say them: "3 h 12 m".
func span(seconds int64) string {
	d := time.Duration(seconds) * time.Second
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", seconds)
	case d < time.Hour:
		return fmt.Sprintf("%d m %d s", int(d.Minutes()), seconds%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d m", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d d %d h", int(d.Hours())/24, int(d.Hours())%24)
}

func bytesOf(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

func roomOf(n int64) string {
	if n < 0 {
		return "an unknown amount more"
	}
	return bytesOf(n) + " more"
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
