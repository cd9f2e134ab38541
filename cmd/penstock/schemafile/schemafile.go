// Package schemafile reads and writes schemas as YAML.
package schemafile

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/goccy/go-yaml"

	"github.com/penstock-io/penstock/ingest/guard/schema"
)

// Parse reads a schema. Unknown keys, values of a wrong type and rules that
// make no sense are errors; those of YAML name the line.
func Parse(text []byte) (d *schema.Definition, err error) {
	defer func() {
		// The file is a person's; whatever it holds must not end the service.
		if p := recover(); p != nil {
			d, err = nil, fmt.Errorf("not YAML: %v", p)
		}
	}()
	d = &schema.Definition{}
	in := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict())
	if err := in.Decode(d); errors.Is(err, io.EOF) {
		return nil, errors.New("it is empty; it needs the key metrics")
	} else if err != nil {
		return nil, describe(err)
	}
	if err := in.Decode(&schema.Definition{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("a second YAML document; put everything into one")
	}
	if len(d.Metrics) == 0 {
		return nil, errors.New("it has no rules; put them under the key metrics")
	}
	if err := d.Check(); err != nil {
		return nil, err
	}
	return d, nil
}

// describe puts the line before what YAML says, without the excerpt.
func describe(err error) error {
	var at yaml.Error
	if errors.As(err, &at) && at.GetToken() != nil {
		return fmt.Errorf("line %d: %s", at.GetToken().Position.Line, at.GetMessage())
	}
	return err
}

// Format writes a schema.
func Format(d *schema.Definition) ([]byte, error) { return yaml.Marshal(d) }
