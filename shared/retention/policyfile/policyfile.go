// Package policyfile reads the file that replaces the default retention policy. Every service that is given
// TENURE_RETENTION_POLICY reads it, so that deletion keeps what the lifecycle promised to keep.
package policyfile

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"tenure/shared/retention"
)

// Schema is the JSON Schema of a policy file, for editors and for Parse.
//
//go:embed policyfile.schema.json
var Schema []byte

type file struct {
	Default span   `yaml:"default"`
	Rules   []rule `yaml:"rules"`
	Classes []struct {
		Name     string `yaml:"name"`
		KeepDays int    `yaml:"keep_days"`
		Basis    string `yaml:"basis"`
	} `yaml:"classes"`
	Approvals struct {
		Delete      bool `yaml:"delete"`
		ReleaseHold bool `yaml:"release_hold"`
	} `yaml:"approvals"`
}

type span struct {
	Min     int `yaml:"min"`
	Default int `yaml:"default"`
	Max     int `yaml:"max"`
}

type rule struct {
	Region  string `yaml:"region"`
	Plan    string `yaml:"plan"`
	GDPR    *bool  `yaml:"gdpr"`
	Min     *int   `yaml:"min"`
	Default *int   `yaml:"default"`
	Max     *int   `yaml:"max"`
}

// Load reads a policy file; the default policy when path is empty.
func Load(path string) (retention.Policy, error) {
	if path == "" {
		return retention.Default(), nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return retention.Policy{}, fmt.Errorf("retention policy (TENURE_RETENTION_POLICY): %w", err)
	}
	policy, err := Parse(content)
	if err != nil {
		return retention.Policy{}, fmt.Errorf("retention policy %s (TENURE_RETENTION_POLICY):\n%w", path, err)
	}
	return policy, nil
}

// Parse reads a policy and holds it against the schema and its own rules. The error has one line for each thing that is
// wrong, with its line in the file.
func Parse(content []byte) (retention.Policy, error) {
	doc, err := parser.ParseBytes(content, 0)
	if err != nil {
		return retention.Policy{}, err
	}
	if err := validate(content, doc); err != nil {
		return retention.Policy{}, err
	}
	var f file
	if err := yaml.UnmarshalWithOptions(content, &f, yaml.Strict()); err != nil {
		return retention.Policy{}, err
	}
	policy := f.policy()
	return policy, located(doc, policy.Check())
}

func (f file) policy() retention.Policy {
	p := retention.Policy{Default: retention.Range(f.Default), Approvals: retention.Approvals(f.Approvals)}
	for _, r := range f.Rules {
		p.Rules = append(p.Rules, retention.Rule(r))
	}
	for _, c := range f.Classes {
		p.Classes = append(p.Classes, retention.Class(c))
	}
	return p
}

// located adds the lines of what a check has found.
func located(doc *ast.File, err error) error {
	many, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var out []error
	for _, e := range many.Unwrap() {
		var c *retention.Conflict
		if errors.As(e, &c) {
			e = fmt.Errorf("line %d: %w", lineOf(doc, c.At), c)
		}
		out = append(out, e)
	}
	return errors.Join(out...)
}

// lineOf is where a place like rules[1].min is written, from 1: of what is missing, the nearest around it that is there.
func lineOf(doc *ast.File, place string) int {
	for {
		path, err := yaml.PathString("$." + place)
		if err == nil {
			if node, err := path.FilterFile(doc); err == nil {
				return firstToken(node)
			}
		}
		cut := strings.LastIndexAny(place, ".[")
		if cut < 0 {
			return 1
		}
		place = place[:cut]
	}
}

// firstToken is the line on which a node begins: a mapping's own token is its first colon.
func firstToken(node ast.Node) int {
	if m, ok := node.(*ast.MappingNode); ok && len(m.Values) > 0 {
		node = m.Values[0].Key
	}
	return node.GetToken().Position.Line
}

func validate(content []byte, doc *ast.File) error {
	schema, err := compile()
	if err != nil {
		return fmt.Errorf("the policy file's schema: %w", err)
	}
	asJSON, err := yaml.YAMLToJSON(content)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil || value == nil {
		return errors.New("the file is empty")
	}
	var mismatch *jsonschema.ValidationError
	if err := schema.Validate(value); !errors.As(err, &mismatch) {
		return err
	}
	return errors.Join(mismatches(doc, mismatch.DetailedOutput())...)
}

// mismatches are those that have no causes but themselves, in the order of their places.
func mismatches(doc *ast.File, unit *jsonschema.OutputUnit) (out []error) {
	if len(unit.Errors) == 0 {
		place := placeOf(unit.InstanceLocation)
		return []error{fmt.Errorf("line %d: %s: %s", lineOf(doc, place), cmp.Or(place, "the file"), unit.Error)}
	}
	slices.SortStableFunc(unit.Errors, func(a, b jsonschema.OutputUnit) int {
		return cmp.Compare(a.InstanceLocation, b.InstanceLocation)
	})
	for i := range unit.Errors {
		out = append(out, mismatches(doc, &unit.Errors[i])...)
	}
	return out
}

// placeOf writes the JSON pointer /rules/1/min as rules[1].min.
func placeOf(pointer string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if _, err := strconv.Atoi(part); err == nil {
			b.WriteString("[" + part + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(part)
	}
	return b.String()
}

func compile() (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema))
	if err != nil {
		return nil, err
	}
	const id = "policyfile.schema.json"
	c := jsonschema.NewCompiler()
	if err := c.AddResource(id, doc); err != nil {
		return nil, err
	}
	return c.Compile(id)
}
