// Package crash kills the gateway: the real binary, on real sockets, with
// SIGKILL, again and again, and then asks from outside whether anything that it
// had acknowledged to a charger is missing or there twice. It has no code of its
// own; `go test ./internal/crash` runs it, and docs/crash.md says how to read
// the summary and how to replay a run.
//
// # What runs
//
// A cloud with its SQLite store, and two sites beside each other, each with a
// gateway process and three simulated chargers (package charger; OCPP 1.6 and
// 2.0.1) whose drivers charge for a few tenths of a second, drive away and come
// again. The chargers go on while their gateway is dead, start on their own
// authority, and repeat what was not answered.
//
// # When it is killed
//
// A plan that follows from the seed aims each kill: at a sync of the evidence
// journal, after the bytes were written and before they were synced (strace
// sends the SIGKILL as the thread enters fdatasync); at a file operation of the
// recovery, or at a moment of it; at a moment of the work; at a file operation
// of an orderly stop; and ten restarts in a row while they recover. Where a kill
// has really hit is read afterwards from the trace and from the gateway's own
// log, and only that is counted.
//
// # What is compared
//
// The claims are the chargers' own: their meters, and the answers that reached
// them. Every claim must be in the gateway's evidence exactly once, and in the
// cloud's sessions, CDRs and ledger exactly once with the same Wh, and nothing
// else may be there. `holdfast journal verify` must find every byte in order.
// TestControls* prove that each of these comparisons can fail.
package crash
