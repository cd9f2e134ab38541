package ops

import (
	"encoding/json"
	"net/http"
)

// Problem is a way in which a request can fail. The same table makes the
// answers and the documentation.
type Problem struct {
	Code    string // as it stands in the answer
	Status  int    // HTTP
	Title   string // the same for every occurrence
	Meaning string // a sentence on what happened and what to do
}

// problemBase is what a problem's type begins with; its code follows.
const problemBase = "https://github.com/penstock-io/penstock/blob/main/docs/errors.md#"

// They are read only.
var (
	invalidDevice = &Problem{"invalid_device", 400, "Invalid device",
		"The path names no device: 1 to 128 bytes of UTF-8 without control characters, escaped as in every URL."}
	invalidLabels = &Problem{"invalid_labels", 400, "Invalid labels",
		`The body is not an object of labels such as {"labels":{"site":"north"}}, or a label breaks the rules that hold for files. The detail says which.`}
	crossOrigin = &Problem{"cross_origin", 403, "Cross-origin request",
		"A browser sent this for a page from elsewhere."}
	notFound = &Problem{"no_such_path", 404, "No such path",
		"There is /v1/devices/{device} and /v1/enrichment."}
	noOverride = &Problem{"no_override", 404, "Nothing to remove",
		"The device has no labels that were set by PUT."}
	methodNotAllowed = &Problem{"method_not_supported", 405, "Method not allowed",
		"The header field Allow lists the methods of this path."}
	bodyTooLarge = &Problem{"labels_too_large", 413, "Body too large",
		"The body is larger than the labels of a device can be."}
	unsupportedMediaType = &Problem{"json_required", 415, "Unsupported media type",
		"Content-Type must be application/json, and the body not compressed."}
	notKept = &Problem{"override_not_kept", 500, "Not written to disk",
		"The labels could not be written to DATA_DIR/enrichment, so nothing has changed. The detail has the reason."}
	tooManyOverrides = &Problem{"too_many_overrides", 507, "Too many devices with labels of their own",
		"enrichment.max_overrides devices have labels that were set by PUT. Remove some, raise the limit, or put them into a source."}
)

// Problems returns every problem that the Handler answers with.
func Problems() []Problem {
	var all []Problem
	for _, p := range []*Problem{
		invalidDevice, invalidLabels, crossOrigin, notFound, noOverride, methodNotAllowed,
		bodyTooLarge, unsupportedMediaType, notKept, tooManyOverrides,
	} {
		all = append(all, *p)
	}
	return all
}

// answer answers with the problem; an empty detail is its meaning.
func (p *Problem) answer(w http.ResponseWriter, detail string) {
	if detail == "" {
		detail = p.Meaning
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	// An error here means that the client has gone.
	_ = json.NewEncoder(w).Encode(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
		Code   string `json:"code"`
	}{problemBase + p.Code, p.Title, p.Status, detail, p.Code})
}

var _ http.Handler = (*Handler)(nil)
