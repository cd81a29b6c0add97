package session // want "no package comment"

type Naked struct{} // want "Naked is exported"

// A Dressed says what it is.
type Dressed struct{}

func (Dressed) Undressed() {} // want "Dressed.Undressed is exported"

func (Dressed) String() string { return "" }

func (Dressed) private() {}

type hidden struct{}

func (hidden) Method() {}

// Kind is shared by the methods below it.
func (*Naked) Kind() int   { return 1 }
func (*Dressed) Kind() int { return 2 }

func Free() {} // want "Free is exported"

const Bare = 1 + // want "Bare is exported"
	0

// The group has one comment.
const (
	One = 1
	Two = 2
)

var (
	Three = 3 // explained beside it
)

var (
	Four = 4 + // want "Four is exported"
		0
)
