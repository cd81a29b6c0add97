// Package ledger turns the evidence of a charging session into money: a CDR, a
// balanced double entry, or an exception for a person. It is PURE, and a fold:
// [Settle] gives the same [Outcome] for the same records in any order and with
// any repetition, today and when the books are rebuilt in ten years.
//
//	records of one session -> Settle -> Outcome -> Revise -> CDRs -> Postings
//
// The rules about energy and time are not here: [Settle] asks package session
// what was delivered and package tariff what it costs. What is here is the law
// of the books:
//
//   - Only a session that has ended posts, and only from evidence that a
//     checkpoint covers: the caller passes nothing else.
//   - Nothing is guessed. Where a fact that decides money is missing, or the
//     evidence contradicts itself, there is an [Exception] instead of a CDR.
//   - A CDR is never changed (OCPI 2.2.1, module CDRs). When later evidence
//     tells another story, [Revise] adds a Credit CDR that names the old one,
//     and then a new CDR. Running it again adds nothing.
//   - Each CDR, credits included, is one booking whose postings sum to zero in
//     integer micros, and whose receivable is the CDR's total.
//
// # Failed sessions
//
// A session without any trusted energy that lasted less than [session.FailedSeconds]
// did not take place: a cable that was never plugged in, a handshake that
// failed. It has no CDR, and a FLAT fee is not due. View.Failed says so, so
// that it can be counted. The same goes, however long they lasted, for a start
// that was refused and a cable that nobody identified themselves for, when no
// energy flowed. Any other session without energy that lasted longer occupied
// the EVSE and is priced like any other, FLAT and parking included.
//
// # Exceptions
//
// docs/exceptions.md lists every code with its sentence, owner, due time and
// allowed actions; a test keeps it equal to the table in this package.
package ledger
