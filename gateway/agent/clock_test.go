package agent

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ev/holdfast"
)

const (
	signed    = holdfast.UnixMilli(1_800_000_000_000) // 2027-01-15T08:00:00Z
	year      = 365 * 24 * time.Hour
	fifty     = 50 * year
	hourMilli = holdfast.UnixMilli(3_600_000)
)

// wound is a clock whose operating system says what *at says, and goes on.
func wound(at *holdfast.UnixMilli) *Clock {
	c := NewClock(1)
	start := time.Now()
	c.system = func() holdfast.UnixMilli { return at.Add(time.Since(start)) }
	return c
}

func want(t *testing.T, c *Clock, wall holdfast.UnixMilli, q holdfast.Quality, source ClockSource) {
	t.Helper()
	now, s := c.Now(), c.Status()
	if now.Wall != wall || now.Quality != q || s.Source != source || s.Quality != q {
		t.Errorf("%s %s from %s, want %s %s from %s", now.Wall, now.Quality, s.Source, wall, q, source)
	}
}

// TestClockAfterRTCLoss_issue3: a machine whose clock lost its time starts at
// the proven floor with quality U, and never below it.
func TestClockAfterRTCLoss_issue3(t *testing.T) {
	for _, tt := range []struct {
		name    string
		system  holdfast.UnixMilli
		floor   holdfast.UnixMilli
		last    holdfast.UnixMilli
		wall    holdfast.UnixMilli
		quality holdfast.Quality
		source  ClockSource
	}{
		{"1970", 0, signed, signed, signed, holdfast.Unknown, SourceFloor},
		{"build date", 1_700_000_000_000, signed, signed, signed, holdfast.Unknown, SourceFloor},
		{"an hour early", signed - hourMilli, signed, signed, signed, holdfast.Unknown, SourceFloor},
		{"50 years late", signed.Add(fifty), signed, signed, signed, holdfast.Unknown, SourceFloor},
		{"50 years early", signed.Add(-fifty), signed, signed, signed, holdfast.Unknown, SourceFloor},
		{"after 2106", holdfast.LatestPlausible + 1, signed, signed, signed, holdfast.Unknown, SourceFloor},
		{"two years in a cupboard", signed.Add(2 * year), signed, signed, signed.Add(2 * year), holdfast.Informative, SourceSystem},
		{"before the last record, nothing signed", signed - hourMilli, 0, signed, signed - hourMilli, holdfast.Unknown, SourceSystem},
		{"before the last record, after the floor", signed + hourMilli, signed, signed + 2*hourMilli, signed + hourMilli, holdfast.Unknown, SourceSystem},
		{"1970, nothing signed", 1000, 0, 0, 1000, holdfast.Unknown, SourceSystem},
		{"good, nothing signed", signed, 0, 0, signed, holdfast.Informative, SourceSystem},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := wound(&tt.system)
				c.Restore(tt.floor, holdfast.Instant{Wall: tt.last, Boot: 1})
				want(t, c, tt.wall, tt.quality, tt.source)
				time.Sleep(time.Hour)
				want(t, c, tt.wall+hourMilli, tt.quality, tt.source)
				if !c.Sync(signed+10*hourMilli, 0) {
					t.Fatal("a good signed time was refused")
				}
				want(t, c, signed+10*hourMilli, holdfast.Synchronised, SourceCloud)
			})
		})
	}
}

// TestSystemClockStepsAreIgnoredOnceSigned_issue3: the operating system's clock
// may go anywhere; this one goes on.
func TestSystemClockStepsAreIgnoredOnceSigned_issue3(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		system := signed
		c := wound(&system)
		c.Sync(signed, 0)
		for i, step := range []time.Duration{fifty, -2 * fifty, fifty, -time.Hour, 2 * time.Hour} {
			system = system.Add(step)
			time.Sleep(time.Minute)
			want(t, c, signed.Add(time.Duration(i+1)*time.Minute), holdfast.Synchronised, SourceCloud)
		}
		time.Sleep(SyncHolds)
		want(t, c, signed.Add(5*time.Minute+SyncHolds), holdfast.Relative, SourceCloud)
	})
}

