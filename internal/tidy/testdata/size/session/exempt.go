package session

import "context"

func five(ctx context.Context, a, b, c int, d, e string) {}
