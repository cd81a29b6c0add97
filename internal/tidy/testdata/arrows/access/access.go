package access

import (
	_ "github.com/holdfast-ev/holdfast/receipt" // want "access must not import receipt"
	_ "github.com/holdfast-ev/holdfast/statement"
)
