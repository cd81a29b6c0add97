package server

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/uplink"
)

// The defaults: both endpoints are for this machine alone until somebody says
// otherwise.
const (
	DefaultAPIAddr     = "127.0.0.1:8480"
	DefaultGatewayAddr = "127.0.0.1:8443"
)

// Bounds of both endpoints.
const (
	headerTimeout   = 10 * time.Second // a request's header
	callTimeout     = 30 * time.Second // a request's body and its answer; uploads have uploadTimeout
	idleTimeout     = 2 * time.Minute  // a connection between requests
	maxHeaderBytes  = 16 << 10
	shutdownTimeout = 10 * time.Second // for calls under way when the server closes
	readyTimeout    = 2 * time.Second  // for the store to answer /readyz
)

// Options say how a [Server] runs. The zero value is usable but for DataDir.
type Options struct {
	// DataDir holds everything that the cloud must not lose: the store, the
	// archive, the keys. It is made if it does not exist. One process at a time.
	DataDir string
	// Store is the PostgreSQL URL of the store, without a password
	// ([store.PostgresOptions]); default: SQLite in DataDir. The archive of received
	// journals and the keys are in DataDir in any case.
	Store string
	// StorePasswordFile holds the password for Store in its first line; default:
	// PGPASSWORD, PGPASSFILE, ~/.pgpass.
	StorePasswordFile string
	// APIAddr is where people and programs connect; default [DefaultAPIAddr].
	// Port 0 picks a free one.
	APIAddr string
	// GatewayAddr is where gateways connect; default [DefaultGatewayAddr].
	GatewayAddr string
	// Hosts are the names and addresses in the server certificate. Those of
	// loopback and of GatewayAddr are always in it. The first is what gateways
	// are told to connect to, unless Endpoint says more.
	Hosts []string
	// Endpoint is the https URL that gateways use from enrolment on; default:
	// the first of Hosts with the port that is listened on.
	Endpoint string
	// Further are https URLs of further ways to the same gateway endpoint, best
	// first, at most 7: gateways learn them at enrolment and use them when Endpoint
	// fails.
	Further []string
	// ExposeAPI allows an APIAddr that other machines can reach. The API is then
	// served over TLS with a certificate of the cloud's own authority, and
	// /metrics needs the token.
	ExposeAPI bool
	// NewToken replaces the API token.
	NewToken bool
	// Version is what runs, for holdfast_build_info.
	Version string
	// Log gets one line per call and event; default: none. Tokens, card numbers
	// and codes never go into it.
	Log *slog.Logger
	// Clock is the wall clock; default time.Now.
	Clock func() time.Time
}

// A Server is a running cloud: the plane, its store, and two endpoints.
type Server struct {
	log        *slog.Logger
	clock      func() time.Time
	plane      *cloud.Plane
	metrics    *metrics
	links      *links
	flights    flights
	uploads    slots
	enrolments *rate
	knocks     *rate        // lines about strangers in the log
	unsaid     atomic.Int64 // those that were left out since the last one
	token      apiToken
	fresh      string // the API token, when it was made just now
	exposed    bool

	api, gateway       *http.Server
	apiURL, gatewayURL string
	caPEM              []byte
	stopping           chan struct{} // closed when Close begins
	closeOnce          sync.Once
	closeErr           error
	done               chan struct{}
	closers            []func() error // in reverse order: store, data directory lock
}

// Start opens DataDir, listens on both addresses and serves until [Server.Close]
// is called or ctx ends, which is the same.
func Start(ctx context.Context, o Options) (*Server, error) {
	o.setDefaults()
	err := o.validate()
	if err == nil {
		// What is opened later must not depend on where the process then is.
		o.DataDir, err = filepath.Abs(o.DataDir)
	}
	if err != nil {
		return nil, fmt.Errorf("start cloud: %w", err)
	}
	s := &Server{
		log: o.Log, clock: o.Clock, metrics: newMetrics(o.Version),
		links:   &links{open: map[holdfast.GatewayID]*link{}},
		flights: flights{keys: map[string]bool{}},
		uploads: make(slots, maxUploads), enrolments: &rate{perMinute: enrolPerMinute}, knocks: &rate{perMinute: maxSecurityLines},
		exposed: o.ExposeAPI, stopping: make(chan struct{}), done: make(chan struct{}),
	}
	if err := s.open(ctx, o); err != nil {
		s.release()
		return nil, fmt.Errorf("start cloud: %w", err)
	}
	context.AfterFunc(ctx, func() { s.Close() })
	return s, nil
}

