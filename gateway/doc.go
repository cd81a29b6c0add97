// Package gateway is the core of a Holdfast gateway: a state machine that
// composes OCPP dialects, sessions, access decisions, tariffs and the uplink
// into one thing that a site can live on. It is PURE: it performs nothing. The
// loop (package gateway/loop) hands it inputs and carries out its effects; the
// daemon and the simulator share that loop.
//
// # Step and Ready
//
// [Gateway.Step] takes one [Input] with the time at which it arrived.
// [Gateway.Ready] returns what the inputs so far demand, as a [Ready]: records
// that must be durable first, then frames, uploads and questions. The loop
// appends the records, syncs once, releases the rest and calls
// [Gateway.Advance]. So one disk sync carries every charger that was waiting,
// and nobody is ever told of something that a power cut could undo.
//
// # Decide and apply
//
// Handlers decide: they look at the durable [State] and write records. They
// never change it. [State.Apply] alone does, from a record, in the running
// gateway and at recovery alike; fold(journal) == state is asserted in tests
// after every step. Everything else a Gateway holds (connections, calls under
// way, the latest samples, timers) is lost in a crash by design: where it
// matters, the worst is assumed until somebody speaks again.
//
// # Chance and time
//
// A Gateway never reads a clock or a random source. Message ids, nonces and
// jitter come from a seed that is an input and fresh at each boot.
package gateway
