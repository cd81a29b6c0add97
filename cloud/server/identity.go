package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
)

const (
	tokenFile   = "api-token.sha256" // hex SHA-256 of the API token
	tokenPrefix = "hfa_"             // so that scanners for leaked secrets can know one
)

// An apiToken is the operators' bearer token, as the server keeps it: a hash.
// The token has 256 random bits, so a plain fast hash is enough: there is no
// dictionary to try.
type apiToken struct{ sum [32]byte }

// openToken reads the stored hash, or makes a token and stores its hash. The
// token itself is returned only then, for the one time that it is shown.
func openToken(dir string, renew bool) (t apiToken, fresh string, err error) {
	path := filepath.Join(dir, tokenFile)
	b, err := readSecret(path)
	switch {
	case err == nil && !renew:
		n, err := hex.Decode(t.sum[:], []byte(strings.TrimSpace(string(b))))
		if err != nil || n != len(t.sum) {
			return t, "", fmt.Errorf("read API token hash %s: want 64 hex digits; start with a new token to replace it", path)
		}
		return t, "", nil
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return t, "", err
	}
	var secret [32]byte
	rand.Read(secret[:]) // never fails (crypto/rand, Go 1.24)
	fresh = tokenPrefix + base64.RawURLEncoding.EncodeToString(secret[:])
	t.sum = sha256.Sum256([]byte(fresh))
	return t, fresh, writeSecret(path, []byte(hex.EncodeToString(t.sum[:])+"\n"))
}

// matches compares in constant time; hashing first makes the lengths equal.
func (t apiToken) matches(presented string) bool {
	sum := sha256.Sum256([]byte(presented))
	return subtle.ConstantTimeCompare(sum[:], t.sum[:]) == 1
}

// operator lets a request pass that carries the API token.
func (s *Server) operator(next http.Handler) http.Handler {
	denied := s.serve(route{name: deniedCall}, func(w http.ResponseWriter, c *call) (int, error) {
		s.security(c.req, "api_token", "")
		return 0, kindToken.because("%s %s needs the header Authorization: Bearer TOKEN", c.req.Method, clip(c.req.URL.Path)).
			next("the token was printed when the cloud first started; holdfast cloud --new-token makes another")
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, presented, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") || !s.token.matches(strings.TrimSpace(presented)) {
			denied.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

type peerKey struct{}

// peerOf returns the gateway that [Server.device] identified.
func peerOf(ctx context.Context) holdfast.GatewayID {
	gw, _ := ctx.Value(peerKey{}).(holdfast.GatewayID)
	return gw
}

// device lets a request pass whose client certificate names the gateway in the
// address and still stands. The TLS stack has verified the certificate against
// the cloud's own authority; a foreign name is a stolen or misplaced key, so it
// is refused and said in the log.
func (s *Server) device(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gw, err := s.identify(r)
		if err != nil {
			s.serve(route{name: deniedCall}, func(http.ResponseWriter, *call) (int, error) { return 0, err }).ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), peerKey{}, gw)))
	})
}

// identify finds out which gateway calls, or why it may not.
func (s *Server) identify(r *http.Request) (holdfast.GatewayID, error) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		s.security(r, "no_certificate", "")
		return "", kindCertificate.because("no client certificate was shown").next("enrol the gateway: holdfast-gateway enroll")
	}
	cert := r.TLS.VerifiedChains[0][0]
	if cert.Subject.CommonName != r.PathValue("id") {
		s.security(r, "wrong_gateway", clip(cert.Subject.CommonName))
		return "", kindForeign.because("the certificate is %q's, the address is %q's", clip(cert.Subject.CommonName), clip(r.PathValue("id")))
	}
	gw, err := s.plane.Admit(r.Context(), cert)
	if errors.Is(err, cloud.ErrForbidden) {
		s.security(r, "not_admitted", clip(cert.Subject.CommonName))
	}
	return gw, err
}

// maxSecurityLines bounds the lines about strangers in the log, so that nobody
// can fill a disk by knocking. The metric counts every one.
const maxSecurityLines = 60 // a minute

// security writes the log line and counts. It is called for every request that
// is turned away for who it is.
func (s *Server) security(r *http.Request, kind, certificate string) {
	s.knocked(kind, "certificate", certificate, "method", r.Method, "path", clip(r.URL.Path), "remote", r.RemoteAddr)
}

func (s *Server) knocked(kind string, attrs ...any) {
	s.metrics.securityEvents.WithLabelValues(kind).Inc()
	if _, ok := s.knocks.allow(s.clock()); !ok {
		s.unsaid.Add(1)
		return
	}
	attrs = append([]any{"event", kind}, attrs...)
	if n := s.unsaid.Swap(0); n > 0 {
		attrs = append(attrs, "not_logged_before", n)
	}
	s.log.Warn("security", attrs...)
}

// tlsComplaints takes what net/http says about its connections. A peer whose
// certificate does not verify is a security event; the rest (scanners, cut
// connections) is noise.
type tlsComplaints struct{ s *Server }

// Write implements io.Writer for http.Server.ErrorLog: one call is one line.
func (t tlsComplaints) Write(b []byte) (int, error) {
	line := strings.TrimSpace(string(b))
	if strings.Contains(line, "TLS handshake error") && strings.Contains(line, "certificate") {
		t.s.knocked("tls_certificate", "detail", line)
	} else {
		t.s.log.Debug("connection", "detail", line)
	}
	return len(b), nil
}
