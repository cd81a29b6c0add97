package storetest

import (
	"testing"
	"time"
)

func Run(t *testing.T) { time.Sleep(1) } // want "Run sleeps"
