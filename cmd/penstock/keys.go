package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/penstock-io/penstock/ingest/access"
)

// keyCommands work on the keys file. The service sees what they change
// within a second.
type keyCommands struct {
	Create keyCreateCommand `cmd:"" help:"Make a key and print it. It is shown once: the file has its hash only."`
	List   keyListCommand   `cmd:"" help:"List the keys of the file."`
	Revoke keyRevokeCommand `cmd:"" help:"Take a key out of use, within a second, on open connections too."`
	Check  keyCheckCommand  `cmd:"" help:"Read a key from standard input and tell whether it has a typo, and what the file says of it."`
}

// keysFile finds the file.
type keysFile struct {
	KeysFile string `placeholder:"FILE" help:"The keys file. Default: access.keys_file of the configuration."`
	settingFlags
}

var errNoKeysFile = usageError{errors.New("which keys file? name it with --keys-file, or the configuration that has access.keys_file with --config")}

func (k *keysFile) path(p *program) (string, error) {
	if k.KeysFile != "" {
		return k.KeysFile, nil
	}
	cfg, _, err := k.load(p)
	if err != nil {
		return "", err
	}
	if cfg.Access.KeysFile == "" {
		return "", errNoKeysFile
	}
	return cfg.Access.KeysFile, nil
}

type keyCreateCommand struct {
	ID       string        `placeholder:"ID" help:"Name of the key: lower case letters, digits, hyphens. Default: a random one."`
	Owner    string        `placeholder:"TEXT" help:"Who has it. Several keys may have the same owner, so that an old one stays valid until the new one is everywhere."`
	Tenant   string        `placeholder:"NAME" help:"Tenant: the tag that every event gets."`
	Device   string        `placeholder:"NAME" help:"The only device it speaks for, which its events then need not name." xor:"devices"`
	Devices  []string      `placeholder:"PATTERN,..." help:"Devices it speaks for; * and ? are wildcards." xor:"devices"`
	Dialects []string      `placeholder:"NAME,..." help:"Forms of events that it may send, such as native. Default: all."`
	Role     string        `placeholder:"ROLE" help:"Role on the operator's listener: read (queries, metrics), operate (devices' labels, replay) or admin (profiles)."`
	Expires  time.Duration `placeholder:"DURATION" help:"How long it is valid, such as 8760h. Default: for ever."`
	Note     string        `placeholder:"TEXT" help:"For people."`
	keysFile
}

// Run is called by kong.
func (c *keyCreateCommand) Run(p *program) error {
	path, err := c.path(p)
	if err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Second)
	r := access.Record{ID: c.ID, Owner: c.Owner, Tenant: c.Tenant, Device: c.Device, Devices: c.Devices,
		Dialects: c.Dialects, Role: c.Role, Note: c.Note, Created: &now}
	if c.Expires < 0 {
		return usageError{fmt.Errorf("--expires %s: is in the past", c.Expires)}
	}
	if c.Expires > 0 {
		at := now.Add(c.Expires)
		r.Expires = &at
	}
	id, key, err := access.Create(path, r)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stderr, "penstock: key %s is in %s; what follows is shown this once\n", id, path)
	_, err = fmt.Fprintln(p.stdout, key)
	return err
}

type keyListCommand struct {
	JSON bool `name:"json" help:"Print JSON, one object a line."`
	keysFile
}

// Run is called by kong.
func (c *keyListCommand) Run(p *program) error {
	path, err := c.path(p)
	if err != nil {
		return err
	}
	all, err := access.ReadFile(path)
	if err != nil {
		return err
	}
	if c.JSON {
		e := json.NewEncoder(p.stdout)
		for i := range all {
			if err := e.Encode(&all[i]); err != nil {
				return err
			}
		}
		return nil
	}
	out := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "ID\tSTATE\tOWNER\tTENANT\tDEVICES\tROLE\tEXPIRES\tNOTE")
	for i := range all {
		r := &all[i]
		expires := "-"
		if r.Expires != nil {
			expires = r.Expires.UTC().Format(time.RFC3339)
		}
		devices := r.Device
		if devices == "" {
			devices = strings.Join(r.Devices, ",")
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%.60s\t%s\t%s\t%s\n", r.ID, stateOf(r, time.Now()), dash(r.Owner), dash(r.Tenant), dash(devices), dash(r.Role), expires, r.Note)
	}
	return out.Flush()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func stateOf(r *access.Record, now time.Time) string {
	switch {
	case r.Revoked != nil:
		return "revoked"
	case r.Expires != nil && !now.Before(*r.Expires):
		return "expired"
	}
	return "active"
}

type keyRevokeCommand struct {
	ID string `arg:"" help:"The key's id: what stands between pst_ and the next _."`
	keysFile
}

// Run is called by kong.
func (c *keyRevokeCommand) Run(p *program) error {
	path, err := c.path(p)
	if err != nil {
		return err
	}
	if err := access.Revoke(path, c.ID, time.Now().UTC().Truncate(time.Second)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "%s: revoked\n", c.ID)
	return err
}

type keyCheckCommand struct {
	keysFile
}

// Run is called by kong. The key comes from standard input because a command
// line can be read by everybody on the machine.
func (c *keyCheckCommand) Run(p *program) error {
	text, err := io.ReadAll(io.LimitReader(os.Stdin, 4096))
	if err != nil {
		return fmt.Errorf("cannot read the key from standard input: %w", err)
	}
	text = bytes.TrimSpace(text)
	id, err := access.CheckFormat(text)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "%s: the format is right\n", id)
	path, err := c.path(p)
	if errors.Is(err, errNoKeysFile) {
		return nil // the format is all that can be told without it
	}
	if err != nil {
		return err
	}
	r, err := access.Lookup(path, text)
	if err != nil {
		return err
	}
	state := stateOf(r, time.Now())
	fmt.Fprintf(p.stdout, "%s: %s\n", id, state)
	if state != "active" {
		return fmt.Errorf("the key is %s", state)
	}
	return nil
}

// operatorKey is the key that a command brings to the operator's listener.
type operatorKey struct {
	KeyFile string `placeholder:"FILE" help:"File with a key for the operator's listener, where it asks for one."`
}

// request returns a request without a body.
func (k operatorKey) request(ctx context.Context, method, address string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil || k.KeyFile == "" {
		return req, err
	}
	key, err := os.ReadFile(k.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("cannot read the key: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(key)))
	return req, nil
}
