// Package tidy is the style of this repository as a test. It has no code of its
// own: `go test ./internal/tidy` reads every Go file with go/parser and fails
// with file, line and what to do about it.
//
// # What it checks
//
// The table rules in rules_test.go names every rule and says why it is there;
// house_test.go says which package may import which, and what each of them must
// not contain. A new package gets a line there before it gets code.
//
// The documents are checked as well, in prose_test.go: a link must lead
// somewhere, a test that is named as a proof must exist, docs/records.md must
// list every kind of record, docs/dependencies.md every direct dependency.
//
// # The ratchet
//
// ratchet.txt holds the known exceptions, one a line, each with a reason. A line
// that no longer matches anything fails the test, so the file only ever gets
// shorter unless somebody argues for a new line in a review. A finding that has
// a size (a length, a count) is held at the size in its line.
//
// # Its own tests
//
// Each rule has a small tree of its own in testdata/<rule>, where a comment
// `// want "..."` stands on each line that must be found: a rule that cannot
// fail, or that finds too much, fails TestEveryRuleCanFail.
package tidy
