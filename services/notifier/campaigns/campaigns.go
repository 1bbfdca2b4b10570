// Package campaigns reads the file in which operators write their win-back campaigns, and plays it over a log.
package campaigns

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/goccy/go-yaml"

	"tenure/services/notifier/internal/campaign"
	"tenure/shared/yamlfile"
)

// Schema is the JSON Schema of a campaign file, for editors and for Parse.
//
//go:embed campaigns.schema.json
var Schema []byte

type file struct {
	Campaigns []struct {
		Name     string             `yaml:"name"`
		Triggers []campaign.Trigger `yaml:"triggers"`
		Segment  struct {
			Plans   []string `yaml:"plans"`
			Regions []string `yaml:"regions"`
			GDPR    *bool    `yaml:"gdpr"`
			MinAge  int      `yaml:"min_age_days"`
			MaxAge  int      `yaml:"max_age_days"`
		} `yaml:"segment"`
		Holdout  int `yaml:"holdout_percent"`
		Variants []struct {
			Name   string `yaml:"name"`
			Weight int    `yaml:"weight"`
		} `yaml:"variants"`
		Ends       int    `yaml:"ends_after_days"`
		TrackOpens bool   `yaml:"track_opens"`
		Steps      []step `yaml:"steps"`
	} `yaml:"campaigns"`
	Offers []struct {
		Name   string `yaml:"name"`
		Coupon string `yaml:"coupon"`
		Says   string `yaml:"says"`
		Budget int    `yaml:"budget"`
		Days   int    `yaml:"days"`
		Until  string `yaml:"until"`
	} `yaml:"offers"`
	Frequency  struct{ Mails, Days int } `yaml:"frequency"`
	QuietHours struct {
		From     string `yaml:"from"`
		To       string `yaml:"to"`
		Weekends bool   `yaml:"weekends"`
	} `yaml:"quiet_hours"`
	TimeZones map[string]string `yaml:"time_zones"`
}

type step struct {
	Name     string   `yaml:"name"`
	After    int      `yaml:"after_days"`
	Variants []string `yaml:"variants"`
	OnlyIf   struct {
		Opened  *bool `yaml:"opened"`
		Clicked *bool `yaml:"clicked"`
	} `yaml:"only_if"`
	Offer        string `yaml:"offer"`
	WithoutOffer bool   `yaml:"without_offer"`
	// Texts keep the order of the file: the first is the default.
	Texts yaml.MapSlice `yaml:"texts"`
}

// Load reads a campaign file (TENURE_CAMPAIGNS); no campaigns when path is empty.
func Load(path string) (campaign.File, error) {
	if path == "" {
		return campaign.File{}, nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return campaign.File{}, fmt.Errorf("campaigns (TENURE_CAMPAIGNS): %w", err)
	}
	f, err := Parse(content)
	if err != nil {
		return f, fmt.Errorf("campaigns %s (TENURE_CAMPAIGNS):\n%w", path, err)
	}
	return f, nil
}

// Parse reads campaigns and holds them against the schema and each other. The error has one line for each thing that is
// wrong, with its line in the file.
func Parse(content []byte) (campaign.File, error) {
	var read file
	source, err := yamlfile.Decode(content, Schema, &read)
	if err != nil {
		return campaign.File{}, err
	}
	p := parser{source: source}
	f := p.file(read)
	return f, errors.Join(p.wrong...)
}

// parser makes what was read into what is meant, and collects what is wrong.
type parser struct {
	source yamlfile.File
	wrong  []error
}

func (p *parser) fail(place, format string, args ...any) {
	p.wrong = append(p.wrong, p.source.Errorf(place, format, args...))
}

