package journal_test

import (
	"bytes"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/internal/durable"
	"github.com/holdfast-ev/holdfast/journal"
)

// yearRecords and yearBody are a year of eight connectors at five sessions a day
// with 25 records each, at the budgeted size.
const (
	yearRecords = 365_000
	yearBody    = 715
)

// fill writes n records of size bytes, a hundred a sync.
func fill(t testing.TB, l *journal.Log, n, size int) {
	t.Helper()
	b := bytes.Repeat([]byte("x"), size)
	for i := range n {
		b[i%size] ^= byte(i) | 1
		if err := l.Append(journal.Record, b); err != nil {
			t.Fatal(err)
		}
		if i%100 == 99 || i == n-1 {
			sync(t, l)
		}
	}
}

func benchDir(b *testing.B) *durable.Dir {
	b.Helper()
	d, err := durable.OpenDir(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	return d
}

// BenchmarkYear opens, reads, slices and verifies a year's journal.
func BenchmarkYear(b *testing.B) {
	d := benchDir(b)
	o := journal.Options{MaxBytes: 320 << 20}
	l, err := journal.Create(d, testIdentity(), o)
	if err != nil {
		b.Fatal(err)
	}
	fill(b, l, yearRecords, yearBody)
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			l, _, err := journal.Open(d, o)
			if err != nil {
				b.Fatal(err)
			}
			if n, _ := l.Head(); n != yearRecords {
				b.Fatalf("%d records", n)
			}
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	if l, _, err = journal.Open(d, o); err != nil {
		b.Fatal(err)
	}
	epoch := l.Identity().Epoch
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			if err := l.Read(epoch, 0, func(journal.Frame) error { n++; return nil }); err != nil || n != yearRecords {
				b.Fatal(n, err)
			}
		}
	})
	b.Run("slice", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for from := holdfast.Seq(0); from < yearRecords; {
				s, err := l.Slice(epoch, from, 1<<20)
				if err != nil {
					b.Fatal(err)
				}
				frames, err := journal.ParseSlice(s, from)
				if err != nil {
					b.Fatal(err)
				}
				from = frames[len(frames)-1].Seq + 1
			}
		}
	})
	b.Run("verify", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if rep, err := journal.Verify(d, nil); err != nil || !rep.OK() {
				b.Fatal(err, rep.Problems)
			}
		}
	})
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSync is one write and one sync of so many records.
func BenchmarkSync(b *testing.B) {
	for _, c := range []struct {
		name  string
		batch int
	}{{"1", 1}, {"32", 32}} {
		b.Run(c.name, func(b *testing.B) {
			l, err := journal.Create(benchDir(b), testIdentity(), journal.Options{MaxBytes: 8 << 30})
			if err != nil {
				b.Fatal(err)
			}
			body := bytes.Repeat([]byte("x"), yearBody)
			b.ReportAllocs()
			for b.Loop() {
				for range c.batch {
					if err := l.Append(journal.Record, body); err != nil {
						b.Fatal(err)
					}
				}
				sync(b, l)
			}
			b.ReportMetric(float64(c.batch)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkAppend is the cost without a disk.
func BenchmarkAppend(b *testing.B) {
	l, err := journal.Create(newDisk(), testIdentity(), journal.Options{MaxBytes: 8 << 30})
	if err != nil {
		b.Fatal(err)
	}
	body := bytes.Repeat([]byte("x"), yearBody)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if err := l.Append(journal.Record, body); err != nil {
			b.Fatal(err)
		}
		if n++; n%1000 == 0 {
			b.StopTimer()
			sync(b, l)
			b.StartTimer()
		}
	}
}
