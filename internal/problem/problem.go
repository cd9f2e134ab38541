// Package problem is the form in which both listeners answer what they
// refuse: problem details of RFC 9457. A table of Problem makes the answers
// and docs/errors.md, which the type of each problem is a link into.
package problem

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// ContentType is that of an answer.
const ContentType = "application/problem+json"

// base is what a problem's type begins with; its code follows.
const base = "https://github.com/penstock-io/penstock/blob/main/docs/errors.md#"

// Problem is a way in which a whole request can fail.
type Problem struct {
	Code    string // as it stands in the answer: lower case and underscores
	Status  int    // HTTP
	Title   string // the same for every occurrence; printable ASCII without quotes
	Meaning string // a sentence on what happened and what to do
}

// AppendHead appends the JSON object of the problem up to the value of its
// member detail, without an allocation. The caller appends that value, further
// members if there are any, and the closing brace.
func (p *Problem) AppendHead(dst []byte) []byte {
	dst = append(dst, `{"type":"`...)
	dst = append(dst, base...)
	dst = append(dst, p.Code...)
	dst = append(dst, `","title":"`...)
	dst = append(dst, p.Title...)
	dst = append(dst, `","status":`...)
	dst = strconv.AppendInt(dst, int64(p.Status), 10)
	dst = append(dst, `,"code":"`...)
	dst = append(dst, p.Code...)
	return append(dst, `","detail":`...)
}

// Answer answers with the problem. An empty detail stands for its Meaning.
func (p *Problem) Answer(w http.ResponseWriter, detail string) {
	if detail == "" {
		detail = p.Meaning
	}
	quoted, err := json.Marshal(detail)
	if err != nil {
		panic("BUG: a string is always JSON: " + err.Error())
	}
	w.Header().Set("Content-Type", ContentType)
	w.WriteHeader(p.Status)
	// An error here means that the client has gone.
	_, _ = w.Write(append(append(p.AppendHead(nil), quoted...), '}', '\n'))
}
