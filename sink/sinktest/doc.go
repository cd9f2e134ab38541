// Package sinktest starts the real servers that the tests of the sinks and of
// enrichment talk to. Every server listens on a free port of its own, keeps
// its data in a directory of its own, and has ended when the test has.
//
// A server that is not installed skips the test, but fails it where CI=true.
package sinktest
