package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/holdfast-ev/holdfast/cloud/server"
)

// cloudCommand runs the control plane.
func cloudCommand() *cobra.Command {
	var o server.Options
	var asJSON bool
	var level string
	cmd := &cobra.Command{
		Use:   "cloud",
		Short: "Run the control plane: the API for people, the endpoint for gateways",
		Long: `Run the control plane until it is interrupted.

The first start makes everything it needs in the data directory: the store, a
certificate authority for gateways, and an API token that is printed this once
(only its hash is kept). Both addresses are for this machine alone unless you
say otherwise; an API that others can reach is served over TLS only.

The log goes to standard error, one JSON object a line.`,
		Example: `  holdfast cloud --data ./holdfast-data
  holdfast cloud --gateways 0.0.0.0:8443 --host cloud.example.org
  holdfast cloud --store postgres://holdfast@db.example.org/holdfast --store-password-file /etc/holdfast/db-password`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			lv := slog.LevelInfo
			if err := lv.UnmarshalText([]byte(level)); err != nil {
				return fmt.Errorf("--log-level %q: want debug, info, warn or error", level)
			}
			o.Version = version
			o.Log = slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: lv}))
			s, err := server.Start(cmd.Context(), o)
			if err != nil {
				return err
			}
			if err := greet(cmd.OutOrStdout(), s, o, asJSON); err != nil {
				s.Close()
				return err
			}
			<-s.Done()
			return s.Close()
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.DataDir, "data", "holdfast-data", "directory for the store and the keys")
	f.StringVar(&o.Store, "store", "", "PostgreSQL URL of the store, postgres://USER@HOST/DATABASE, without a password (default: SQLite in the data directory)")
	f.StringVar(&o.StorePasswordFile, "store-password-file", "", "file with the password for --store in its first line (default: PGPASSWORD, PGPASSFILE, ~/.pgpass)")
	f.StringVar(&o.APIAddr, "api", server.DefaultAPIAddr, "address of the API; port 0 picks a free one")
	f.StringVar(&o.GatewayAddr, "gateways", server.DefaultGatewayAddr, "address for gateways; port 0 picks a free one")
	f.StringSliceVar(&o.Hosts, "host", nil, "name or address in the server certificate; the first is what gateways are told (repeatable)")
	f.StringVar(&o.Endpoint, "endpoint", "", "https URL that gateways are told, when it is not --host with the port of --gateways")
	f.StringSliceVar(&o.Further, "further-endpoint", nil, "https URL of a further way in that gateways are told, best first (repeatable, at most 7)")
	f.BoolVar(&o.ExposeAPI, "expose-api", false, "allow an --api address that other machines can reach, over TLS")
	f.BoolVar(&o.NewToken, "new-token", false, "replace the API token and print the new one")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	f.BoolVar(&asJSON, "json", false, "print addresses and token as one JSON object")
	return cmd
}

// greet tells where the cloud is, and the token if there is one to tell.
func greet(w io.Writer, s *server.Server, o server.Options, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(map[string]string{
			"api": s.APIURL(), "gateways": s.GatewayURL(), "data": o.DataDir, "store": o.StoreName(), "token": s.Token(),
		})
	}
	fmt.Fprintf(w, "Holdfast cloud %s is running.\n", version)
	facts(w, "API", s.APIURL(), "Gateways", s.GatewayURL(), "Data", o.DataDir, "Store", o.StoreName(), "API token", s.Token())
	if s.Token() == "" {
		fmt.Fprintln(w, "The API token is the one that was printed at the first start (lost? --new-token makes another).")
		return nil
	}
	fmt.Fprintf(w, `The token is shown this once. In another terminal:
  export HOLDFAST_CLOUD=%s HOLDFAST_TOKEN=%s
  holdfast sites add SITE
`, s.APIURL(), s.Token())
	return nil
}
