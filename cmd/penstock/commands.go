package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/penstock-io/penstock/cmd/penstock/config"
	"github.com/penstock-io/penstock/internal/settings/layers"
)

// commands is the grammar of the command line.
type commands struct {
	Serve      serveCommand       `cmd:"" help:"Serve: take events from devices and store them."`
	Config     configCommands     `cmd:"" help:"Check, print and explain the configuration."`
	Sink       sinkCommands       `cmd:"" help:"List and check the stores that events go on to, and create their tables."`
	DeadLetter deadLetterCommands `cmd:"" name:"deadletter" help:"Look at events that a store refused, and send them again."`
	Key        keyCommands        `cmd:"" help:"Make, list and revoke the keys of devices and operators."`
	Journal    journalCommands    `cmd:"" help:"Look into a journal, also while the service runs."`
	Version    versionCommand     `cmd:"" help:"Print the version of the program and of what it is built from."`
}

// settingFlags are the flags that fill the configuration. Pointers tell a flag
// that was not given from an empty one.
type settingFlags struct {
	Config    string   `short:"c" placeholder:"FILE" help:"Configuration file (YAML). Default: $$PENSTOCK_CONFIG, or none."`
	Listen    *string  `group:"settings" placeholder:"HOST:PORT" help:"Address for devices. Default: ${listen}."`
	OpsListen *string  `group:"settings" placeholder:"HOST:PORT" help:"Address for the operator: metrics, health, queries. Default: ${ops_listen}."`
	DataDir   *string  `group:"settings" placeholder:"DIR" help:"Directory for all data. Default: ${data_dir}."`
	LogLevel  *string  `group:"settings" placeholder:"LEVEL" help:"debug, info, warn or error. Default: ${log_level}."`
	LogFormat *string  `group:"settings" placeholder:"FORMAT" help:"text or json. Default: ${log_format}."`
	Set       []string `group:"settings" sep:"none" placeholder:"KEY=VALUE" help:"Any setting, by its key, as often as needed: --set limits.max_events=500"`
}

// flagDefaults are the variables in the help of settingFlags.
func flagDefaults() kong.Vars {
	def := config.Default()
	return kong.Vars{
		"listen": def.Listen, "ops_listen": def.OpsListen, "data_dir": def.DataDir,
		"log_level": def.Log.Level, "log_format": def.Log.Format,
	}
}

// file returns the configuration file, empty if there is none.
func (s *settingFlags) file(p *program) string {
	file := s.Config
	for _, entry := range p.env {
		if value, ok := strings.CutPrefix(entry, config.EnvFile+"="); ok && s.Config == "" {
			file = value
		}
	}
	return file
}

// load puts the configuration together from file, environment and flags.
func (s *settingFlags) load(p *program) (config.Config, layers.Origins, error) {
	sources := layers.Sources{File: s.file(p), Env: p.env}
	for _, entry := range s.Set {
		key, value, ok := strings.Cut(entry, "=")
		if !ok {
			return config.Config{}, nil, usageError{fmt.Errorf("--set %s: must be KEY=VALUE", entry)}
		}
		sources.Flags = append(sources.Flags, layers.Setting{Key: key, Value: value, Flag: "--set"})
	}
	// A flag of its own is more particular than --set, so it comes last.
	for _, f := range []struct {
		flag, key string
		value     *string
	}{
		{"--listen", "listen", s.Listen},
		{"--ops-listen", "ops_listen", s.OpsListen},
		{"--data-dir", "data_dir", s.DataDir},
		{"--log-level", "log.level", s.LogLevel},
		{"--log-format", "log.format", s.LogFormat},
	} {
		if f.value != nil {
			sources.Flags = append(sources.Flags, layers.Setting{Key: f.key, Value: *f.value, Flag: f.flag})
		}
	}
	return config.Load(sources)
}

type configCommands struct {
	Check     checkCommand     `cmd:"" help:"Check a file together with the environment, and name every fault."`
	Print     printCommand     `cmd:"" help:"Print the settings in effect as YAML."`
	Reference referenceCommand `cmd:"" help:"Print the reference of all settings as Markdown."`
}

type checkCommand struct {
	File string `arg:"" help:"Configuration file (YAML)."`
}

// Run is called by kong.
func (c *checkCommand) Run(p *program) error {
	if _, _, err := config.Load(layers.Sources{File: c.File, Env: p.env}); err != nil {
		return err
	}
	_, err := fmt.Fprintf(p.stdout, "%s: ok\n", c.File)
	return err
}

type printCommand struct {
	settingFlags
}

// Run is called by kong.
func (c *printCommand) Run(p *program) error {
	cfg, origins, err := c.load(p)
	if err != nil {
		return err
	}
	text, err := layers.Print(cfg, origins)
	if err != nil {
		return err
	}
	_, err = p.stdout.Write(text)
	return err
}

type referenceCommand struct{}

// Run is called by kong.
func (c *referenceCommand) Run(p *program) error {
	_, err := fmt.Fprint(p.stdout, config.Reference())
	return err
}

type versionCommand struct{}

// Run is called by kong.
func (c *versionCommand) Run(p *program) error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return fmt.Errorf("the binary does not say what it is built from; build it with `make build`")
	}
	_, err := fmt.Fprint(p.stdout, version(info))
	return err
}

// version lists the program's own version first, then the modules in it.
func version(info *debug.BuildInfo) string {
	var b strings.Builder
	own := info.Main.Version
	if own == "" {
		own = "(devel)"
	}
	fmt.Fprintf(&b, "penstock %s %s %s/%s\n", own, info.GoVersion, runtime.GOOS, runtime.GOARCH)
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision", "vcs.time", "vcs.modified":
			fmt.Fprintf(&b, "%s %s\n", s.Key, s.Value)
		}
	}
	for _, m := range info.Deps {
		fmt.Fprintf(&b, "%s %s", m.Path, m.Version)
		if m.Replace != nil {
			fmt.Fprintf(&b, " => %s %s", m.Replace.Path, m.Replace.Version)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
