package journal_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	formatslog "github.com/transparency-dev/formats/log"
	formats "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/journal"
)

// foreignVerifier is transparency-dev/formats' verifier for a key.
func foreignVerifier(t testing.TB, name string, pub *ecdsa.PublicKey) note.Verifier {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	key := fmt.Sprintf("%s+%08x+%s", name, binary.BigEndian.Uint32(sum[:]), base64.StdEncoding.EncodeToString(append([]byte{2}, der...)))
	v, err := formats.NewVerifier(key)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestForeignVerifierAcceptsOurCheckpoints opens a checkpoint with
// golang.org/x/mod and transparency-dev/formats, which share no code with ours.
func TestForeignVerifierAcceptsOurCheckpoints(t *testing.T) {
	key, origin := testKey(t), testIdentity().Origin()
	root := holdfast.LeafHash([]byte("root"))
	signed, err := journal.SignCheckpoint(journal.CheckpointText(origin, 12345, root), origin, key, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cp, rest, n, err := formatslog.ParseCheckpoint(signed, origin, foreignVerifier(t, origin, &key.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	if cp.Size != 12345 || holdfast.Hash(cp.Hash) != root || cp.Origin != origin || len(rest) != 0 || len(n.Sigs) != 1 {
		t.Fatalf("read as %+v", cp)
	}
	size, got, err := journal.VerifyCheckpoint(signed, origin, &key.PublicKey)
	if err != nil || size != 12345 || got != root {
		t.Fatalf("verified as %d %s: %v", size, got, err)
	}
}

// A witness's cosignature beside ours changes nothing.
func TestCosignedCheckpointVerifies(t *testing.T) {
	key, origin := testKey(t), testIdentity().Origin()
	signed, err := journal.SignCheckpoint(journal.CheckpointText(origin, 1, holdfast.Hash{1}), origin, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	skey, _, err := note.GenerateKey(rand.Reader, "witness.example")
	if err != nil {
		t.Fatal(err)
	}
	witness, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(signed, note.VerifierList(foreignVerifier(t, origin, &key.PublicKey)))
	if err != nil {
		t.Fatal(err)
	}
	cosigned, err := note.Sign(n, witness)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := journal.VerifyCheckpoint(cosigned, origin, &key.PublicKey); err != nil {
		t.Fatal(err)
	}
}

func TestCheckpointRefusals(t *testing.T) {
	key, origin := testKey(t), testIdentity().Origin()
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(text string) []byte {
		signed, err := journal.SignCheckpoint([]byte(text), origin, key, nil)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	good := string(journal.CheckpointText(origin, 7, holdfast.Hash{7}))
	signed := string(sign(good))
	root := strings.Split(good, "\n")[2]
	for name, c := range map[string]struct {
		note, origin string
		pub          *ecdsa.PublicKey
	}{
		"another key":           {signed, origin, &other.PublicKey},
		"no key":                {signed, origin, nil},
		"another origin":        {signed, origin + "0", &key.PublicKey},
		"other size":            {strings.Replace(signed, "\n7\n", "\n8\n", 1), origin, &key.PublicKey},
		"no signature":          {good, origin, &key.PublicKey},
		"empty":                 {"", origin, &key.PublicKey},
		"text of other origin":  {string(sign(strings.Replace(good, "holdfast/", "holdfist/", 1))), origin, &key.PublicKey},
		"size with zeros":       {string(sign(origin + "\n07\n" + root + "\n")), origin, &key.PublicKey},
		"size with a sign":      {string(sign(origin + "\n+7\n" + root + "\n")), origin, &key.PublicKey},
		"size too large":        {string(sign(origin + "\n18446744073709551616\n" + root + "\n")), origin, &key.PublicKey},
		"short root":            {string(sign(origin + "\n7\nAAAA\n")), origin, &key.PublicKey},
		"root not canonical":    {string(sign(origin + "\n7\n" + root[:42] + "B=\n")), origin, &key.PublicKey},
		"a fourth line":         {string(sign(good + "more\n")), origin, &key.PublicKey},
		"longer than the limit": {signed + strings.Repeat("— a AAAAAAAA\n", journal.MaxCheckpoint/10), origin, &key.PublicKey},
	} {
		if _, _, err := journal.VerifyCheckpoint([]byte(c.note), c.origin, c.pub); !errors.Is(err, journal.ErrCheckpoint) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range len(signed) {
		for bit := range 8 {
			b := []byte(signed)
			b[i] ^= 1 << bit
			if size, r, err := journal.VerifyCheckpoint(b, origin, &key.PublicKey); err == nil && (size != 7 || r != holdfast.Hash{7}) {
				t.Fatalf("byte %d bit %d changed what was signed", i, bit)
			}
		}
	}
}

// TestAppendRefusesForeignCheckpoints: a note that does not fit never gets into
// the journal.
func TestAppendRefusesForeignCheckpoints(t *testing.T) {
	l := create(t, newDisk(), journal.Options{})
	appendAll(t, l, 0, 3)
	sync(t, l)
	key, origin := testKey(t), l.Identity().Origin()
	size, root := l.Head()
	for name, text := range map[string][]byte{
		"another epoch": journal.CheckpointText(strings.Replace(origin, "e1", "e2", 1), size, root),
		"the future":    journal.CheckpointText(origin, size+1, root),
		"another root":  journal.CheckpointText(origin, size, holdfast.Hash{1}),
	} {
		signed, err := journal.SignCheckpoint(text, origin, key, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Append(journal.Checkpoint, signed); !errors.Is(err, journal.ErrCheckpoint) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A signature that was slow is welcome: it covers fewer records than there are.
	signed, err := journal.SignCheckpoint(journal.CheckpointText(origin, size, root), origin, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, l, 3, 5)
	sync(t, l)
	if err := l.Append(journal.Checkpoint, signed); err != nil {
		t.Fatal(err)
	}
	sync(t, l)
}
