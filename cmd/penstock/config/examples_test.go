package config

import (
	"os"
	"strings"
	"testing"

	"github.com/penstock-io/penstock/internal/settings/layers"
)

// The configurations in the documentation are ones that load.
func TestEnrichmentExamples(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../docs/enrichment.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "```yaml\n")[1:]
	for _, block := range blocks {
		example, _, _ := strings.Cut(block, "```")
		if _, _, err := Load(layers.Sources{File: writeFile(t, example)}); err != nil {
			t.Errorf("%v in\n%s", err, example)
		}
	}
	if len(blocks) < 5 {
		t.Errorf("only %d examples", len(blocks))
	}
}
