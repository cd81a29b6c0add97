package session

import "os" // tests may

var _ = os.Args
