package store

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/holdfast-ev/holdfast/cloud"
)

// connectTimeout bounds the making of one connection.
const connectTimeout = 10 * time.Second

// PostgresOptions say where the database is.
type PostgresOptions struct {
	// URL is a libpq connection URL, postgres://USER@HOST[:PORT]/DATABASE[?...],
	// without a password: command lines and configurations are read by others.
	// Tables are made in the first schema of the search path. Against a server on
	// another machine sslmode is verify-full unless the URL says otherwise.
	URL string
	// PasswordFile holds the password in its first line. Without it the password
	// comes from where libpq finds one: PGPASSWORD, PGPASSFILE, ~/.pgpass.
	PasswordFile string
}

// IsPostgres reports whether a store is named by a PostgreSQL URL.
func IsPostgres(name string) bool {
	return strings.HasPrefix(name, "postgres://") || strings.HasPrefix(name, "postgresql://")
}

// Name is the store's name for people and logs: user, host and database. It
// fails with [cloud.ErrInvalid] when the URL is not one; no error repeats it,
// because there may be a password in it.
func (o PostgresOptions) Name() (string, error) {
	if !IsPostgres(o.URL) {
		return "", fmt.Errorf("store: not a PostgreSQL URL: want postgres://USER@HOST/DATABASE: %w", cloud.ErrInvalid)
	}
	u, err := url.Parse(o.URL)
	if err != nil {
		return "", fmt.Errorf("store: the PostgreSQL URL cannot be read: want postgres://USER@HOST/DATABASE, with %%-escapes for special characters: %w", cloud.ErrInvalid)
	}
	_, has := u.User.Password()
	for _, name := range []string{"password", "sslpassword"} {
		has = has || u.Query().Has(name)
	}
	if has {
		return "", fmt.Errorf("store: there is a password in the PostgreSQL URL, where others can read it: put it into a password file or into ~/.pgpass (PGPASSFILE): %w", cloud.ErrInvalid)
	}
	shown := url.URL{Scheme: "postgres", Host: u.Host, Path: u.Path}
	if name := u.User.Username(); name != "" {
		shown.User = url.User(name)
	}
	return shown.String(), nil
}

// config is the pool's configuration; [PostgresOptions.Name] has passed the URL.
func (o PostgresOptions) config() (*pgxpool.Config, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, errors.New("the PostgreSQL URL cannot be read")
	}
	q := u.Query()
	switch mode := q.Get("sslmode"); {
	case mode == "" && os.Getenv("PGSSLMODE") == "" && !local(u):
		q.Set("sslmode", "verify-full")
	case mode == "allow" || mode == "prefer":
		return nil, fmt.Errorf("sslmode=%s encrypts only when nobody interferes: use verify-full, or disable where the network is trusted: %w", mode, cloud.ErrInvalid)
	}
	u.RawQuery = q.Encode()
	cfg, err := pgxpool.ParseConfig(u.String())
	if err != nil {
		return nil, err // pgx leaves passwords out
	}
	if o.PasswordFile != "" {
		b, err := os.ReadFile(o.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("password file: %w", err)
		}
		line, _, _ := strings.Cut(string(b), "\n")
		if cfg.ConnConfig.Password = strings.TrimSuffix(line, "\r"); cfg.ConnConfig.Password == "" {
			return nil, fmt.Errorf("password file %s: its first line is empty: %w", o.PasswordFile, cloud.ErrInvalid)
		}
	}
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = connectTimeout
	}
	set := cfg.ConnConfig.RuntimeParams
	if set["application_name"] == "" {
		set["application_name"] = "holdfast"
	}
	if set["synchronous_commit"] != "remote_apply" { // the only stronger one
		set["synchronous_commit"] = "on"
	}
	// A cloud that hangs or is cut off must not hold the writers' lock for ever.
	set["idle_in_transaction_session_timeout"] = fmt.Sprint(idleTimeout.Milliseconds())
	set["tcp_keepalives_idle"], set["tcp_keepalives_interval"], set["tcp_keepalives_count"] = "30", "10", "3"
	return cfg, nil
}

// local reports whether a URL names a server on this machine, by socket or
// loopback, and no other.
func local(u *url.URL) bool {
	host := u.Host
	if h := u.Query().Get("host"); h != "" {
		host = h
	}
	if host == "" {
		host = os.Getenv("PGHOST") // empty: the socket of this machine
	}
	for _, h := range strings.Split(host, ",") {
		if name, _, err := net.SplitHostPort(h); err == nil {
			h = name
		}
		ip := net.ParseIP(strings.Trim(h, "[]"))
		if h != "" && h != "localhost" && !strings.HasPrefix(h, "/") && (ip == nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}