func (o *Options) setDefaults() {
	if o.APIAddr == "" {
		o.APIAddr = DefaultAPIAddr
	}
	if o.GatewayAddr == "" {
		o.GatewayAddr = DefaultGatewayAddr
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Version == "" {
		o.Version = "dev"
	}
}

func (o *Options) validate() error {
	if o.DataDir == "" {
		return errors.New("no data directory is given")
	}
	if err := o.validateStore(); err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(o.APIAddr)
	if err != nil {
		return fmt.Errorf("API address %q: want host:port: %w", o.APIAddr, err)
	}
	if _, _, err := net.SplitHostPort(o.GatewayAddr); err != nil {
		return fmt.Errorf("gateway address %q: want host:port: %w", o.GatewayAddr, err)
	}
	if !isLoopback(host) && !o.ExposeAPI {
		return fmt.Errorf("API address %q can be reached from other machines: use a loopback address, or say so with --expose-api (it is then served over TLS)", o.APIAddr)
	}
	if o.Endpoint != "" && !strings.HasPrefix(o.Endpoint, "https://") {
		return fmt.Errorf("endpoint %q: want an https URL", o.Endpoint)
	}
	if len(o.Further) > uplink.MaxEndpoints-1 {
		return fmt.Errorf("%d further endpoints, at most %d", len(o.Further), uplink.MaxEndpoints-1)
	}
	for _, s := range o.Further {
		if u, err := url.Parse(s); err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.User != nil {
			return fmt.Errorf("further endpoint %q: want an https URL, for example https://cloud-2.example:8443", s)
		}
	}
	return nil
}

// isLoopback reports whether host can only be reached from this machine. A name
// other than localhost may resolve to anything, so it does not count.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// open does the work of [Start]; what it opened is in s.closers when it fails.
func (s *Server) open(ctx context.Context, o Options) error {
	ks, err := s.openDir(o)
	if err != nil {
		return err
	}
	api, err := net.Listen("tcp", o.APIAddr)
	if err != nil {
		return fmt.Errorf("listen for the API: %w (is another cloud running? choose another address with --api)", err)
	}
	s.closers = append(s.closers, api.Close)
	gw, err := net.Listen("tcp", o.GatewayAddr)
	if err != nil {
		return fmt.Errorf("listen for gateways: %w (is another cloud running? choose another address with --gateways)", err)
	}
	s.closers = append(s.closers, gw.Close)
	s.setURLs(o, api.Addr(), gw.Addr())
	if err := s.openPlane(ctx, o, ks); err != nil {
		return err
	}
	s.metrics.registry.MustRegister(&fleet{s})

	server := s.tlsConfig(ks.authority, certHosts(o, api.Addr(), gw.Addr()))
	s.gateway = s.newHTTP(ctx, s.gateways())
	s.api = s.newHTTP(ctx, s.operators())
	go s.run(s.gateway, tls.NewListener(gw, withClients(server, ks.authority)))
	if o.ExposeAPI {
		api = tls.NewListener(api, server)
	}
	go s.run(s.api, api)
	s.log.Info("cloud started", "api", s.apiURL, "gateways", s.gatewayURL, "store", o.StoreName(), "version", o.Version)
	return nil
}

func (s *Server) run(h *http.Server, l net.Listener) {
	if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		s.log.Error("endpoint failed", "err", err.Error())
		s.Close()
	}
}

// openDir locks the data directory and reads its keys.
func (s *Server) openDir(o Options) (*keys, error) {
	unlock, err := lockDir(o.DataDir)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, unlock)
	ks, err := openKeys(filepath.Join(o.DataDir, "keys"), o.Clock())
	if err != nil {
		return nil, err
	}
	s.caPEM = encodeCert(ks.authority.cert.Raw)
	s.token, s.fresh, err = openToken(filepath.Join(o.DataDir, "keys"), o.NewToken)
	return ks, err
}

