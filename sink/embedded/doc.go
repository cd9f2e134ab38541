// Package embedded is VictoriaMetrics' engine inside this process: a store
// that needs no installation. It is the only room that imports the engine,
// whose settings, log and storage are globals of its packages (see engine.go).
package embedded
