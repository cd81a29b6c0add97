// Package agent is the daemon around the gateway's core: everything of a
// gateway that touches a socket, a file, a key, a clock or a goroutine. It
// holds no rule of charging; those are in package gateway, which it feeds with
// inputs and whose effects it carries out through gateway/loop.
//
// # One goroutine thinks
//
// [Run] opens the data directory, recovers the core from journal and snapshot,
// and starts one goroutine that owns it. Everybody else (charger sockets, the
// uplink, the signer, the disk watch) puts inputs into a bounded feed. The core
// goroutine takes what is waiting, at most [MaxTurnInputs], and makes one turn
// of it: step all, append, one sync per dirtied journal, release the effects.
// A slow disk therefore makes batches larger, not answers wrong, and nobody is
// answered before the sync.
//
// The effects go the other way and never block: a frame for a charger goes to
// that connection's bounded queue (a charger that does not read is
// disconnected), a request to the cloud or the signer to a worker.
//
// # When the disk fails
//
// A turn that fails (a failed append or fsync) leaves a core that believes
// things the disk does not know. The engine then discards it with its feed,
// closes every charger connection (chargers reconnect and repeat what was not
// answered), opens the journal again, recovers and goes on. More than
// [MaxRecoveries] failures in a row end the process with an error, so that the
// service manager and the operator see it.
//
// # The cloud
//
// The link to the cloud is HTTPS with the device certificate and the cloud's
// own CA pinned at enrolment. When a contact fails, staged probes look for the
// cause (route, DNS, TCP, TLS, HTTP, protocol) and the core gets one of the
// causes in docs/causes.md. When to try again is the core's decision.
//
// # The clock
//
// [Clock] never steps time backwards by itself and says how good it is. It is
// Synchronised only by the cloud's signed time. While it is not, TLS checks
// the pinned CA and ignores validity dates, because a gateway that wakes up in
// 1970 could otherwise never learn the time.
package agent
