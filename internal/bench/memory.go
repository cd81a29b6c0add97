package bench

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Aims of memory.
const (
	idleGateways   = 10
	idleEach       = 500 // what one gateway takes at most
	maxPlainKiB    = 40
	maxTLSKiB      = 75
	rssChargers    = 50
	maxRSSMiB      = 40
	memorySettles  = 5 * time.Second // after the handshakes, until memory is looked at
	sessionsBefore = 20              // of each charger, before the daemon's memory is looked at
)

// memory measures what a gateway with a full site takes, and what one more idle
// connection costs.
func memory(r *Run) error {
	if err := fullSite(r); err != nil {
		return err
	}
	for _, secure := range []bool{false, true} {
		if err := idleConnections(r, secure); err != nil {
			return err
		}
	}
	return nil
}

// fullSite runs sessions at every charger of a site and looks at the process.
func fullSite(r *Run) error {
	n := r.Count(rssChargers, 3)
	s, err := r.newSite(n)
	if err != nil {
		return err
	}
	if err := s.start(); err != nil {
		return err
	}
	empty, err := s.proc.rss()
	if err != nil {
		return err
	}
	points, err := s.connect(n)
	if err == nil {
		err = together(points, func(_ int, p *point) error { return s.day(p, r.Count(sessionsBefore, 2)) })
	}
	if err != nil {
		return err
	}
	r.settle()
	rss, err := s.proc.rss()
	if err != nil {
		return err
	}
	peak, err := s.proc.peak()
	if err != nil {
		return err
	}
	for _, p := range points {
		p.hangUp()
	}
	f := Figure{Name: fmt.Sprintf("gateway, %d chargers charging", n), Value: mib(rss), Unit: "MiB", Of: fmt.Sprintf("the same without chargers, %.1f MiB", mib(empty)), Ratio: float64(rss) / float64(empty),
		Aim: fmt.Sprintf("at most %d MiB resident", maxRSSMiB), Met: mib(rss) <= maxRSSMiB,
		Note: fmt.Sprintf("after %d sessions of each charger; the most that the process has ever had is %.1f MiB", r.Count(sessionsBefore, 2), mib(peak))}
	r.Add(f)
	return s.stop()
}

// day runs whole sessions and leaves one running.
func (s *site) day(p *point, sessions int) error {
	ctx := s.run.Ctx
	for i := range sessions + 1 {
		if err := p.authorize(ctx); err != nil {
			return err
		}
		tx, err := p.startTx(ctx, 1)
		for n := 0; n < 5 && err == nil; n++ {
			err = p.meter(ctx, tx)
		}
		if err == nil && i < sessions {
			err = p.stopTx(ctx, tx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Run) settle() {
	select {
	case <-time.After(r.For(memorySettles, 100*time.Millisecond)):
	case <-r.Ctx.Done():
	}
}

// idleConnections fills gateways with chargers that have booted and say nothing.
func idleConnections(r *Run, secure bool) error {
	count, each := r.Count(idleGateways, 1), r.Count(idleEach, 10)
	name, aim := "plain", maxPlainKiB
	var cert *pair
	if secure {
		name, aim = "TLS", maxTLSKiB
		var err error
		if cert, err = selfSigned(r.Dir); err != nil {
			return err
		}
	}
	sites, err := r.newSites(count, each, 1, cert)
	if err != nil {
		return err
	}
	var before, after int64
	var points []*point
	for _, s := range sites {
		if err := s.start(); err != nil {
			return err
		}
	}
	r.settle()
	if before, err = residentOf(sites); err != nil {
		return err
	}
	for _, s := range sites {
		more, err := s.connect(each)
		points = append(points, more...)
		if err != nil {
			return err
		}
	}
	r.settle()
	if after, err = residentOf(sites); err != nil {
		return err
	}
	for _, p := range points {
		p.hangUp()
	}
	per := kib(max(after-before, 0)) / float64(len(points))
	r.Add(Figure{Name: "one idle connection, " + name, Value: per, Unit: "KiB", Aim: fmt.Sprintf("at most %d KiB", aim), Met: per <= float64(aim),
		Note: fmt.Sprintf("resident memory of %d gateways with %d booted chargers each, less what they had before, by connection; %d is the most that one gateway takes", count, each, idleEach)})
	var ends error
	for _, s := range sites {
		ends = errors.Join(ends, s.stop(), os.RemoveAll(filepath.Dir(s.dir)))
	}
	return ends
}

func residentOf(sites []*site) (sum int64, err error) {
	for _, s := range sites {
		n, err := s.proc.rss()
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// A pair is a certificate and its key, as files.
type pair struct{ cert, key string }

// selfSigned makes a certificate for this machine.
func selfSigned(dir string) (*pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	p := &pair{filepath.Join(dir, "ocpp.crt"), filepath.Join(dir, "ocpp.key")}
	err = os.WriteFile(p.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600)
	return p, errors.Join(err, os.WriteFile(p.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
}

// url is where the site's chargers connect to.
func (s *site) url() string {
	if s.tls != nil {
		return "wss://" + s.ocpp + "/ocpp"
	}
	return "ws://" + s.ocpp + "/ocpp"
}

// client is how they do: nil for a plain site. The certificate is this run's own.
func (s *site) client() *tls.Config {
	if s.tls == nil {
		return nil
	}
	pool := x509.NewCertPool()
	b, err := os.ReadFile(s.tls.cert)
	if err != nil || !pool.AppendCertsFromPEM(b) {
		return &tls.Config{} // the handshake then fails and says why
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}
