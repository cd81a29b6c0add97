package agent

import (
	"log"
	"os"
)

func stop() {
	log.Fatalf("no") // want "log.Fatalf in a shell"
	os.Exit(1)       // want "os.Exit in a shell"
	panic("no")      // want "panic in a shell"
}

func guard() {
	defer func() {
		if p := recover(); p != nil {
			panic(p) // passed on
		}
	}()
}
