package s3

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// SecureTransport holds that each bucket refuses requests without TLS.
var SecureTransport = control.Control[PerBucket[v1alpha1.SecureTransport]]{
	Meta: control.Meta{
		ID:    "s3-secure-transport",
		Title: "S3 requests only over TLS",
		Doc: "The policy of each selected bucket denies everybody every request over plain HTTP, and with minimumTLSVersion 1.3 " +
			"over older TLS too. A statement of the same meaning suffices, whoever wrote it. Enforcing adds one statement per " +
			"requirement under Plumbline's own Sid and keeps the others as they are (Disruptive: clients that speak plain HTTP are " +
			"refused). Disabled takes only Plumbline's own statements away. A resource control policy does the same for a whole " +
			"organization and touches no bucket: prefer it where there is one.",
		Scope:       control.Region,
		Risk:        control.Disruptive,
		Severity:    v1alpha1.SeverityMedium,
		PerResource: true,
		Documents:   true,
		Frameworks: map[string][]string{
			"CIS-5.0": {"2.1.1"}, "CIS-3.0": {"2.1.1"}, "SecurityHub": {"S3.5"},
		},
		Reads: []string{
			"s3:ListAllMyBuckets", "s3:GetBucketTagging", "s3:GetBucketPolicy", "s3:GetBucketPolicyStatus",
			"s3:GetBucketPublicAccessBlock", "s3:GetAccountPublicAccessBlock",
		},
		Writes: []string{"s3:PutBucketPolicy", "s3:DeleteBucketPolicy"},
		Events: bucketEvents("PutBucketPolicy", "DeleteBucketPolicy"),
	},
	Observe:   observeSecureTransport,
	Remediate: remediateSecureTransport,
	Undo:      undoSecureTransport,
	Owner:     ownerOf,
}

// Reasons of departures that cannot be put right.
const (
	// reasonPolicyTooLarge: with Plumbline's statement the policy would be larger than S3 takes.
	reasonPolicyTooLarge = "PolicyTooLarge"
	// reasonPublicPolicy: the policy is public, and blockPublicPolicy refuses every change that leaves it so.
	reasonPublicPolicy = "PublicPolicyBlocked"
)

// policyLimit is S3's for a bucket policy ("Bucket policies are limited to 20 KB in size").
const policyLimit = 20 * 1024

// errPolicyChanged refuses a change that was worked out from another policy than the one that is there now.
var errPolicyChanged = errors.New("the bucket policy has changed since it was looked at; nothing was written")

// ownStatements are those of Plumbline's own statements in a bucket policy that a change concerns. Policy is the fingerprint
// of the others' statements beside which they were read; the document itself is recorded nowhere, for it may hold what is
// meant for few.
type ownStatements struct {
	Sids   []string          `json:"sids"`
	Own    []json.RawMessage `json:"own,omitempty"`
	Policy string            `json:"policy,omitempty"`
}

func observeSecureTransport(ctx context.Context, t *control.Target, want PerBucket[v1alpha1.SecureTransport]) ([]control.Finding, error) {
	return each(ctx, t, want.Buckets, func(ctx context.Context, name string) ([]control.Finding, error) {
		p, err := readPolicy(ctx, t, name)
		if err != nil {
			return nil, err
		}
		comes, goes := p.transport(bucketARN(t, name), want.Want)
		var found []control.Finding
		// What goes is a change of its own: it waits for an approval in every mode and keeps nothing else waiting.
		for _, d := range []demand{comes, goes} {
			if len(d.fields) == 0 {
				continue
			}
			now, _ := p.split(d.sids...)
			others, err := p.fingerprint()
			if err != nil {
				return nil, err
			}
			f := control.Finding{Drift: control.Drift{
				Resource: bucketARN(t, name), Risk: control.Disruptive, Fields: d.fields, Weakens: len(d.own) == 0,
				Before: control.JSON(ownStatements{d.sids, now, others}), After: control.JSON(ownStatements{Sids: d.sids, Own: d.own}),
			}}
			if f.Reason, f.Message, err = p.refusal(ctx, t, name, d); err != nil {
				return nil, err
			}
			if f.Reason != "" {
				f.Risk = control.ReportOnly
			}
			found = append(found, f)
		}
		return found, nil
	})
}

// refusal foresees why S3 would refuse the policy after the change; empty when it would not.
func (p policy) refusal(ctx context.Context, t *control.Target, name string, d demand) (reason, message string, err error) {
	_, statements := p.split(d.sids...)
	statements = append(statements, d.own...)
	document, err := p.document(statements)
	if err != nil || len(statements) == 0 {
		return "", "", err
	}
	if len(document) > policyLimit {
		return reasonPolicyTooLarge, fmt.Sprintf("the bucket policy would have %d bytes, and S3 takes %d — shorten it, or deny plain HTTP "+
			"in a resource control policy", len(document), policyLimit), nil
	}
	if p.parts == nil {
		return "", "", nil
	}
	public, err := publicPolicy(ctx, t, name)
	if err != nil || !public {
		return "", "", err
	}
	account, err := accountBlock.From(ctx, t.Home())
	if err != nil {
		return "", "", err
	}
	own, err := readBucketBlock(ctx, t, name)
	if err != nil {
		return "", "", err
	}
	if account.effective().BlockPublicPolicy || own.effective().BlockPublicPolicy {
		return reasonPublicPolicy, "the bucket policy is public, and blockPublicPolicy refuses any change that leaves it so — take the public " +
			"statement out of the policy", nil
	}
	return "", "", nil
}

func remediateSecureTransport(ctx context.Context, t *control.Target, d control.Drift) error {
	c, err := changeOf[ownStatements](t, d)
	if err != nil {
		return err
	}
	p, err := readPolicy(ctx, t, c.bucket)
	if err != nil {
		return err
	}
	now, _ := p.split(c.after.Sids...)
	if sameStatements(now, c.after.Own) {
		return nil
	}
	others, err := p.fingerprint()
	if err != nil {
		return err
	}
	if others != c.before.Policy || !sameStatements(now, c.before.Own) {
		return errPolicyChanged
	}
	return writePolicy(ctx, t, c.bucket, p, c.after)
}

func undoSecureTransport(ctx context.Context, t *control.Target, d control.Drift) error {
	c, err := changeOf[ownStatements](t, d)
	if err != nil {
		return err
	}
	p, err := readPolicy(ctx, t, c.bucket)
	if err != nil {
		return err
	}
	if now, _ := p.split(c.after.Sids...); !sameStatements(now, c.after.Own) {
		return control.ErrChanged
	}
	return writePolicy(ctx, t, c.bucket, p, c.before)
}

// writePolicy replaces some of Plumbline's own statements in the policy that was just read. S3 knows no condition on a
// write, so what happens between the two is lost; nothing lies between them.
func writePolicy(ctx context.Context, t *control.Target, name string, p policy, to ownStatements) error {
	_, statements := p.split(to.Sids...)
	statements = append(statements, to.Own...)
	if len(statements) == 0 {
		if _, err := client(t).DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: &name}); err != nil {
			return fmt.Errorf("taking away the bucket policy, which held nothing else: %w", err)
		}
		return nil
	}
	document, err := p.document(statements)
	if err != nil {
		return err
	}
	if _, err := client(t).PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: &name, Policy: &document}); err != nil {
		return fmt.Errorf("writing the bucket policy: %w", err)
	}
	return nil
}
