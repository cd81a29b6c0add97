package record

import (
	_ "github.com/holdfast-ev/holdfast"
	_ "github.com/holdfast-ev/holdfast/session" // want "record must not import session: it is on a higher floor"
)
