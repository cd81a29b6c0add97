package agent

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
)

// chargerTLS is the TLS of the server that chargers connect to: 1.2 or newer
// (2.0.1 A00.FR.312) with the suites that Go holds to be safe. The two suites
// without forward secrecy that the standard also lists (A00.FR.318) are a site's
// own choice.
func chargerTLS(c *OCPPConfig, log *slog.Logger) (*tls.Config, error) {
	k := &certificateFile{cert: c.TLSCertificate, key: c.TLSKey, log: log}
	if err := k.load(); err != nil {
		return nil, fmt.Errorf("ocpp.tls_certificate: %w", err)
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: k.get, NextProtos: []string{"http/1.1"}}
	if c.TLSRSASuites {
		log.Warn("ocpp.tls_rsa_suites: TLS_RSA suites are offered; who learns the server's key can read what was said before")
		for _, s := range tls.CipherSuites() {
			conf.CipherSuites = append(conf.CipherSuites, s.ID)
		}
		conf.CipherSuites = append(conf.CipherSuites, tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384)
	}
	return conf, nil
}

// A certificateFile is a certificate and its key in two files. When either
// changes, the next handshake uses what is there then; connections that are open
// stay. A pair that does not load, such as one half of a renewal, is logged once
// and leaves the one before it in use.
type certificateFile struct {
	cert, key string
	log       *slog.Logger

	mu     sync.Mutex
	seen   [2]fileMark
	loaded *tls.Certificate
}

// A fileMark tells one state of a file from the next.
type fileMark struct {
	changed int64 // ns since 1970
	size    int64
}

func (k *certificateFile) marks() (m [2]fileMark, err error) {
	for i, name := range []string{k.cert, k.key} {
		info, err := os.Stat(name)
		if err != nil {
			return m, err
		}
		m[i] = fileMark{info.ModTime().UnixNano(), info.Size()}
	}
	return m, nil
}

// load reads the files, whatever was read before.
func (k *certificateFile) load() error {
	marks, err := k.marks()
	if err != nil {
		return err
	}
	k.seen = marks // also when they do not load: they are tried again when they change
	pair, err := tls.LoadX509KeyPair(k.cert, k.key)
	if err != nil {
		return err
	}
	k.loaded = &pair
	return nil
}

// get is tls.Config.GetCertificate.
func (k *certificateFile) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	marks, err := k.marks()
	if err != nil || marks == k.seen {
		return k.loaded, nil // gone for a moment while it is replaced, or unchanged
	}
	if err := k.load(); err != nil {
		k.log.Error("the new certificate for chargers does not load; the one before it stays in use", "file", k.cert, "err", err.Error())
		return k.loaded, nil
	}
	k.log.Info("the certificate for chargers was loaded again", "file", k.cert)
	return k.loaded, nil
}
