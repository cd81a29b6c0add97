package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
)

func sessionsCommand() *cobra.Command {
	c, p := &client{}, &paging{}
	var site, charger, stage string
	var running bool
	list := &cobra.Command{
		Use: "list", Short: "List charging sessions", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{"site": {site}, "charger": {charger}, "stage": {stage}}
			if cmd.Flags().Changed("running") {
				q.Set("running", strconv.FormatBool(running))
			}
			return listing(cmd, c, p, "/v1/sessions", q, func(w io.Writer, list []cloud.Session) {
				// The API's order is the one in which the cloud learned of them, which
				// an export needs; people want the one in which they happened.
				slices.SortStableFunc(list, func(a, b cloud.Session) int {
					if p.oldest {
						a, b = b, a
					}
					return cmp.Compare(b.Started, a.Started)
				})
				printSessions(w, list)
			})
		},
	}
	f := list.Flags()
	f.StringVar(&site, "site", "", "only of this site")
	f.StringVar(&charger, "charger", "", "only of this charger")
	f.StringVar(&stage, "stage", "", "only received, reconciled or rated ones")
	f.BoolVar(&running, "running", false, "only running ones (=false: only ended ones)")
	check := orderOfSession(c, "check", "transaction-status", "Ask a session's charger whether it still runs there (OCPP 2.x)")
	show := &cobra.Command{
		Use: "show SESSION", Short: "Show one session with its bill and its evidence (SESSION may be the first digits)", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := findSession(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			var s cloud.SessionDetail
			raw, err := c.call(cmd.Context(), http.MethodGet, "/v1/sessions/"+id, nil, &s)
			if err != nil || c.json {
				return orJSON(cmd.OutOrStdout(), raw, err)
			}
			printSession(cmd.OutOrStdout(), s)
			return nil
		},
	}
	return c.flags(noun("sessions", "Charging sessions: list, show, check", p.add(list), show, check))
}

// Bounds of the search for a session by its first digits.
const (
	minPrefix     = 6      // hex digits
	maxPrefixScan = 10_000 // newest sessions looked at
)

// findSession completes the first digits of a session's id, as the lists show
// them. The full id is what is sent: a prefix is for people's eyes only.
func findSession(ctx context.Context, c *client, prefix string) (string, error) {
	if len(prefix) == 2*len(holdfast.SessionID{}) {
		return prefix, nil
	}
	if len(prefix) < minPrefix || strings.Trim(prefix, "0123456789abcdef") != "" {
		return "", fmt.Errorf("session %q: want its id, or at least the first %d of its digits (0-9, a-f)", prefix, minPrefix)
	}
	found, p := "", &paging{}
	for next, seen := "", 0; seen < maxPrefixScan; {
		page, _, err := fetch[cloud.Session](ctx, c, p.query(nil, cloud.MaxPage, next), "/v1/sessions")
		if err != nil {
			return "", err
		}
		for _, s := range page.Items {
			if !strings.HasPrefix(s.ID.String(), prefix) {
				continue
			}
			if found != "" {
				return "", failed(fmt.Errorf("session %s: more than one begins so; give more digits", prefix))
			}
			found = s.ID.String()
		}
		if seen += len(page.Items); page.Next == "" {
			break
		}
		next = page.Next
	}
	if found == "" {
		return "", failed(fmt.Errorf("session %s: none of the newest %d begins so", prefix, maxPrefixScan))
	}
	return found, nil
}

func printSessions(w io.Writer, list []cloud.Session) {
	if len(list) == 0 {
		fmt.Fprintln(w, "No sessions. They appear when a gateway uploads them; is one connected?\n  holdfast sites list")
		return
	}
	t := newTable("STARTED", "SITE", "CHARGER", ">EVSE", "SESSION", "LASTED", ">KWH", ">AMOUNT", "STAGE", "NOTES")
	for _, s := range list {
		t.add(when(s.Started), string(s.Site), string(s.Charger), strconv.Itoa(s.EVSE), s.ID.Short(), sessionTime(s),
			kwh(s.Energy), amount(s), string(s.Stage), notes(s))
	}
	t.print(w)
}

func sessionTime(s cloud.Session) string {
	switch {
	case s.Running:
		return "running"
	case s.Started == 0 || s.Stopped == 0:
		return "unknown"
	}
	return lasted(s.Stopped.Time().Sub(s.Started.Time()))
}

// amount is the bill, or "-" while there is none: never a zero that nobody
// worked out.
func amount(s cloud.Session) string {
	if s.Amount == nil {
		return "-"
	}
	return s.Amount.String()
}

func notes(s cloud.Session) string {
	var n []string
	if s.Failed {
		n = append(n, "nothing charged")
	}
	if s.Offline {
		n = append(n, "offline")
	}
	if s.Quality != "" && s.Quality != holdfast.Synchronised {
		n = append(n, "clock "+string(s.Quality))
	}
	return strings.Join(append(n, s.Exception...), ", ")
}

