package server

import (
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-ev/holdfast/internal/durable"
)

// keys are what DIR/keys holds. Lost, they cannot be made again: every gateway
// would have to be enrolled anew and every sealed token would be unreadable.
// docs/cli.md says how to back them up.
type keys struct {
	authority *authority
	statement *ecdsa.PrivateKey
	secret    [32]byte
}

const secretFile = "secret" // root of the keys shared with sites, 64 hex digits, 0600

func openKeys(dir string, now time.Time) (*keys, error) {
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make key directory: %w", err)
	}
	k := &keys{}
	var err error
	if k.authority, err = openAuthority(dir, now); err != nil {
		return nil, err
	}
	if k.statement, err = openStatementKey(dir); err != nil {
		return nil, err
	}
	if k.secret, err = openSecret(filepath.Join(dir, secretFile)); err != nil {
		return nil, err
	}
	return k, writePublic(filepath.Join(dir, authorityPublic), encodeCert(k.authority.cert.Raw))
}

func openSecret(path string) (secret [32]byte, err error) {
	b, err := readSecret(path)
	if errors.Is(err, os.ErrNotExist) {
		rand.Read(secret[:]) // never fails (crypto/rand, Go 1.24)
		return secret, writeSecret(path, []byte(hex.EncodeToString(secret[:])+"\n"))
	}
	if err != nil {
		return secret, err
	}
	if n, err := hex.Decode(secret[:], []byte(strings.TrimSpace(string(b)))); err != nil || n != len(secret) {
		return secret, fmt.Errorf("read secret %s: want 64 hex digits; restore the file from a backup", path)
	}
	return secret, nil
}
