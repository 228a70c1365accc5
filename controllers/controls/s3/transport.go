package s3

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// The Sids of Plumbline's own statements. There are two because the conditions of one statement must all hold, and a
// request over plain HTTP has no version of TLS.
const (
	sidPlainHTTP  = "PlumblineSecureTransport"
	sidTLSVersion = "PlumblineTLSVersion"
)

var transportSids = []string{sidPlainHTTP, sidTLSVersion}

// demand is a change of Plumbline's own statements: those of its Sids become own.
type demand struct {
	sids   []string
	own    []json.RawMessage
	fields []control.Field
}

// transport is how Plumbline's own statements depart, given the others: those that must come, and those that must go.
func (p policy) transport(arn string, want v1alpha1.SecureTransport) (comes, goes demand) {
	on := want.State == v1alpha1.Enabled
	newest := on && want.MinimumTLSVersionOrDefault() == v1alpha1.TLS13
	requirements := []struct {
		sid       string
		wanted    bool
		meets     func(statement) bool
		condition map[string]any
		field     control.Field
	}{
		{
			sidPlainHTTP, on, statement.deniesPlainHTTP, map[string]any{"Bool": map[string]string{"aws:SecureTransport": "false"}},
			control.Field{Path: "secureTransport", Want: onOff(on), Got: onOff(!on)},
		},
		{
			sidTLSVersion, newest, statement.deniesOldTLS, map[string]any{"NumericLessThan": map[string]string{"s3:TlsVersion": "1.3"}},
			control.Field{Path: "minimumTLSVersion", Want: tlsVersion(newest), Got: tlsVersion(!newest)},
		},
	}
	for _, r := range requirements {
		now, _ := p.split(r.sid)
		switch {
		case r.wanted && !p.covers(arn, r.meets):
			comes.sids, comes.fields = append(comes.sids, r.sid), append(comes.fields, r.field)
			comes.own = append(comes.own, denial(r.sid, arn, r.condition))
		case !r.wanted && len(now) > 0:
			goes.sids, goes.fields = append(goes.sids, r.sid), append(goes.fields, r.field)
		}
	}
	return comes, goes
}

func tlsVersion(newest bool) string {
	if newest {
		return string(v1alpha1.TLS13)
	}
	return string(v1alpha1.TLS12)
}

// denial denies everybody everything about the bucket and its objects under a condition.
func denial(sid, arn string, condition map[string]any) json.RawMessage {
	return control.JSON(map[string]any{
		"Sid": sid, "Effect": "Deny", "Principal": "*", "Action": "s3:*",
		"Resource": []string{arn, arn + "/*"}, "Condition": condition,
	})
}

// covers says whether statements that deny everybody everything under the condition reach the bucket and all its objects;
// it may take two of them.
func (p policy) covers(arn string, meets func(statement) bool) bool {
	var bucket, objects bool
	for _, s := range p.statements {
		if !s.deniesEverybodyEverything() || !meets(s) {
			continue
		}
		for _, pattern := range s.Resource {
			bucket = bucket || control.Glob(pattern, arn)
			objects = objects || strings.HasSuffix(pattern, "*") && control.Glob(pattern, arn+"/")
		}
	}
	return bucket && objects
}

func (s statement) deniesEverybodyEverything() bool {
	return s.Effect == "Deny" && len(s.NotPrincipal)+len(s.NotAction)+len(s.NotResource) == 0 &&
		(slices.Contains(s.Principal["AWS"], "*") || slices.Contains(s.Principal["*"], "*")) &&
		slices.ContainsFunc(s.Action, func(action string) bool { return action == "*" || strings.EqualFold(action, "s3:*") })
}

// only is the one condition of a statement: operator and key in lower case, and the values. A second condition narrows the
// statement, so that it no longer means the same.
func (s statement) only() (operator, key string, list values) {
	if len(s.Condition) != 1 {
		return "", "", nil
	}
	for o, keys := range s.Condition {
		if len(keys) == 1 {
			for k, v := range keys {
				return strings.ToLower(o), strings.ToLower(k), v
			}
		}
	}
	return "", "", nil
}

func (s statement) deniesPlainHTTP() bool {
	operator, key, list := s.only()
	return (operator == "bool" || operator == "boolifexists") && key == "aws:securetransport" &&
		slices.ContainsFunc(list, func(v string) bool { return strings.EqualFold(v, "false") })
}

func (s statement) deniesOldTLS() bool {
	operator, key, list := s.only()
	return (operator == "numericlessthan" || operator == "numericlessthanifexists") && key == "s3:tlsversion" &&
		slices.ContainsFunc(list, func(v string) bool {
			version, err := strconv.ParseFloat(v, 64)
			return err == nil && version >= 1.3
		})
}
