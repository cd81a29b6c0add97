package main

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/internal/durable"
	"github.com/holdfast-ev/holdfast/internal/keyfile"
	"github.com/holdfast-ev/holdfast/internal/vector"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/record"
)

// TestJournalScripts runs testdata/journal/*.txtar. Each has a small journal of
// real records in gw/evidence, in two epochs, with gw/gateway.pub beside it.
// Beside testscript's own commands there are
//
//	exits N ARGS...        run holdfast ARGS; it must exit with N
//	flip FILE OFFSET       change one bit of a file
//	cut FILE LENGTH        cut a file
func TestJournalScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "journal"),
		Setup: func(env *testscript.Env) error {
			return layJournal(filepath.Join(env.WorkDir, "gw"), vector.Key(t))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": scriptExits, "flip": scriptFlip, "cut": scriptCut,
		},
	})
}

func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits N args")
	}
	code := 0
	if err := ts.Exec("holdfast", args[1:]...); err != nil {
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			code = exit.ExitCode()
		} else {
			ts.Fatalf("run: %v", err)
		}
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

func scriptFlip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip FILE OFFSET")
	}
	name := ts.MkAbs(args[0])
	b, err := os.ReadFile(name)
	ts.Check(err)
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	b[at] ^= 0x10
	ts.Check(os.WriteFile(name, b, 0o600))
}

func scriptCut(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cut FILE LENGTH")
	}
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), n))
}

// layJournal writes the journal that the scripts read.
func layJournal(gw string, key *ecdsa.PrivateKey) error {
	dir, err := durable.MakeDir(filepath.Join(gw, "evidence"))
	if err != nil {
		return err
	}
	l, err := journal.Create(dir, journal.Identity{Gateway: "gw-1", Journal: holdfast.Evidence, Epoch: holdfast.Epoch(bytes.Repeat([]byte{0xa1}, 16))}, journal.Options{})
	if err != nil {
		return err
	}
	at := holdfast.Instant{Wall: 1_767_312_000_000, Quality: holdfast.Synchronised, Boot: 1}
	put := func(charger holdfast.ChargerID, session holdfast.SessionID, b record.Body) (holdfast.Hash, error) {
		at.Wall += 1000
		raw, err := record.Encode(record.Record{Seq: l.Next(), At: at, Charger: charger, Session: session, Body: b})
		if err != nil {
			return holdfast.Hash{}, err
		}
		return holdfast.LeafHash(raw), errors.Join(l.Append(journal.Record, raw), l.Sync())
	}
	_, err1 := put("", holdfast.SessionID{}, &record.GatewayBooted{Boot: 1, Nonce: "00", Software: "test"})
	leaf, err2 := put("CP-7", holdfast.SessionID{}, &record.SessionOpened{Nonce: "00", EVSE: 1, Connector: 1, ClaimedAt: "2026-01-02T00:00:00Z"})
	_, err3 := put("CP-7", holdfast.SessionID(leaf), &record.SessionEnded{})
	err4 := l.Append(journal.Key, []byte(`{"kid":"0123456789abcdef","wrapped":"AAAA"}`))
	if err := errors.Join(err1, err2, err3, err4, signHead(l, key)); err != nil {
		return err
	}
	if err := l.NewEpoch(holdfast.Epoch(bytes.Repeat([]byte{0xb2}, 16)), "restored disk"); err != nil {
		return err
	}
	_, err1 = put("", holdfast.SessionID{}, &record.GatewayBooted{Boot: 2, Nonce: "01", Software: "test"})
	_, err2 = put("", holdfast.SessionID{}, &record.GatewayStopped{})
	return errors.Join(err1, err2, signHead(l, key), l.Close(), writePublic(filepath.Join(gw, "gateway.pub"), &key.PublicKey))
}

func signHead(l *journal.Log, key *ecdsa.PrivateKey) error {
	size, root := l.Head()
	origin := l.Identity().Origin()
	note, err := journal.SignCheckpoint(journal.CheckpointText(origin, size, root), origin, key, nil)
	if err != nil {
		return err
	}
	return errors.Join(l.Append(journal.Checkpoint, note), l.Sync())
}

func writePublic(name string, pub *ecdsa.PublicKey) error {
	pem, err := keyfile.PublicPEM(pub)
	if err != nil {
		return err
	}
	return os.WriteFile(name, pem, 0o600)
}
