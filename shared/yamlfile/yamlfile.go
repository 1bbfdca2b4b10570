// Package yamlfile reads the YAML files that operators write: held against a JSON Schema, so that a misspelt word is an error
// and never a setting that is silently missing, and with the line in every complaint.
package yamlfile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// File is a file that was read, for complaints about it.
type File struct {
	doc *ast.File
}

// Decode reads content into a struct with yaml tags, and holds it against the schema. The error has one line for each
// thing that is wrong, with its line in the file.
func Decode(content, schema []byte, into any) (File, error) {
	doc, err := parser.ParseBytes(content, 0)
	if err != nil {
		return File{}, err
	}
	f := File{doc}
	if err := f.validate(content, schema); err != nil {
		return f, err
	}
	return f, yaml.UnmarshalWithOptions(content, into, yaml.Strict())
}

// Line is where a place like rules[1].min is written, from 1: of what is missing, the nearest around it that is there.
func (f File) Line(place string) int {
	for {
		path, err := yaml.PathString("$." + place)
		if err == nil {
			if node, err := path.FilterFile(f.doc); err == nil {
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

// Errorf complains about a place.
func (f File) Errorf(place, format string, args ...any) error {
	return fmt.Errorf("line %d: %s: %w", f.Line(place), place, fmt.Errorf(format, args...))
}

// firstToken is the line on which a node begins: a mapping's own token is its first colon.
func firstToken(node ast.Node) int {
	if m, ok := node.(*ast.MappingNode); ok && len(m.Values) > 0 {
		node = m.Values[0].Key
	}
	return node.GetToken().Position.Line
}

func (f File) validate(content, schema []byte) error {
	compiled, err := compile(schema)
	if err != nil {
		return fmt.Errorf("the file's schema: %w", err)
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
	if err := compiled.Validate(value); !errors.As(err, &mismatch) {
		return err
	}
	return errors.Join(f.mismatches(mismatch.DetailedOutput())...)
}

// mismatches are those that have no causes but themselves, in the order of their places.
func (f File) mismatches(unit *jsonschema.OutputUnit) (out []error) {
	if len(unit.Errors) == 0 {
		return []error{f.mismatch(unit.InstanceLocation, unit.Error)}
	}
	if alternatives := alternatives(unit); alternatives != "" {
		return []error{f.mismatch(unit.InstanceLocation, alternatives)}
	}
	slices.SortStableFunc(unit.Errors, func(a, b jsonschema.OutputUnit) int {
		return cmp.Compare(a.InstanceLocation, b.InstanceLocation)
	})
	for i := range unit.Errors {
		out = append(out, f.mismatches(&unit.Errors[i])...)
	}
	return out
}

func (f File) mismatch(pointer string, what any) error {
	place := placeOf(pointer)
	return fmt.Errorf("line %d: %s: %v", f.Line(place), cmp.Or(place, "the file"), what)
}

// alternatives is what would do, where a oneOf wants one of several things in the same place: one complaint, of which one
// half is to be mended.
func alternatives(unit *jsonschema.OutputUnit) string {
	if !strings.HasSuffix(unit.KeywordLocation, "/oneOf") {
		return ""
	}
	var wanted []string
	for _, e := range unit.Errors {
		if len(e.Errors) > 0 || e.InstanceLocation != unit.InstanceLocation {
			return ""
		}
		wanted = append(wanted, e.Error.String())
	}
	return strings.Join(wanted, ", or ")
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

func compile(schema []byte) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, err
	}
	const id = "schema.json"
	c := jsonschema.NewCompiler()
	if err := c.AddResource(id, doc); err != nil {
		return nil, err
	}
	return c.Compile(id)
}
