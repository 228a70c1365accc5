package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/aws-controllers-k8s/runtime/pkg/compare"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// policy is a bucket's policy: every part as AWS sent it, and its statements parsed as far as they are judged here.
type policy struct {
	// parts are the document's members but for the statements; nil where the bucket has no policy.
	parts map[string]json.RawMessage
	// raw are the statements, byte for byte; statements are the same, parsed.
	raw        []json.RawMessage
	statements []statement
}

// statement is what is judged of a statement.
type statement struct {
	Sid, Effect  string
	Principal    principal
	NotPrincipal principal
	Action       values
	NotAction    values
	Resource     values
	NotResource  values
	Condition    map[string]map[string]values
}

// values is one value or a list of them; numbers and booleans are read as their text.
type values []string

// UnmarshalJSON reads a string, number or boolean, or a list of these.
func (v *values) UnmarshalJSON(raw []byte) error {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		list = []json.RawMessage{raw}
	}
	*v = nil
	for _, one := range list {
		var text string
		if json.Unmarshal(one, &text) != nil {
			text = string(one)
		}
		*v = append(*v, text)
	}
	return nil
}

// principal maps a kind of principal (AWS, Service, ...) to principals; "*" alone is everybody, which is {"AWS": "*"}.
type principal map[string]values

// UnmarshalJSON reads "*" or an object.
func (p *principal) UnmarshalJSON(raw []byte) error {
	var everybody string
	if json.Unmarshal(raw, &everybody) == nil {
		*p = principal{"AWS": {everybody}}
		return nil
	}
	return json.Unmarshal(raw, (*map[string]values)(p))
}

func readPolicy(ctx context.Context, t *control.Target, name string) (policy, error) {
	out, err := client(t).GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: &name})
	if control.IsCode(err, "NoSuchBucketPolicy") {
		return policy{}, nil
	}
	if err != nil {
		return policy{}, fmt.Errorf("reading the bucket policy: %w", err)
	}
	return parsePolicy(aws.ToString(out.Policy))
}

// parsePolicy reads a document. The error never quotes it: a policy may hold what is meant for few.
func parsePolicy(document string) (policy, error) {
	var p policy
	unreadable := control.Unexpected("GetBucketPolicy", "a policy that can be read")
	if json.Unmarshal([]byte(document), &p.parts) != nil || p.parts == nil {
		return policy{}, unreadable
	}
	raw := p.parts["Statement"]
	delete(p.parts, "Statement")
	if json.Unmarshal(raw, &p.raw) != nil {
		p.raw = []json.RawMessage{raw} // a single statement need not stand in a list
	}
	p.statements = make([]statement, len(p.raw))
	for i, one := range p.raw {
		if json.Unmarshal(one, &p.statements[i]) != nil || p.statements[i].Effect == "" {
			return policy{}, unreadable
		}
	}
	if len(p.raw) == 0 {
		return policy{}, unreadable
	}
	return p, nil
}

// split parts the statements that carry one of the Sids from the others.
func (p policy) split(sids ...string) (own, others []json.RawMessage) {
	for i, s := range p.statements {
		if slices.Contains(sids, s.Sid) {
			own = append(own, p.raw[i])
		} else {
			others = append(others, p.raw[i])
		}
	}
	return own, others
}

// document is the policy with the given statements in place of its own. What is not changed keeps its bytes but for blanks;
// a version that is absent stays so, for it means the old one.
func (p policy) document(statements []json.RawMessage) (string, error) {
	parts := map[string]any{"Statement": statements}
	if p.parts == nil {
		parts["Version"] = "2012-10-17"
	}
	for key, part := range p.parts {
		parts[key] = part
	}
	raw, err := marshal(parts)
	return string(raw), err
}

// marshal encodes without escaping <, > and &, so that texts keep their bytes.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding a policy: %w", err)
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// fingerprint is that of the statements which are not Plumbline's own. It is the same for two readings of one policy, however
// S3 orders it: S3 answers the principals of a statement in changing order, and a list of one as the one. It is empty where
// there are none.
func (p policy) fingerprint() (string, error) {
	_, others := p.split(transportSids...)
	if len(others) == 0 {
		return "", nil
	}
	document, err := p.document(others)
	if err != nil {
		return "", err
	}
	var v any
	decoder := json.NewDecoder(strings.NewReader(document))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		return "", fmt.Errorf("decoding a policy: %w", err)
	}
	raw, err := marshal(ordered(v))
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), err
}

// ordered is a JSON value with its lists in a fixed order and lists of one as the one. No list in a policy has an order that
// means something.
func ordered(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, member := range v {
			v[key] = ordered(member)
		}
		if v["Sid"] == "" {
			delete(v, "Sid")
		}
	case []any:
		for i := range v {
			v[i] = ordered(v[i])
		}
		if len(v) == 1 {
			return v[0]
		}
		slices.SortFunc(v, func(a, b any) int { return strings.Compare(text(a), text(b)) })
	}
	return v
}

// text is a value that was decoded from JSON, as JSON.
func text(v any) string {
	raw, _ := marshal(v) // what was decoded always encodes
	return string(raw)
}

// sameStatements says whether two lists of statements mean the same. Statements that cannot be compared only do when they are
// the same texts.
func sameStatements(a, b []json.RawMessage) bool {
	if slices.EqualFunc(a, b, func(x, y json.RawMessage) bool { return bytes.Equal(x, y) }) {
		return true
	}
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	one, errOne := policy{}.document(a)
	other, errOther := policy{}.document(b)
	if errOne != nil || errOther != nil {
		return false
	}
	same, err := compare.IAMPolicyDocumentEqual(one, other)
	return err == nil && same
}
