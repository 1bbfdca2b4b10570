package openapi_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tenure/services/devstack/stripesim/openapi"
)

// What the checker lets through would be believed: each kind of difference must be reported.
func TestWhatIsReported(t *testing.T) {
	checker, err := openapi.Load()
	if err != nil {
		t.Fatal(err)
	}
	const (
		record    = `{"id":"mbur_1","livemode":false,"object":"usage_record","quantity":1,"subscription_item":"si_1","timestamp":1}`
		summaries = `{"object":"list","has_more":false,"url":"/v1/x","data":[%s]}`
		summary   = `{"id":"sis_1","livemode":false,"object":"usage_record_summary","invoice":null,"period":{"start":1,"end":2},"subscription_item":"si_1","total_usage":1}`
	)
	usage := "POST /v1/subscription_items/si_1/usage_records"
	for _, tt := range []struct{ name, call, form, answer, want string }{
		{"a good call", usage, "quantity=1&timestamp=now&action=set", record, ""},
		{"an unknown parameter", usage, "quantity=1&amount=2", record, "refuses the request"},
		{"a value that is none of those allowed", usage, "quantity=1&action=add", record, "refuses the request"},
		{"a missing parameter", usage, "action=set", record, "refuses the request"},
		{"a missing field", usage, "quantity=1", strings.Replace(record, `"quantity":1,`, "", 1), "answer.quantity is missing"},
		{"a field of another type", usage, "quantity=1", strings.Replace(record, `"quantity":1`, `"quantity":"1"`, 1), "answer.quantity is of type"},
		{"a null where there must be a value", usage, "quantity=1", strings.Replace(record, `"quantity":1`, `"quantity":null`, 1), "answer.quantity is null"},
		{
			"a field within a list", "GET /v1/subscription_items/si_1/usage_record_summaries", "limit=3",
			fmt.Sprintf(summaries, strings.Replace(summary, `"period":{"start":1,"end":2},`, "", 1)), "answer.data[0].period is missing",
		},
		{"a good list", "GET /v1/subscription_items/si_1/usage_record_summaries", "limit=3", fmt.Sprintf(summaries, summary), ""},
		{"a call that there is not", "POST /v1/unicorns", "", "{}", "does not describe"},
		{"a refused call", usage, "nonsense=1", "", ""},
		{"the control", "GET /_sim/log", "", "[]", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var reported []string
			handler := checker.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if tt.answer == "" {
					w.WriteHeader(http.StatusBadRequest)
				}
				_, _ = w.Write([]byte(tt.answer))
			}), func(format string, args ...any) { reported = append(reported, fmt.Sprintf(format, args...)) })
			method, path, _ := strings.Cut(tt.call, " ")
			var r *http.Request
			if method == http.MethodGet {
				r = httptest.NewRequest(method, path+"?"+tt.form, nil)
			} else {
				r = httptest.NewRequest(method, path, strings.NewReader(tt.form))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			handler.ServeHTTP(httptest.NewRecorder(), r)
			switch {
			case tt.want == "" && len(reported) > 0:
				t.Errorf("reported %q", reported)
			case tt.want != "" && (len(reported) != 1 || !strings.Contains(reported[0], tt.want)):
				t.Errorf("reported %q, want %q", reported, tt.want)
			}
		})
	}
}
