// Package planfile reads the file that replaces the default plans. Every service that is given TENURE_PLANS reads it, so
// that the lifecycle decides by the very prices and limits that billing charges by.
package planfile

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"tenure/shared/plans"
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
		return plans.Offer{}, fmt.Errorf("plan file %s: %w", path, err)
	}
	return offer, nil
}

// Parse reads a plan file and holds it against the schema. A misspelt field fails: a limit that is silently left out
// would be no limit.
func Parse(content []byte) (plans.Offer, error) {
	if err := validate(content); err != nil {
		return plans.Offer{}, err
	}
	var f file
	if err := yaml.UnmarshalWithOptions(content, &f, yaml.Strict()); err != nil {
		return plans.Offer{}, err
	}
	var offer plans.Offer
	for _, p := range f.Plans {
		plan := plans.Plan{
			Name: p.Name, Cents: p.PriceCents, Features: p.Features, Included: p.Included,
			Limits: plans.Limits{Queries: p.Limits.Queries, Documents: p.Limits.Documents, StorageGB: p.Limits.StorageGB},
		}
		if p.Grace != "" {
			grace, err := time.ParseDuration(p.Grace)
			if err != nil || grace < 0 {
				return plans.Offer{}, fmt.Errorf("grace %q of %s: give a time like 168h, or 0s to suspend at once", p.Grace, p.Name)
			}
			plan.Grace = &grace
		}
		offer.Plans = append(offer.Plans, plan)
	}
	for _, u := range f.Usage {
		offer.Usage = append(offer.Usage, plans.UsagePrice{Metric: u.Metric, Cents: u.Cents})
	}
	return offer, consistent(offer)
}

// consistent checks what a schema cannot: names are unique, and a higher plan is not cheaper, so that an upgrade never
// gives money back.
func consistent(offer plans.Offer) error {
	for i, p := range offer.Plans {
		if offer.Plans.Rank(p.Name) != i {
			return fmt.Errorf("two plans are called %q", p.Name)
		}
		if i > 0 && p.Cents < offer.Plans[i-1].Cents {
			return fmt.Errorf("%s costs less than %s before it: list the plans from the lowest to the highest", p.Name, offer.Plans[i-1].Name)
		}
	}
	seen := map[string]bool{}
	for _, u := range offer.Usage {
		if seen[u.Metric] {
			return fmt.Errorf("the metric %q has two prices", u.Metric)
		}
		seen[u.Metric] = true
	}
	return nil
}

func validate(content []byte) error {
	schema, err := compile()
	if err != nil {
		return fmt.Errorf("the plan file's schema: %w", err)
	}
	asJSON, err := yaml.YAMLToJSON(content)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		return errors.New("the file is empty")
	}
	return schema.Validate(value)
}

func compile() (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema))
	if err != nil {
		return nil, err
	}
	const id = "planfile.schema.json"
	c := jsonschema.NewCompiler()
	if err := c.AddResource(id, doc); err != nil {
		return nil, err
	}
	return c.Compile(id)
}
