package cloud

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/statement"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A Gateway is one gateway's standing: who it is and how far its journals are.
type Gateway struct {
	ID       holdfast.GatewayID `json:"id"`
	Site     holdfast.SiteID    `json:"site"`
	Enrolled holdfast.UnixMilli `json:"enrolled"`      // 0: not yet
	KeyID    string             `json:"key,omitempty"` // of its device key, as statements name keys
	Contact  Contact            `json:"contact"`
	Cursors  []uplink.Cursor    `json:"cursors"` // of every (journal, epoch) known, oldest first
}

// A gatewayDoc is what is stored of a gateway. Keys are the PKIX forms of all
// its device keys, the one in service last: what an older key signed stays
// valid.
type gatewayDoc struct {
	ID       holdfast.GatewayID `json:"id"`
	Site     holdfast.SiteID    `json:"site"`
	Enrolled holdfast.UnixMilli `json:"enrolled"`
	Keys     [][]byte           `json:"keys"`
}

// MaxKeys bounds the device keys of one gateway over its life: a site whose
// gateway was replaced more often gets a new gateway id.
const MaxKeys = 16

// MaxHeads bounds the heads of one hello: all the epochs that two journals can
// hold on a disk.
const MaxHeads = 2 * journal.MaxEpochs

// publicKeys parses the gateway's keys, the one in service first.
func (g gatewayDoc) publicKeys() ([]*ecdsa.PublicKey, error) {
	var out []*ecdsa.PublicKey
	for _, der := range slices.Backward(g.Keys) {
		k, err := x509.ParsePKIXPublicKey(der)
		if err != nil {
			return nil, fmt.Errorf("key of gateway %s: %w", g.ID, err)
		}
		pub, ok := k.(*ecdsa.PublicKey)
		if !ok {
			return nil, fmt.Errorf("key of gateway %s is a %T", g.ID, k)
		}
		out = append(out, pub)
	}
	return out, nil
}

// Enrol redeems a one-time code. Redeeming it again with the same key returns
// the same identity with a fresh certificate (the answer may have been lost);
// with another key it is [ErrCode]. [ErrInvalid] for a CSR that is not P-256 or
// does not verify.
func (p *Plane) Enrol(ctx context.Context, now holdfast.UnixMilli, e uplink.Enrol) (out uplink.Enrolled, err error) {
	csr, key, err := checkCSR(e.CSR)
	if err != nil {
		return out, err
	}
	err = p.o.Store.Update(ctx, func(tx Tx) error {
		gw, err := p.redeem(tx, now, e.Code, key)
		if err != nil {
			return err
		}
		out, err = p.identity(now, gw, csr)
		return err
	})
	if err != nil {
		return uplink.Enrolled{}, err
	}
	return out, nil
}

func checkCSR(der []byte) (*x509.CertificateRequest, []byte, error) {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, nil, invalid("enrol", "certificate request: %v", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, nil, invalid("enrol", "certificate request: %v", err)
	}
	pub, ok := csr.PublicKey.(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() {
		return nil, nil, invalid("enrol", "certificate request: the device key is not P-256")
	}
	key, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, nil, invalid("enrol", "certificate request: %v", err)
	}
	return csr, key, nil
}

// redeem checks the code and puts key in service. The first redemption and
// every repetition with the same key give the same answer.
func (p *Plane) redeem(tx Tx, now holdfast.UnixMilli, code string, pkix []byte) (gw gatewayDoc, err error) {
	c, err := get[codeDoc](tx, KindCode, codeKey(code))
	switch {
	case isNotFound(err):
		return gw, ErrCode
	case err != nil:
		return gw, err
	case now > c.Expires, c.Key != nil && !bytes.Equal(c.Key, pkix):
		return gw, ErrCode
	}
	site, err := get[siteDoc](tx, KindSite, string(c.Site))
	if err != nil {
		return gw, err
	}
	if gw, err = get[gatewayDoc](tx, KindGateway, string(site.Gateway)); err != nil || c.Key != nil {
		return gw, err
	}
	c.Key = pkix
	if _, err := put(tx, KindCode, codeKey(code), Fields{"site": string(c.Site)}, c); err != nil {
		return gw, err
	}
	gw.Keys = slices.DeleteFunc(gw.Keys, func(k []byte) bool { return bytes.Equal(k, pkix) })
	if len(gw.Keys) >= MaxKeys {
		return gw, fmt.Errorf("enrol: gateway %s has had %d device keys: give the site another gateway id: %w", gw.ID, MaxKeys, ErrFull)
	}
	gw.Keys, gw.Enrolled = append(gw.Keys, pkix), now
	if _, err := note(tx, now, string(gw.ID), logEnrolled, gw); err != nil {
		return gw, err
	}
	if _, err := put(tx, KindGateway, string(gw.ID), Fields{"site": string(gw.Site)}, gw); err != nil {
		return gw, err
	}
	if err := tx.Delete(KindContact, string(gw.ID)); err != nil { // a new machine: its boots count anew
		return gw, err
	}
	return gw, p.reinstall(tx, now, gw)
}

