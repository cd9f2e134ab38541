package problem

import (
	"encoding/json"
	"net/http/httptest"
	"testing"
)

func TestAnswer(t *testing.T) {
	t.Parallel()
	p := &Problem{"over_quota", 429, "Over quota", "Wait."}
	for detail, want := range map[string]string{"": "Wait.", "site \"a\"\n<b> \xff": "site \"a\"\n<b> \ufffd"} {
		w := httptest.NewRecorder()
		p.Answer(w, detail)
		var got struct {
			Type, Title, Code, Detail string
			Status                    int
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatalf("%s: %v", w.Body, err)
		}
		if w.Code != 429 || w.Header().Get("Content-Type") != ContentType || got.Status != 429 || got.Type != base+"over_quota" ||
			got.Title != "Over quota" || got.Code != "over_quota" || got.Detail != want {
			t.Errorf("%d %v %+v", w.Code, w.Header(), got)
		}
	}
}
