package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"

	"github.com/holdfast-ev/holdfast"
	control "github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/cloud/store"
	"github.com/holdfast-ev/holdfast/internal/pgtest"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/uplink"
)

// The aims: how much of the bare inserts' rate is left when records become books,
// in percent.
const (
	booksOnSQLite   = 25
	booksOnPostgres = 50
)

// timesHistory is how many times the first sessions are received in all.
const timesHistory = 10

// books measures the cloud's main job on both keepers.
func books(r *Run) error {
	n := r.Count(4000, 20)
	if err := r.booksOn("SQLite", booksOnSQLite, n, &sqliteEngine{dir: filepath.Join(r.Dir, "sqlite")}); err != nil {
		return err
	}
	pg, err := pgtest.New()
	if err != nil {
		return err
	}
	return errors.Join(r.booksOn("PostgreSQL", booksOnPostgres, n, &postgresEngine{pg: pg, dir: filepath.Join(r.Dir, "postgres")}), pg.Close())
}

// An engine is a database: under the cloud, and bare.
type engine interface {
	// open opens an empty store and its archive.
	open(ctx context.Context) (control.Store, control.Archive, error)
	// bare inserts parts into an empty table, one row a record, one durable
	// transaction a part, and returns how long that took.
	bare(ctx context.Context, parts [][]control.Row) (time.Duration, error)
}

