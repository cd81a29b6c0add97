package agent

import (
	_ "embed"
	"slices"
)

//go:embed example.yaml
var exampleConfig []byte

// ExampleConfig returns a configuration file in which every key is explained.
// It passes [ParseConfig].
func ExampleConfig() []byte { return slices.Clone(exampleConfig) }
