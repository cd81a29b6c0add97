package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A chargerVerb is what the verbs of `holdfast chargers` share: where the
// charger is, and whether to wait for what becomes of the command.
type chargerVerb struct {
	client
	site   string
	noWait bool
}

// command makes a verb; its first argument is the charger.
func (v *chargerVerb) command(use, short string, args cobra.PositionalArgs, run func(cmd *cobra.Command, id holdfast.ChargerID, rest []string) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: args, RunE: func(cmd *cobra.Command, args []string) error {
		id, err := holdfast.ParseChargerID(args[0])
		if err != nil {
			return err
		}
		return run(cmd, id, args[1:])
	}}
	cmd.Flags().StringVar(&v.site, "site", "", "the charger's site (required)")
	noWaitFlag(cmd, &v.noWait)
	cobra.CheckErr(cmd.MarkFlagRequired("site"))
	return v.flags(cmd)
}

// bare makes a verb that takes the charger and no other argument.
func (v *chargerVerb) bare(use, short, name string, body func(holdfast.ChargerID) any) *cobra.Command {
	return v.command(use+" CHARGER", short, cobra.ExactArgs(1), func(cmd *cobra.Command, id holdfast.ChargerID, _ []string) error {
		return v.ask(cmd, name, body(id))
	})
}

// ask sends a body to one of the site's commands.
func (v *chargerVerb) ask(cmd *cobra.Command, name string, body any) error {
	return order(cmd, &v.client, sitePath(v.site, "/"+name), body, v.noWait)
}

func chargersCommand() *cobra.Command {
	return group("chargers", "Ask the chargers of a site: reset, unlock, reserve, log, firmware, report, call, ...",
		triggerVerb(), configVerb(), resetVerb(), unlockVerb(), serviceVerb("enable", true), serviceVerb("disable", false), clearCacheVerb(),
		reserveVerb(), cancelVerb(), logVerb(), firmwareVerb(), reportVerb(), profilesVerb(), scheduleVerb(), callVerb())
}

func triggerVerb() *cobra.Command {
	v, b := &chargerVerb{}, uplink.TriggerBody{}
	cmd := v.command("trigger CHARGER MESSAGE", "Ask a charger to send a message, for example StatusNotification", cobra.ExactArgs(2),
		func(cmd *cobra.Command, id holdfast.ChargerID, rest []string) error {
			b.Charger, b.Message = id, rest[0]
			return v.ask(cmd, "trigger", b)
		})
	cmd.Flags().IntVar(&b.EVSE, "evse", 0, "of this EVSE")
	return cmd
}

func configVerb() *cobra.Command {
	v, b := &chargerVerb{}, uplink.ConfigBody{}
	var set string
	cmd := v.command("config CHARGER [KEY...]", "Read or write a charger's configuration", cobra.MinimumNArgs(1),
		func(cmd *cobra.Command, id holdfast.ChargerID, rest []string) error {
			b.Charger, b.Keys = id, rest
			if set != "" {
				var ok bool
				if b.Key, b.Value, ok = strings.Cut(set, "="); !ok || len(rest) > 0 {
					return fmt.Errorf("--set %q: want KEY=VALUE, and no keys to read beside it", set)
				}
			}
			return v.ask(cmd, "config", b)
		})
	cmd.Long = `Read the named keys (OCPP 1.6: all when none is named), or write one with --set.
In OCPP 2.x a key is Component.Variable or Component[instance].Variable[instance].
A key that holds a password is neither read nor written.`
	cmd.Flags().StringVar(&set, "set", "", "KEY=VALUE to write")
	return cmd
}

// forceUsage says what --force means, in every verb that has it.
const forceUsage = "even if that ends a running session"

func resetVerb() *cobra.Command {
	v, b := &chargerVerb{}, uplink.ResetBody{}
	cmd := v.bare("reset", "Restart a charger", "reset", func(id holdfast.ChargerID) any {
		b.Charger = id
		return b
	})
	cmd.Long = `Restart a charger when nobody charges at it, or with --now at once. What would
end a running session is refused unless --force is given; an OCPP 1.6 charger has
no reset that waits.`
	cmd.Flags().IntVar(&b.EVSE, "evse", 0, "only this EVSE (OCPP 2.x)")
	cmd.Flags().BoolVar(&b.Now, "now", false, "at once")
	cmd.Flags().BoolVar(&b.Force, "force", false, forceUsage)
	return cmd
}

