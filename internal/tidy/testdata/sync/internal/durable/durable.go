package durable

import "os"

func save(f *os.File) error { return f.Sync() }
