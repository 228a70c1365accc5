package s3

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

func TestCovers(t *testing.T) {
	const both = `["arn:aws:s3:::a","arn:aws:s3:::a/*"]`
	plain := func(principal, action, resource, condition string) string {
		return `{"Effect":"Deny","Principal":` + principal + `,"Action":` + action + `,"Resource":` + resource + `,"Condition":` + condition + `}`
	}
	const noTLS = `{"Bool":{"aws:SecureTransport":"false"}}`
	for name, tc := range map[string]struct {
		policy string
		plain  bool
		old    bool
	}{
		"as everybody writes it":             {policyOf(plain(`"*"`, `"s3:*"`, both, noTLS)), true, false},
		"a statement that stands in no list": {`{"Statement":` + plain(`"*"`, `"s3:*"`, both, noTLS) + `}`, true, false},
		"everybody as an AWS principal":      {policyOf(plain(`{"AWS":"*"}`, `"s3:*"`, both, noTLS)), true, false},
		"everybody in a list":                {policyOf(plain(`{"AWS":["arn:aws:iam::1:root","*"]}`, `["s3:*"]`, both, noTLS)), true, false},
		"a boolean, another case, every action": {
			policyOf(plain(`"*"`, `"*"`, both, `{"BoolIfExists":{"AWS:securetransport":[false]}}`)), true, false,
		},
		"every resource":                      {policyOf(plain(`"*"`, `"S3:*"`, `"*"`, noTLS)), true, false},
		"the bucket and all with its prefix":  {policyOf(plain(`"*"`, `"s3:*"`, `"arn:aws:s3:::a*"`, noTLS)), true, false},
		"two statements, one for each":        {policyOf(plain(`"*"`, `"s3:*"`, `"arn:aws:s3:::a"`, noTLS), plain(`"*"`, `"s3:*"`, `"arn:aws:s3:::a/*"`, noTLS)), true, false},
		"objects only":                        {policyOf(plain(`"*"`, `"s3:*"`, `"arn:aws:s3:::a/*"`, noTLS)), false, false},
		"the bucket only":                     {policyOf(plain(`"*"`, `"s3:*"`, `"arn:aws:s3:::a"`, noTLS)), false, false},
		"one folder":                          {policyOf(plain(`"*"`, `"s3:*"`, `["arn:aws:s3:::a","arn:aws:s3:::a/logs/*"]`, noTLS)), false, false},
		"another bucket":                      {policyOf(plain(`"*"`, `"s3:*"`, `["arn:aws:s3:::b","arn:aws:s3:::b/*"]`, noTLS)), false, false},
		"some actions":                        {policyOf(plain(`"*"`, `["s3:GetObject","s3:PutObject"]`, both, noTLS)), false, false},
		"somebody":                            {policyOf(plain(`{"AWS":"arn:aws:iam::1:root"}`, `"s3:*"`, both, noTLS)), false, false},
		"an Allow":                            {`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":` + both + `,"Condition":` + noTLS + `}]}`, false, false},
		"a second condition narrows it":       {policyOf(plain(`"*"`, `"s3:*"`, both, `{"Bool":{"aws:SecureTransport":"false"},"StringEquals":{"aws:PrincipalAccount":"1"}}`)), false, false},
		"a second key narrows it":             {policyOf(plain(`"*"`, `"s3:*"`, both, `{"Bool":{"aws:SecureTransport":"false","aws:ViaAWSService":"false"}}`)), false, false},
		"the other way round":                 {policyOf(plain(`"*"`, `"s3:*"`, both, `{"Bool":{"aws:SecureTransport":"true"}}`)), false, false},
		"all but somebody":                    {`{"Statement":[{"Effect":"Deny","NotPrincipal":{"AWS":"arn:aws:iam::1:root"},"Action":"s3:*","Resource":` + both + `,"Condition":` + noTLS + `}]}`, false, false},
		"TLS 1.3 as a number":                 {policyOf(plain(`"*"`, `"s3:*"`, both, `{"NumericLessThan":{"s3:TlsVersion":1.3}}`)), false, true},
		"TLS 1.3 as a text":                   {policyOf(plain(`"*"`, `"s3:*"`, both, `{"NumericLessThan":{"s3:TlsVersion":["1.3"]}}`)), false, true},
		"TLS 1.2 is less than 1.3":            {policyOf(plain(`"*"`, `"s3:*"`, both, `{"NumericLessThan":{"s3:TlsVersion":"1.2"}}`)), false, false},
		"a version that is no number":         {policyOf(plain(`"*"`, `"s3:*"`, both, `{"NumericLessThan":{"s3:TlsVersion":"new"}}`)), false, false},
		"both conditions in one are narrower": {policyOf(plain(`"*"`, `"s3:*"`, both, `{"Bool":{"aws:SecureTransport":"false"},"NumericLessThan":{"s3:TlsVersion":"1.3"}}`)), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := parsePolicy(tc.policy)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.covers("arn:aws:s3:::a", statement.deniesPlainHTTP); got != tc.plain {
				t.Errorf("denies plain HTTP: got %v, want %v", got, tc.plain)
			}
			if got := p.covers("arn:aws:s3:::a", statement.deniesOldTLS); got != tc.old {
				t.Errorf("denies old TLS: got %v, want %v", got, tc.old)
			}
		})
	}
}

