package cloudtrail

import (
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

const (
	region   = "eu-central-1"
	trailARN = "arn:aws:cloudtrail:eu-central-1:" + controltest.Management + ":trail/org-trail"
	otherARN = "arn:aws:cloudtrail:us-east-1:" + controltest.Management + ":trail/old-trail"
	keyARN   = "arn:aws:kms:eu-central-1:222233334444:key/ours"
	badKey   = "arn:aws:kms:eu-central-1:222233334444:key/closed"
)

// fakeTrail is one trail: its settings, its status, and its selectors.
type fakeTrail struct {
	types.Trail
	status    cloudtrail.GetTrailStatusOutput
	selectors selectors
	tags      []types.Tag
}

// trailLike is a trail with everything right, changed by edit. It has logged for long and delivered a moment ago.
func trailLike(arn string, edit func(*fakeTrail)) fakeTrail {
	f := fakeTrail{
		Trail: types.Trail{
			TrailARN: aws.String(arn), Name: aws.String(nameOf(arn)), HomeRegion: aws.String(strings.Split(arn, ":")[3]),
			IsOrganizationTrail: aws.Bool(true), IsMultiRegionTrail: aws.Bool(true), IncludeGlobalServiceEvents: aws.Bool(true),
			LogFileValidationEnabled: aws.Bool(true), S3BucketName: aws.String("log-archive"),
		},
		status: cloudtrail.GetTrailStatusOutput{
			IsLogging: aws.Bool(true), StartLoggingTime: aws.Time(controltest.Now.AddDate(-1, 0, 0)),
			LatestDeliveryTime: aws.Time(controltest.Now.Add(-5 * time.Minute)),
		},
		selectors: selectors{Basic: []types.EventSelector{basic(types.ReadWriteTypeAll, true, nil)}},
	}
	if edit != nil {
		edit(&f)
	}
	return f
}

func basic(kind types.ReadWriteType, management bool, without []string, data ...string) types.EventSelector {
	e := types.EventSelector{
		ReadWriteType: kind, IncludeManagementEvents: aws.Bool(management), ExcludeManagementEventSources: append([]string{}, without...),
		DataResources: []types.DataResource{},
	}
	if len(data) > 0 {
		e.DataResources = []types.DataResource{{Type: aws.String("AWS::S3::Object"), Values: data}}
	}
	return e
}

func advanced(name string, fields ...types.AdvancedFieldSelector) types.AdvancedEventSelector {
	return types.AdvancedEventSelector{Name: aws.String(name), FieldSelectors: fields}
}

func equals(field string, values ...string) types.AdvancedFieldSelector {
	return types.AdvancedFieldSelector{Field: aws.String(field), Equals: values}
}

// fake is CloudTrail as it documents itself.
type fake struct{ trails []*fakeTrail }

// stage sets the trails up.
func stage(trails ...fakeTrail) func(*cloudtest.Cloud) {
	return func(c *cloudtest.Cloud) {
		f := &fake{}
		for _, t := range trails {
			f.trails = append(f.trails, &t)
		}
		f.reads(c)
		f.writes(c)
	}
}

// ofStack has CloudFormation manage the trail.
func ofStack(edit func(*fakeTrail)) func(*fakeTrail) {
	return func(t *fakeTrail) {
		t.tags = []types.Tag{
			{Key: aws.String("team"), Value: aws.String("security")},
			{Key: aws.String("aws:cloudformation:stack-name"), Value: aws.String("AWSAccelerator-LoggingStack")},
		}
		if edit != nil {
			edit(t)
		}
	}
}

// theStack is the owner of what ofStack tags.
const theStack = "Landing Zone Accelerator (CloudFormation stack AWSAccelerator-LoggingStack)"

func awsError(code string) error { return cloudtest.Error(code, code) }

// seen are the trails that an account sees in a region: its own and, as a member, those of the organization; of other regions
// only multi-region trails.
func (f *fake) seen(call cloudtest.Call) []*fakeTrail {
	var all []*fakeTrail
	for _, t := range f.trails {
		owner := strings.Split(*t.TrailARN, ":")[4] == call.Account
		here := *t.HomeRegion == call.Region
		if (owner || aws.ToBool(t.IsOrganizationTrail)) && (here || aws.ToBool(t.IsMultiRegionTrail)) {
			all = append(all, t)
		}
	}
	return all
}

func (f *fake) find(call cloudtest.Call, arn *string) (*fakeTrail, error) {
	for _, t := range f.seen(call) {
		if *t.TrailARN == *arn {
			return t, nil
		}
	}
	return nil, awsError("TrailNotFoundException")
}

func (f *fake) findAtHome(call cloudtest.Call, arn *string) (*fakeTrail, error) {
	t, err := f.find(call, arn)
	if err == nil && *t.HomeRegion != call.Region {
		err = awsError("InvalidHomeRegionException")
	}
	return t, err
}

func (f *fake) reads(c *cloudtest.Cloud) {
	cloudtest.Handle(c, f.listTags)
	cloudtest.Handle(c, func(call cloudtest.Call, in *cloudtrail.DescribeTrailsInput) (*cloudtrail.DescribeTrailsOutput, error) {
		out := &cloudtrail.DescribeTrailsOutput{}
		for _, t := range f.seen(call) {
			if aws.ToBool(in.IncludeShadowTrails) {
				out.TrailList = append(out.TrailList, t.Trail)
			}
		}
		return out, nil
	})
	cloudtest.Handle(c, func(call cloudtest.Call, in *cloudtrail.GetTrailStatusInput) (*cloudtrail.GetTrailStatusOutput, error) {
		t, err := f.find(call, in.Name)
		if err != nil {
			return nil, err
		}
		status := t.status
		return &status, nil
	})
	cloudtest.Handle(c, func(call cloudtest.Call, in *cloudtrail.GetEventSelectorsInput) (*cloudtrail.GetEventSelectorsOutput, error) {
		t, err := f.findAtHome(call, in.TrailName)
		if err != nil {
			return nil, err
		}
		return &cloudtrail.GetEventSelectorsOutput{
			TrailARN: t.TrailARN, EventSelectors: t.selectors.Basic, AdvancedEventSelectors: t.selectors.Advanced,
		}, nil
	})
}

// listTags answers for the trails of one region: those that have their home there.
func (f *fake) listTags(call cloudtest.Call, in *cloudtrail.ListTagsInput) (*cloudtrail.ListTagsOutput, error) {
	out := &cloudtrail.ListTagsOutput{}
	for _, arn := range in.ResourceIdList {
		t, err := f.findAtHome(call, &arn)
		if err != nil {
			return nil, awsError("ResourceNotFoundException")
		}
		out.ResourceTagList = append(out.ResourceTagList, types.ResourceTag{ResourceId: t.TrailARN, TagsList: t.tags})
	}
	return out, nil
}

func (f *fake) writes(c *cloudtest.Cloud) {
	cloudtest.Handle(c, f.create)
	cloudtest.Handle(c, f.update)
	cloudtest.Handle(c, f.putSelectors)
	cloudtest.Handle(c, func(call cloudtest.Call, in *cloudtrail.StartLoggingInput) (*cloudtrail.StartLoggingOutput, error) {
		t, err := f.findAtHome(call, in.Name)
		if err == nil && !aws.ToBool(t.status.IsLogging) {
			t.status.IsLogging, t.status.StartLoggingTime = aws.Bool(true), aws.Time(controltest.Now)
		}
		return &cloudtrail.StartLoggingOutput{}, err
	})
	cloudtest.Handle(c, func(call cloudtest.Call, in *cloudtrail.StopLoggingInput) (*cloudtrail.StopLoggingOutput, error) {
		t, err := f.findAtHome(call, in.Name)
		if err == nil {
			t.status.IsLogging = aws.Bool(false)
		}
		return &cloudtrail.StopLoggingOutput{}, err
	})
}

// create makes a trail: of the management account when it is of the organization, not logging yet, with the selectors that a
// new trail has.
func (f *fake) create(call cloudtest.Call, in *cloudtrail.CreateTrailInput) (*cloudtrail.CreateTrailOutput, error) {
	owner := call.Account
	if aws.ToBool(in.IsOrganizationTrail) {
		owner = controltest.Management
	}
	arn := strings.Join([]string{"arn:aws:cloudtrail", call.Region, owner, "trail/" + *in.Name}, ":")
	for _, t := range f.trails {
		if *t.TrailARN == arn {
			return nil, awsError("TrailAlreadyExistsException")
		}
	}
	made := trailLike(arn, func(t *fakeTrail) {
		t.IsOrganizationTrail, t.IsMultiRegionTrail, t.IncludeGlobalServiceEvents = in.IsOrganizationTrail, in.IsMultiRegionTrail, in.IncludeGlobalServiceEvents
		t.LogFileValidationEnabled = aws.Bool(aws.ToBool(in.EnableLogFileValidation))
		t.S3BucketName, t.S3KeyPrefix = in.S3BucketName, in.S3KeyPrefix
		t.status = cloudtrail.GetTrailStatusOutput{IsLogging: aws.Bool(false)}
	})
	f.trails = append(f.trails, &made)
	return &cloudtrail.CreateTrailOutput{TrailARN: aws.String(arn)}, nil
}

// update keeps what is absent and takes away what is empty.
func (f *fake) update(call cloudtest.Call, in *cloudtrail.UpdateTrailInput) (*cloudtrail.UpdateTrailOutput, error) {
	t, err := f.findAtHome(call, in.Name)
	if err != nil {
		return nil, err
	}
	after := t.Trail
	flag := func(to **bool, from *bool) {
		if from != nil {
			*to = from
		}
	}
	text := func(to **string, from *string) {
		switch {
		case from != nil && *from == "":
			*to = nil
		case from != nil:
			*to = from
		}
	}
	flag(&after.IsOrganizationTrail, in.IsOrganizationTrail)
	flag(&after.IsMultiRegionTrail, in.IsMultiRegionTrail)
	flag(&after.IncludeGlobalServiceEvents, in.IncludeGlobalServiceEvents)
	flag(&after.LogFileValidationEnabled, in.EnableLogFileValidation)
	text(&after.S3BucketName, in.S3BucketName)
	text(&after.S3KeyPrefix, in.S3KeyPrefix)
	text(&after.KmsKeyId, in.KmsKeyId)
	text(&after.CloudWatchLogsLogGroupArn, in.CloudWatchLogsLogGroupArn)
	text(&after.CloudWatchLogsRoleArn, in.CloudWatchLogsRoleArn)
	switch {
	case *after.IsMultiRegionTrail && !*after.IncludeGlobalServiceEvents:
		return nil, awsError("InvalidParameterCombinationException")
	case (after.CloudWatchLogsLogGroupArn == nil) != (after.CloudWatchLogsRoleArn == nil):
		return nil, awsError("InvalidParameterCombinationException")
	case aws.ToString(after.KmsKeyId) == badKey:
		return nil, awsError("InsufficientEncryptionPolicyException")
	}
	t.Trail = after
	return &cloudtrail.UpdateTrailOutput{TrailARN: t.TrailARN}, nil
}

// putSelectors writes the whole list in one form, and the other form is gone.
func (f *fake) putSelectors(call cloudtest.Call, in *cloudtrail.PutEventSelectorsInput) (*cloudtrail.PutEventSelectorsOutput, error) {
	t, err := f.findAtHome(call, in.TrailName)
	if err != nil {
		return nil, err
	}
	if (len(in.EventSelectors) == 0) == (len(in.AdvancedEventSelectors) == 0) || len(in.EventSelectors) > 5 {
		return nil, awsError("InvalidEventSelectorsException")
	}
	t.selectors = selectors{Advanced: in.AdvancedEventSelectors}
	for _, e := range in.EventSelectors {
		// AWS answers empty lists where none were sent.
		e.ExcludeManagementEventSources = append([]string{}, e.ExcludeManagementEventSources...)
		e.DataResources = append([]types.DataResource{}, e.DataResources...)
		t.selectors.Basic = append(t.selectors.Basic, e)
	}
	return &cloudtrail.PutEventSelectorsOutput{TrailARN: t.TrailARN}, nil
}

// asManagement plays a case in the management account. Otherwise cases play in the delegated administrator's.
func asManagement(t *control.Target) { t.Account = controltest.Management }

func drift(risk control.Risk, fields ...control.Field) control.Finding {
	return control.Finding{Drift: control.Drift{Resource: trailARN, Risk: risk, Fields: fields}}
}

func field(path, want, got string) control.Field {
	return control.Field{Path: path, Want: want, Got: got}
}

func unexpected() control.Finding {
	return control.Finding{
		Drift: control.Drift{Resource: trailARN}, Outcome: control.Unknown, Reason: control.ReasonUnexpectedData,
	}
}
