package remote

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/penstock-io/penstock/internal/settings"
)

// Secret is a value that is given as it is, by the environment, or by a file.
// The zero value is an empty one.
type Secret struct {
	key, value, file string
}

// maxSecret bounds the file of a secret, in bytes.
const maxSecret = 64 << 10

var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// NewSecret returns the secret of the setting key: value, in which ${NAME} is
// a variable of the environment, or else what is in the file. A variable that
// is not set, and a file that cannot be read, are errors.
func NewSecret(key, value, file string) (Secret, error) {
	s := Secret{key: key, file: file}
	if file != "" {
		_, err := s.Get()
		return s, err
	}
	var missing []string
	s.value = variable.ReplaceAllStringFunc(value, func(ref string) string {
		name := ref[2 : len(ref)-1]
		v, ok := os.LookupEnv(name)
		if !ok {
			missing = append(missing, name)
		}
		return v
	})
	if len(missing) > 0 {
		return s, settings.Fault{Key: key, Detail: "the environment has no variable " + strings.Join(missing, ", ")}
	}
	return s, nil
}

// Get returns the secret as it is now. White space around that of a file is
// not part of it.
func (s Secret) Get() (string, error) {
	if s.file == "" {
		return s.value, nil
	}
	info, err := os.Stat(s.file)
	if err == nil && info.Size() > maxSecret {
		err = fmt.Errorf("%s has more than %d bytes", s.file, maxSecret)
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(s.file)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", s.key, err)
	}
	text := strings.TrimSpace(string(data))
	if text == "" {
		return "", fmt.Errorf("%s: %s is empty", s.key, s.file)
	}
	if strings.ContainsAny(text, "\r\n\x00") {
		return "", errors.New(s.key + ": " + s.file + " has more than one line")
	}
	return text, nil
}

// String hides the secret from whoever prints the struct that it is in.
func (s Secret) String() string {
	if s.value == "" && s.file == "" {
		return ""
	}
	return "(set)"
}

// GoString is String, for %#v.
func (s Secret) GoString() string { return s.String() }
