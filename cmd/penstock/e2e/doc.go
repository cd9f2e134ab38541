// Package e2e tests the real binary as its users meet it: it builds penstock,
// boots it on free ports with a directory of its own, talks HTTP to it, sends
// it signals, and reads back what is stored. It imports no package of the
// project.
package e2e
