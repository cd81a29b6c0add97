package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var testNow = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func newKeys(t *testing.T) *keys {
	t.Helper()
	k, err := openKeys(t.TempDir(), testNow)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func request(t *testing.T, key any) *x509.CertificateRequest {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

func TestKeysSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	first, err := openKeys(dir, testNow)
	if err != nil {
		t.Fatal(err)
	}
	again, err := openKeys(dir, testNow.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	if !first.authority.cert.Equal(again.authority.cert) || !first.statement.Equal(again.statement) || first.secret != again.secret {
		t.Fatal("a restart made other keys: every gateway would be locked out")
	}
}

func TestSecretsAreForTheirOwnerOnly(t *testing.T) {
	dir := t.TempDir()
	if _, err := openKeys(dir, testNow); err != nil {
		t.Fatal(err)
	}
	if _, _, err := openToken(dir, false); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{authorityFile, statementFile, secretFile, tokenFile} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %04o, want 0600", name, info.Mode().Perm())
		}
	}
	if err := os.Chmod(filepath.Join(dir, secretFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := openKeys(dir, testNow); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Fatalf("a world-readable secret was used: %v", err)
	}
}

func TestDamagedKeyFileIsNotReplaced(t *testing.T) {
	for _, name := range []string{authorityFile, statementFile, secretFile} {
		dir := t.TempDir()
		if _, err := openKeys(dir, testNow); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openKeys(dir, testNow); err == nil || !strings.Contains(err.Error(), "backup") {
			t.Errorf("%s: %v, want an error that speaks of the backup", name, err)
		}
		if b, _ := os.ReadFile(path); string(b) != "x" {
			t.Errorf("%s was overwritten", name)
		}
	}
}

func TestDeviceCertificate(t *testing.T) {
	k := newKeys(t)
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	der, err := k.authority.issueDevice(request(t, key), "gw-north", testNow)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if cert.Subject.CommonName != "gw-north" || !key.PublicKey.Equal(cert.PublicKey) {
		t.Fatalf("certificate is for %q with another key", cert.Subject.CommonName)
	}
	verify := func(usage x509.ExtKeyUsage, at time.Time) error {
		_, err := cert.Verify(x509.VerifyOptions{Roots: k.authority.pool(), KeyUsages: []x509.ExtKeyUsage{usage}, CurrentTime: at})
		return err
	}
	// A site that was dark for years still gets in.
	if err := verify(x509.ExtKeyUsageClientAuth, testNow.AddDate(10, 0, 0)); err != nil {
		t.Error(err)
	}
	if err := verify(x509.ExtKeyUsageServerAuth, testNow); err == nil {
		t.Error("a gateway could pose as the cloud")
	}
	if cert.IsCA {
		t.Error("a gateway could issue certificates")
	}
}

func TestDeviceCertificateWantsP256(t *testing.T) {
	k := newKeys(t)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	weak, _ := rsa.GenerateKey(rand.Reader, 2048)
	for _, key := range []any{p384, weak} {
		if _, err := k.authority.issueDevice(request(t, key), "gw-north", testNow); !errors.Is(err, errCSR) {
			t.Errorf("%T: %v, want errCSR", key, err)
		}
	}
}

func TestServerCertificateIsRenewedInTime(t *testing.T) {
	k := newKeys(t)
	now := testNow
	r := &renewer{authority: k.authority, hosts: []string{"cloud.example", "192.0.2.7"}, clock: func() time.Time { return now }}
	first, err := r.get(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"cloud.example", "192.0.2.7"} {
		if err := first.Leaf.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if len(first.Certificate) != 2 {
		t.Fatal("the chain lacks the authority, which enrolment pins")
	}
	now = first.Leaf.NotAfter.Add(-serverRenewal - time.Minute)
	if again, _ := r.get(nil); again != first {
		t.Error("renewed too early")
	}
	now = first.Leaf.NotAfter.Add(-serverRenewal + time.Minute)
	second, err := r.get(nil)
	if err != nil || second == first {
		t.Fatalf("not renewed: %v", err)
	}
	now = testNow.AddDate(-1, 0, 0) // the clock was set back behind the certificate
	if third, _ := r.get(nil); third == second {
		t.Error("a certificate from the future was served")
	}
}

func TestTokenIsStoredHashedAndShownOnce(t *testing.T) {
	dir := t.TempDir()
	tok, fresh, err := openToken(dir, false)
	if err != nil || !strings.HasPrefix(fresh, tokenPrefix) || len(fresh) != len(tokenPrefix)+43 {
		t.Fatalf("token %d bytes, %v", len(fresh), err)
	}
	b, _ := os.ReadFile(filepath.Join(dir, tokenFile))
	if strings.Contains(string(b), fresh) {
		t.Fatal("the token lies in clear")
	}
	again, shown, err := openToken(dir, false)
	if err != nil || shown != "" || again != tok {
		t.Fatalf("second start: shown %q, %v", shown, err)
	}
	if !again.matches(fresh) || again.matches(fresh+"x") || again.matches(fresh[:len(fresh)-1]) || again.matches("") {
		t.Fatal("comparison is wrong")
	}
	renewed, second, err := openToken(dir, true)
	if err != nil || second == "" || renewed.matches(fresh) || !renewed.matches(second) {
		t.Fatalf("renewal: %v", err)
	}
}
