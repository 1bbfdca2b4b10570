// Package planfile reads the file that replaces the default plans. Every service that is given TENURE_PLANS reads it, so
// that the lifecycle decides by the very prices and limits that billing charges by.
package planfile

import (
	_ "embed"
	"fmt"
	"os"
	"time"

	"tenure/shared/plans"
	"tenure/shared/yamlfile"
)

// Schema is the JSON Schema of a plan file, for editors and for Parse.
//
//go:embed planfile.schema.json
var Schema []byte

type file struct {
	Plans []struct {
		Name       string `yaml:"name"`
		PriceCents int64  `yaml:"price_cents"`
		Limits     struct {
			Queries   int64   `yaml:"queries"`
			Documents int64   `yaml:"documents"`
			StorageGB float64 `yaml:"storage_gb"`
		} `yaml:"limits"`
		Features []string           `yaml:"features"`
		Included map[string]float64 `yaml:"included"`
		Grace    string             `yaml:"grace"`
	} `yaml:"plans"`
	Usage []struct {
		Metric string  `yaml:"metric"`
		Cents  float64 `yaml:"cents"`
	} `yaml:"usage"`
}

// Load reads a plan file; the default offer when path is empty.
func Load(path string) (plans.Offer, error) {
	if path == "" {
		return plans.DefaultOffer(), nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return plans.Offer{}, fmt.Errorf("plan file (TENURE_PLANS): %w", err)
	}
	offer, err := Parse(content)
	if err != nil {
		return plans.Offer{}, fmt.Errorf("plan file %s (TENURE_PLANS):\n%w", path, err)
	}
	return offer, nil
}

// Parse reads a plan file and holds it against the schema. A misspelt field fails: a limit that is silently left out
// would be no limit. What is wrong is told with its line in the file.
func Parse(content []byte) (plans.Offer, error) {
	var f file
	source, err := yamlfile.Decode(content, Schema, &f)
	if err != nil {
		return plans.Offer{}, err
	}
	var offer plans.Offer
	for i, p := range f.Plans {
		plan := plans.Plan{
			Name: p.Name, Cents: p.PriceCents, Features: p.Features, Included: p.Included,
			Limits: plans.Limits{Queries: p.Limits.Queries, Documents: p.Limits.Documents, StorageGB: p.Limits.StorageGB},
		}
		if p.Grace != "" {
			grace, err := time.ParseDuration(p.Grace)
			if err != nil || grace < 0 {
				return plans.Offer{}, source.Errorf(fmt.Sprintf("plans[%d].grace", i), "%q is no time like 168h, or 0s to suspend at once", p.Grace)
			}
			plan.Grace = &grace
		}
		offer.Plans = append(offer.Plans, plan)
	}
	for _, u := range f.Usage {
		offer.Usage = append(offer.Usage, plans.UsagePrice{Metric: u.Metric, Cents: u.Cents})
	}
	return offer, consistent(source, offer)
}

// consistent checks what a schema cannot: names are unique, and a higher plan is not cheaper, so that an upgrade never
// gives money back.
func consistent(source yamlfile.File, offer plans.Offer) error {
	for i, p := range offer.Plans {
		place := fmt.Sprintf("plans[%d]", i)
		if offer.Plans.Rank(p.Name) != i {
			return source.Errorf(place, "another plan is called %q, too", p.Name)
		}
		if i > 0 && p.Cents < offer.Plans[i-1].Cents {
			return source.Errorf(place, "%s costs less than %s before it: list the plans from the lowest to the highest", p.Name, offer.Plans[i-1].Name)
		}
	}
	seen := map[string]bool{}
	for i, u := range offer.Usage {
		if seen[u.Metric] {
			return source.Errorf(fmt.Sprintf("usage[%d]", i), "the metric %q has two prices", u.Metric)
		}
		seen[u.Metric] = true
	}
	return nil
}
