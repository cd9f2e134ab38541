package ops

import "github.com/penstock-io/penstock/internal/problem"

// They are read only.
var (
	invalidDevice = &problem.Problem{Code: "invalid_device", Status: 400, Title: "Invalid device",
		Meaning: "The path names no device: 1 to 128 bytes of UTF-8 without control characters, escaped as in every URL."}
	invalidLabels = &problem.Problem{Code: "invalid_labels", Status: 400, Title: "Invalid labels",
		Meaning: `The body is not an object of labels such as {"labels":{"site":"north"}}, or a label breaks the rules that hold for files. The detail says which.`}
	keyRequired = &problem.Problem{Code: "key_required", Status: 401, Title: "Key required",
		Meaning: "The request has no valid key. Send Authorization: Bearer with one that has a role, or Basic with the key as password."}
	roleRequired = &problem.Problem{Code: "role_required", Status: 403, Title: "Role required",
		Meaning: "The key is valid and has not the role that this path asks for: read for queries and metrics, operate for /v1/, admin for profiles."}
	crossOrigin = &problem.Problem{Code: "cross_origin", Status: 403, Title: "Cross-origin request",
		Meaning: "A browser sent this for a page from elsewhere."}
	notFound = &problem.Problem{Code: "no_such_path", Status: 404, Title: "No such path",
		Meaning: "There is /v1/devices/{device}, /v1/enrichment, /v1/deadletters/replay and /v1/sinks/forget."}
	noOverride = &problem.Problem{Code: "no_override", Status: 404, Title: "Nothing to remove",
		Meaning: "The device has no labels that were set by PUT."}
	noSuchSink = &problem.Problem{Code: "no_such_sink", Status: 404, Title: "No such sink",
		Meaning: "No sink that could replay dead letters has that name, or the journal keeps nothing for one that could be forgotten."}
	sinkConfigured = &problem.Problem{Code: "sink_configured", Status: 409, Title: "The sink is configured",
		Meaning: "Only a sink that the configuration does not have can be forgotten. Take it out first."}
	methodNotAllowed = &problem.Problem{Code: "method_not_supported", Status: 405, Title: "Method not allowed",
		Meaning: "The header field Allow lists the methods of this path."}
	bodyTooLarge = &problem.Problem{Code: "labels_too_large", Status: 413, Title: "Body too large",
		Meaning: "The body is larger than the labels of a device can be."}
	unsupportedMediaType = &problem.Problem{Code: "json_required", Status: 415, Title: "Unsupported media type",
		Meaning: "Content-Type must be application/json, and the body not compressed."}
	notForgotten = &problem.Problem{Code: "sink_not_forgotten", Status: 500, Title: "Not written to disk",
		Meaning: "The position of the sink could not be removed. The detail has the reason."}
	notKept = &problem.Problem{Code: "override_not_kept", Status: 500, Title: "Not written to disk",
		Meaning: "The labels could not be written to DATA_DIR/enrichment, so nothing has changed. The detail has the reason."}
	storeDisabled = &problem.Problem{Code: "store_disabled", Status: 501, Title: "The embedded store is switched off",
		Meaning: "There is nothing to query here (store.enabled: false). Query the stores that the sinks write to."}
	tooManyOverrides = &problem.Problem{Code: "too_many_overrides", Status: 507, Title: "Too many devices with labels of their own",
		Meaning: "enrichment.max_overrides devices have labels that were set by PUT. Remove some, raise the limit, or put them into a source."}
)

// Problems returns every problem that the listener answers with.
func Problems() []problem.Problem {
	var all []problem.Problem
	for _, p := range []*problem.Problem{
		invalidDevice, invalidLabels, keyRequired, roleRequired, crossOrigin, notFound, noOverride, noSuchSink, sinkConfigured, methodNotAllowed,
		bodyTooLarge, unsupportedMediaType, notForgotten, notKept, storeDisabled, tooManyOverrides,
	} {
		all = append(all, *p)
	}
	return all
}
