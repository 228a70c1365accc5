package s3

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Versioning holds that the selected buckets keep former versions of their objects, or no longer do.
var Versioning = control.Control[PerBucket[v1alpha1.Versioning]]{
	Meta: control.Meta{
		ID:    "s3-versioning",
		Title: "S3 versioning of selected buckets",
		Doc: "The selected buckets keep the former versions of objects that are overwritten or deleted. Enforcing turns versioning " +
			"on (Irreversible: a bucket never becomes unversioned again, former versions cost storage, lifecycle rules that expire " +
			"objects free nothing more, and for some 15 minutes reads of new objects may fail). Disabled suspends it (Disruptive): " +
			"former versions stay. A bucket with MFA delete is reported and not changed, for that needs its owner's device.",
		Scope:       control.Region,
		Risk:        control.Irreversible,
		Severity:    v1alpha1.SeverityLow,
		PerResource: true,
		Cost:        "Storage of every former version until a lifecycle rule deletes it.",
		Frameworks:  map[string][]string{"SecurityHub": {"S3.14"}},
		Reads:       []string{"s3:ListAllMyBuckets", "s3:GetBucketTagging", "s3:GetBucketVersioning"},
		Writes:      []string{"s3:PutBucketVersioning"},
		Events:      bucketEvents("PutBucketVersioning"),
	},
	Observe:   observeVersioning,
	Remediate: remediateVersioning,
	Undo:      undoVersioning,
	Owner:     ownerOf,
}

// reasonMFADelete says that versioning can only be changed with the device of the bucket's owner.
const reasonMFADelete = "MFADelete"

// versioning is a bucket's versioning; an empty status is that of a bucket that never had any.
type versioning struct {
	Status types.BucketVersioningStatus `json:"status"`
}

func observeVersioning(ctx context.Context, t *control.Target, want PerBucket[v1alpha1.Versioning]) ([]control.Finding, error) {
	return each(ctx, t, want.Buckets, func(ctx context.Context, name string) ([]control.Finding, error) {
		now, mfaDelete, err := readVersioning(ctx, t, name)
		if err != nil {
			return nil, err
		}
		to := versioning{types.BucketVersioningStatusEnabled}
		d := control.Drift{Resource: bucketARN(t, name), Risk: control.Irreversible}
		if want.Want.State != v1alpha1.Enabled {
			to.Status = types.BucketVersioningStatusSuspended
			d.Risk, d.Weakens = control.Disruptive, true
		}
		if now == to || now.Status == "" && d.Weakens {
			return nil, nil
		}
		d.Fields = []control.Field{{Path: "versioning", Want: string(to.Status), Got: now.name()}}
		d.Before, d.After = control.JSON(now), control.JSON(to)
		f := control.Finding{Drift: d}
		if mfaDelete {
			f.Risk, f.Weakens, f.Reason = control.ReportOnly, false, reasonMFADelete
			f.Message = "MFA delete is on: only the account's root user with its MFA device changes versioning"
		}
		return []control.Finding{f}, nil
	})
}

func (v versioning) name() string {
	if v.Status == "" {
		return "Unversioned"
	}
	return string(v.Status)
}

func readVersioning(ctx context.Context, t *control.Target, name string) (now versioning, mfaDelete bool, err error) {
	out, err := client(t).GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &name})
	if err != nil {
		return versioning{}, false, fmt.Errorf("reading versioning: %w", err)
	}
	switch out.Status {
	case "", types.BucketVersioningStatusEnabled, types.BucketVersioningStatusSuspended:
		return versioning{out.Status}, out.MFADelete == types.MFADeleteStatusEnabled, nil
	}
	return versioning{}, false, control.Unexpected("GetBucketVersioning", "a status that is known")
}

func remediateVersioning(ctx context.Context, t *control.Target, d control.Drift) error {
	c, err := changeOf[versioning](t, d)
	if err != nil {
		return err
	}
	return writeVersioning(ctx, t, c.bucket, c.after)
}

func undoVersioning(ctx context.Context, t *control.Target, d control.Drift) error {
	c, err := changeOf[versioning](t, d)
	if err != nil {
		return err
	}
	now, _, err := readVersioning(ctx, t, c.bucket)
	switch {
	case err != nil:
		return err
	case now != c.after:
		return control.ErrChanged
	case c.before.Status == "":
		return errors.New("a bucket with versioning never becomes unversioned again: state Disabled suspends it")
	}
	return writeVersioning(ctx, t, c.bucket, c.before)
}

// writeVersioning leaves MFA delete out of the request, which keeps it as it is.
func writeVersioning(ctx context.Context, t *control.Target, name string, to versioning) error {
	_, err := client(t).PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
		Bucket: &name, VersioningConfiguration: &types.VersioningConfiguration{Status: to.Status},
	})
	if err != nil {
		return fmt.Errorf("setting versioning: %w", err)
	}
	return nil
}
