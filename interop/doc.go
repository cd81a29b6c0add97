// Package interop proves that the gateway works with chargers that somebody else
// wrote. It has no code of its own: its tests start the real gateway binary as a
// child process, enrolled with a real cloud server, and drive it over loopback
// sockets with github.com/lorenzodonini/ocpp-go as OCPP 1.6 charge point and as
// 2.0.1 charging station. That library brings its own WebSocket client, its own
// message types and its own validation: what it refuses to read fails the test.
//
// # What is real and what is not
//
// The gateway is the binary, so that SIGKILL is one. The links are TCP, and
// internal/faultproxy stands where a test wants to break one. The books are read
// through the cloud's JSON API, the journal from the gateway's disk. Nothing is
// mocked and nothing sleeps: tests wait for conditions, with a deadline.
//
// # Care with the foreign client
//
// ocpp-go sends one call at a time and keeps what is sent while it is
// disconnected; a call whose answer got lost it gives up after a timeout, and the
// charger sends it again under a new message id. It can panic when it writes into
// a connection that ends at that moment, so the fixture in wire_test.go stands
// between its WebSocket client and the rest.
package interop