func printSession(w io.Writer, s cloud.SessionDetail) {
	fmt.Fprintf(w, "Session %s\n", s.ID)
	tariff := ""
	if s.Tariff != nil {
		tariff = fmt.Sprintf("%s version %d", s.Tariff.ID, s.Tariff.Version)
	}
	facts(w, "Site", string(s.Site), "Charger", fmt.Sprintf("%s, EVSE %d", s.Charger, s.EVSE),
		"Started", clockText(s.Started, s.Quality), "Stopped", stoppedText(s.Session), "Lasted", sessionTime(s.Session), "Charger said", claimText(s.Session),
		"Started by", string(s.Source), "Stop reason", s.Reason, "Notes", notes(s.Session),
		"Energy", s.Energy.String()+registers(s.Session), "Tariff", tariff, "Amount", amount(s.Session), "Stage", stageText(s.Session))
	printCharges(w, s.CDRs)
	if len(s.Exceptions) > 0 {
		fmt.Fprintln(w, "\nExceptions")
		for _, e := range s.Exceptions {
			fmt.Fprintf(w, "  %s (%s): %s\n", e.Code, e.State, e.Detail)
		}
	}
	printEvidence(w, s.Evidence)
}

func clockText(u holdfast.UnixMilli, q holdfast.Quality) string {
	switch q {
	case holdfast.Synchronised, "":
		return when(u)
	case holdfast.Relative:
		return when(u) + " (clock not synchronised, spans are right)"
	}
	return when(u) + " (clock not trusted)"
}

// claimText is what the charger's clock said, where that is not believed.
func claimText(s cloud.Session) string {
	var said []string
	if s.StartedClaim != 0 {
		said = append(said, "started "+when(s.StartedClaim))
	}
	if s.StoppedClaim != 0 && !s.Running {
		said = append(said, "stopped "+when(s.StoppedClaim))
	}
	return strings.Join(said, ", ")
}

func stoppedText(s cloud.Session) string {
	if s.Running {
		return ""
	}
	return clockText(s.Stopped, s.Quality)
}

func registers(s cloud.Session) string {
	if s.Start == nil || s.Stop == nil {
		return " (register missing)"
	}
	return fmt.Sprintf(" (register %s to %s)", s.Start, s.Stop)
}

// stageText says which side has to act next.
func stageText(s cloud.Session) string {
	switch {
	case s.Running:
		return "running; the gateway reports"
	case s.Failed:
		return string(s.Stage) + "; nothing was charged, so there is no bill"
	case s.Stage == cloud.StageReceived:
		return "received; waits for the gateway's signed checkpoint"
	case s.Stage == cloud.StageReconciled:
		return "reconciled; not priced: see its exceptions"
	}
	return string(s.Stage)
}

func printCharges(w io.Writer, list []cloud.CDR) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintln(w, "\nCharge detail records")
	printCDRs(w, list)
}

func printEvidence(w io.Writer, list []cloud.Evidence) {
	fmt.Fprintf(w, "\nEvidence, %s\n", count(len(list), "record"))
	t := newTable("POSITION", "RECORD", "TIME", "RECONCILED")
	for _, e := range list {
		var head struct {
			Type string           `json:"t"`
			At   holdfast.Instant `json:"at"`
		}
		if err := json.Unmarshal(e.Record, &head); err != nil {
			head.Type = "unreadable"
		}
		covered := "yes"
		if !e.Reconciled {
			covered = "not yet"
		}
		t.add(e.Pos.String(), head.Type, when(head.At.Wall), covered)
	}
	t.print(w)
}

func cdrsCommand() *cobra.Command {
	c, p := &client{}, &paging{}
	var site, session string
	var current bool
	list := &cobra.Command{
		Use: "list", Short: "List charge detail records, credits included", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{"site": {site}, "session": {session}}
			if current {
				q.Set("current", "true")
			}
			return listing(cmd, c, p, "/v1/cdrs", q, func(w io.Writer, list []cloud.CDR) {
				if len(list) == 0 {
					fmt.Fprintln(w, "No charge detail records. A session gets one when it has ended, its gateway's checkpoint covers it, and its tariff is known:\n  holdfast sessions list")
					return
				}
				printCDRs(w, list)
			})
		},
	}
	f := list.Flags()
	f.StringVar(&site, "site", "", "only of this site")
	f.StringVar(&session, "session", "", "only of this session (full id)")
	f.BoolVar(&current, "current", false, "leave out credits and what they took back")
	return c.flags(noun("cdrs", "Charge detail records", p.add(list)))
}

func printCDRs(w io.Writer, list []cloud.CDR) {
	t := newTable("CDR", "SITE", "STOPPED", ">KWH", ">NET", ">VAT", ">GROSS", "STATE")
	for _, r := range list {
		t.add(r.ID, string(r.Site), when(r.Stopped), kwh(r.Energy),
			money(r.Net, r.Currency), money(r.VAT, r.Currency), money(r.Gross, r.Currency), cdrState(r))
	}
	t.print(w)
}

