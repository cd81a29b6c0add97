package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/core"

	"github.com/holdfast-ev/holdfast/record"
)

// secure gives the site a second address for chargers that speaks TLS, and
// returns it with what a charger needs to trust it.
func (s *site) secure() (addr string, trust *tls.Config) {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		s.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	base := filepath.Dir(s.config)
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(base, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			s.t.Fatal(err)
		}
		return path
	}
	addr = freePort(s.t)
	text, err := os.ReadFile(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	extra := fmt.Sprintf("ocpp:\n  tls_listen: %s\n  tls_certificate: %s\n  tls_key: %s\n", addr, write("ocpp.crt", "CERTIFICATE", der), write("ocpp.key", "PRIVATE KEY", pkcs8))
	if !bytes.Contains(text, []byte("ocpp:\n")) {
		s.t.Fatalf("the configuration has no section ocpp:\n%s", text)
	}
	if err := os.WriteFile(s.config, bytes.Replace(text, []byte("ocpp:\n"), []byte(extra), 1), 0o600); err != nil {
		s.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		s.t.Fatal(err)
	}
	pool.AddCert(cert)
	return addr, &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// Security profile 2 with a foreign client, beside a server without TLS for
// those that have not moved yet. Who has come over TLS does not come back without
// (A05).
func TestSecurityProfileTwo(t *testing.T) {
	s := newSite(t, "tls", "CP-TLS", "CP-OLD")
	addr, trust := s.secure()
	s.stop()
	s.start()
	s.online()

	old := newChargePoint(t, s, "CP-OLD", setup{})
	old.boot()
	c := newChargePoint(t, s, "CP-TLS", setup{addr: addr, trust: trust})
	c.boot()
	c.status(core.ChargePointStatusAvailable)
	tx := c.begin(cardA, 1000, seconds(time.Now()))
	c.stop(tx, cardA, 2000, seconds(time.Now()))
	c.hangUp(c.cp)

	if secured, of := bodies[*record.ChargerSecured](s, "CP-TLS"); len(secured) != 1 || secured[0].Profile != 2 || of[0].Charger != "CP-TLS" {
		t.Errorf("records of the profile: %+v", secured)
	}
	_, closed := dialGorilla(t, "ws://"+s.ocpp+"/ocpp/CP-TLS", "CP-TLS")
	if closed == nil || !strings.Contains(closed.Error(), "security profile 2 was used before") {
		t.Errorf("without TLS: %v", closed)
	}
	eventually(t, "the downgrade as evidence", func() (bool, any) {
		events, _ := bodies[*record.SecurityEvent](s, "CP-TLS")
		return len(events) > 0 && events[0].Kind == "profile_downgrade", events
	})
}

// dialGorilla connects with gorilla's client, which compresses, and waits for the
// gateway's first call. err is why the gateway closed instead.
func dialGorilla(t *testing.T, url, id string) (*websocket.Conn, error) {
	t.Helper()
	d := websocket.Dialer{EnableCompression: true, Subprotocols: []string{"ocpp1.6"}, HandshakeTimeout: patience}
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(id, password)
	c, answer, err := d.Dial(url, r.Header)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if got := answer.Header.Get("Sec-WebSocket-Extensions"); !strings.Contains(got, "permessage-deflate") {
		t.Fatalf("extensions %q", got)
	}
	c.SetReadDeadline(time.Now().Add(patience))
	_, _, err = c.ReadMessage()
	return c, err
}

// RFC 7692 with a foreign client: compressed frames are understood and answered,
// and one that unpacks to more than a frame may have closes the connection before
// it is unpacked.
func TestCompressedFrames_RFC7692(t *testing.T) {
	s := newSite(t, "deflate", "CP-Z")
	c, err := dialGorilla(t, "ws://"+s.ocpp+"/ocpp/CP-Z", "CP-Z")
	if err != nil {
		t.Fatal(err)
	}
	c.EnableWriteCompression(true)
	boot := `[2,"b1","BootNotification",{"chargePointVendor":"Foreign","chargePointModel":"Deflated"}]`
	if err := c.WriteMessage(websocket.TextMessage, []byte(boot)); err != nil {
		t.Fatal(err)
	}
	for {
		_, raw, err := c.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		if bytes.HasPrefix(raw, []byte(`[3,"b1"`)) {
			break
		}
	}
	bomb := []byte(`[2,"z","DataTransfer",{"vendorId":"x","data":"` + strings.Repeat("0", 64<<20) + `"}]`)
	if err := c.WriteMessage(websocket.TextMessage, bomb); err != nil {
		t.Logf("the gateway closed while the bomb was being written: %v", err)
	}
	for err == nil {
		_, _, err = c.ReadMessage()
	}
	if websocket.IsUnexpectedCloseError(err, websocket.CloseMessageTooBig) {
		t.Logf("closed with %v", err) // the close frame may be lost behind a reset
	}
	eventually(t, "the refusal of a frame of 64 MiB", func() (bool, any) {
		events, _ := bodies[*record.SecurityEvent](s, "CP-Z")
		for _, e := range events {
			if e.Kind == "size" {
				return true, nil
			}
		}
		return false, events
	})
}
