// Package bench measures Holdfast and writes docs/benchmarks.md.
//
// A number alone says little on a machine that somebody else shares, so every
// figure stands beside a floor (what the same disk does with bare calls) or a
// peer (another program that does the same work), measured in the same run, and
// what counts is the ratio. Where a figure has an aim, the aim is checked and
// a miss is written down with its profile; it fails nothing.
//
// What is measured runs as processes of its own: the gateway is the program that
// is shipped, the peers and the load are this package's program under other
// names ([Main]). The load is the same code for every server.
//
// [All] lists the benchmarks. In smoke mode each runs for a moment and must give
// figures; they mean nothing then.
package bench
