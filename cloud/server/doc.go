// Package server runs a [cloud.Plane] on sockets: the shell of the control
// plane. It holds what the plane must not (the clock, goroutines, TLS, logs) and
// decides nothing about sites, money or access.
//
// # Two endpoints
//
// The operators' endpoint serves the JSON API under /v1, /metrics, /healthz and
// /readyz. It listens on a loopback address unless [Options.ExposeAPI] says
// otherwise, and every call under /v1 needs the API token, which is made at the
// first start, shown once and kept as a hash.
//
// The gateway endpoint is TLS 1.3 only. Every call but enrolment needs a device
// certificate of the cloud's own authority, whose name is the gateway id in the
// address; a foreign name is refused with 403 and a line in the log. Each call
// asks the plane whether that certificate still stands ([cloud.Plane.Admit]), so
// a replaced gateway is out at once.
//
// # One handler
//
// handle is the only place that reads a body, bounds it, decodes it, maps an
// error to a problem, encodes, logs and counts. An endpoint is a declaration and
// a function from one value to another; the mux, docs/api.md and the OpenAPI
// document ([Document]) are made from the declarations. Every error that leaves is an RFC 9457 [Problem] of a
// kind in [Problems]; docs/problems.md has a section for each.
//
// # What is kept where
//
//	DIR/.lock                 one process at a time
//	DIR/keys/authority.pem    key and certificate of the authority
//	DIR/keys/ca.pem           that certificate alone, for tools
//	DIR/keys/statement.pem    key that signs lists, tariffs, grants and the time
//	DIR/keys/secret           root of the keys that are shared with sites
//	DIR/keys/api-token.sha256 hash of the API token
//	DIR/store/...             see package cloud/store
//
// Lost keys cannot be made again: back DIR/keys up, apart from the store.
//
// # When it is busy
//
// maxUploads uploads are taken at once; the next one is told when to come back,
// before a byte of it is read. What is live (hello, authorisations, the link)
// is never turned away for load: the fleet is the queue.
package server