func (s *Server) openPlane(ctx context.Context, o Options, ks *keys) error {
	store, archive, err := openStore(ctx, &o, ks.secret[:])
	if err != nil {
		return err
	}
	s.closers = append(s.closers, store.Close)
	s.plane = cloud.New(cloud.Options{
		Store: store, Archive: archive, Signer: ks.statement, Rand: rand.Reader, Secret: ks.secret,
		CACertificate: ks.authority.cert.Raw, Endpoint: s.gatewayURL, Further: o.Further,
		Issue: func(csr *x509.CertificateRequest, gw holdfast.GatewayID, now holdfast.UnixMilli) ([]byte, error) {
			return ks.authority.issueDevice(csr, gw, now.Time())
		},
	})
	return nil
}

// newHTTP makes a server with every bound set. Requests outlive ctx: when it
// ends, calls under way are finished and not cut.
func (s *Server) newHTTP(ctx context.Context, h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       callTimeout,
		WriteTimeout:      callTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(tlsComplaints{s}, "", 0),
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
}

// tlsConfig is TLS 1.3 with the server certificate, and without session
// tickets, so that every connection proves its key. HTTP/1.1 only: on one HTTP/2
// connection an upload could hold up what is live.
func (s *Server) tlsConfig(a *authority, hosts []string) *tls.Config {
	certs := &renewer{authority: a, hosts: hosts, clock: s.clock}
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		GetCertificate:         certs.get,
		SessionTicketsDisabled: true,
		NextProtos:             []string{"http/1.1"},
		Time:                   s.clock,
	}
}

// withClients asks for device certificates. They are not required by TLS,
// because enrolment has none yet: [Server.device] requires them.
func withClients(c *tls.Config, a *authority) *tls.Config {
	c = c.Clone()
	c.ClientAuth = tls.VerifyClientCertIfGiven
	c.ClientCAs = a.pool()
	return c
}

// setURLs makes the URLs that are told to people and gateways.
func (s *Server) setURLs(o Options, api, gw net.Addr) {
	scheme := "http://"
	if o.ExposeAPI {
		scheme = "https://"
	}
	s.apiURL = scheme + reachable(api, o.Hosts)
	s.gatewayURL = o.Endpoint
	if s.gatewayURL == "" {
		s.gatewayURL = "https://" + reachable(gw, o.Hosts)
	}
}

// reachable is an address to connect to: a listener on all interfaces has none
// of its own.
func reachable(a net.Addr, hosts []string) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	switch ip := net.ParseIP(host); {
	case len(hosts) > 0 && !isLoopback(host):
		host = hosts[0]
	case ip != nil && ip.IsUnspecified():
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// certHosts lists what the server certificate is for.
func certHosts(o Options, addrs ...net.Addr) []string {
	hosts := append([]string{}, o.Hosts...)
	hosts = append(hosts, "localhost", "127.0.0.1", "::1")
	for _, a := range addrs {
		if h, _, err := net.SplitHostPort(a.String()); err == nil && !net.ParseIP(h).IsUnspecified() {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// APIURL is where people and programs connect.
func (s *Server) APIURL() string { return s.apiURL }

// GatewayURL is where gateways connect.
func (s *Server) GatewayURL() string { return s.gatewayURL }

// Token is the API token when this start made it, else "": only its hash is
// kept.
func (s *Server) Token() string { return s.fresh }

// CA is the certificate of the cloud's own authority, PEM.
func (s *Server) CA() []byte { return s.caPEM }

// Done is closed when the server has stopped.
func (s *Server) Done() <-chan struct{} { return s.done }

// Close stops taking calls, ends the links, lets calls under way finish for up
// to shutdownTimeout, and closes the store. It may be called more than once.
func (s *Server) Close() error {
	s.closeOnce.Do(func() {
		defer close(s.done)
		close(s.stopping)
		s.links.close()
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		s.closeErr = errors.Join(s.shutdown(ctx, s.gateway), s.shutdown(ctx, s.api), s.release())
		s.log.Info("cloud stopped")
	})
	<-s.done
	return s.closeErr
}

func (s *Server) shutdown(ctx context.Context, h *http.Server) error {
	if err := h.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("calls were cut after %s", shutdownTimeout), h.Close())
	}
	return nil
}

// release closes what was opened, newest first. A listener that its server has
// closed already is no error.
func (s *Server) release() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		if err := s.closers[i](); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	s.closers = nil
	return errors.Join(errs...)
}

// now is the time of a call.
func (s *Server) now() holdfast.UnixMilli { return holdfast.UnixMilli(s.clock().UnixMilli()) }
