package tidy

// A rule is one thing that the repository has agreed on.
type rule struct {
	name  string
	why   string
	check func(*tree) []finding
}

// rules is every rule. Each has a tree in testdata that it must find fault with.
var rules = []rule{
	{"arrows", "a reader must be able to learn a package from what lies below it", arrows},
	{"purity", "what has no clock, chance or I/O can be replayed, simulated and tested at any speed", purity},
	{"sync", "one package knows how to make bytes survive a power cut; a rename or sync elsewhere gets it wrong", syncs},
	{"size", "what does not fit on a screen is not read", size},
	{"docs", "an exported name is a promise; it says its units, bounds and errors", documented},
	{"waiting", "a test that sleeps is slow and still wrong on a busy machine; a test that skips does not test", waiting},
	{"names", "ls tells the domain", names},
	{"state", "state that belongs to the process belongs to nobody", state},
	{"shell", "a gateway that can charge does not die of a surprise", shells},
}
