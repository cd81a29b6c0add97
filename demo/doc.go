// Package demo runs the main job of Holdfast before your eyes: three sites
// charge cars through an outage, and the books come out right. Nothing in it is
// mocked: the cloud serves its real endpoints, each gateway is a process of its
// own that can be killed with SIGKILL, six chargers speak OCPP over real
// sockets, and the link of each site goes through a TCP proxy that is really
// cut.
//
// # The parts
//
//	plan.go     what will happen when, drawn from a seed; pure
//	world.go    the cloud, the sites, the chargers: made, and cleaned away on every path
//	gateway.go  a gateway process: enrolled, started, killed, started again
//	spawn.go    starts processes that cannot outlive the demo
//	act.go      lets the plan happen
//	watch.go    reads what the gateways write into their journals
//	story.go    tells it
//	cloud.go    what the demo asks of the cloud, over its JSON API
//	check.go    do the books balance? chargers' meters against the cloud's books; pure
//	plant.go    spoils books on purpose, to see the check find it
//	report.go   the table and the JSON object at the end
//
// # Who is believed
//
// The check compares two things that share nothing: what the chargers' own
// meters measured ([charger.Charger.Truth]), and what the cloud's API says was
// billed. It matches them by charger and meter register, never by an id that the
// system under test made, and recomputes every price. [Check] takes both as
// values, so that a test can plant a double bill or drop a record and see it
// fail.
package demo
