package agent

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pairFiles writes a certificate and its key.
func pairFiles(t *testing.T, dir string, pair tls.Certificate) (cert, key string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "ocpp.crt"), filepath.Join(dir, "ocpp.key")
	if err := errors.Join(os.WriteFile(cert, pemOf("CERTIFICATE", pair.Certificate[0]), 0o600), os.WriteFile(key, pemOf("PRIVATE KEY", der), 0o600)); err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// shake makes a handshake with a server of that configuration.
func shake(server *tls.Config, client *tls.Config) (tls.ConnectionState, error) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	deadline := time.Now().Add(20 * time.Second)
	a.SetDeadline(deadline)
	b.SetDeadline(deadline)
	go tls.Server(a, server).Handshake()
	client.InsecureSkipVerify = true
	c := tls.Client(b, client)
	err := c.Handshake()
	return c.ConnectionState(), err
}

// A renewed certificate is used by the next handshake, without a restart; one
// half of a renewal leaves the old one in use and is logged once.
func TestCertificateIsReloaded(t *testing.T) {
	a := newAuthority(t)
	first, second := a.issue(t, x509.ExtKeyUsageServerAuth, longAgo, farOff), a.issue(t, x509.ExtKeyUsageServerAuth, longAgo, farOff)
	var log bytes.Buffer
	dir := t.TempDir()
	c := &OCPPConfig{}
	c.TLSCertificate, c.TLSKey = pairFiles(t, dir, first)
	conf, err := chargerTLS(c, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	shows := func(want tls.Certificate) {
		t.Helper()
		st, err := shake(conf, &tls.Config{})
		if err != nil || !bytes.Equal(st.PeerCertificates[0].Raw, want.Certificate[0]) {
			t.Errorf("another certificate than expected is shown, or none: %v", err)
		}
	}
	later := func(name string, n int) { // the clock of a file system may be coarse
		if err := os.Chtimes(name, time.Time{}, time.Now().Add(time.Duration(n)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	shows(first)
	if err := os.WriteFile(c.TLSCertificate, pemOf("CERTIFICATE", second.Certificate[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	later(c.TLSCertificate, 1)
	shows(first)
	shows(first)
	if n := strings.Count(log.String(), "does not load"); n != 1 {
		t.Errorf("half a renewal is logged %d times: %s", n, log.String())
	}
	pairFiles(t, dir, second)
	later(c.TLSKey, 2)
	shows(second)
	os.Remove(c.TLSCertificate)
	shows(second)
	if _, err := chargerTLS(&OCPPConfig{TLSCertificate: "none", TLSKey: "none"}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("no certificate is taken for one")
	}
}

// TLS 1.1 is never spoken, and the suites without forward secrecy only where the
// site asks for them.
func TestOldTLSIsRefused_A00(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: longAgo, NotAfter: farOff}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	c := &OCPPConfig{}
	c.TLSCertificate, c.TLSKey = pairFiles(t, t.TempDir(), tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key})
	for _, allowed := range []bool{false, true} {
		c.TLSRSASuites = allowed
		var log bytes.Buffer
		conf, err := chargerTLS(c, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := shake(conf, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
			t.Error("TLS 1.1 is spoken")
		}
		if _, err := shake(conf, &tls.Config{MaxVersion: tls.VersionTLS12}); err != nil {
			t.Errorf("TLS 1.2: %v", err)
		}
		_, err = shake(conf, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}})
		if (err == nil) != allowed || strings.Contains(log.String(), "TLS_RSA") != allowed {
			t.Errorf("suites allowed %v: handshake %v, log %q", allowed, err, log.String())
		}
	}
}