// What is not Plumbline's own keeps its bytes: unknown keys, numbers, escapes, the document's id, an absent version.
func TestDocumentKeepsTheRest(t *testing.T) {
	const foreign = `{"Sid":"Their <own> & more","Effect":"Allow","Principal":{"AWS":["arn:aws:iam::2:root","arn:aws:iam::1:root"]},"Action":"s3:GetObject",` +
		`"Resource":"arn:aws:s3:::a/\u003cx>","Condition":{"NumericLessThan":{"aws:MultiFactorAuthAge":1.50}},"Future":{"z":1,"a":[2,1]}}`
	p, err := parsePolicy(`{"Id":"theirs", "Statement": [` + foreign + `, ` + byAWS + `]}`)
	if err != nil {
		t.Fatal(err)
	}
	if comes, goes := p.transport("arn:aws:s3:::a", v1alpha1.SecureTransport{ControlSpec: enabled}); len(comes.sids)+len(goes.sids) > 0 {
		t.Errorf("comes: %v, goes: %v; want nothing", comes.sids, goes.sids)
	}
	own, others := p.split(transportSids...)
	got, err := p.document(append(others, own...))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`{"Id":"theirs","Statement":[`+foreign+`,`+byAWS+`]}`, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFingerprint(t *testing.T) {
	of := func(document string) string {
		t.Helper()
		p, err := parsePolicy(document)
		if err != nil {
			t.Fatal(err)
		}
		f, err := p.fingerprint()
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	first := of(policyOf(roles, byAWS))
	for name, same := range map[string]string{
		"principals turned around": policyOf(shuffled(roles), byAWS),
		"statements turned around": policyOf(byAWS, roles),
		"no statement of our own":  policyOf(roles),
		"a Sid that is empty":      policyOf(roles[:1]+roles[len(`{"Sid":"",`):], byAWS),
	} {
		if of(same) != first {
			t.Errorf("%s: another fingerprint", name)
		}
	}
	for name, other := range map[string]string{
		"a statement less":   policyOf(byAWS),
		"another version":    `{"Version":"2008-10-17","Statement":[` + roles + `,` + byAWS + `]}`,
		"a statement copied": policyOf(roles, roles, byAWS),
	} {
		if of(other) == first {
			t.Errorf("%s: the same fingerprint", name)
		}
	}
	if f, err := (policy{}).fingerprint(); f != "" || err != nil {
		t.Errorf("no policy: got %q, %v", f, err)
	}
}

func TestParsePolicy(t *testing.T) {
	for name, document := range map[string]string{
		"nothing":         "",
		"no object":       `[]`,
		"null":            `null`,
		"no statement":    `{"Version":"2012-10-17"}`,
		"no statements":   `{"Statement":[]}`,
		"no effect":       `{"Statement":[{"Sid":"secret"}]}`,
		"no principal":    `{"Statement":[{"Effect":"Deny","Principal":7}]}`,
		"null statements": `{"Statement":null}`,
	} {
		if p, err := parsePolicy(document); err == nil {
			t.Errorf("%s: got %+v", name, p)
		}
	}
}

func TestSameStatements(t *testing.T) {
	raw := func(statements ...string) (list []json.RawMessage) {
		for _, s := range statements {
			list = append(list, json.RawMessage(s))
		}
		return list
	}
	if !sameStatements(nil, raw()) || !sameStatements(raw(byAWS, tls13), raw(tls13, byAWS)) {
		t.Error("the same statements are said to differ")
	}
	if sameStatements(raw(byAWS), raw(dulled)) || sameStatements(raw(byAWS), nil) || sameStatements(raw(byAWS), raw(`{"Unknown":1}`)) {
		t.Error("other statements are said to be the same")
	}
}
