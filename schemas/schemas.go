// Package schemas holds the contract of the bus: a JSON Schema (2020-12) and an example for the data of every command and
// event, and one schema for the CloudEvent around them. It depends on nothing, so that any program can embed it.
//
// The schemas are generated from the Go types in tenure/shared/events by "go generate ./..." in tenure/shared; the
// examples are written by hand.
package schemas

import (
	"embed"
	"strings"
)

// FS holds every *.json file by its path in this folder.
//
//go:embed envelope.v1.json commands events
var FS embed.FS

// Envelope is the path of the schema of the whole message, in the structured encoding.
const Envelope = "envelope.v1.json"

// Path is where the schema for the data of an event type lies in FS; empty when eventType is not of the form
// "tenure.<service>.<name>.v<N>". The file need not exist: a type may be newer than this build.
func Path(eventType string) string {
	rest, ok := strings.CutPrefix(eventType, "tenure.")
	if !ok {
		return ""
	}
	service, name, ok := strings.Cut(rest, ".")
	if !ok || service == "" || name == "" {
		return ""
	}
	switch {
	case service == "command":
		return "commands/" + name + ".json"
	case service == "stripe": // the type holds Stripe's own name; the data is always the same
		return "events/stripe/notice" + version(name) + ".json"
	case isAnswer(name): // the type holds the participant's name
		return "events/participant/" + name + ".json"
	}
	return "events/" + service + "/" + name + ".json"
}

// ID is the $id of the schema at a path.
func ID(path string) string { return "urn:tenure:schema:" + strings.TrimSuffix(path, ".json") }

// ExamplePath is where the example that belongs to a schema lies in FS.
func ExamplePath(schemaPath string) string {
	return strings.TrimSuffix(schemaPath, ".json") + ".example.json"
}

func isAnswer(name string) bool {
	switch strings.TrimSuffix(name, version(name)) {
	case "step.completed", "step.failed", "step.progressed":
		return true
	}
	return false
}

// version is the end of a type: ".v1".
func version(name string) string {
	if i := strings.LastIndex(name, ".v"); i >= 0 {
		return name[i:]
	}
	return ""
}