// TestSignedRollbackIsRefused_issue3: a cloud that signs a time before one that
// it signed earlier, or years after it, is not believed.
func TestSignedRollbackIsRefused_issue3(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		system := signed
		c := wound(&system)
		c.Sync(signed, 0)
		time.Sleep(time.Hour)
		for _, bad := range []holdfast.UnixMilli{signed - 2*hourMilli, signed.Add(-fifty), signed.Add(fifty), 0, 1, holdfast.LatestPlausible + 1} {
			if c.Sync(bad, 0) {
				t.Errorf("%s was taken, %s was signed an hour ago", bad, signed)
			}
			want(t, c, signed+hourMilli, holdfast.Synchronised, SourceCloud)
		}
		if !c.Sync(signed+hourMilli-60_000, 0) {
			t.Error("a minute of drift was taken for a rollback")
		}
		want(t, c, signed+hourMilli, holdfast.Synchronised, SourceCloud) // never below what is proven
	})
}

// TestHintPowers_issue3: what an unsigned time may do, by what the clock has.
func TestHintPowers_issue3(t *testing.T) {
	const off = 40 * time.Second
	for _, tt := range []struct {
		name    string
		signed  time.Duration // ago; 0: never in this boot
		offset  time.Duration
		verdict string
		wall    time.Duration // of the clock after it, from now
		quality holdfast.Quality
	}{
		{"nothing better", 0, time.Hour, "used", time.Hour, holdfast.Informative},
		{"below the floor", 0, -time.Hour, "refused", 0, holdfast.Informative},
		{"years ahead", 0, fifty, "refused", 0, holdfast.Informative},
		{"signed, agrees", time.Minute, time.Second, "agrees", 0, holdfast.Synchronised},
		{"signed, contradicts", time.Minute, off, "refused", 0, holdfast.Synchronised},
		{"signed, 50 years", time.Minute, fifty, "refused", 0, holdfast.Synchronised},
		{"relative, within drift", SyncHolds + time.Hour, off, "used", off, holdfast.Relative},
		{"relative, beyond drift", SyncHolds + time.Hour, 2 * off, "refused", 0, holdfast.Relative},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				system := signed
				c := wound(&system)
				c.Restore(signed, holdfast.Instant{})
				if tt.signed != 0 {
					c.Sync(signed, 0)
					time.Sleep(tt.signed)
				}
				before := c.Now().Wall
				h := c.Hint(tt.offset, 3)
				if h.Verdict != tt.verdict || h.OffsetMs != tt.offset.Milliseconds() {
					t.Errorf("%+v, want %s", h, tt.verdict)
				}
				if now := c.Now(); now.Wall != before.Add(tt.wall) || now.Quality != tt.quality {
					t.Errorf("%s %s, want %s %s", now.Wall, now.Quality, before.Add(tt.wall), tt.quality)
				}
				if s := c.Status().NTP; s == nil || s.Verdict != tt.verdict || s.Servers != 3 {
					t.Errorf("status says %+v", s)
				}
			})
		})
	}
}

// TestHintGivesWayToTheCloud: the first signed time takes over.
func TestHintGivesWayToTheCloud(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		system := holdfast.UnixMilli(0)
		c := wound(&system)
		c.Restore(signed, holdfast.Instant{})
		c.Hint(time.Hour, 1)
		want(t, c, signed+hourMilli, holdfast.Informative, SourceNTP)
		c.Reboot(2)
		want(t, c, signed+hourMilli, holdfast.Informative, SourceNTP)
		c.Sync(signed+60_000, 0)
		want(t, c, signed+60_000, holdfast.Synchronised, SourceCloud)
	})
}
