package cloudtrail

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Trail names the organization's trail.
type Trail struct {
	Name       string `json:"name"`
	HomeRegion string `json:"homeRegion"`
}

// arn is the trail's ARN: the management account owns an organization trail, also one that the delegated administrator made
// ("Organization delegated administrator" in the CloudTrail user guide).
func (n Trail) arn(t *control.Target) (string, error) {
	switch {
	case n.Name == "" || n.HomeRegion == "":
		return "", errors.New("organizationTrail does not name the trail and its home region")
	case t.Facts.ManagementAccount == "":
		return "", errors.New("the organization's management account is not known yet")
	}
	return strings.Join([]string{"arn", t.Partition, "cloudtrail", n.HomeRegion, t.Facts.ManagementAccount, "trail/" + n.Name}, ":"), nil
}

// home is the target in the trail's home region: only there can the trail be changed.
func home(t *control.Target, arn string) *control.Target { return t.In(strings.Split(arn, ":")[3]) }

// nameOf is the trail's name in its ARN.
func nameOf(arn string) string { return arn[strings.LastIndex(arn, "/")+1:] }

// trails reads every trail seen in a region: its own and the shadows of multi-region and organization trails.
var trails = control.Read[[]types.Trail]{
	Key:     "cloudtrail.trails",
	Actions: []string{"cloudtrail:DescribeTrails"},
	Do: func(ctx context.Context, t *control.Target) ([]types.Trail, error) {
		out, err := cloudtrail.NewFromConfig(t.AWS).DescribeTrails(ctx, &cloudtrail.DescribeTrailsInput{IncludeShadowTrails: aws.Bool(true)})
		if err != nil {
			return nil, fmt.Errorf("listing trails: %w", err)
		}
		return out.TrailList, nil
	},
}

// statusOf reads whether a trail logs, and how its deliveries go.
func statusOf(arn string) control.Read[*cloudtrail.GetTrailStatusOutput] {
	return control.Read[*cloudtrail.GetTrailStatusOutput]{
		Key:     "cloudtrail.status." + arn,
		Actions: []string{"cloudtrail:GetTrailStatus"},
		Do: func(ctx context.Context, t *control.Target) (*cloudtrail.GetTrailStatusOutput, error) {
			out, err := cloudtrail.NewFromConfig(t.AWS).GetTrailStatus(ctx, &cloudtrail.GetTrailStatusInput{Name: &arn})
			if err != nil {
				return nil, fmt.Errorf("reading the status of %s: %w", arn, err)
			}
			if out.IsLogging == nil {
				return nil, control.Unexpected("GetTrailStatus", "IsLogging")
			}
			return out, nil
		},
	}
}

// find is the trail with the ARN, nil when there is none, and every other trail seen in its home region.
func find(ctx context.Context, t *control.Target, arn string) (*types.Trail, []types.Trail, error) {
	all, err := trails.From(ctx, home(t, arn))
	if err != nil {
		return nil, nil, err
	}
	var found *types.Trail
	var others []types.Trail
	for _, trail := range all {
		if aws.ToString(trail.TrailARN) == arn {
			found = &trail
		} else {
			others = append(others, trail)
		}
	}
	return found, others, nil
}

// tagsOf reads a trail's tags.
func tagsOf(arn string) control.Read[map[string]string] {
	return control.Read[map[string]string]{
		Key:     "cloudtrail.tags." + arn,
		Actions: []string{"cloudtrail:ListTags"},
		Do: func(ctx context.Context, t *control.Target) (map[string]string, error) {
			out, err := cloudtrail.NewFromConfig(t.AWS).ListTags(ctx, &cloudtrail.ListTagsInput{ResourceIdList: []string{arn}})
			if control.IsCode(err, "ResourceNotFoundException") {
				return nil, nil // a trail that is to be made is nobody's yet
			}
			if err != nil {
				return nil, fmt.Errorf("reading the tags of %s: %w", arn, err)
			}
			tags := map[string]string{}
			for _, r := range out.ResourceTagList {
				if aws.ToString(r.ResourceId) != arn {
					continue
				}
				for _, tag := range r.TagsList {
					tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
				}
				return tags, nil
			}
			return nil, control.Unexpected("ListTags", "the trail that was asked about")
		},
	}
}

// ownerOf says who manages the trail, by its tags.
func ownerOf(ctx context.Context, t *control.Target, arn string) (string, error) {
	tags, err := tagsOf(arn).From(ctx, home(t, arn))
	if err != nil {
		return "", err
	}
	return control.OwnerByTags(tags), nil
}

// observeOn judges one thing that is set on the trail; while there is no trail it waits for one.
func observeOn(ctx context.Context, t *control.Target, name Trail, judge func(types.Trail) draft) ([]control.Finding, error) {
	arn, err := name.arn(t)
	if err != nil {
		return nil, err
	}
	trail, _, err := find(ctx, t, arn)
	if err != nil {
		return nil, err
	}
	if trail == nil {
		return []control.Finding{{
			Drift: control.Drift{Resource: arn}, Outcome: control.Waiting, Reason: v1alpha1.RowWaiting,
			Message: "there is no trail " + name.Name + " in " + name.HomeRegion + " yet; organizationTrail says what to do",
		}}, nil
	}
	return judge(*trail).finding(arn), nil
}

// draft is a drift of the trail in the making: the changes of one risk. unknown is what could not be judged.
type draft struct {
	risk          control.Risk
	fields        []control.Field
	before, after change
	message       string
	unknown       []error
}

func (d *draft) cannotTell(err error) { d.unknown = append(d.unknown, err) }

func (d *draft) departs(path, want, got string) {
	d.fields = append(d.fields, control.Field{Path: path, Want: want, Got: control.Bounded(got, 256)})
}

// finding is what the draft has come to: nothing when the trail is as it should be.
func (d draft) finding(arn string) []control.Finding {
	var found []control.Finding
	for _, err := range d.unknown {
		found = append(found, control.Unreadable(arn, err))
	}
	if len(d.fields) == 0 {
		return found
	}
	f := control.Finding{Message: d.message, Drift: control.Drift{
		Resource: arn, Risk: d.risk, Fields: d.fields, Before: control.JSON(d.before), After: control.JSON(d.after),
	}}
	if control.OwnerByName(arn) == control.ControlTower {
		f.Risk, f.Message = control.ReportOnly, control.ControlTower+" owns this trail: "+control.OwnerEffect(control.ControlTower)+
			"; change it there, or declare a trail of your own"
	}
	return append(found, f)
}

func onOff(on bool) string {
	if on {
		return string(v1alpha1.Enabled)
	}
	return string(v1alpha1.Disabled)
}
