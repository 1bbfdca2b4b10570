// Package policyfile reads the file that replaces the default retention policy. Every service that is given
// TENURE_RETENTION_POLICY reads it, so that deletion keeps what the lifecycle promised to keep.
package policyfile

import (
	_ "embed"
	"errors"
	"fmt"
	"os"

	"tenure/shared/retention"
	"tenure/shared/yamlfile"
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
	var f file
	source, err := yamlfile.Decode(content, Schema, &f)
	if err != nil {
		return retention.Policy{}, err
	}
	policy := f.policy()
	return policy, located(source, policy.Check())
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
func located(source yamlfile.File, err error) error {
	many, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var out []error
	for _, e := range many.Unwrap() {
		var c *retention.Conflict
		if errors.As(e, &c) {
			e = fmt.Errorf("line %d: %w", source.Line(c.At), c)
		}
		out = append(out, e)
	}
	return errors.Join(out...)
}
