package yamlfile_test

import (
	"strings"
	"testing"

	"tenure/shared/yamlfile"
)

const schema = `{
	"type": "object", "required": ["name"], "additionalProperties": false,
	"properties": {
		"name": {"type": "string"},
		"parts": {"type": "array", "items": {
			"type": "object", "additionalProperties": false, "properties": {"size": {"type": "integer", "minimum": 1}}
		}},
		"where": {"type": "object", "oneOf": [{"required": ["here"]}, {"required": ["there"]}]}
	}
}`

type file struct {
	Name  string
	Parts []struct{ Size int }
}

func TestDecode(t *testing.T) {
	var f file
	source, err := yamlfile.Decode([]byte("# the first\nname: a\nparts:\n  - size: 1\n\n  - size: 2\n"), []byte(schema), &f)
	if err != nil {
		t.Fatal(err)
	}
	if f.Name != "a" || len(f.Parts) != 2 || f.Parts[1].Size != 2 {
		t.Errorf("read %+v", f)
	}
	for place, want := range map[string]int{
		"name": 2, "parts[1]": 6, "parts[1].size": 6,
		"parts[1].colour": 6, "parts[7].size": 4, "nothing": 1, // what is missing is where the nearest around it begins
	} {
		if got := source.Line(place); got != want {
			t.Errorf("%s is on line %d, want %d", place, got, want)
		}
	}
	if got := source.Errorf("parts[1]", "as big as %d", 1).Error(); got != "line 6: parts[1]: as big as 1" {
		t.Errorf("complains %q", got)
	}
}

func TestEverythingWrongIsTold(t *testing.T) {
	for name, test := range map[string]struct {
		file string
		says []string
	}{
		"empty":   {"", []string{"the file is empty"}},
		"remarks": {"# nothing yet\n", []string{"the file is empty"}},
		"no YAML": {"name: [", nil},
		"a list":  {"- 1", []string{"line 1: the file: got array, want object"}},
		"much": {"parts:\n  - {size: 0}\n  - {size: big, colour: red}\n", []string{
			"line 1: the file: missing property 'name'", "line 2: parts[0].size: minimum: got 0, want 1",
			"line 3: parts[1]: additional properties 'colour' not allowed", "line 3: parts[1].size: got string, want integer",
		}},
		"neither": {"name: a\nwhere: {up: 1}\n", []string{"line 2: where: missing property 'here', or missing property 'there'"}},
		"twice":   {"name: a\nname: b\n", nil},
	} {
		_, err := yamlfile.Decode([]byte(test.file), []byte(schema), &file{})
		if err == nil {
			t.Errorf("%s: taken", name)
			continue
		}
		if got := err.Error(); test.says != nil && got != strings.Join(test.says, "\n") {
			t.Errorf("%s: says\n%s", name, got)
		}
	}
}
