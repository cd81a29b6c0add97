package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"strings"

	"github.com/holdfast-ev/holdfast"
	control "github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/internal/faultfs"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/seal"
	"github.com/holdfast-ev/holdfast/statement"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A book is a cloud with one gateway, whose journal is written here: real frames,
// sealed tokens, signed checkpoints.
type book struct {
	ctx      context.Context
	plane    *control.Plane
	now      holdfast.UnixMilli
	gateway  holdfast.GatewayID
	device   *ecdsa.PrivateKey
	enrolled uplink.Enrolled
	log      *journal.Log
	cut      holdfast.Seq // records before it are in slices
	at       holdfast.Instant
	tariff   record.TariffRef
	register [4]holdfast.WattHours // of each charger
}

// bookStart is when the gateway's life begins.
const bookStart holdfast.UnixMilli = 1_790_000_000_000

func newBook(ctx context.Context, s control.Store, a control.Archive) (*book, error) {
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	b := &book{ctx: ctx, now: bookStart, at: holdfast.Instant{Wall: bookStart, Quality: holdfast.Synchronised, Boot: 1}}
	if b.device, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	b.plane = control.New(control.Options{
		Store: s, Archive: a, Signer: signer, Rand: rand.Reader, Secret: [32]byte{1}, CACertificate: []byte("authority"), Endpoint: "https://cloud.example",
		Issue: func(*x509.CertificateRequest, holdfast.GatewayID, holdfast.UnixMilli) ([]byte, error) {
			return []byte("certificate"), nil
		},
	})
	if err := b.enrol(); err != nil {
		return nil, err
	}
	id := journal.Identity{Gateway: b.gateway, Journal: holdfast.Evidence}
	if _, err := rand.Read(id.Epoch[:]); err != nil {
		return nil, err
	}
	if b.log, err = journal.Create(faultfs.New(), id, journal.Options{}); err != nil {
		return nil, err
	}
	if _, _, err := b.put(record.Record{Body: &record.EpochOpened{Reason: record.EpochEnrolment}}); err != nil {
		return nil, err
	}
	return b, b.install(&signer.PublicKey)
}

// enrol makes a site with a tariff and its gateway.
func (b *book) enrol() error {
	_, code, err := b.plane.AddSite(b.ctx, b.now, control.AddSite{ID: "bench"})
	if err != nil {
		return err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "bench"}}, b.device)
	if err != nil {
		return err
	}
	if b.enrolled, err = b.plane.Enrol(b.ctx, b.now, uplink.Enrol{Code: code, CSR: csr}); err != nil {
		return err
	}
	b.gateway = b.enrolled.Gateway
	_, err = b.plane.PutTariff(b.ctx, b.now, control.PutTariff{OCPI: []byte(tariffJSON)})
	return err
}

// install takes the tariff that the cloud has signed for the site.
func (b *book) install(key *ecdsa.PublicKey) error {
	due, err := b.plane.Due(b.ctx, b.now, b.gateway)
	if err != nil {
		return err
	}
	for _, d := range due {
		if d.Kind != uplink.InstallTariff {
			continue
		}
		payload, err := statement.Verify(key, statement.TypTariff, d.Statement)
		if err != nil {
			return err
		}
		t, err := statement.DecodeTariff(payload)
		b.tariff = record.TariffRef{ID: t.ID, Version: t.Version, Hash: sha256.Sum256(d.Statement), Currency: "EUR"}
		return err
	}
	return fmt.Errorf("no tariff among %d directives", len(due))
}

func (b *book) put(r record.Record) (holdfast.Seq, holdfast.Hash, error) {
	r.Seq, r.At = b.log.Next(), b.at
	raw, err := record.Encode(r)
	if err != nil {
		return 0, holdfast.Hash{}, err
	}
	return r.Seq, holdfast.LeafHash(raw), b.log.Append(journal.Record, raw)
}

// wait lets time pass at the site.
func (b *book) wait(seconds int64) {
	b.at.Wall += holdfast.UnixMilli(seconds * 1000)
	b.at.Mono += seconds * 1000
}

// session writes one session: decision, start, an hourly reading, end, and the
// checkpoint that a gateway signs then.
func (b *book) session(i int) error {
	charger := holdfast.ChargerID(fmt.Sprintf("CP-%d", i%len(b.register)+1))
	hash, sealed, err := b.token(card(i % 500))
	if err != nil {
		return err
	}
	at, _, err := b.put(record.Record{Charger: charger, Body: &record.AccessDecided{
		Token: hash, Sealed: sealed, EVSE: 1, Accepted: true, Rule: "list.always", Reason: "listed", Source: "list", Link: holdfast.Offline, Count: 1,
	}})
	if err != nil {
		return err
	}
	begin := b.register[i%len(b.register)]
	middle, end := begin+5_000, begin+10_000
	b.register[i%len(b.register)] = end
	_, leaf, err := b.put(record.Record{Charger: charger, Body: &record.SessionOpened{
		Decision: &at, Nonce: strings.Repeat("0", 32), Source: record.StartAuthorized, Token: hash, Sealed: sealed, EVSE: 1, Connector: 1,
		StartedAt: b.at.Wall, ClaimedAt: b.at.Wall.String(), Start: &begin, StartTrust: record.Trusted, Link: holdfast.Offline,
		Tariff: &b.tariff, Labels: map[string]string{}, PowerBudget: 22_000,
	}})
	if err != nil {
		return err
	}
	id := holdfast.SessionID(leaf)
	b.wait(900)
	if _, _, err := b.put(record.Record{Session: id, Charger: charger, Body: &record.SessionReading{
		Reading: holdfast.Reading{At: b.at.Wall, Register: &middle}, Why: "hourly",
	}}); err != nil {
		return err
	}
	b.wait(900)
	if _, _, err := b.put(record.Record{Session: id, Charger: charger, Body: &record.SessionEnded{
		StoppedAt: b.at.Wall, ClaimedAt: b.at.Wall.String(), Stop: &end, StopTrust: record.Trusted, Reason: "Local",
	}}); err != nil {
		return err
	}
	b.wait(60)
	return b.checkpoint()
}

// token seals a value as a record carries it, with its key frame before it.
func (b *book) token(value string) (hash holdfast.TokenHash, sealed string, err error) {
	var random [64]byte
	if _, err := rand.Read(random[:]); err != nil {
		return hash, "", err
	}
	k := seal.NewKey([40]byte(random[:40]))
	if err := b.log.Append(journal.Key, seal.Wrap([32]byte(b.enrolled.SealKey), k, [12]byte(random[40:52]))); err != nil {
		return hash, "", err
	}
	return holdfast.Token{Value: value}.Hash(b.enrolled.TokenKey), seal.Seal(k, [12]byte(random[52:]), value), nil
}

func (b *book) checkpoint() error {
	if err := b.log.Sync(); err != nil {
		return err
	}
	size, root := b.log.Head()
	origin := b.log.Identity().Origin()
	note, err := journal.SignCheckpoint(journal.CheckpointText(origin, size, root), origin, b.device, rand.Reader)
	if err != nil {
		return err
	}
	if err := b.log.Append(journal.Checkpoint, note); err != nil {
		return err
	}
	return b.log.Sync()
}
