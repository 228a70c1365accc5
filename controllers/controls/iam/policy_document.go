package iam

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// policyDocument is an IAM policy in a form in which equal meaning is equal value: lists are sorted and without repetition,
// one value and a list of one are the same, actions and condition keys, whose case IAM ignores, are in lower case, and the
// names of statements are gone.
type policyDocument struct {
	Version   string     `json:"Version"`
	ID        string     `json:"Id"`
	Statement statements `json:"Statement"`
}

type statement struct {
	Sid          string     `json:"Sid"`
	Effect       string     `json:"Effect"`
	Principal    principals `json:"Principal"`
	NotPrincipal principals `json:"NotPrincipal"`
	Action       values     `json:"Action"`
	NotAction    values     `json:"NotAction"`
	Resource     values     `json:"Resource"`
	NotResource  values     `json:"NotResource"`
	Condition    conditions `json:"Condition"`
}

type (
	statements []statement
	// values are one string or a list of them. IAM takes true and 1 for "true" and "1".
	values []string
	// principals are by kind: AWS, Service, Federated, CanonicalUser. "*" is an AWS principal.
	principals map[string]values
	// conditions are by operator and then by key.
	conditions map[string]map[string]values
)

// parsePolicy reads a policy as IAM answers it: JSON, encoded as a part of a URL. What it does not know is an error, so that
// two documents never look the same because of something that was overlooked.
func parsePolicy(document string) (policyDocument, error) {
	var p policyDocument
	if !strings.HasPrefix(strings.TrimSpace(document), "{") {
		decoded, err := url.PathUnescape(document) // a plus sign is a plus sign
		if err != nil {
			return p, fmt.Errorf("%w: a policy that is no JSON", control.ErrUnexpected)
		}
		document = decoded
	}
	lines := json.NewDecoder(strings.NewReader(document))
	lines.DisallowUnknownFields()
	err := lines.Decode(&p)
	if _, after := lines.Token(); err != nil || !errors.Is(after, io.EOF) {
		return p, fmt.Errorf("%w: a policy that cannot be read", control.ErrUnexpected)
	}
	p.ID = ""
	for i := range p.Statement {
		p.Statement[i].Sid = ""
		p.Statement[i].Action.lower()
		p.Statement[i].NotAction.lower()
	}
	slices.SortFunc(p.Statement, func(a, b statement) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return p, nil
}

// samePolicy says whether two documents mean the same; one that cannot be read means the same as none.
func samePolicy(a, b string) bool {
	left, err := parsePolicy(a)
	if err != nil {
		return false
	}
	right, err := parsePolicy(b)
	return err == nil && reflect.DeepEqual(left, right)
}

// UnmarshalJSON reads one statement or a list of them.
func (s *statements) UnmarshalJSON(raw []byte) error {
	if !bytes.HasPrefix(raw, []byte("[")) {
		raw = slices.Concat([]byte("["), raw, []byte("]"))
	}
	lines := json.NewDecoder(bytes.NewReader(raw))
	lines.DisallowUnknownFields()
	var all []statement
	err := lines.Decode(&all)
	*s = all
	return err
}

// UnmarshalJSON reads one value or a list of them.
func (v *values) UnmarshalJSON(raw []byte) error {
	if !bytes.HasPrefix(raw, []byte("[")) {
		raw = slices.Concat([]byte("["), raw, []byte("]"))
	}
	var all []any
	if err := json.Unmarshal(raw, &all); err != nil {
		return err
	}
	*v = make(values, 0, len(all))
	for _, one := range all {
		switch one.(type) {
		case string, bool, float64:
			*v = append(*v, fmt.Sprint(one))
		default:
			return fmt.Errorf("%T where a string is expected", one)
		}
	}
	v.sort()
	return nil
}

func (v *values) sort() {
	slices.Sort(*v)
	*v = slices.Compact(*v)
}

func (v *values) lower() {
	for i, one := range *v {
		(*v)[i] = strings.ToLower(one)
	}
	v.sort()
}

// UnmarshalJSON reads "*" or principals by kind.
func (p *principals) UnmarshalJSON(raw []byte) error {
	if bytes.HasPrefix(raw, []byte("{")) {
		return json.Unmarshal(raw, (*map[string]values)(p))
	}
	var anyone string
	if err := json.Unmarshal(raw, &anyone); err != nil || anyone != "*" {
		return fmt.Errorf("%q where a principal is expected", raw)
	}
	*p = principals{"AWS": {"*"}}
	return nil
}

// UnmarshalJSON reads conditions, with their keys in lower case.
func (c *conditions) UnmarshalJSON(raw []byte) error {
	var operators map[string]map[string]values
	if err := json.Unmarshal(raw, &operators); err != nil {
		return err
	}
	*c = conditions{}
	for operator, keys := range operators {
		(*c)[operator] = map[string]values{}
		for key, v := range keys {
			if _, twice := (*c)[operator][strings.ToLower(key)]; twice {
				return fmt.Errorf("the condition key %s twice", key)
			}
			(*c)[operator][strings.ToLower(key)] = v
		}
	}
	return nil
}

// allowing are the statements that are no Deny.
func (p policyDocument) allowing() []statement {
	return slices.DeleteFunc(slices.Clone(p.Statement), func(s statement) bool { return s.Effect == "Deny" })
}

// principals are all that the document lets in, of whatever kind, sorted.
func (p policyDocument) principals() []string {
	var all values
	for _, s := range p.allowing() {
		for _, of := range s.Principal {
			all = append(all, of...)
		}
	}
	all.sort()
	return all
}
