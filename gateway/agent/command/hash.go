package command

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-ev/holdfast/gateway/agent"
)

// generatedLen is the length of a generated password: the longest that a 1.6
// AuthorizationKey may have. With 62 letters and digits that is 119 bits.
const generatedLen = 20

func hashCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "hash-password",
		Short: "Turn a charger's password into the hash that the configuration holds",
		Long: `Turn a charger's password (OCPP 1.6 AuthorizationKey, 2.0.1 BasicAuthPassword, 16
to 40 bytes) into the hash for the password_hash key. The password is read from
standard input, so that it does not end up in the shell's history.

With --generate a random password is made and printed as well: put it into the
charger, and keep it nowhere else.`,
		Example: "  holdfast-gateway hash-password --generate\n  holdfast-gateway hash-password < password.txt",
		Args:    cobra.NoArgs,
	}
	generate := c.Flags().Bool("generate", false, "make a random password and print it")
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		password, err := readOrMake(c.InOrStdin(), *generate)
		if err != nil {
			return err
		}
		hash, err := agent.HashPassword(password, rand.Reader)
		if err != nil {
			return err
		}
		out := struct {
			Password string `json:"password,omitempty"`
			Hash     string `json:"password_hash"`
		}{Hash: hash.String()}
		if *generate {
			out.Password = password
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), out)
		}
		if *generate {
			fmt.Fprintf(c.OutOrStdout(), "password:      %s\n", password)
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "password_hash: %s\n", out.Hash)
		return err
	}
	return c
}

func readOrMake(in io.Reader, generate bool) (string, error) {
	if generate {
		return randomPassword()
	}
	line, err := bufio.NewReader(io.LimitReader(in, 4096)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// randomPassword draws from letters and digits without bias.
func randomPassword() (string, error) {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	out := make([]byte, 0, generatedLen)
	var b [1]byte
	for len(out) < generatedLen {
		if _, err := rand.Read(b[:]); err != nil {
			return "", fmt.Errorf("random password: %w", err)
		}
		if i := int(b[0]); i < len(letters)*(256/len(letters)) {
			out = append(out, letters[i%len(letters)])
		}
	}
	return string(out), nil
}
