package journal

type file interface{ Sync() error }

func sync(f file) error { return f.Sync() } // an interface: the keeper knows how