// identity is what a gateway is told when it enrols.
func (p *Plane) identity(now holdfast.UnixMilli, gw gatewayDoc, csr *x509.CertificateRequest) (out uplink.Enrolled, err error) {
	cert, err := p.o.Issue(csr, gw.ID, now)
	if err != nil {
		return out, fmt.Errorf("enrol %s: issue certificate: %w", gw.ID, err)
	}
	statementKey, err := x509.MarshalPKIXPublicKey(p.o.Signer.Public())
	if err != nil {
		return out, fmt.Errorf("enrol %s: statement key: %w", gw.ID, err)
	}
	tokenKey, err := p.tokenKey(gw.Site)
	if err != nil {
		return out, err
	}
	sealKey, err := p.sealKey(gw.ID)
	if err != nil {
		return out, err
	}
	return uplink.Enrolled{
		Gateway: gw.ID, Site: gw.Site, Certificate: cert, CA: p.o.CACertificate, StatementKey: statementKey,
		TokenKey: tokenKey[:], SealKey: sealKey[:], Endpoint: p.o.Endpoint, Endpoints: p.o.Further,
	}, nil
}

// Admit names the gateway behind a client certificate that the TLS layer has
// already verified against the CA. It refuses ([ErrForbidden]) a gateway that is
// unknown and a certificate whose key is not the one enrolled last: a replaced
// gateway is locked out by its successor's enrolment. Call it once a connection,
// and again when the connection is older than a minute.
func (p *Plane) Admit(ctx context.Context, cert *x509.Certificate) (id holdfast.GatewayID, err error) {
	id, err = holdfast.ParseGatewayID(cert.Subject.CommonName)
	if err != nil {
		return "", fmt.Errorf("admit %q: %w", clip(cert.Subject.CommonName), ErrForbidden)
	}
	err = p.o.Store.View(ctx, func(tx Tx) error {
		gw, err := get[gatewayDoc](tx, KindGateway, string(id))
		if isNotFound(err) || err == nil && len(gw.Keys) == 0 {
			return fmt.Errorf("admit %s: never enrolled here: %w", id, ErrForbidden)
		}
		if err != nil {
			return err
		}
		if !bytes.Equal(gw.Keys[len(gw.Keys)-1], cert.RawSubjectPublicKeyInfo) {
			return fmt.Errorf("admit %s: another gateway enrolled in its place: enrol again with a new code: %w", id, ErrForbidden)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return id, nil
}

// Hello answers a gateway's opening call: a cursor for each head, in the order
// of the heads; the cloud's time signed and bound to the nonce; the directives
// that are due. [ErrInvalid] for more than [MaxHeads] heads or a bad nonce,
// [ErrForbidden] when h.Gateway is not gw. The caller adds LaterMillis.
func (p *Plane) Hello(ctx context.Context, now holdfast.UnixMilli, gw holdfast.GatewayID, h uplink.Hello) (w uplink.Welcome, err error) {
	if err := checkHello(gw, h); err != nil {
		return w, err
	}
	payload, err := statement.EncodeTime(statement.Time{Nonce: h.Nonce, Now: now})
	if err != nil {
		return w, invalid("hello", "nonce: %v", err)
	}
	if w.Time, err = statement.Sign(p.o.Signer, p.o.Rand, statement.TypTime, payload); err != nil {
		return w, fmt.Errorf("hello of %s: sign the time: %w", gw, err)
	}
	err = p.o.Store.Update(ctx, func(tx Tx) error {
		w.Cursors = make([]uplink.Cursor, len(h.Heads))
		c, err := contactOf(tx, gw)
		if err != nil {
			return err
		}
		c.Backlog = 0
		for i, head := range h.Heads {
			s, err := p.meet(tx, now, gw, head)
			if err != nil {
				return err
			}
			w.Cursors[i] = s.cursor()
			if head.Journal == holdfast.Evidence && head.Size > s.Received {
				c.Backlog += head.Size - s.Received
			}
		}
		c.Seen, c.Software, c.Boot = now, h.Software, h.Boot
		if _, err := put(tx, KindContact, string(gw), nil, c); err != nil {
			return err
		}
		w.Directives, err = p.refresh(tx, now, gw)
		return err
	})
	if err != nil {
		return uplink.Welcome{}, err
	}
	return w, nil
}

// maxSoftware bounds a version string, in bytes.
const maxSoftware = 100

func checkHello(gw holdfast.GatewayID, h uplink.Hello) error {
	switch {
	case h.Gateway != gw:
		return fmt.Errorf("hello: %q calls itself %q: %w", gw, clip(string(h.Gateway)), ErrForbidden)
	case len(h.Heads) > MaxHeads:
		return invalid("hello", "%d heads, at most %d", len(h.Heads), MaxHeads)
	case len(h.Software) > maxSoftware:
		return invalid("hello", "software version of %d bytes, at most %d", len(h.Software), maxSoftware)
	}
	for _, head := range h.Heads {
		if _, err := holdfast.ParseJournal(string(head.Journal)); err != nil {
			return invalid("hello", "%v", err)
		}
		if head.First > head.Size || head.Epoch.IsZero() {
			return invalid("hello", "head of %s %s from %d to %d", head.Journal, head.Epoch, head.First, head.Size)
		}
	}
	return nil
}

// meet returns the cloud's place in what head offers. Telemetry that the
// gateway dropped for want of space will never come: the cursor goes on behind
// it. Evidence is never skipped.
func (p *Plane) meet(tx Tx, now holdfast.UnixMilli, gw holdfast.GatewayID, head uplink.Head) (stream, error) {
	s, err := streamAt(tx, gw, head.Journal, head.Epoch)
	if err != nil || head.Journal != holdfast.Telemetry || head.First <= s.Received {
		return s, err
	}
	sk := skip{gw, head.Epoch, s.Received, head.First}
	if _, err := note(tx, now, string(gw), logSkipped, sk); err != nil {
		return s, err
	}
	return s, sk.apply(tx, &s)
}

// A skip is telemetry that a gateway dropped: body of a [logSkipped] entry.
type skip struct {
	Gateway  holdfast.GatewayID `json:"gateway"`
	Epoch    holdfast.Epoch     `json:"epoch"`
	From, To uint64
}

func (k skip) apply(tx Tx, s *stream) error {
	s.Skipped += k.To - k.From
	s.Received, s.Reconciled = k.To, k.To
	return s.put(tx)
}

// Due returns the directives that gw has not reported done and that have not
// expired: what a [uplink.Knock] carries. They are delivered again until the
// gateway's record of the outcome arrives.
func (p *Plane) Due(ctx context.Context, now holdfast.UnixMilli, gw holdfast.GatewayID) (due []uplink.Directive, err error) {
	stale := false
	err = p.o.Store.View(ctx, func(tx Tx) error {
		if stale, err = listStale(tx, gw); err != nil || stale {
			return err
		}
		due, err = p.due(tx, now, gw)
		return err
	})
	if err == nil && stale {
		err = p.o.Store.Update(ctx, func(tx Tx) error {
			due, err = p.refresh(tx, now, gw)
			return err
		})
	}
	if err != nil {
		return nil, err
	}
	return due, nil
}

// Gateway returns one gateway, [ErrNotFound].
func (p *Plane) Gateway(ctx context.Context, id holdfast.GatewayID) (g Gateway, err error) {
	err = p.o.Store.View(ctx, func(tx Tx) error {
		doc, err := get[gatewayDoc](tx, KindGateway, string(id))
		if err != nil {
			return err
		}
		g, err = showGateway(tx, doc)
		return err
	})
	return g, err
}

// Gateways lists the gateways.
func (p *Plane) Gateways(ctx context.Context, page Page) (gateways []Gateway, next string, err error) {
	return paged(ctx, p, KindGateway, nil, page, func(tx Tx, d Doc) (Gateway, error) {
		doc, err := decode[gatewayDoc](d)
		if err != nil {
			return Gateway{}, err
		}
		return showGateway(tx, doc)
	})
}

func showGateway(tx Tx, doc gatewayDoc) (Gateway, error) {
	g := Gateway{ID: doc.ID, Site: doc.Site, Enrolled: doc.Enrolled, Cursors: []uplink.Cursor{}}
	keys, err := doc.publicKeys()
	if err != nil {
		return g, err
	}
	if len(keys) > 0 {
		g.KeyID = statement.KeyID(keys[0])
	}
	if g.Contact, err = contactOf(tx, doc.ID); err != nil {
		return g, err
	}
	streams, err := all[stream](tx, KindStream, Query{Where: Fields{"gateway": string(doc.ID)}, Oldest: true})
	for _, s := range streams {
		g.Cursors = append(g.Cursors, s.cursor())
	}
	return g, err
}

// contactOf returns what is known of a gateway's last contact; all zero before
// the first.
func contactOf(tx Tx, gw holdfast.GatewayID) (Contact, error) {
	c, err := get[Contact](tx, KindContact, string(gw))
	if errors.Is(err, ErrNotFound) {
		return Contact{}, nil
	}
	return c, err
}
