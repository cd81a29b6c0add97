package agent

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/holdfast-ev/holdfast/internal/durable"
)

// The layout of a data directory. docs/gateway.md describes it for people.
const (
	evidenceDir   = "evidence"
	telemetryDir  = "telemetry"
	snapshotsDir  = "snapshots"
	keysDir       = "keys"
	bookFile      = "tokens.book"   // the site's tokens for the chargers' own lists, sealed; may be deleted
	bootFile      = "boot"          // number of the last boot, decimal
	enrolmentFile = "enrolled.yaml" // who this gateway is
	publicKeyFile = "gateway.pub"   // PEM, PKIX: verifies this gateway's checkpoints
	passFile      = "passphrase"    // in keys: where no other place was named
	retiredDir    = "retired-"      // + gateway: what a former enrolment left
)

// nextBoot raises the boot number and returns it. The new number is durable
// before it is used, so that a crash can skip one but never repeat one.
//
// When the file is lost the count goes on from a random high number: what
// matters is that two boots never share one, because monotonic times are
// compared within a boot.
func nextBoot(dir string) (uint32, error) {
	path := filepath.Join(dir, bootFile)
	b, err := os.ReadFile(path)
	last, parseErr := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32)
	switch {
	case err == nil && parseErr == nil && last < 1<<32-1:
		last++
	case errors.Is(err, os.ErrNotExist) && !exists(filepath.Join(dir, evidenceDir)):
		last = 1
	case err == nil || errors.Is(err, os.ErrNotExist):
		var r [4]byte
		rand.Read(r[:]) // never fails
		last = 1<<30 | uint64(binary.BigEndian.Uint32(r[:])>>2)
	default:
		return 0, fmt.Errorf("read the boot number: %w", err)
	}
	if err := durable.WriteFile(path, []byte(strconv.FormatUint(last, 10)+"\n"), 0o600); err != nil {
		return 0, fmt.Errorf("write the boot number: %w", err)
	}
	return uint32(last), nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
