package campaigns_test

import (
	"strings"
	"testing"

	"tenure/services/notifier/campaigns"
)

func TestTheExample(t *testing.T) {
	f, err := campaigns.Load("../../../deploy/campaigns.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	leaving, ok := f.Find("leaving")
	if !ok || len(leaving.Steps) != 2 || leaving.Holdout != 10 || leaving.Ends != 28 || len(leaving.Variants) != 2 {
		t.Fatalf("read %+v", leaving)
	}
	for locale, want := range map[string]struct{ subject, in string }{"de-AT": {"Können", "de"}, "fr": {"Is there", "en"}} {
		if text, in := leaving.Steps[0].TextFor(locale); !strings.Contains(text.Subject, want.subject) || in != want.in {
			t.Errorf("the text for %s is %+v, in %s", locale, text, in)
		}
	}
	if f.Quiet.From != 19*60 || f.Quiet.To != 8*60 || !f.Quiet.Weekends || f.Zones[""] != "UTC" || f.Zones["us-east-1"] != "America/New_York" {
		t.Errorf("hours %+v, zones %v", f.Quiet, f.Zones)
	}
	if offer, ok := f.FindOffer("comeback"); !ok || offer.Coupon != "COMEBACK20" || offer.Budget != 100 || offer.Days != 14 {
		t.Errorf("offer %+v", offer)
	}
}

const whole = `
offers:
  - {name: o, coupon: C, says: less, days: 7, until: 2026-12-31}
campaigns:
  - name: c
    triggers: [trial_expired]
    ends_after_days: 10
    variants: [{name: a}]
    steps:
      - name: s
        after_days: 2
        variants: [a]
        offer: o
        texts: {en: {subject: s, body: "{{.Link}}"}}
`

func TestWhatNoFileMaySay(t *testing.T) {
	if _, err := campaigns.Parse([]byte(whole)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ old, new, want string }{
		{"name: c", "name: C!", "line 5"},
		{"trial_expired", "bored", "line 6"},
		{"trigger", "triger", "triger"},
		{"after_days: 2", "after_days: 10", "line 11: campaigns[0].steps[0].after_days: the campaign ends after 10 days"},
		{"after_days: 2", "after_days: 2.5", "line 11"},
		{"[a]", "[b]", `the campaign has no variant called "b"`},
		{"offer: o", "offer: p", `there is no offer called "p"`},
		{"{{.Link}}", "come back", "the body has no {{.Link}}"},
		{"{{.Link}}", "{{.Link}} {{.Password}}", "Password"},
		{"{{.Link}}", "{{.Link", "line 14"},
		{"2026-12-31", "2026-13-31", "line 3"},
		{"variants: [a]", "only_if: {opened: true}", "track_opens"},
		{"offers:", "time_zones: {default: Berlin}\noffers:", `there is no time zone "Berlin"`},
		{"offers:", "quiet_hours: {from: \"25:00\", to: \"08:00\"}\noffers:", "line 2"},
	} {
		_, err := campaigns.Parse([]byte(strings.Replace(whole, test.old, test.new, 1)))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s -> %s: %v", test.old, test.new, err)
		}
	}
	if _, err := campaigns.Parse(nil); err == nil {
		t.Error("an empty file is taken")
	}
}
