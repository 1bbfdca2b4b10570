package openapi

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/stripe/stripe-mock/spec"
)

// answer checks a body for fields that are required but not there, or of another type.
func (c *Checker) answer(operation *spec.Operation, body []byte) []string {
	schema := operation.Responses["200"].Content["application/json"].Schema
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return []string{"the answer is not JSON: " + err.Error()}
	}
	return c.check(schema, value, "answer")
}

func (c *Checker) check(schema *spec.Schema, value any, at string) []string {
	if schema == nil {
		return nil
	}
	if schema.Ref != "" {
		name := strings.TrimPrefix(schema.Ref, "#/components/schemas/")
		return c.check(c.spec.Components.Schemas[name], value, at)
	}
	if value == nil {
		if schema.Nullable || len(schema.AnyOf) > 0 {
			return nil
		}
		return []string{at + " is null"}
	}
	if len(schema.AnyOf) > 0 {
		return c.checkAny(schema, value, at)
	}
	switch value := value.(type) {
	case map[string]any:
		return c.checkObject(schema, value, at)
	case []any:
		return c.checkList(schema, value, at)
	case string:
		return checkText(schema, value, at)
	case bool:
		return want(schema, at, "boolean")
	case float64:
		return want(schema, at, "integer", "number")
	}
	return nil
}

// checkAny takes the alternative that fits best. An object is never taken for an
// id, so that what the object lacks is named.
func (c *Checker) checkAny(schema *spec.Schema, value any, at string) []string {
	_, isObject := value.(map[string]any)
	var least []string
	found := false
	for _, alternative := range schema.AnyOf {
		if isObject && alternative.Type == "string" {
			continue
		}
		if complaints := c.check(alternative, value, at); !found || len(complaints) < len(least) {
			least, found = complaints, true
		}
	}
	return least
}

func (c *Checker) checkObject(schema *spec.Schema, value map[string]any, at string) []string {
	complaints := want(schema, at, "object")
	for _, name := range schema.Required {
		if _, ok := value[name]; !ok {
			complaints = append(complaints, fmt.Sprintf("%s.%s is missing", at, name))
		}
	}
	for name, property := range schema.Properties {
		if field, ok := value[name]; ok {
			complaints = append(complaints, c.check(property, field, at+"."+name)...)
		}
	}
	return complaints
}

func (c *Checker) checkList(schema *spec.Schema, value []any, at string) []string {
	complaints := want(schema, at, "array")
	for i, item := range value {
		complaints = append(complaints, c.check(schema.Items, item, fmt.Sprintf("%s[%d]", at, i))...)
	}
	return complaints
}

func checkText(schema *spec.Schema, value, at string) []string {
	if complaints := want(schema, at, "string"); len(complaints) > 0 || len(schema.Enum) == 0 {
		return complaints
	}
	for _, allowed := range schema.Enum {
		if allowed == value {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s is %q, want one of %v", at, value, schema.Enum)}
}

func want(schema *spec.Schema, at string, types ...string) []string {
	for _, t := range types {
		if schema.Type == t || schema.Type == "" {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s is of type %s, want %s", at, types[0], schema.Type)}
}