func cdrState(r cloud.CDR) string {
	switch {
	case r.Credits != "":
		return "credits " + r.Credits
	case r.Current:
		return "current"
	}
	return "credited"
}

func exceptionsCommand() *cobra.Command {
	c, p := &client{}, &paging{}
	var site, code, state string
	list := &cobra.Command{
		Use: "list", Short: "List cases for a person", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{"site": {site}, "code": {code}, "state": {state}}
			if state == "all" {
				q.Del("state")
			}
			return listing(cmd, c, p, "/v1/exceptions", q, printExceptions)
		},
	}
	f := list.Flags()
	f.StringVar(&site, "site", "", "only of this site")
	f.StringVar(&code, "code", "", "only of this code (docs/exceptions.md lists them)")
	f.StringVar(&state, "state", "open", "open, resolved or all")
	return c.flags(noun("exceptions", "Exceptions: cases that a person has to look at", p.add(list)))
}

func printExceptions(w io.Writer, list []cloud.Exception) {
	if len(list) == 0 {
		fmt.Fprintln(w, "No exceptions: nothing waits for a person.")
		return
	}
	t := newTable("CODE", "STATE", "OPENED", "SITE", "SESSION", "WHAT")
	for _, e := range list {
		session := "-"
		if !e.Session.IsZero() {
			session = e.Session.Short()
		}
		t.add(e.Code, e.State, when(e.Opened), string(e.Site), session, e.Detail)
	}
	t.print(w)
	fmt.Fprintln(w, "docs/exceptions.md says what each code means and what to do.")
}

func ledgerCommand() *cobra.Command {
	c, p := &client{}, &paging{}
	var site, session, account string
	filter := func() url.Values {
		return url.Values{"site": {site}, "session": {session}, "account": {account}}
	}
	list := &cobra.Command{
		Use: "list", Short: "List ledger entries; the lines of one booking sum to zero", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return listing(cmd, c, p, "/v1/ledger", filter(), printLedger)
		},
	}
	balance := &cobra.Command{
		Use: "balance", Short: "Sum the ledger by account; exit 1 when debits and credits differ", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			for k, v := range filter() {
				if v[0] != "" {
					q[k] = v
				}
			}
			page, raw, err := fetch[cloud.Balance](cmd.Context(), c, q, "/v1/balances")
			if err != nil {
				return err
			}
			if c.json {
				err = printJSON(cmd.OutOrStdout(), raw)
			} else if len(page.Items) == 0 && len(q) > 0 {
				fmt.Fprintln(cmd.OutOrStdout(), nothingMatches)
			} else {
				printBalances(cmd.OutOrStdout(), page.Items)
			}
			if err == nil && account == "" {
				err = checkBalanced(page.Items)
			}
			return err
		},
	}
	cmd := c.flags(noun("ledger", "The ledger: entries and balances", p.add(list), balance))
	f := cmd.PersistentFlags()
	f.StringVar(&site, "site", "", "only of this site")
	f.StringVar(&session, "session", "", "only of this session (full id)")
	f.StringVar(&account, "account", "", "only of this account")
	return cmd
}

func printLedger(w io.Writer, list []cloud.Entry) {
	if len(list) == 0 {
		fmt.Fprintln(w, "The ledger is empty. Entries are posted when a session is priced:\n  holdfast sessions list")
		return
	}
	t := newTable("ADDED", "BOOKING", "SITE", "ACCOUNT", ">DEBIT", ">CREDIT", "REVERSES")
	for _, e := range list {
		debit, credit := exact(e.Amount, e.Currency), ""
		if e.Amount < 0 {
			debit, credit = "", exact(-e.Amount, e.Currency)
		}
		t.add(when(e.Added), e.Booking, string(e.Site), e.Account, debit, credit, e.Reverses)
	}
	t.print(w)
}

func printBalances(w io.Writer, list []cloud.Balance) {
	if len(list) == 0 {
		fmt.Fprintln(w, "The ledger is empty. Entries are posted when a session is priced:\n  holdfast sessions list")
		return
	}
	t := newTable("ACCOUNT", ">DEBIT", ">CREDIT")
	for _, b := range list {
		if b.Amount < 0 {
			t.add(b.Account, "", exact(-b.Amount, b.Currency))
		} else {
			t.add(b.Account, exact(b.Amount, b.Currency), "")
		}
	}
	t.print(w)
}

// checkBalanced adds the accounts up in each currency.
func checkBalanced(list []cloud.Balance) error {
	sums := map[string]holdfast.Micros{}
	for _, b := range list {
		sums[b.Currency] += b.Amount
	}
	for currency, sum := range sums {
		if sum != 0 {
			return failed(fmt.Errorf("the books do not balance: debits minus credits is %d millionths of a %s", sum, currency))
		}
	}
	return nil
}
