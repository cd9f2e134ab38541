package access

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gofrs/flock"

	"github.com/penstock-io/penstock/internal/durable"
)

const (
	maxKeysFile = 512 << 20 // bytes
	maxLine     = 1 << 20   // bytes
	maxFaults   = 20        // that are listed

	maxNameBytes = 128 // of a device, and of a pattern
	maxTextBytes = 256 // of a tenant, which becomes a tag, and of an owner
)

// Record is a key as it stands in the keys file, one JSON object on a line.
// It has the hash of the key, never the key.
type Record struct {
	ID     string `json:"id"`
	SHA256 string `json:"sha256"` // of the whole text, in hexadecimal

	Owner  string `json:"owner,omitempty"`  // who has it, for people; any number of keys may have the same
	Tenant string `json:"tenant,omitempty"` // becomes the tag of every event

	Device   string   `json:"device,omitempty"`   // the only one it speaks for
	Devices  []string `json:"devices,omitempty"`  // those it speaks for; * and ? are wildcards
	Dialects []string `json:"dialects,omitempty"` // in which it may speak; none means all
	Role     string   `json:"role,omitempty"`     // on the operator's listener

	Created *time.Time `json:"created,omitempty"`
	Expires *time.Time `json:"expires,omitempty"` // it is not valid from then on
	Revoked *time.Time `json:"revoked,omitempty"` // set: it is not valid any more
	Note    string     `json:"note,omitempty"`
}

// grant returns what the record allows.
func (r *Record) grant() (*grant, error) {
	var errs []error
	fault := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	g := &grant{kind: "key", dialects: slices.Clone(r.Dialects), revoked: r.Revoked != nil}
	fault(!validID(r.ID), "id: must be 1 to %d lower case letters, digits and inner hyphens, got %.64q", maxIDBytes, r.ID)
	n, err := hex.Decode(g.hash[:], []byte(r.SHA256[:min(len(r.SHA256), 2*len(g.hash))]))
	fault(err != nil || n != len(g.hash) || len(r.SHA256) != 2*n, "sha256: must be %d hexadecimal digits, those of the key's SHA-256", 2*len(g.hash))
	role, err := parseRole(r.Role)
	fault(err != nil, "role: %w", err)
	g.role = role
	fault(len(r.Tenant) > maxTextBytes || !printable(r.Tenant), "tenant: must be at most %d bytes of UTF-8 without control characters", maxTextBytes)
	fault(len(r.Owner) > maxTextBytes || !printable(r.Owner), "owner: must be at most %d bytes of UTF-8 without control characters", maxTextBytes)
	fault(r.Device != "" && len(r.Devices) > 0, "device: there is devices already; a key speaks for one device, or for those of a list")
	for _, d := range append(slices.Clone(r.Devices), r.Device) {
		fault(len(d) > maxNameBytes || !printable(d), "devices: %.64q is longer than %d bytes, or no printable text", d, maxNameBytes)
	}
	fault(slices.Contains(r.Devices, ""), "devices: the empty string is no device")
	fault(r.Device == "" && len(r.Devices) == 0 && g.role == NoRole && r.Role == "", `devices: the key allows nothing; name devices (["*"] for all), a device or a role`)
	if r.Expires != nil {
		g.expires = r.Expires.Unix()
	}
	g.sender.Key, g.sender.Tenant = r.ID, r.Tenant
	g.setDevices(r.Device, r.Devices)
	return g, errors.Join(errs...)
}

func printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }) < 0
}

// ReadFile returns the keys of a file. It refuses a file that others than its
// owner have access to, and reports all faults with their lines.
func ReadFile(path string) ([]Record, error) {
	var all []Record
	_, err := readKeys(path, func(r *Record, _ *grant) { all = append(all, *r) })
	return all, err
}

// loadFile returns the set of keys of a file.
func loadFile(path string) (*keyring, error) {
	k := &keyring{byID: map[string]*grant{}}
	n, err := readKeys(path, func(r *Record, g *grant) { k.byID[r.ID] = g })
	if err == nil && n == 0 {
		// A file that somebody is about to write would shut out everybody.
		err = fmt.Errorf("%s holds no key; a key is taken out of use by penstock key revoke, which leaves its line", path)
	}
	if err != nil {
		return nil, err
	}
	return k, nil
}

