// Package oracle holds the dialects' decoders to the reference implementations
// of their formats, by differential fuzzing.
package oracle
