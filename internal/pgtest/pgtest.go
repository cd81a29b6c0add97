// Package pgtest runs throw-away PostgreSQL servers for tests and benchmarks: a
// data directory of its own, one socket and one loopback port, durability as in
// production (fsync on), and nothing left when the test ends, or dies.
//
//	pg := pgtest.Start(t)
//	s, err := store.OpenPostgres(ctx, store.PostgresOptions{URL: pg.Schema(t)})
//
// The binaries are Debian's (/usr/lib/postgresql/*/bin) or those in PATH. Without
// them a test fails and says what to install. Started by root, the server runs as
// the user postgres, or nobody: it refuses to be root.
package pgtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// startTimeout bounds initdb and each start of a server.
const startTimeout = 2 * time.Minute

// startTries bounds the starts after a kill: the children of the old server hold
// its shared memory until they notice.
const startTries = 200

// admin is the superuser of the throw-away server.
const admin = "holdfast"

// TB is what a server needs of a test.
type TB interface {
	Helper()
	Fatalf(string, ...any)
	Errorf(string, ...any)
	Cleanup(func())
}

// A Server is a running PostgreSQL.
type Server struct {
	dir     string // of data and socket
	bin     string
	as      *syscall.Credential // nil: as ourselves
	port    int
	process *os.Process
	gone    chan struct{} // closed when process has ended
	schemas atomic.Int64
}

// Start starts a server that ends with the test.
func Start(t TB) *Server {
	t.Helper()
	s, err := New()
	if err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("stop PostgreSQL: %v", err)
		}
	})
	return s
}

// Shared is a server for all tests of a package, each with a schema of its own:
// it is started when the first of them asks for it. TestMain closes it.
type Shared struct {
	once   sync.Once
	server *Server
	err    error
}

// Server returns the server.
func (s *Shared) Server(t TB) *Server {
	t.Helper()
	s.once.Do(func() { s.server, s.err = New() })
	if s.err != nil {
		t.Fatalf("start PostgreSQL: %v", s.err)
	}
	return s.server
}

// Close ends the server, if a test has started it; none can any more.
func (s *Shared) Close() error {
	s.once.Do(func() { s.err = errors.New("it is closed") })
	if s.server == nil {
		return nil
	}
	return s.server.Close()
}

// New starts a server; the caller closes it.
func New() (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	// A socket's path is short: t.TempDir() may not be.
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, bin: bin}
	if err := s.init(); err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	if err := s.Restart(); err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	return s, nil
}

// binaries finds the newest PostgreSQL.
func binaries() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is good
	version := func(path string) int {
		n, _ := strconv.Atoi(strings.Split(path, "/")[4]) // not a number sorts first
		return n
	}
	slices.SortFunc(found, func(a, b string) int { return version(a) - version(b) })
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1]), nil
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	return "", errors.New("there is no PostgreSQL on this machine: run scripts/setup.sh, or apt-get install postgresql")
}

// init makes the data directory.
func (s *Server) init() error {
	if os.Geteuid() == 0 {
		for _, name := range []string{"postgres", "nobody"} {
			u, err := user.Lookup(name)
			if err != nil {
				continue
			}
			uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
			gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
			if err := errors.Join(err1, err2, os.Chown(s.dir, int(uid), int(gid))); err != nil {
				return err
			}
			s.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
			break
		}
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	s.port = port
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "initdb"), "--pgdata", s.data(), "--username", admin, "--auth", "trust",
		"--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync", "--no-instructions")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	cmd.Dir = s.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// Restart starts a server that was killed, and returns when it takes
// connections: it has recovered then.
func (s *Server) Restart() error { return s.RestartWith() }

// RestartWith is Restart with settings, name=value.
func (s *Server) RestartWith(settings ...string) (err error) {
	for range startTries {
		var said string
		if said, err = s.start(settings); err == nil {
			return nil
		}
		if !strings.Contains(said, "shared memory") && !strings.Contains(said, "already") {
			return err
		}
	}
	return err
}