// readKeys calls f with every key of the file. An error means that the file
// must not be used; f may have been called all the same.
func readKeys(path string, f func(*Record, *grant)) (n int, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("cannot open the keys file: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	switch {
	case err != nil:
		return 0, fmt.Errorf("cannot read the keys file: %w", err)
	case !info.Mode().IsRegular():
		return 0, fmt.Errorf("%s is not a regular file", path)
	case info.Mode().Perm()&0o077 != 0:
		return 0, fmt.Errorf("%s can be accessed by others than its owner (%04o); chmod 600 it", path, info.Mode().Perm())
	case info.Size() > maxKeysFile:
		return 0, fmt.Errorf("%s has more than %d bytes", path, maxKeysFile)
	}
	var faults []error
	add := func(line int, err error) {
		if len(faults) < maxFaults {
			for text := range strings.Lines(err.Error()) {
				faults = append(faults, fmt.Errorf("%s:%d: %s", path, line, strings.TrimRight(text, "\n")))
			}
		}
	}
	seen := map[string]int{}
	in := bufio.NewScanner(io.LimitReader(file, maxKeysFile))
	in.Buffer(make([]byte, 0, 64<<10), maxLine)
	line := 0
	for in.Scan() {
		line++
		text := bytes.TrimSpace(in.Bytes())
		if len(text) == 0 {
			continue
		}
		r := &Record{}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(r); err != nil {
			add(line, fmt.Errorf("not a key as one JSON object: %w", err))
			continue
		}
		if decoder.More() {
			add(line, errors.New("there is more on the line than one JSON object"))
			continue
		}
		g, err := r.grant()
		if err != nil {
			add(line, err)
			continue
		}
		if first, ok := seen[r.ID]; ok {
			add(line, fmt.Errorf("id: %q is that of line %d already", r.ID, first))
			continue
		}
		seen[r.ID] = line
		n++
		f(r, g)
	}
	if err := in.Err(); err != nil {
		add(line+1, err)
	}
	return n, errors.Join(faults...)
}

// Create adds a key to the file, which is made if it is not there, and
// returns its text: nobody can have it a second time. r.ID may be empty.
func Create(path string, r Record) (id, text string, err error) {
	if r.ID == "" {
		r.ID = newID()
	}
	if text, err = newKey(r.ID); err != nil {
		return "", "", err
	}
	hash := hashOf([]byte(text))
	r.SHA256 = hex.EncodeToString(hash[:])
	if _, err := r.grant(); err != nil {
		return "", "", err
	}
	err = change(path, true, func(all []Record) ([]Record, error) {
		for _, other := range all {
			if other.ID == r.ID {
				return nil, fmt.Errorf("there is a key %q already; leave the id out to have one made", r.ID)
			}
		}
		return append(all, r), nil
	})
	if err != nil {
		return "", "", err
	}
	return r.ID, text, nil
}

// Revoke marks the key as revoked.
func Revoke(path, id string, now time.Time) error {
	return change(path, false, func(all []Record) ([]Record, error) {
		for i := range all {
			if all[i].ID != id {
				continue
			}
			if all[i].Revoked != nil {
				return nil, fmt.Errorf("the key %q was revoked at %s already", id, all[i].Revoked.Format(time.RFC3339))
			}
			all[i].Revoked = &now
			return all, nil
		}
		return nil, fmt.Errorf("there is no key %.64q in %s; penstock key list shows them", id, path)
	})
}

// change rewrites the file with what f makes of its keys. Two at once wait for
// one another.
func change(path string, create bool, f func([]Record) ([]Record, error)) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // the link stays one
	} else if !create || !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot open the keys file: %w", err)
	}
	lock := flock.New(path+".lock", flock.SetPermissions(0o600))
	if err := lock.Lock(); err != nil {
		return fmt.Errorf("cannot lock the keys file: %w", err)
	}
	defer func() { _ = lock.Unlock() }() // the process ends, and with it the lock
	all, err := ReadFile(path)
	if err != nil && !(create && errors.Is(err, fs.ErrNotExist)) {
		return err
	}
	if all, err = f(all); err != nil {
		return err
	}
	if err := keepOwner(path, path+".new"); err != nil {
		return fmt.Errorf("cannot give the new keys file to the owner of the old one: %w", err)
	}
	err = durable.Replace(path, ".new", 0o600, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		for i := range all {
			if err := e.Encode(&all[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot write the keys file: %w", err)
	}
	return nil
}

// Lookup returns the record of a key, whose text must be the whole of it.
func Lookup(path string, text []byte) (*Record, error) {
	id, err := CheckFormat(text)
	if err != nil {
		return nil, err
	}
	all, err := ReadFile(path)
	if err != nil {
		return nil, err
	}
	hash := hashOf(text)
	for i := range all {
		if all[i].ID == string(id) && strings.EqualFold(all[i].SHA256, hex.EncodeToString(hash[:])) {
			return &all[i], nil
		}
	}
	return nil, fmt.Errorf("%s has no such key", path)
}
