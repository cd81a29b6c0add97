package command

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/record"
)

func chargersCommand() *cobra.Command {
	var at socketFlag
	c := &cobra.Command{
		Use:   "chargers [ID]",
		Short: "Show how chargers would cope if this gateway were gone",
		Long: `Show for each charger whether it is ready to work alone, what is missing, and
its local list. With an ID: every setting that matters, as it is and as it is
wanted. docs/native.md explains them.

Exit code 0 when the gateway answers; 1 when it does not, or has no such charger.`,
		Args: cobra.MaximumNArgs(1),
	}
	at.add(c)
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		r, err := at.report(c.Context())
		if err != nil {
			return err
		}
		list := r.Chargers
		if len(args) == 1 {
			if list = named(list, holdfast.ChargerID(args[0])); len(list) == 0 {
				return failed(fmt.Errorf("no charger %q is configured here; the table of all: holdfast-gateway chargers", args[0]))
			}
		}
		switch {
		case *asJSON:
			return printJSON(c.OutOrStdout(), list)
		case len(args) == 1:
			return printCharger(c.OutOrStdout(), list[0])
		}
		return printNative(c.OutOrStdout(), list)
	}
	return c
}

func named(list []gateway.ChargerStatus, id holdfast.ChargerID) []gateway.ChargerStatus {
	for _, ch := range list {
		if ch.ID == id {
			return []gateway.ChargerStatus{ch}
		}
	}
	return nil
}

// printNative is the table for a technician.
func printNative(out io.Writer, list []gateway.ChargerStatus) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "No chargers are configured. Add them under chargers: in the configuration.")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "CHARGER\tALONE\tLIST\tWHAT IS MISSING")
	for _, ch := range list {
		n := ch.Native
		if len(n.Missing) == 0 {
			fmt.Fprintf(w, "%s\t%s\t%s\t-\n", ch.ID, n.Verdict, nativeList(n))
		}
		for i, why := range n.Missing {
			if i == 0 {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", ch.ID, n.Verdict, nativeList(n), why)
				continue
			}
			fmt.Fprintf(w, "\t\t\t%s\n", why)
		}
	}
	return w.Flush()
}

func nativeList(n gateway.NativeStatus) string {
	switch n.List {
	case "":
		return "not written yet"
	case record.ListUnsupported:
		return "none"
	case record.ListInstalled, record.ListPartial:
		s := fmt.Sprintf("%d entries, version %d", n.Count, n.Version)
		if n.LeftOut > 0 {
			s += fmt.Sprintf("; %d drivers do not fit", n.LeftOut)
		}
		return s
	}
	return string(n.List)
}

// printCharger shows one charger's settings.
func printCharger(out io.Writer, ch gateway.ChargerStatus) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "charger\t%s\n", ch.ID)
	fmt.Fprintf(w, "alone\t%s\n", ch.Native.Verdict)
	for _, why := range ch.Native.Missing {
		fmt.Fprintf(w, "missing\t%s\n", why)
	}
	fmt.Fprintf(w, "list\t%s\n", nativeList(ch.Native))
	if len(ch.Native.Settings) == 0 {
		fmt.Fprintln(w, "\nIts settings were not read yet: that begins some seconds after it connects.")
		return w.Flush()
	}
	fmt.Fprintln(w, "\nSETTING\tIS\tWANTED\tANSWER")
	for _, v := range ch.Native.Settings {
		want := v.Want
		if v.OK {
			want = "as it is"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", v.Key, dash(v.Have), dash(want), dash(v.Answer))
	}
	return w.Flush()
}
