package session

import (
	_ "fmt"

	_ "github.com/holdfast-ev/holdfast/ocpp" // want "session must not import ocpp: session rules do not know that OCPP exists"
	_ "github.com/holdfast-ev/holdfast/record"
)