// booksOn receives slices of n sessions, and then of timesHistory-1 times as many.
func (r *Run) booksOn(name string, aim, n int, e engine) (err error) {
	r.Say("%s: writing the journal of %d sessions", name, timesHistory*n)
	s, archive, err := e.open(r.Ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	b, err := newBook(r.Ctx, s, archive)
	if err != nil {
		return err
	}
	early, err := b.slices(n)
	if err != nil {
		return err
	}
	// The floor before and after: the machine may not be ours alone.
	floor1, err := r.floor(e, early)
	if err != nil {
		return err
	}
	stop, err := r.profileBooks(name)
	if err != nil {
		return err
	}
	rate, err := b.receive(early)
	if err := errors.Join(err, stop()); err != nil {
		return err
	}
	floor2, err := r.floor(e, early)
	if err != nil {
		return err
	}
	floor := (floor1 + floor2) / 2
	r.Add(Figure{
		Name: "receive, fold and post on " + name, Value: rate, Unit: "records/s", Of: fmt.Sprintf("bare batched inserts, %.0f records/s", floor),
		Ratio: rate / floor, Aim: fmt.Sprintf("at least %d %% of bare inserts", aim), Met: rate/floor >= float64(aim)/100,
		Note: fmt.Sprintf("One gateway, slices of up to %d MiB, %d sessions; a checkpoint is verified for each.", uplink.MaxSliceBytes>>20, n),
	})
	return r.booksLater(name, n, b, rate)
}

// floor is the rate of bare inserts of the same records, again and again for as
// long as a measurement takes.
func (r *Run) floor(e engine, parts []part) (float64, error) {
	most, runs, took := r.For(1500*time.Millisecond, time.Millisecond), 0, time.Duration(0)
	for ; took < most; runs++ {
		one, err := e.bare(r.Ctx, rowsOf(parts))
		if err != nil {
			return 0, err
		}
		took += one
	}
	return perSecond(runs*records(parts), took), nil
}

// booksLater measures the same n sessions behind a long history.
func (r *Run) booksLater(name string, n int, b *book, early float64) error {
	for range timesHistory - 2 {
		more, err := b.slices(n)
		if err == nil {
			_, err = b.receive(more)
		}
		if err != nil {
			return err
		}
	}
	last, err := b.slices(n)
	if err != nil {
		return err
	}
	rate, err := b.receive(last)
	if err != nil {
		return err
	}
	r.Add(Figure{
		Name: fmt.Sprintf("the same on %s at %d times the history", name, timesHistory), Value: rate, Unit: "records/s",
		Of: fmt.Sprintf("the first sessions, %.0f records/s", early), Ratio: rate / early,
	})
	return b.balanced(timesHistory * n)
}

// A part is one slice as a gateway sends it.
type part struct {
	first holdfast.Seq
	raw   []byte
	rows  []control.Row
}

func rowsOf(parts []part) (out [][]control.Row) {
	for _, p := range parts {
		out = append(out, p.rows)
	}
	return out
}

// records counts the records of slices.
func records(parts []part) (n int) {
	for _, p := range parts {
		n += len(p.rows)
	}
	return n
}

func perSecond(n int, took time.Duration) float64 { return float64(n) / took.Seconds() }

// receive hands slices to the cloud, and returns its records a second.
func (b *book) receive(parts []part) (float64, error) {
	began := time.Now()
	for _, p := range parts {
		if _, err := b.plane.Receive(b.ctx, b.now, b.gateway, holdfast.Evidence, b.log.Identity().Epoch, p.first, p.raw); err != nil {
			return 0, err
		}
	}
	return perSecond(records(parts), time.Since(began)), nil
}

// balanced checks that all sessions are billed, and the books balance.
func (b *book) balanced(sessions int) error {
	t, err := b.plane.Totals(b.ctx)
	if err != nil {
		return err
	}
	list, err := b.plane.Balances(b.ctx, control.LedgerFilter{})
	var sum holdfast.Micros
	for _, a := range list {
		sum += a.Amount
	}
	if err == nil && (t.CDRs != sessions || sum != 0) {
		err = fmt.Errorf("%d of %d sessions are billed, the accounts sum to %d", t.CDRs, sessions, sum)
	}
	return err
}

// slices writes n sessions and cuts the journal into uploads.
func (b *book) slices(n int) (out []part, err error) {
	for i := range n {
		if err := b.session(i); err != nil {
			return nil, err
		}
	}
	for b.cut < b.log.Next() {
		at := b.cut
		raw, err := b.log.Slice(b.log.Identity().Epoch, at, uplink.MaxSliceBytes)
		if err != nil {
			return nil, err
		}
		frames, err := journal.ParseSlice(raw, at)
		if err != nil {
			return nil, err
		}
		p := part{first: at, raw: raw}
		for _, f := range frames {
			if f.Kind == journal.Record {
				p.rows = append(p.rows, control.Row{Seq: f.Seq, Leaf: holdfast.LeafHash(f.Body), Body: f.Body})
				b.cut = f.Seq + 1
			}
		}
		out = append(out, p)
	}
	return out, nil
}

// profileBooks profiles a keeper until the result is called.
func (r *Run) profileBooks(name string) (stop func() error, err error) {
	path := filepath.Join(r.Dir, "books.pprof")
	if keep := os.Getenv("HOLDFAST_BENCH_PROFILE"); keep != "" {
		path = keep + "-" + name
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		if err := file.Close(); err != nil {
			return err
		}
		return r.explain(name+"\n", path)
	}, nil
}

// sqliteEngine is SQLite in a directory.
type sqliteEngine struct{ dir string }

func (e *sqliteEngine) open(ctx context.Context) (control.Store, control.Archive, error) {
	s, err := store.Open(ctx, filepath.Join(e.dir, "cloud"))
	if err != nil {
		return nil, nil, err
	}
	return s, s.Archive(), nil
}

// postgresEngine is PostgreSQL on this machine, as Debian starts it.
type postgresEngine struct {
	pg  *pgtest.Server
	dir string
}

func (e *postgresEngine) open(ctx context.Context) (control.Store, control.Archive, error) {
	url, err := e.pg.NewSchema(ctx)
	if err != nil {
		return nil, nil, err
	}
	s, err := store.OpenPostgres(ctx, store.PostgresOptions{URL: url})
	if err != nil {
		return nil, nil, err
	}
	return s, store.NewFiles(e.dir), nil
}
