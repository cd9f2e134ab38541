package ops

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/penstock-io/penstock/enrich"
	"github.com/penstock-io/penstock/enrich/row"
	"github.com/penstock-io/penstock/ingest/event"
)

// maxBody bounds the body of a PUT, in bytes. 256 labels of the longest kind
// do not reach it.
const maxBody = 256 << 10

// Table is the enrichment table.
type Table interface {
	Explain(device string) enrich.Device
	SetOverride(device string, labels []event.Label) error
	RemoveOverride(device string) (bool, error)
	Status() enrich.Status
}

// devices serves what the operator sees and changes of the enrichment table.
type devices struct {
	table Table
}

// mountDevices adds
//
//	GET    /v1/devices/{device}  what the device's events get, and from where
//	PUT    /v1/devices/{device}  give it labels, at once and for good
//	DELETE /v1/devices/{device}  take them back
//	GET    /v1/enrichment        versions, sizes and ages of the sources
//
// PUT takes application/json only, so no form of another page can send it.
func mountDevices(mux *http.ServeMux, table Table) {
	h := &devices{table}
	mux.HandleFunc("GET /v1/devices/{device}", h.get)
	mux.HandleFunc("PUT /v1/devices/{device}", h.put)
	mux.HandleFunc("DELETE /v1/devices/{device}", h.delete)
	methods(mux, "/v1/devices/{device}", "GET, PUT, DELETE")
	mux.HandleFunc("GET /v1/enrichment", h.status)
	methods(mux, "/v1/enrichment", "GET")
}

// device is the answer about a device.
type device struct {
	Device string            `json:"device"`
	Known  bool              `json:"known"`
	Labels map[string]string `json:"labels"`
	// Sources says for each label where it comes from.
	Sources map[string]string `json:"sources"`
	// Override is null where no labels were set over the API.
	Override map[string]string `json:"override"`
}

func (h *devices) describe(w http.ResponseWriter, name string) {
	d := h.table.Explain(name)
	out := device{Device: name, Known: d.Known, Labels: map[string]string{}, Sources: map[string]string{}}
	for _, l := range d.Labels {
		out.Labels[l.Name], out.Sources[l.Name] = l.Value, l.Source
	}
	if d.Overridden {
		out.Override = map[string]string{}
		for _, l := range d.Override {
			out.Override[l.Name] = l.Value
		}
	}
	answer(w, http.StatusOK, out)
}

// name returns the device of the path, or answers and returns false.
func (h *devices) name(w http.ResponseWriter, r *http.Request) (string, bool) {
	name := r.PathValue("device")
	if err := row.CheckDevice(name); err != nil {
		invalidDevice.Answer(w, err.Error())
		return "", false
	}
	return name, true
}

func (h *devices) get(w http.ResponseWriter, r *http.Request) {
	if name, ok := h.name(w, r); ok {
		h.describe(w, name)
	}
}

func (h *devices) put(w http.ResponseWriter, r *http.Request) {
	name, ok := h.name(w, r)
	if !ok {
		return
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if charset := params["charset"]; err != nil || kind != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		w.Header().Set("Accept", "application/json")
		unsupportedMediaType.Answer(w, "")
		return
	}
	if r.Header.Get("Content-Encoding") != "" {
		unsupportedMediaType.Answer(w, "the body must not be compressed")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		bodyTooLarge.Answer(w, "")
		return
	}
	if err != nil {
		return // the client has gone
	}
	labels, err := row.ParseLabels(body, "")
	if err != nil {
		invalidLabels.Answer(w, err.Error())
		return
	}
	if err := h.table.SetOverride(name, labels); err != nil {
		refuse(w, err)
		return
	}
	h.describe(w, name)
}

func (h *devices) delete(w http.ResponseWriter, r *http.Request) {
	name, ok := h.name(w, r)
	if !ok {
		return
	}
	switch there, err := h.table.RemoveOverride(name); {
	case err != nil:
		refuse(w, err)
	case !there:
		noOverride.Answer(w, "")
	default:
		h.describe(w, name)
	}
}

// refuse answers with what the table said.
func refuse(w http.ResponseWriter, err error) {
	var invalid *enrich.Invalid
	switch {
	case errors.As(err, &invalid):
		invalidLabels.Answer(w, err.Error())
	case errors.Is(err, enrich.ErrTooManyOverrides):
		tooManyOverrides.Answer(w, err.Error())
	default:
		notKept.Answer(w, err.Error())
	}
}

func (h *devices) status(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, h.table.Status())
}
