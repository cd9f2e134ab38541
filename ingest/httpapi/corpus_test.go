package httpapi

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// corpus returns the directory of a corpus that lies beside the project.
func corpus(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "shared", "corpora", name)
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return dir
}

// TestJSONTestSuite sends each file as a whole body, and as the value of an
// unknown member, in both formats. Whether the file is accepted is the
// decoder's business and tested there; here no answer may be a 5xx, each must
// be well-formed, and the connection must go on.
func TestJSONTestSuite(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(corpus(t, "JSONTestSuite"), "*.json"))
	if err != nil || len(files) < 300 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	s := serve(t, testConfig(), nil)
	c := s.dial(t)
	defer c.Close()
	br := bufio.NewReader(c)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		inside := `{"device":"a","values":{"b":1},"other":` + string(data) + "}"
		for _, contentType := range []string{"application/json", "application/x-ndjson"} {
			for _, body := range []string{string(data), inside} {
				if _, err := io.WriteString(c, postRequest(path, body, "Content-Type: "+contentType)); err != nil {
					t.Fatal(err)
				}
				a, err := readAnswer(br)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				switch {
				case a.StatusCode/100 == 4:
					checkProblem(t, a)
				case a.StatusCode/100 != 2:
					t.Errorf("%s: got %v", name, a)
				}
				if strings.HasPrefix(name, "n_") && body != inside && a.StatusCode == 204 && string(data) != "" && contentType == "application/json" {
					t.Errorf("%s: got %v", name, a)
				}
				if strings.HasPrefix(name, "y_") && body == inside && contentType == "application/json" && a.StatusCode != 204 {
					t.Errorf("%s inside an event: got %v", name, a)
				}
			}
		}
	}
}
