package cloud

import (
	"context" // the plane passes it on to its Store
	"sync"    // want "plane and must not import"
)

var _ = []any{context.Background, &sync.Mutex{}}
