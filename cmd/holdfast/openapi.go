package main

import (
	"github.com/spf13/cobra"

	"github.com/holdfast-ev/holdfast/cloud/server"
)

// openapiCommand prints what a cloud of this version serves at
// /v1/openapi.json.
func openapiCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "openapi",
		Short: "Print the cloud's API as an OpenAPI 3.1 document; no cloud needed",
		Long: `Print the cloud's API as an OpenAPI 3.1 document, the one that a cloud of this
version serves at /v1/openapi.json: for generators of clients, gateways in front
of the API, and people who look for a field.`,
		Example: `  holdfast openapi > holdfast.json`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := server.Document()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(b)
			return err
		},
	}
}