func unlockVerb() *cobra.Command {
	v, b := &chargerVerb{}, uplink.UnlockBody{}
	cmd := v.bare("unlock", "Release a cable that is stuck", "unlock", func(id holdfast.ChargerID) any {
		b.Charger = id
		return b
	})
	cmd.Flags().IntVar(&b.EVSE, "evse", 1, "of this EVSE")
	cmd.Flags().IntVar(&b.Connector, "connector", 0, "this connector; 0 is the first")
	cmd.Flags().BoolVar(&b.Force, "force", false, forceUsage)
	return cmd
}

func serviceVerb(name string, operative bool) *cobra.Command {
	v, b := &chargerVerb{}, uplink.AvailabilityBody{Operative: operative}
	short := "Take a charger or an EVSE out of service; a running session ends first"
	if operative {
		short = "Bring a charger or an EVSE back into service"
	}
	cmd := v.bare(name, short, "availability", func(id holdfast.ChargerID) any {
		b.Charger = id
		return b
	})
	cmd.Flags().IntVar(&b.EVSE, "evse", 0, "only this EVSE; 0 is the whole charger")
	cmd.Flags().IntVar(&b.Connector, "connector", 0, "only this connector; 0 is all of the EVSE's")
	return cmd
}

func clearCacheVerb() *cobra.Command {
	v := &chargerVerb{}
	return v.bare("clear-cache", "Make a charger forget the verdicts that it remembers", "clear-cache",
		func(id holdfast.ChargerID) any { return uplink.ChargerBody{Charger: id} })
}

func reserveVerb() *cobra.Command {
	v, b := &chargerVerb{}, uplink.ReserveBody{}
	var span time.Duration
	cmd := v.command("reserve CHARGER TOKEN", "Reserve an EVSE for a driver (TOKEN - reads it from standard input)", cobra.ExactArgs(2),
		func(cmd *cobra.Command, id holdfast.ChargerID, rest []string) (err error) {
			if b.Token, err = secretArg(cmd, rest[0]); err != nil {
				return err
			}
			b.Charger, b.Expires = id, holdfast.UnixMilli(time.Now().Add(span).UnixMilli())
			return v.ask(cmd, "reserve", b)
		})
	cmd.Flags().IntVar(&b.ID, "id", 1, "number of the reservation; a second one with it replaces the first")
	cmd.Flags().IntVar(&b.EVSE, "evse", 0, "this EVSE; 0 is any")
	cmd.Flags().DurationVar(&span, "for", 30*time.Minute, "how long, at most 168h")
	cmd.Flags().StringVar(&b.TokenType, "type", "", "OCPP 2.x token type; a card is ISO14443")
	cmd.Flags().StringVar(&b.Group, "group", "", "any driver of this group may use it")
	return cmd
}

func cancelVerb() *cobra.Command {
	v, b := &chargerVerb{}, uplink.CancelBody{}
	cmd := v.bare("cancel", "End a reservation", "cancel-reservation", func(id holdfast.ChargerID) any {
		b.Charger = id
		return b
	})
	cmd.Flags().IntVar(&b.ID, "id", 1, "number of the reservation")
	return cmd
}

func logVerb() *cobra.Command {
	v, b := &chargerVerb{}, uplink.LogBody{}
	var from, to string
	cmd := v.command("log CHARGER URL", "Ask a charger to upload its diagnostics or its security log", cobra.ExactArgs(2),
		func(cmd *cobra.Command, id holdfast.ChargerID, rest []string) (err error) {
			b.Charger, b.URL = id, rest[0]
			if b.From, err = parseTime("--from", from); err != nil {
				return err
			}
			if b.To, err = parseTime("--to", to); err != nil {
				return err
			}
			return v.ask(cmd, "log", b)
		})
	cmd.Flags().BoolVar(&b.Security, "security", false, "the security log")
	cmd.Flags().BoolVar(&b.Secure, "secure", false, "OCPP 1.6: by GetLog of the security white paper")
	cmd.Flags().StringVar(&from, "from", "", "not older than this")
	cmd.Flags().StringVar(&to, "to", "", "not newer than this")
	return cmd
}

