package cloudtrail

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// settings are what UpdateTrail writes. AWS keeps what is absent; an empty string takes a value away ("Disabling CloudTrail
// log file encryption with the AWS CLI" and "update-trail" in the AWS CLI reference).
type settings struct {
	MultiRegion  *bool   `json:"multiRegion,omitempty"`
	GlobalEvents *bool   `json:"globalEvents,omitempty"`
	Organization *bool   `json:"organization,omitempty"`
	Validation   *bool   `json:"logFileValidation,omitempty"`
	Bucket       *string `json:"bucket,omitempty"`
	Prefix       *string `json:"prefix,omitempty"`
	KMSKey       *string `json:"kmsKey,omitempty"`
	LogGroup     *string `json:"logGroup,omitempty"`
	Role         *string `json:"role,omitempty"`
}

// settingsOf is a trail as AWS answers it. A flag that AWS leaves out stays absent; a string that it leaves out is none.
func settingsOf(trail types.Trail) settings {
	text := func(s *string) *string { return aws.String(aws.ToString(s)) }
	return settings{
		MultiRegion: trail.IsMultiRegionTrail, GlobalEvents: trail.IncludeGlobalServiceEvents,
		Organization: trail.IsOrganizationTrail, Validation: trail.LogFileValidationEnabled,
		Bucket: text(trail.S3BucketName), Prefix: text(trail.S3KeyPrefix), KMSKey: text(trail.KmsKeyId),
		LogGroup: aws.String(withStar(aws.ToString(trail.CloudWatchLogsLogGroupArn))), Role: text(trail.CloudWatchLogsRoleArn),
	}
}

// withStar is a log group's ARN with the ending :*, with and without which the same group is meant.
func withStar(arn string) string {
	if arn == "" {
		return ""
	}
	return strings.TrimSuffix(arn, ":*") + ":*"
}

// are says whether what s holds is what the trail has now.
func (s settings) are(now settings) bool {
	return same(s.MultiRegion, now.MultiRegion) && same(s.GlobalEvents, now.GlobalEvents) && same(s.Organization, now.Organization) &&
		same(s.Validation, now.Validation) && same(s.Bucket, now.Bucket) && same(s.Prefix, now.Prefix) &&
		same(s.KMSKey, now.KMSKey) && same(s.LogGroup, now.LogGroup) && same(s.Role, now.Role)
}

func same[T comparable](want, got *T) bool { return want == nil || got != nil && *want == *got }

// change is what is written to a trail: the parts that are there.
type change struct {
	// Create makes the trail, with these settings. It is undone by stopping it, for Plumbline deletes no trail: one that is
	// stopped records nothing and costs nothing.
	Create bool `json:"create,omitempty"`
	settings
	// Logging starts or stops it.
	Logging *bool `json:"logging,omitempty"`
	// AllManagementEvents mends the event selectors that are there at the time; it stands in an After.
	AllManagementEvents bool `json:"allManagementEvents,omitempty"`
	// Selectors writes these event selectors; it stands in a Before.
	Selectors *selectors `json:"selectors,omitempty"`
}

func remediate(ctx context.Context, t *control.Target, d control.Drift) error {
	to, err := control.Decode[change](d.After)
	if err != nil {
		return err
	}
	return to.write(ctx, home(t, d.Resource), d.Resource)
}

// write makes the change. Logging comes first: what may be refused after it does not keep the trail off.
func (c change) write(ctx context.Context, t *control.Target, arn string) error {
	if c.Create {
		return create(ctx, t, arn, c.settings)
	}
	if c.Logging != nil {
		if err := setLogging(ctx, t, arn, *c.Logging); err != nil {
			return err
		}
	}
	if c.settings != (settings{}) {
		if err := update(ctx, t, arn, c.settings); err != nil {
			return err
		}
	}
	if c.AllManagementEvents {
		return recordAllManagementEvents(ctx, t, arn)
	}
	if c.Selectors != nil {
		return putSelectors(ctx, t, arn, *c.Selectors)
	}
	return nil
}

func setLogging(ctx context.Context, t *control.Target, arn string, on bool) error {
	api := cloudtrail.NewFromConfig(t.AWS)
	var err error
	if on {
		_, err = api.StartLogging(ctx, &cloudtrail.StartLoggingInput{Name: &arn})
	} else {
		_, err = api.StopLogging(ctx, &cloudtrail.StopLoggingInput{Name: &arn})
	}
	if err != nil {
		return fmt.Errorf("starting or stopping %s: %w", arn, err)
	}
	return nil
}

func update(ctx context.Context, t *control.Target, arn string, s settings) error {
	_, err := cloudtrail.NewFromConfig(t.AWS).UpdateTrail(ctx, &cloudtrail.UpdateTrailInput{
		Name: &arn, IsMultiRegionTrail: s.MultiRegion, IncludeGlobalServiceEvents: s.GlobalEvents, IsOrganizationTrail: s.Organization,
		EnableLogFileValidation: s.Validation, S3BucketName: s.Bucket, S3KeyPrefix: s.Prefix, KmsKeyId: s.KMSKey,
		CloudWatchLogsLogGroupArn: s.LogGroup, CloudWatchLogsRoleArn: s.Role,
	})
	if err != nil {
		return fmt.Errorf("updating %s: %w", arn, err)
	}
	return nil
}

// undo writes back what was there, if every part is still as the change left it.
func undo(ctx context.Context, t *control.Target, d control.Drift) error {
	left, err := control.Decode[change](d.After)
	if err != nil {
		return err
	}
	before, err := control.Decode[change](d.Before)
	if err != nil {
		return err
	}
	t = home(t, d.Resource)
	for _, unchanged := range []func(context.Context, *control.Target, string, change, change) (bool, error){
		settingsUnchanged, loggingUnchanged, selectorsUnchanged,
	} {
		ok, err := unchanged(ctx, t, d.Resource, left, before)
		if err != nil {
			return err
		}
		if !ok {
			return control.ErrChanged
		}
	}
	return before.write(ctx, t, d.Resource)
}

func settingsUnchanged(ctx context.Context, t *control.Target, arn string, left, _ change) (bool, error) {
	if left.settings == (settings{}) {
		return true, nil
	}
	trail, _, err := find(ctx, t, arn)
	return trail != nil && left.are(settingsOf(*trail)), err
}

func loggingUnchanged(ctx context.Context, t *control.Target, arn string, left, _ change) (bool, error) {
	if left.Logging == nil {
		return true, nil
	}
	status, err := statusOf(arn).From(ctx, t)
	return err == nil && *status.IsLogging == *left.Logging, err
}

// selectorsUnchanged says whether the trail has what mending the selectors that were there before leads to.
func selectorsUnchanged(ctx context.Context, t *control.Target, arn string, left, before change) (bool, error) {
	if !left.AllManagementEvents || before.Selectors == nil {
		return !left.AllManagementEvents, nil
	}
	now, err := selectorsOf(arn).From(ctx, t)
	if err != nil {
		return false, err
	}
	mended, err := before.Selectors.mended()
	return err == nil && now.equal(mended), err
}
