package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// A document is an IAM policy. The same document is written as JSON, YAML and HCL, so it is turned into a tree first.
type document struct {
	Version   string      `json:"Version"`
	Statement []statement `json:"Statement"`
}

// A statement is one of a policy. Its fields are written in this order.
type statement struct {
	Sid       string                       `json:"Sid"`
	Effect    string                       `json:"Effect"`
	Action    values                       `json:"Action"`
	NotAction values                       `json:"NotAction"`
	Resource  values                       `json:"Resource"`
	Condition map[string]map[string]values `json:"Condition"`
}

// values are one string or a list of them; one is written as a string.
type values []string

// UnmarshalJSON reads one string or a list of them.
func (v *values) UnmarshalJSON(raw []byte) error {
	if !bytes.HasPrefix(raw, []byte("[")) {
		raw = slices.Concat([]byte("["), raw, []byte("]"))
	}
	return json.Unmarshal(raw, (*[]string)(v))
}

func documentOf(statements ...statement) document {
	return document{Version: "2012-10-17", Statement: statements}
}

// parse reads a policy that is there as text.
func parse(text string) (document, error) {
	var d document
	lines := json.NewDecoder(strings.NewReader(text))
	lines.DisallowUnknownFields()
	if err := lines.Decode(&d); err != nil {
		return d, fmt.Errorf("reading a policy: %w", err)
	}
	return d, nil
}

// An object is a tree whose fields keep their order. A value is a string, a []string, an object or an []object.
type object []field

type field struct {
	name  string
	value any
}

func (d document) tree() object {
	statements := make([]object, len(d.Statement))
	for i, s := range d.Statement {
		statements[i] = s.tree()
	}
	return object{{"Version", d.Version}, {"Statement", statements}}
}

func (s statement) tree() object {
	tree := object{{"Sid", s.Sid}, {"Effect", s.Effect}}
	for _, f := range []struct {
		name   string
		values values
	}{{"Action", s.Action}, {"NotAction", s.NotAction}, {"Resource", s.Resource}} {
		if len(f.values) > 0 {
			tree = append(tree, field{f.name, f.values.tree()})
		}
	}
	if len(s.Condition) == 0 {
		return tree
	}
	var operators object
	for _, operator := range slices.Sorted(maps.Keys(s.Condition)) {
		var keys object
		for _, key := range slices.Sorted(maps.Keys(s.Condition[operator])) {
			keys = append(keys, field{key, s.Condition[operator][key].tree()})
		}
		operators = append(operators, field{operator, keys})
	}
	return append(tree, field{"Condition", operators})
}

func (v values) tree() any {
	if len(v) == 1 {
		return v[0]
	}
	return []string(v)
}

// MarshalJSON writes the fields in their order.
func (o object) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, f := range o {
		if i > 0 {
			out.WriteByte(',')
		}
		for j, part := range []any{f.name, f.value} {
			if j > 0 {
				out.WriteByte(':')
			}
			raw, err := json.Marshal(part)
			if err != nil {
				return nil, err
			}
			out.Write(raw)
		}
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// json is the document as a file. Policies hold no character that JSON in HTML would have to escape.
func (d document) json() []byte {
	raw, err := json.MarshalIndent(d.tree(), "", "  ")
	if err != nil {
		panic("encoding strings as JSON: " + err.Error())
	}
	return append(raw, '\n')
}

// size is what AWS counts: every character but white space.
func size(text []byte) int {
	n := 0
	for _, r := range string(text) {
		if !unicode.IsSpace(r) {
			n++
		}
	}
	return n
}
