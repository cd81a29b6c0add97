package main

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-ev/holdfast/receipt"
	"github.com/holdfast-ev/holdfast/statement"
)

// maxReceiptFile bounds what is read of a receipt file: a statement in base64.
const maxReceiptFile = 2 * statement.MaxBytes

func receiptCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "receipt",
		Short: "Check and read the signed receipts that drivers keep",
	}
	c.AddCommand(receiptVerifyCommand(), receiptShowCommand())
	return c
}

func receiptVerifyCommand() *cobra.Command {
	var keyFile string
	var asJSON bool
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check a receipt's signature and arithmetic, without any network",
		Long: `Check that FILE is a receipt, that the gateway with the given public key signed
it, and that its lines add up; then print it. FILE holds the signed bytes or
their base64; "-" reads standard input.

Exit code 0: the receipt is good. 1: it is not. 2: the question was wrong (no
such file, no key).`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := readReceipt(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			pub, err := receiptKey(args[0], keyFile)
			if err != nil {
				return err
			}
			r, err := receipt.Verify(pub, b)
			return printReceiptVerdict(cmd.OutOrStdout(), receiptVerdict{KeyID: statement.KeyID(pub)}.with(r, err), asJSON)
		},
	}
	c.Flags().StringVar(&keyFile, "key", "", "the gateway's public key, PEM (default: gateway.pub beside FILE or one folder up)")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func receiptShowCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "show FILE",
		Short: "Print a receipt without checking who signed it",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := readReceipt(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			r, keyID, err := unverified(b)
			if err != nil {
				return failed(fmt.Errorf("show %s: %w", args[0], err))
			}
			if asJSON {
				return printReceiptJSON(cmd.OutOrStdout(), receiptVerdict{KeyID: keyID, Receipt: &r, Problem: "not checked: use holdfast receipt verify"})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\nNot checked: claims to be signed by key %s. See holdfast receipt verify.\n", r, keyID)
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// A receiptVerdict is what --json prints.
type receiptVerdict struct {
	Valid   bool             `json:"valid"`
	KeyID   string           `json:"key_id"`
	Problem string           `json:"problem,omitempty"`
	Receipt *receipt.Receipt `json:"receipt,omitempty"` // absent when nothing in it can be believed
}

func (v receiptVerdict) with(r receipt.Receipt, err error) receiptVerdict {
	if err != nil {
		v.Problem = err.Error()
		return v
	}
	v.Valid, v.Receipt = true, &r
	return v
}

func printReceiptVerdict(w io.Writer, v receiptVerdict, asJSON bool) error {
	if asJSON {
		if err := printReceiptJSON(w, v); err != nil {
			return err
		}
	} else if v.Valid {
		if _, err := fmt.Fprintf(w, "%s\nGOOD: signed by key %s, and it adds up.\n", v.Receipt, v.KeyID); err != nil {
			return err
		}
	}
	if !v.Valid {
		return failed(errors.New("not a good receipt: " + v.Problem))
	}
	return nil
}

func printReceiptJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func unverified(b []byte) (receipt.Receipt, string, error) {
	u, err := statement.Peek(b)
	if err != nil {
		return receipt.Receipt{}, "", err
	}
	if u.Typ != statement.TypReceipt {
		return receipt.Receipt{}, "", fmt.Errorf("%w: %q, want %q", statement.ErrType, u.Typ, statement.TypReceipt)
	}
	r, err := receipt.Decode(u.Payload)
	return r, u.KeyID, err
}

// readReceipt returns the signed bytes in a file, or on standard input, which
// may be base64 of either alphabet.
func readReceipt(stdin io.Reader, name string) ([]byte, error) {
	in := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("read receipt: %w", err)
		}
		defer f.Close() // only read: nothing is lost when closing fails
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxReceiptFile+1))
	if err != nil {
		return nil, fmt.Errorf("read receipt %s: %w", name, err)
	}
	if len(b) > maxReceiptFile {
		return nil, failed(fmt.Errorf("read receipt %s: more than %d bytes: this is no receipt", name, maxReceiptFile))
	}
	text := strings.NewReplacer("-", "+", "_", "/", "=", "", "\n", "", "\r", "").Replace(strings.TrimSpace(string(b)))
	if raw, err := base64.RawStdEncoding.DecodeString(text); err == nil {
		return raw, nil
	}
	return b, nil
}

// receiptKey reads the key that was named, or finds the gateway's beside the
// receipt, where a gateway's folder has it.
func receiptKey(name, keyFile string) (*ecdsa.PublicKey, error) {
	if keyFile != "" {
		return readReceiptKey(keyFile)
	}
	dir := filepath.Dir(name)
	for _, try := range []string{filepath.Join(dir, "gateway.pub"), filepath.Join(dir, "..", "gateway.pub")} {
		pub, err := readReceiptKey(try)
		if !errors.Is(err, fs.ErrNotExist) {
			return pub, err
		}
	}
	return nil, fmt.Errorf("verify %s: no gateway.pub beside it: name the gateway's public key with --key FILE", name)
}

func readReceiptKey(name string) (*ecdsa.PublicKey, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read public key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, fmt.Errorf("read public key %s: no PEM block of type PUBLIC KEY", name)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read public key %s: %w", name, err)
	}
	pub, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("read public key %s: %T, want ECDSA P-256", name, key)
	}
	return pub, nil
}
