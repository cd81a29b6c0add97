package agent

import (
	"crypto"
	"crypto/rand"
	"log/slog"
	"sync"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/statement"
)

// MaxSignJobs is how many signatures may wait for the key, which may be a slow
// one. One more is answered with an error; the core asks again.
const MaxSignJobs = 256

// A signer signs, one after the other, on a goroutine of its own: nothing that
// a driver waits for waits for a key.
type signer struct {
	log  *slog.Logger
	key  crypto.Signer
	jobs chan func()
	work sync.WaitGroup
}

func newSigner(log *slog.Logger, key crypto.Signer) *signer {
	s := &signer{log: log, key: key, jobs: make(chan func(), MaxSignJobs)}
	s.work.Go(func() {
		for job := range s.jobs {
			job()
		}
	})
	return s
}

// stop finishes what is waiting. Nobody may ask any more.
func (s *signer) stop() {
	close(s.jobs)
	s.work.Wait()
}

func (s *signer) enqueue(job func()) bool {
	select {
	case s.jobs <- job:
		return true
	default:
		return false
	}
}

// sign answers r into f; it reports false when too many wait.
func (s *signer) sign(f *feed, r gateway.SignRequest) bool {
	return s.enqueue(func() {
		b, err := statement.Sign(s.key, rand.Reader, r.Typ, r.Payload)
		answer := gateway.Signed{ID: r.ID, Bytes: b}
		if err != nil {
			s.log.Error("signing failed", "typ", r.Typ, "err", err.Error())
			answer.Err = err.Error()
		}
		f.put(answer)
	})
}

// checkpoint signs a checkpoint and hands it to the core in f. One that fails
// or finds no room is left out: the next one covers the same records.
func (s *signer) checkpoint(f *feed, origin string, size uint64, root holdfast.Hash) {
	ok := s.enqueue(func() {
		note, err := journal.SignCheckpoint(journal.CheckpointText(origin, size, root), origin, s.key, rand.Reader)
		if err != nil {
			s.log.Error("signing a checkpoint failed", "origin", origin, "size", size, "err", err.Error())
			return
		}
		f.put(gateway.CheckpointSigned{Size: size, Note: note})
	})
	if !ok {
		s.log.Warn("checkpoint left out, too many signatures are waiting", "origin", origin, "size", size)
	}
}
