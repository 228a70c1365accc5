package cloud_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func regionsAnswer(stage *cloudtest.Cloud, regions []types.Region, err error) {
	cloudtest.Handle(stage, func(cloudtest.Call, *ec2.DescribeRegionsInput) (*ec2.DescribeRegionsOutput, error) {
		return &ec2.DescribeRegionsOutput{Regions: regions}, err
	})
}

func enabled(names ...string) []types.Region {
	var all []types.Region
	for _, n := range names {
		all = append(all, types.Region{RegionName: aws.String(n), OptInStatus: aws.String("opt-in-not-required")})
	}
	return all
}

func TestRegions(t *testing.T) {
	denied := cloudtest.Error("UnauthorizedOperation", "no")
	type ask struct {
		at     time.Duration // after noon
		answer []types.Region
		err    error
		forget bool
		want   []string // nil: an error
		read   time.Duration
	}
	for name, asks := range map[string][]ask{
		"they are sorted, named once, and only those that are enabled": {{answer: append(enabled("us-east-1", "eu-west-1", "eu-west-1"),
			types.Region{RegionName: aws.String("af-south-1"), OptInStatus: aws.String("not-opted-in")},
			types.Region{RegionName: aws.String("ap-east-1"), OptInStatus: aws.String("opted-in")}, types.Region{}),
			want: []string{"ap-east-1", "eu-west-1", "us-east-1"}}},
		"they are read once a day": {
			{answer: enabled("eu-west-1"), want: []string{"eu-west-1"}},
			{at: 24*time.Hour - 1, answer: enabled("us-east-1"), want: []string{"eu-west-1"}},
			{at: 24 * time.Hour, answer: enabled("us-east-1"), want: []string{"us-east-1"}, read: 24 * time.Hour},
		},
		"no region at all is no answer":       {{answer: nil, want: nil}},
		"what cannot be read is an error":     {{err: denied, want: nil}, {at: time.Minute, answer: enabled("eu-west-1"), want: []string{"eu-west-1"}, read: time.Minute}},
		"a list stands in for one day longer": {{answer: enabled("eu-west-1"), want: []string{"eu-west-1"}}, {at: 30 * time.Hour, err: denied, want: []string{"eu-west-1"}}, {at: 48 * time.Hour, err: denied, want: nil}},
		"forgetting reads it anew": {
			{answer: enabled("eu-west-1"), want: []string{"eu-west-1"}},
			{at: time.Minute, answer: enabled("us-east-1"), forget: true, want: []string{"us-east-1"}, read: time.Minute},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var stage cloudtest.Cloud
			entrance := cloud.New(stage.Base(), nil, time.Now)
			for i, a := range asks {
				regionsAnswer(&stage, a.answer, a.err)
				if a.forget {
					entrance.Forget(member)
				}
				got, at, err := entrance.Regions(context.Background(), entrance.Session(account(member), nil), noon.Add(a.at))
				if (err != nil) != (a.want == nil) {
					t.Fatalf("ask %d: %v", i, err)
				}
				if diff := cmp.Diff(a.want, got); diff != "" {
					t.Errorf("ask %d (-want +got):\n%s", i, diff)
				}
				if err == nil && !at.Equal(noon.Add(a.read)) {
					t.Errorf("ask %d: read at %v", i, at)
				}
			}
		})
	}
}

func TestRegionsWithoutARegionAreUnexpected(t *testing.T) {
	var stage cloudtest.Cloud
	regionsAnswer(&stage, []types.Region{{}}, nil)
	entrance := cloud.New(stage.Base(), nil, time.Now)
	_, _, err := entrance.Regions(context.Background(), entrance.Session(account(member), nil), noon)
	if !errors.Is(err, control.ErrUnexpected) {
		t.Errorf("got %v", err)
	}
}

func TestDenied(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"a region that answers":              {nil, false},
		"a region that the policy refuses":   {cloudtest.Error("UnauthorizedOperation", "explicit deny in a service control policy"), true},
		"a permission that the role lacks":   {cloudtest.Error("UnauthorizedOperation", "no identity-based policy allows it"), false},
		"a region that does not answer":      {errors.New("reset"), false},
		"a region that is not enabled":       {cloudtest.Error("AuthFailure", "AWS was not able to validate"), false},
		"a policy named in some other error": {cloudtest.Error("InternalError", "a service control policy"), false},
	} {
		t.Run(name, func(t *testing.T) {
			var stage cloudtest.Cloud
			regionsAnswer(&stage, enabled("eu-west-1"), tc.err)
			entrance := cloud.New(stage.Base(), nil, time.Now)
			if got := entrance.Denied(context.Background(), entrance.Session(account(member), nil), "eu-west-1"); got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
