package form_test

import (
	"errors"
	"net/url"
	"slices"
	"testing"

	"tenure/services/devstack/stripesim/form"
)

func parse(t *testing.T, encoded string) *form.Params {
	t.Helper()
	values, err := url.ParseQuery(encoded)
	if err != nil {
		t.Fatal(err)
	}
	p, err := form.Parse(values)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestNestedParameters(t *testing.T) {
	p := parse(t, "items[1][price]=b&items[0][price]=a&items[10][price]=c&expand[]=x&expand[]=y&metadata[k]=v&empty=&n=7&yes=true")
	var prices []string
	for _, item := range p.List("items") {
		prices = append(prices, item.String("price"))
	}
	if !slices.Equal(prices, []string{"a", "b", "c"}) {
		t.Errorf("items are %v", prices)
	}
	if got := p.Strings("expand"); !slices.Equal(got, []string{"x", "y"}) {
		t.Errorf("expand is %v", got)
	}
	if got := p.Map("metadata"); got["k"] != "v" || len(got) != 1 {
		t.Errorf("metadata are %v", got)
	}
	if !p.Cleared("empty") || p.Cleared("n") || p.Cleared("absent") {
		t.Error("only an empty value is cleared")
	}
	p.String("empty")
	if n := p.Int("n"); n == nil || *n != 7 {
		t.Errorf("n is %v", n)
	}
	if !p.Flag("yes") || p.Flag("absent") {
		t.Error("flags are wrong")
	}
	if p.Int("absent") != nil || p.Sub("absent").String("deeper") != "" {
		t.Error("what was not sent is not absent")
	}
	if err := p.Err(); err != nil {
		t.Error(err)
	}
}

func TestTheFirstComplaintIsTheError(t *testing.T) {
	for _, c := range []struct {
		encoded     string
		read        func(*form.Params)
		code, param string
	}{
		{"a=1&b[c]=2", func(p *form.Params) { p.String("a") }, "parameter_unknown", "b"},
		{"b[c]=2&b[d]=3", func(p *form.Params) { p.Sub("b").String("c") }, "parameter_unknown", "b[d]"},
		{"n=x&m=y", func(p *form.Params) { p.Int("n"); p.Bool("m") }, "parameter_invalid_integer", "n"},
		{"", func(p *form.Params) { p.Sub("a").Require("b") }, "parameter_missing", "a[b]"},
		{"l[x]=1", func(p *form.Params) { p.List("l") }, "parameter_invalid_array", "l"},
		{"s[x]=1", func(p *form.Params) { p.String("s") }, "parameter_invalid_string", "s"},
		{"e=z", func(p *form.Params) { p.OneOf("e", "x", "y") }, "", "e"},
		{"f=z", func(p *form.Params) { p.Float("f") }, "parameter_invalid_decimal", "f"},
	} {
		p := parse(t, c.encoded)
		c.read(p)
		e, ok := errors.AsType[*form.Error](p.Err())
		if !ok || e.Code != c.code || e.Param != c.param {
			t.Errorf("%q: %+v, want %s of %s", c.encoded, e, c.code, c.param)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("a[b][0]=1&a[]=2")
	f.Add("a[=1&]b[=2&[]=3")
	f.Fuzz(func(_ *testing.T, encoded string) {
		values, err := url.ParseQuery(encoded)
		if err != nil {
			return
		}
		p, err := form.Parse(values)
		if err != nil {
			return
		}
		p.List("a")
		p.Map("a")
		_ = p.Err()
	})
}
