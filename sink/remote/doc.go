// Package remote is what stores behind HTTP share: a client with their
// authentication, the meaning of their status codes, and a detector of their
// restarts.
//
// # Who is let in
//
// Basic authentication, a bearer token and any headers, each given as it is,
// as ${VARIABLE} of the environment, or in a file, which is read again for
// every request, so that a token that is rotated needs no reload. TLS with a
// CA and a client certificate of one's own; the certificate is read again for
// every connection. Redirects are not followed: they would carry the secrets
// to whoever is named. No secret is in an error or in the log, nor is the
// query of a URL.
//
// # What an answer means
//
//	2xx                   taken
//	400, 409, 413, 422    *sink.Refused: something in the request
//	429, 503              *sink.Busy, with their Retry-After
//	any other             tried again, until the operator has mended it
//
// # Whether the store lost something
//
// A store that flushes later loses in a crash what it has acknowledged, and
// nobody says so. But a process that ends breaks its connections, so the
// client watches those: see restartDetector.
package remote
