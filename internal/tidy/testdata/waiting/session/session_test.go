package session

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestSleeps(t *testing.T) {
	time.Sleep(time.Second) // want "TestSleeps sleeps on a real clock"
}

func TestBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour)
		helper()
		outside()
	})
	outside()
}

func TestBubbleMaker(t *testing.T) {
	bubble(t, func() {
		time.Sleep(time.Hour)
		helper()
	})
}

func bubble(t *testing.T, f func()) {
	synctest.Test(t, func(*testing.T) { f() })
}

func helper() { deeper() }

func deeper() { time.Sleep(time.Minute) }

func outside() { time.Sleep(time.Minute) } // want "outside sleeps"

func TestSkips(t *testing.T) {
	t.Skip("no")        // want "TestSkips skips"
	t.Skipf("%s", "no") // want "TestSkips skips"
	t.SkipNow()         // want "TestSkips skips"
	var reader skipReader
	reader.Skip(1)
}

type skipReader struct{}

func (skipReader) Skip(int) {}
