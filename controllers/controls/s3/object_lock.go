package s3

import (
	"context"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// ObjectLock holds that the selected buckets keep their objects from being deleted. It only reports.
var ObjectLock = control.Control[PerBucket[v1alpha1.ObjectLock]]{
	Meta: control.Meta{
		ID:    "s3-object-lock",
		Title: "S3 Object Lock of selected buckets",
		Doc: "The selected buckets have Object Lock, and new objects are retained by default at least as declared, so that logs and " +
			"evidence cannot be deleted. Report-only: a retention that was once given cannot be taken back.",
		Scope:       control.Region,
		Risk:        control.ReportOnly,
		Severity:    v1alpha1.SeverityLow,
		PerResource: true,
		Frameworks:  map[string][]string{"SecurityHub": {"S3.15"}},
		Reads:       []string{"s3:ListAllMyBuckets", "s3:GetBucketTagging", "s3:GetBucketObjectLockConfiguration"},
		// The event's name is that of the IAM action, as with the other settings of buckets.
		Events: bucketEvents("PutBucketObjectLockConfiguration"),
	},
	Observe: observeObjectLock,
}

// daysPerYear is AWS's year of retention.
const daysPerYear = 365

// none is what a field says of a setting that is absent.
const none = "None"

func observeObjectLock(ctx context.Context, t *control.Target, want PerBucket[v1alpha1.ObjectLock]) ([]control.Finding, error) {
	return each(ctx, t, want.Buckets, func(ctx context.Context, name string) ([]control.Finding, error) {
		lock, err := readObjectLock(ctx, t, name)
		if err != nil {
			return nil, err
		}
		fields := lock.departs(want.Want)
		if len(fields) == 0 {
			return nil, nil
		}
		return []control.Finding{{Drift: control.Drift{
			Resource: bucketARN(t, name), Risk: control.ReportOnly, Fields: fields,
		}}}, nil
	})
}

// objectLock is a bucket's Object Lock: whether there is one, and its default retention.
type objectLock struct {
	enabled bool
	mode    v1alpha1.RetentionMode // empty: none
	days    int32
}

func (l objectLock) departs(want v1alpha1.ObjectLock) []control.Field {
	if !l.enabled {
		return []control.Field{{Path: "objectLock", Want: onOff(true), Got: onOff(false)}}
	}
	var fields []control.Field
	if want.RetentionMode != "" && l.mode != want.RetentionMode && l.mode != v1alpha1.RetentionCompliance {
		got := none
		if l.mode != "" {
			got = string(l.mode)
		}
		fields = append(fields, control.Field{Path: "objectLock.retentionMode", Want: string(want.RetentionMode), Got: got})
	}
	if l.days < want.Days {
		fields = append(fields, control.Field{
			Path: "objectLock.days", Want: strconv.Itoa(int(want.Days)), Got: strconv.Itoa(int(l.days)),
		})
	}
	return fields
}

func readObjectLock(ctx context.Context, t *control.Target, name string) (objectLock, error) {
	out, err := client(t).GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: &name})
	if control.IsCode(err, "ObjectLockConfigurationNotFoundError") {
		return objectLock{}, nil
	}
	if err != nil {
		return objectLock{}, fmt.Errorf("reading Object Lock: %w", err)
	}
	c := out.ObjectLockConfiguration
	if c == nil {
		return objectLock{}, control.Unexpected("GetObjectLockConfiguration", "a configuration")
	}
	lock := objectLock{enabled: c.ObjectLockEnabled == types.ObjectLockEnabledEnabled}
	if c.Rule == nil || c.Rule.DefaultRetention == nil {
		return lock, nil
	}
	r := c.Rule.DefaultRetention
	lock.mode, lock.days = v1alpha1.RetentionMode(r.Mode), aws.ToInt32(r.Days)+daysPerYear*aws.ToInt32(r.Years)
	switch lock.mode {
	case "", v1alpha1.RetentionGovernance, v1alpha1.RetentionCompliance:
		return lock, nil
	}
	return objectLock{}, control.Unexpected("GetObjectLockConfiguration", "a mode that is known")
}
