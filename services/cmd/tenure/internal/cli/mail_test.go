package cli_test

import "testing"

func TestMail(t *testing.T) {
	flags := serve(t, map[string]string{
		"GET /v1/mails": `{"items":[{"template":"welcome","locales":["de","en"],"samples":1},{"template":"plan_changed","locales":["en"],"samples":3}]}`,
		"GET /v1/mails/welcome": `{"template":"welcome","locale":"de","subject":"acme ist eingerichtet","text":"Guten Tag\n",
			"html":"<p>Guten Tag</p>\n"}`,
	})
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"list"}, "TEMPLATE      LOCALES  SAMPLES\nwelcome       de,en    1\nplan_changed  en       3\n"},
		{[]string{"preview", "welcome", "--locale", "de"}, "Subject: acme ist eingerichtet\n\nGuten Tag\n"},
		{[]string{"preview", "welcome", "--locale", "de", "--html"}, "<p>Guten Tag</p>\n"},
	} {
		args := append([]string{"mail"}, test.args...)
		if out, err := run(t, append(args, flags...)...); out != test.want || err != nil {
			t.Errorf("%v: printed\n%swant\n%s(%v)", test.args, out, test.want, err)
		}
	}
}
