package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/charger"
)

// chargerFlags are the flags of `holdfast charger`; docs/charger.md is their
// manual.
type chargerFlags struct {
	options  charger.Options
	version  string
	count    int
	scenario string
	token    string
	charge   time.Duration
	settle   time.Duration
	flaws    []string
	truth    string
	json     bool
}

func chargerCommand() *cobra.Command {
	var f chargerFlags
	c := &cobra.Command{
		Use:   "charger --url ws://HOST:PORT/ocpp --id ID [flags]",
		Short: "Simulate chargers at any OCPP 1.6 or 2.0.1 endpoint",
		Long: `Connects simulated chargers to an OCPP endpoint. With --scenario the file says
what happens; with --token one driver charges for --charge and leaves; without
either the chargers stay connected, with a car plugged in, until interrupted.

Exits 1 when something did not come out as the scenario expects, or when a
message was left without an answer.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.register(c)
	return c
}

func (f *chargerFlags) register(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.options.URL, "url", "", "WebSocket endpoint; the id is appended")
	fl.StringVar(&f.options.ID, "id", "CP1", `identity; "{n}" becomes the number with --count`)
	fl.StringVar(&f.version, "version", string(charger.V16), `OCPP version: "1.6" or "2.0.1"`)
	fl.StringVar(&f.options.Password, "password", os.Getenv("HOLDFAST_CHARGER_PASSWORD"), "Basic auth password (default $HOLDFAST_CHARGER_PASSWORD)")
	fl.IntVar(&f.count, "count", 1, "how many chargers")
	fl.IntVar(&f.options.EVSEs, "evses", 1, "EVSEs of each charger")
	fl.Int64Var(&f.options.Power, "power", 11_000, "W that a car draws")
	fl.Int64Var(&f.options.Speed, "speed", 1, "meter seconds per clock second; timestamps stay real")
	fl.Uint64Var(&f.options.Seed, "seed", 1, "seed of ids, meters and jitter")
	fl.BoolVar(&f.options.KWh, "kwh", false, "report registers in kWh instead of Wh")
	fl.DurationVar(&f.options.SampleInterval, "sample", time.Minute, "between meter samples of a session")
	fl.DurationVar(&f.options.RetryInterval, "retry", time.Minute, "before an unanswered transaction message is repeated")
	fl.BoolVar(&f.options.OfflineKnown, "offline-known", false, "start offline for tokens accepted before")
	fl.BoolVar(&f.options.OfflineUnknown, "offline-unknown", false, "start offline for any other token")
	fl.IntVar(&f.options.LocalList, "local-list", 0, "entries of its local authorisation list; 0: it has none")
	fl.StringVar(&f.scenario, "scenario", "", "YAML file that says what happens")
	fl.StringVar(&f.token, "token", "", "without a scenario: the driver's token")
	fl.DurationVar(&f.charge, "charge", 30*time.Second, "without a scenario: how long the driver charges")
	fl.DurationVar(&f.settle, "settle", 2*time.Minute, "how long to wait at the end for answers")
	fl.StringSliceVar(&f.flaws, "flaw", nil, "misbehave: "+strings.Join(charger.FlawNames(), ", "))
	fl.StringVar(&f.truth, "truth", "", "append the meters' truth to this file, as NDJSON")
	fl.BoolVar(&f.json, "json", false, "print events and sessions as NDJSON")
}

func (f *chargerFlags) run(cmd *cobra.Command) error {
	if f.options.URL == "" {
		return errors.New("charger: --url is missing: the WebSocket endpoint, for example --url ws://127.0.0.1:8887/ocpp")
	}
	scenario, err := f.plan()
	if err != nil {
		return err
	}
	f.options.Version = charger.Version(f.version)
	for _, name := range f.flaws {
		if err := f.options.Flaws.Set(name); err != nil {
			return err
		}
	}
	if f.truth != "" {
		log, err := os.OpenFile(f.truth, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("truth log: %w", err)
		}
		defer log.Close()
		f.options.TruthLog = &lockedWriter{w: log}
	}
	out := &lockedWriter{w: cmd.OutOrStdout()}
	f.options.OnEvent = f.teller(out)
	fleet, err := charger.NewFleet(f.options, f.count)
	if err != nil {
		return err
	}
	if scenario == nil {
		for _, c := range fleet {
			if err := c.Plug(1); err != nil {
				return err
			}
		}
	}
	err = charger.PlayAll(cmd.Context(), fleet, scenario, f.settle)
	if e := f.summary(cmd.OutOrStdout(), fleet); e != nil {
		return e
	}
	if err != nil {
		return failed(err)
	}
	return nil
}

// plan returns the scenario to play, or nil to stay connected.
func (f *chargerFlags) plan() (*charger.Scenario, error) {
	if f.scenario != "" {
		s, err := charger.LoadScenario(f.scenario)
		if err != nil {
			return nil, err
		}
		f.flaws = append(slices.Clone(f.flaws), s.Flaws...)
		return s, nil
	}
	if f.token == "" {
		return nil, nil
	}
	text := fmt.Sprintf("steps: [{plug: 1}, {swipe: {token: %q, expect: accepted}}, {wait: %s}, {stop: 1}, {unplug: 1}]", f.token, f.charge)
	return charger.ParseScenario("--token", []byte(text))
}

// teller prints events as they happen.
func (f *chargerFlags) teller(out io.Writer) func(charger.Event) {
	if f.json {
		return func(e charger.Event) {
			if b, err := json.Marshal(e); err == nil {
				out.Write(append(b, '\n')) //nolint:errcheck // a reader that is gone ends the process soon enough
			}
		}
	}
	return func(e charger.Event) {
		where := e.Charger
		if e.EVSE != 0 {
			where = fmt.Sprintf("%s/%d", e.Charger, e.EVSE)
		}
		fmt.Fprintf(out, "%s  %-16s %-12s %s\n", e.At.Format("15:04:05.000"), where, e.Kind, e.Text)
	}
}

// summary prints what the meters know.
func (f *chargerFlags) summary(out io.Writer, fleet []*charger.Charger) error {
	if f.json {
		enc := json.NewEncoder(out)
		for _, c := range fleet {
			for _, s := range c.Truth() {
				if err := enc.Encode(s); err != nil {
					return err
				}
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "\nCHARGER\tSESSION\tTOKEN\tENERGY\tREASON\tSTART\tSTOP")
	for _, c := range fleet {
		for _, s := range c.Truth() {
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%s\n", s.Charger, s.N, s.Token, holdfast.WattHours(s.EnergyWh),
				orDash(s.Reason), answered(s.StartAcked), answered(s.StopAcked))
		}
	}
	return w.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func answered(yes bool) string {
	if yes {
		return "answered"
	}
	return "not answered"
}
