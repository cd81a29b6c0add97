// Package session is one charging session from plug-in to settled, and the only
// home of session rules: which registers can be billed from, how much energy a
// session delivered, when it began and ended, what is doubtful about it, and
// when it has reached a limit. It is PURE and does not know that OCPP exists.
//
// A [Session] is a fold of the records that carry its id. The gateway folds
// them as it writes them, the ledger folds them again in the cloud, and both
// get the same session: no rule about energy or time is written anywhere else.
//
// # Energy
//
// A meter register only ever rises within a meter epoch; when it falls, the
// meter was reset or replaced, and a new span begins ([Meter]). Billable energy
// is the sum over spans of last minus first trusted register. What happened
// between two spans is unknown: it is a gap, it is shown as a gap, and it is
// never guessed.
//
// A start register of zero on a meter that was never at zero is a placeholder
// (a firmware that sends 0 because it has not read the meter yet: evcc#15874
// billed 910.031 kWh for 0.083 because of one). Then the span begins at the
// first reading that can be true.
//
// # Time
//
// A charger's clock may start in 1970. The span between two of its timestamps
// is still true when the absolute times are not, so a duration comes from the
// charger's claims and the date from the gateway when the claim is implausible.
package session