func firmwareVerb() *cobra.Command {
	v, b := &chargerVerb{}, uplink.FirmwareBody{}
	var at, install, certificate string
	cmd := v.command("firmware CHARGER URL", "Ask a charger to install an image", cobra.ExactArgs(2),
		func(cmd *cobra.Command, id holdfast.ChargerID, rest []string) (err error) {
			b.Charger, b.URL = id, rest[0]
			if b.RetrieveAt, err = parseTime("--at", at); err != nil {
				return err
			}
			if b.InstallAt, err = parseTime("--install-at", install); err != nil {
				return err
			}
			if certificate != "" {
				pem, err := os.ReadFile(certificate)
				if err != nil {
					return fmt.Errorf("read the signing certificate: %w", err)
				}
				b.Certificate = string(pem)
			}
			return v.ask(cmd, "firmware", b)
		})
	cmd.Long = `Ask a charger to fetch an image and install it. Without a time that is as soon as
it can, which is refused while a session runs, unless --force is given.`
	f := cmd.Flags()
	f.StringVar(&at, "at", "", "fetch it at this time; by default now")
	f.StringVar(&install, "install-at", "", "install it at this time; by default when it is there")
	f.StringVar(&b.Signature, "signature", "", "the image's signature, base64")
	f.StringVar(&certificate, "certificate", "", "PEM file with the certificate that signed it")
	f.BoolVar(&b.Force, "force", false, forceUsage)
	return cmd
}

func reportVerb() *cobra.Command {
	v, b := &chargerVerb{}, uplink.ReportBody{}
	var full, configuration bool
	cmd := v.command("report CHARGER", "Read a charger's variables (OCPP 2.x)", cobra.ExactArgs(1),
		func(cmd *cobra.Command, id holdfast.ChargerID, _ []string) error {
			b.Charger, b.Base = id, "SummaryInventory"
			switch {
			case full && configuration:
				return errors.New("--full or --configuration, not both")
			case full:
				b.Base = "FullInventory"
			case configuration:
				b.Base = "ConfigurationInventory"
			}
			return v.ask(cmd, "report", b)
		})
	cmd.Flags().BoolVar(&full, "full", false, "all of them")
	cmd.Flags().BoolVar(&configuration, "configuration", false, "those that can be set")
	return cmd
}

func profilesVerb() *cobra.Command {
	v, b := &chargerVerb{}, uplink.ProfilesBody{}
	evse := 0
	cmd := v.command("profiles CHARGER", "Read the charging profiles that a charger holds (OCPP 2.x)", cobra.ExactArgs(1),
		func(cmd *cobra.Command, id holdfast.ChargerID, _ []string) error {
			b.Charger = id
			if cmd.Flags().Changed("evse") {
				b.EVSE = &evse
			}
			return v.ask(cmd, "profiles", b)
		})
	cmd.Flags().IntVar(&evse, "evse", 0, "only of this EVSE; 0 is the whole charger")
	return cmd
}

func scheduleVerb() *cobra.Command {
	v, b := &chargerVerb{}, uplink.CompositeBody{}
	var span time.Duration
	cmd := v.command("schedule CHARGER", "Read the schedule that a charger follows", cobra.ExactArgs(1),
		func(cmd *cobra.Command, id holdfast.ChargerID, _ []string) error {
			b.Charger, b.DurationS = id, int(span/time.Second)
			return v.ask(cmd, "schedule", b)
		})
	cmd.Flags().IntVar(&b.EVSE, "evse", 0, "of this EVSE; 0 is the whole charger")
	cmd.Flags().DurationVar(&span, "for", time.Hour, "how far ahead, at most 168h")
	cmd.Flags().StringVar(&b.Unit, "unit", "", "A or W; by default the charger chooses")
	return cmd
}

func callVerb() *cobra.Command {
	v, b := &chargerVerb{}, uplink.CallBody{}
	cmd := v.command("call CHARGER ACTION [FILE]", "Send a charger any OCPP message that no rule of the gateway owns", cobra.RangeArgs(2, 3),
		func(cmd *cobra.Command, id holdfast.ChargerID, rest []string) (err error) {
			b.Charger, b.Action, b.Payload = id, rest[0], json.RawMessage(`{}`)
			if len(rest) == 2 {
				if b.Payload, err = readJSON(cmd.InOrStdin(), "payload", rest[1]); err != nil {
					return err
				}
			}
			return v.ask(cmd, "call", b)
		})
	cmd.Long = `Send a charger a message of its OCPP version. FILE is its payload (JSON; - is
standard input), {} by default; the version's schema judges it. Messages about
transactions, charging profiles, local lists and prices are refused, because the
gateway's rules own them, and so is a lower security profile.`
	cmd.Example = `  holdfast chargers call CP-1 GetInstalledCertificateIds --site north
  echo '{"severity": 5}' | holdfast chargers call CP-1 SetMonitoringLevel - --site north`
	return cmd
}
