// Package release makes the parts of a release that need more than the go
// command: the bill of materials of a binary, the licences of the modules that
// it is built from, archives and OCI image layouts. scripts/release.sh calls it
// through its cmd; nothing of it is shipped.
//
// Everything is read from the built binary itself (debug/buildinfo) and from the
// module cache, and nothing depends on the time or the place of the build: the
// same commit gives the same bytes.
package release