// start starts the server and waits until its log says that it is ready.
func (s *Server) start(settings []string) (said string, err error) {
	args := []string{"-D", s.data(), "-k", s.dir, "-h", "127.0.0.1", "-p", strconv.Itoa(s.port)}
	for _, set := range append([]string{"max_connections=60", "lc_messages=C"}, settings...) {
		args = append(args, "-c", set)
	}
	cmd := exec.Command(filepath.Join(s.bin, "postgres"), args...)
	cmd.Dir = s.dir
	// The server dies with the thread that started it, and so with a test that is
	// killed: the goroutine keeps the thread until the server ends.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Pdeathsig: syscall.SIGQUIT}
	log, err := cmd.StderrPipe()
	if err != nil {
		return "", err
	}
	started := make(chan error, 1)
	gone := make(chan struct{})
	ready := make(chan string, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(gone)
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		ready <- follow(log)
		_, _ = io.Copy(io.Discard, log)
		_ = cmd.Wait() // however it ended
	}()
	if err := <-started; err != nil {
		return "", err
	}
	said = <-ready
	if !strings.Contains(said, readyLine) {
		<-gone
		return said, fmt.Errorf("the server ended: %s", said)
	}
	s.process, s.gone = cmd.Process, gone
	return said, nil
}

const readyLine = "database system is ready to accept connections"

// follow reads the log until the server is ready or ends.
func follow(log io.Reader) string {
	var said strings.Builder
	for lines := bufio.NewScanner(log); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), readyLine) {
			break
		}
	}
	return said.String()
}

// Kill ends the server as a power cut does (SIGKILL), and its connections with
// it.
func (s *Server) Kill() error {
	err := s.process.Kill()
	<-s.gone
	return err
}

// Close ends the server and removes everything.
func (s *Server) Close() error {
	err := s.process.Signal(syscall.SIGQUIT) // at once
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-s.gone
	return errors.Join(err, os.RemoveAll(s.dir))
}

// Addr is the server's TCP address.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Data is the data directory.
func (s *Server) Data() string { return s.data() }

// Schema makes an empty schema and returns the URL of a store in it, over the
// socket.
func (s *Server) Schema(t TB) string {
	t.Helper()
	store, err := s.NewSchema(context.Background())
	if err != nil {
		t.Fatalf("make a schema: %v", err)
	}
	return store
}

// NewSchema is Schema without a test.
func (s *Server) NewSchema(ctx context.Context) (string, error) {
	name := fmt.Sprintf("s%d", s.schemas.Add(1))
	return s.url(s.dir, name), s.exec(ctx, `CREATE SCHEMA `+name)
}

// Through is the URL of the same store by way of a TCP address, such as a proxy's.
func Through(t TB, store, addr string) string {
	t.Helper()
	u, err := url.Parse(store)
	if err != nil {
		t.Fatalf("%v", err)
	}
	q := u.Query()
	q.Del("host")
	q.Del("port")
	q.Set("sslmode", "disable")
	u.Host, u.RawQuery = addr, q.Encode()
	return u.String()
}

func (s *Server) url(host, schema string) string {
	q := url.Values{"host": {host}, "port": {strconv.Itoa(s.port)}}
	if schema != "" {
		q.Set("search_path", schema)
	}
	return (&url.URL{Scheme: "postgres", User: url.User(admin), Path: "/postgres", RawQuery: q.Encode()}).String()
}

// Exec runs statements as the superuser.
func (s *Server) Exec(t TB, statements string) {
	t.Helper()
	if err := s.exec(context.Background(), statements); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
}

func (s *Server) exec(ctx context.Context, statements string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url(s.dir, ""))
	if err != nil {
		return err
	}
	_, err = conn.PgConn().Exec(ctx, statements).ReadAll()
	return errors.Join(err, conn.Close(ctx))
}
