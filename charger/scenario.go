package charger

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Bounds of a scenario.
const (
	MaxScenarioBytes = 1 << 20
	MaxSteps         = 10_000
	MaxRepeat        = 1_000_000
)

// A Scenario is what happens at a charger, step by step. docs/charger.md is its
// manual. An unknown key or a bad value is an error with file, line and column.
type Scenario struct {
	Flaws  []string `yaml:"flaws"`  // see FlawNames
	Repeat int      `yaml:"repeat"` // how often the steps are played; default 1
	Steps  []Step   `yaml:"steps"`
}

// A Step is one thing that happens; exactly one field is set.
type Step struct {
	Plug       int        `yaml:"plug,omitempty"`   // EVSE
	Unplug     int        `yaml:"unplug,omitempty"` // EVSE
	Swipe      *SwipeStep `yaml:"swipe,omitempty"`
	Stop       int        `yaml:"stop,omitempty"` // EVSE
	Wait       string     `yaml:"wait,omitempty"` // a duration: "30s", "5m"
	ResetMeter int        `yaml:"reset_meter,omitempty"`
	Lose       *LoseStep  `yaml:"lose,omitempty"`
	Do         string     `yaml:"do,omitempty"` // see doWords

	wait time.Duration
	line string // "file:line" of the step, for errors while it is played
}

// A SwipeStep holds a token to a reader.
type SwipeStep struct {
	EVSE   int    `yaml:"evse"`
	Token  string `yaml:"token"`
	Expect string `yaml:"expect"` // "accepted", "refused" or, the default, "any"
}

// A LoseStep makes answers vanish.
type LoseStep struct {
	Action string `yaml:"action"`
	Count  int    `yaml:"count"` // default 1
}

// doWords are what a step can do that needs no argument.
var doWords = []string{"ready", "cut", "sever", "mend", "power_cycle", "settle"}

// LoadScenario reads a scenario file.
func LoadScenario(file string) (*Scenario, error) {
	f, err := os.Stat(file)
	if err == nil && f.Size() > MaxScenarioBytes {
		return nil, fmt.Errorf("scenario %s: %d bytes, at most %d", file, f.Size(), MaxScenarioBytes)
	}
	if err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	return ParseScenario(file, b)
}

// ParseScenario reads a scenario; name is the file's, for errors.
func ParseScenario(name string, b []byte) (*Scenario, error) {
	tree, err := parser.ParseBytes(b, 0)
	if err != nil {
		return nil, located(name, err)
	}
	s := Scenario{Repeat: 1}
	if err := unmarshal(b, &s); err != nil {
		return nil, located(name, err)
	}
	v := validator{name: name, tree: tree}
	return &s, v.scenario(&s)
}

// unmarshal reads YAML. The library panics on some documents that are broken
// (FuzzScenario found one: a tag with no value where a list is due); that is an error in the
// document.
func unmarshal(b []byte, s *Scenario) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("not YAML that can be read: %v", p)
		}
	}()
	return yaml.UnmarshalWithOptions(b, s, yaml.Strict())
}

// located writes a YAML error as file:line:column: message.
func located(name string, err error) error {
	var y yaml.Error
	if errors.As(err, &y) && y.GetToken() != nil {
		p := y.GetToken().Position
		return fmt.Errorf("%s:%d:%d: %s", name, p.Line, p.Column, y.GetMessage())
	}
	return fmt.Errorf("%s: %w", name, err)
}

// A validator checks what the YAML decoder cannot and knows where it stands.
type validator struct {
	name string
	tree *ast.File
}

// place returns "file:line:column" of a path, or the file when it is absent.
func (v *validator) place(path string) string {
	p, err := yaml.PathString(path)
	if err != nil {
		return v.name
	}
	n, err := p.FilterFile(v.tree)
	if err != nil || n == nil {
		return v.name
	}
	at := n.GetToken().Position
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 {
		at = m.Values[0].Key.GetToken().Position // a mapping's own token is its first colon
	}
	return fmt.Sprintf("%s:%d:%d", v.name, at.Line, at.Column)
}

func (v *validator) fail(path, format string, args ...any) error {
	return fmt.Errorf("%s: %s", v.place(path), fmt.Sprintf(format, args...))
}

func (v *validator) scenario(s *Scenario) error {
	var f Flaws
	for i, name := range s.Flaws {
		if err := f.Set(name); err != nil {
			return v.fail(fmt.Sprintf("$.flaws[%d]", i), "%v", err)
		}
	}
	switch {
	case s.Repeat < 1 || s.Repeat > MaxRepeat:
		return v.fail("$.repeat", "repeat %d: want 1 to %d", s.Repeat, MaxRepeat)
	case len(s.Steps) == 0:
		return fmt.Errorf("%s: no steps: want a list such as \"steps: [{plug: 1}]\"", v.name)
	case len(s.Steps) > MaxSteps:
		return v.fail("$.steps", "%d steps: at most %d", len(s.Steps), MaxSteps)
	}
	for i := range s.Steps {
		if err := v.step(&s.Steps[i], fmt.Sprintf("$.steps[%d]", i)); err != nil {
			return err
		}
	}
	return nil
}

// step checks one step and prepares it for playing.
func (v *validator) step(s *Step, path string) error {
	s.line = v.place(path)
	set := 0
	for _, is := range []bool{
		s.Plug != 0, s.Unplug != 0, s.Swipe != nil, s.Stop != 0, s.Wait != "", s.ResetMeter != 0, s.Lose != nil, s.Do != "",
	} {
		if is {
			set++
		}
	}
	if set != 1 {
		return v.fail(path, "a step has exactly one of plug, unplug, swipe, stop, wait, reset_meter, lose, do; this one has %d", set)
	}
	for key, id := range map[string]int{"plug": s.Plug, "unplug": s.Unplug, "stop": s.Stop, "reset_meter": s.ResetMeter} {
		if id < 0 || id > MaxEVSEs {
			return v.fail(path+"."+key, "EVSE %d: want 1 to %d", id, MaxEVSEs)
		}
	}
	switch {
	case s.Do != "" && !slices.Contains(doWords, s.Do):
		return v.fail(path+".do", "do %q: want one of %s", s.Do, strings.Join(doWords, ", "))
	case s.Wait != "":
		d, err := time.ParseDuration(s.Wait)
		if err != nil || d < 0 {
			return v.fail(path+".wait", "wait %q: want a duration such as 30s or 5m", s.Wait)
		}
		s.wait = d
	case s.Swipe != nil:
		return v.swipe(s.Swipe, path+".swipe")
	case s.Lose != nil:
		setDefault(&s.Lose.Count, 1)
		if s.Lose.Action == "" || s.Lose.Count < 0 {
			return v.fail(path+".lose", "lose: want an action such as StartTransaction and a count of at least 1")
		}
	}
	return nil
}

func (v *validator) swipe(s *SwipeStep, path string) error {
	setDefault(&s.EVSE, 1)
	setDefault(&s.Expect, "any")
	switch {
	case s.EVSE < 1 || s.EVSE > MaxEVSEs:
		return v.fail(path+".evse", "EVSE %d: want 1 to %d", s.EVSE, MaxEVSEs)
	case s.Token == "" || len(s.Token) > 36:
		return v.fail(path, "token of %d characters: want 1 to 36", len(s.Token))
	case !slices.Contains([]string{"any", "accepted", "refused"}, s.Expect):
		return v.fail(path+".expect", "expect %q: want accepted, refused or any", s.Expect)
	}
	return nil
}
