package cli_test

import "testing"

func TestWebhooks(t *testing.T) {
	const hooks, one = "/v1/tenants/acme/webhooks", "/v1/tenants/acme/webhooks/we_1"
	flags := serve(t, map[string]string{
		"POST " + hooks: `{"id":"we_1","url":"https://acme.example/hook","secret":"whsec_1"}`,
		"GET " + hooks: `{"items":[{"id":"we_1","url":"https://acme.example/hook","status":"enabled","events":["tenure.lifecycle.*"]},
			{"id":"we_2","url":"https://acme.example/all","status":"failing","events":[]}]}`,
		"GET " + one + "/deliveries": `{"items":[
			{"id":"d3","event_type":"tenure.lifecycle.tenant.suspended.v1","state":"queued","failures":2,"error":"no answer in 10s","created_at":"2026-01-02T03:04:05Z"},
			{"id":"d2","event_type":"tenure.lifecycle.tenant.activated.v1","state":"delivered","status":204,"created_at":"2026-01-02T03:04:04Z"}]}`,
		"POST " + one + "/test": `{}`, "POST " + one + "/enable": `{}`, "DELETE " + one: `{}`, "POST " + one + "/deliveries/d2/redeliver": `{}`,
	})
	for _, test := range []struct {
		args []string
		want string
	}{
		{
			[]string{"add", "acme", "https://acme.example/hook", "--event", "tenure.lifecycle.*"},
			"webhook we_1 of acme\nsecret, shown this once: whsec_1\n",
		},
		{
			[]string{"list", "acme"},
			"ID    STATUS   URL                        EVENTS\n" +
				"we_1  enabled  https://acme.example/hook  tenure.lifecycle.*\n" +
				"we_2  failing  https://acme.example/all   all\n",
		},
		{
			[]string{"deliveries", "acme", "we_1"},
			"TIME                  ID  EVENT                                 STATE      FAILURES  LAST ANSWER\n" +
				"2026-01-02 03:04:05Z  d3  tenure.lifecycle.tenant.suspended.v1  queued     2         no answer in 10s\n" +
				"2026-01-02 03:04:04Z  d2  tenure.lifecycle.tenant.activated.v1  delivered  0         204\n",
		},
		{[]string{"test", "acme", "we_1"}, "we_1 is called\n"},
		{[]string{"redeliver", "acme", "we_1", "d2"}, "d2 is made again\n"},
		{[]string{"enable", "acme", "we_1"}, "we_1 enabled\n"},
		{[]string{"remove", "acme", "we_1"}, "we_1 removed\n"},
	} {
		args := append([]string{"webhooks"}, test.args...)
		if out, err := run(t, append(args, flags...)...); out != test.want || err != nil {
			t.Errorf("%v: printed\n%swant\n%s(%v)", test.args, out, test.want, err)
		}
	}
}
