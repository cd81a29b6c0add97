// Package tariff prices a charging session: an OCPI tariff and what was used
// make charge lines in integer micro-units of currency. Edge and cloud use this
// one package, so a receipt that a gateway printed with no link and a CDR that
// the cloud made a month later agree to the last micro. It is PURE.
//
// # What of OCPI is supported
//
// [Parse] reads a Tariff object of OCPI 2.2.1 (module tariffs, section 11.3.1;
// of 2.3.0 where its fields are the same): the dimensions ENERGY, TIME,
// PARKING_TIME and FLAT with price, vat and step_size, and the tariff's
// validity. What would change the price and is not supported (restrictions,
// min_price, max_price, prices that include tax, tariffs for one charging
// preference, fields that nobody knows) is refused with a coded [Error], never
// ignored: a tariff that cannot be applied whole is not applied.
// docs/tariffs.md holds the table and worked examples.
//
// # Rounding
//
// OCPI leaves the rounding of prices to law and contract. Here it is, for ever:
//
//  1. Quantities are whole Wh and whole seconds, rounded up to step_size.
//  2. Net of a line = price x quantity / unit (1,000 Wh or 3,600 s), rounded
//     half up to the micro.
//  3. VAT of a line = net x rate, rounded half up to the micro.
//  4. Gross of a line = net + VAT. A total is the sum of its lines.
//
// Rounding to the cent belongs to whoever prints or collects an amount, and
// never flows back.
//
// # Bounds
//
// Prices, rates, steps and usages have bounds ([MaxPrice] and its neighbours),
// chosen so that no bill can overflow 64 bits. A usage outside them is an
// error, not a clamped amount.
package tariff
