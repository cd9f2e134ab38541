// Package secret holds what must not be printed: passwords, tokens, DSNs.
//
// A secret stands in the settings, where ${NAME} is a variable of the
// environment, or in a file, which is read again each time that the secret is
// wanted, so that one that was exchanged counts at once. A secret is there
// from the start: whoever has a Value can use it. A file that is empty, or
// half written, later on changes nothing: the last good secret stays, and the
// log says so. So no request is ever sent without the secret that was
// configured.
package secret

import (
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"sync"
)

// maxFile bounds the file of a secret, in bytes.
const maxFile = 64 << 10

var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// Value is a secret. Its methods may be called by several goroutines at once.
// A nil Value is one that is not set.
type Value struct {
	key, file string
	check     func(string) error
	log       *slog.Logger

	mu      sync.Mutex
	text    string // the last that was good
	failure string // what is wrong with the file now, for the log
}

// New returns the secret of the setting key, or of key_file if file is not
// empty; nil if there is neither. check says what is wrong with a secret,
// without repeating it. Errors name the setting, and never the secret. log may
// be nil for a secret that is used once.
func New(key, text, file string, check func(string) error, log *slog.Logger) (*Value, error) {
	switch {
	case file != "":
		return Open(key+"_file", file, check, log)
	case text == "":
		return nil, nil
	}
	text, err := Expand(text)
	if err == nil {
		err = check(text)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return &Value{key: key, text: text}, nil
}

// Open returns the secret that the file of the setting key holds.
func Open(key, file string, check func(string) error, log *slog.Logger) (*Value, error) {
	v := &Value{key: key, file: file, check: check, log: log}
	var err error
	if v.text, err = v.read(); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return v, nil
}

// Expand puts variables of the environment in the place of ${NAME}. One that
// is not set is an error.
func Expand(text string) (string, error) {
	var missing []string
	text = variable.ReplaceAllStringFunc(text, func(ref string) string {
		name := ref[2 : len(ref)-1]
		value, ok := os.LookupEnv(name)
		if !ok {
			missing = append(missing, name)
		}
		return value
	})
	if len(missing) > 0 {
		return "", fmt.Errorf("the environment has no variable %s", strings.Join(missing, ", "))
	}
	return text, nil
}

// read returns what the file says. White space around it is not part of it.
func (v *Value) read() (string, error) {
	info, err := os.Stat(v.file)
	if err != nil {
		return "", err
	}
	if info.Size() > maxFile {
		return "", fmt.Errorf("%s has more than %d bytes", v.file, maxFile)
	}
	data, err := os.ReadFile(v.file)
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(data))
	if text == "" {
		return "", fmt.Errorf("%s is empty", v.file)
	}
	if err := v.check(text); err != nil {
		return "", fmt.Errorf("%s: %w", v.file, err)
	}
	return text, nil
}

// Get returns the secret as it is now; "" for one that is not set.
func (v *Value) Get() string {
	if v == nil {
		return ""
	}
	if v.file == "" {
		return v.text
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	text, err := v.read()
	if err == nil {
		v.text, v.failure = text, ""
		return text
	}
	if v.failure != err.Error() && v.log != nil {
		v.failure = err.Error()
		v.log.Warn("the file of a secret cannot be used; the secret that it held before stays", "setting", v.key, "error", err)
	}
	return v.text
}

// String hides the secret from whoever prints the struct that it is in.
func (v *Value) String() string {
	if v == nil {
		return ""
	}
	return "(set)"
}

// GoString is String, for %#v.
func (v *Value) GoString() string { return v.String() }