func (p *parser) file(read file) campaign.File {
	f := campaign.File{
		Frequency: campaign.Frequency(read.Frequency),
		Quiet:     campaign.Quiet{From: minutes(read.QuietHours.From), To: minutes(read.QuietHours.To), Weekends: read.QuietHours.Weekends},
		Zones:     p.zones(read.TimeZones),
	}
	for i, o := range read.Offers {
		place := fmt.Sprintf("offers[%d]", i)
		if _, twice := f.FindOffer(o.Name); twice {
			p.fail(place+".name", "there are two offers called %q", o.Name)
		}
		offer := campaign.Offer{Name: o.Name, Coupon: o.Coupon, Says: o.Says, Budget: o.Budget, Days: o.Days}
		if o.Until != "" {
			last, err := time.Parse(time.DateOnly, o.Until)
			if err != nil {
				p.fail(place+".until", "%q is no day like 2026-12-31", o.Until)
			}
			offer.Until = last.AddDate(0, 0, 1)
		}
		f.Offers = append(f.Offers, offer)
	}
	for i, c := range read.Campaigns {
		place := fmt.Sprintf("campaigns[%d]", i)
		if _, twice := f.Find(c.Name); twice {
			p.fail(place+".name", "there are two campaigns called %q", c.Name)
		}
		out := campaign.Campaign{
			Name: c.Name, Triggers: c.Triggers, Segment: campaign.Segment(c.Segment), Holdout: c.Holdout,
			Ends: c.Ends, TrackOpens: c.TrackOpens,
		}
		for _, v := range c.Variants {
			out.Variants = append(out.Variants, campaign.Variant(v))
		}
		for j, s := range c.Steps {
			out.Steps = append(out.Steps, p.step(fmt.Sprintf("%s.steps[%d]", place, j), s, out, f))
		}
		f.Campaigns = append(f.Campaigns, out)
	}
	return f
}

// step reads one step; c and f are what was read before it.
func (p *parser) step(place string, s step, c campaign.Campaign, f campaign.File) campaign.Step {
	out := campaign.Step{
		Name: s.Name, After: s.After, Variants: s.Variants, OnlyIf: campaign.Condition(s.OnlyIf), Offer: s.Offer,
		WithoutOffer: s.WithoutOffer, Texts: map[string]campaign.Text{},
	}
	if n := len(c.Steps); n > 0 && s.After < c.Steps[n-1].After {
		p.fail(place+".after_days", "the step comes before the one that is written above it")
	}
	if slices.ContainsFunc(c.Steps, func(other campaign.Step) bool { return other.Name == s.Name }) {
		p.fail(place+".name", "there are two steps called %q", s.Name)
	}
	if c.Ends > 0 && s.After >= c.Ends {
		p.fail(place+".after_days", "the campaign ends after %d days, before this step", c.Ends)
	}
	if s.OnlyIf.Opened != nil && !c.TrackOpens {
		p.fail(place+".only_if", "nobody can tell what was opened without track_opens")
	}
	if _, known := f.FindOffer(s.Offer); s.Offer != "" && !known {
		p.fail(place+".offer", "there is no offer called %q", s.Offer)
	}
	for _, name := range s.Variants {
		if !slices.ContainsFunc(c.Variants, func(v campaign.Variant) bool { return v.Name == name }) {
			p.fail(place+".variants", "the campaign has no variant called %q", name)
		}
	}
	for _, item := range s.Texts {
		locale, _ := item.Key.(string)
		text, _ := item.Value.(map[string]any)
		subject, _ := text["subject"].(string)
		body, _ := text["body"].(string)
		if out.Default == "" {
			out.Default = locale
		}
		out.Texts[locale] = campaign.Text{Subject: subject, Body: body}
		if err := campaign.CheckText(out.Texts[locale]); err != nil {
			p.fail(place+".texts."+locale, "%w", err)
		}
	}
	return out
}

func (p *parser) zones(read map[string]string) map[string]string {
	zones := map[string]string{}
	for region, name := range read {
		if _, err := time.LoadLocation(name); err != nil {
			p.fail("time_zones", "%s: there is no time zone %q; one is, for example, Europe/Berlin", region, name)
		}
		if region == "default" {
			region = ""
		}
		zones[region] = name
	}
	return zones
}

// minutes of a time of day that the schema has let through.
func minutes(clock string) int {
	if clock == "" {
		return 0
	}
	hours, _ := strconv.Atoi(clock[:2])
	rest, _ := strconv.Atoi(clock[3:])
	return hours*60 + rest
}
