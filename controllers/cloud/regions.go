package cloud

import (
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// regionsMaxAge is how long an account's list of enabled regions is used, regionsLastResort how long it stands in where it
// cannot be read again: one throttled call must not put a whole account in doubt.
const (
	regionsMaxAge     = 24 * time.Hour
	regionsLastResort = 2 * regionsMaxAge
)

type regionList struct {
	names []string
	at    time.Time
}

// Regions are the regions enabled in the session's account, sorted, read at most once a day, and when they were read.
func (c *Cloud) Regions(ctx context.Context, s *Session, now time.Time) ([]string, time.Time, error) {
	c.mu.Lock()
	known, ok := c.regions[s.owner.ID]
	c.mu.Unlock()
	if ok && now.Sub(known.at) < regionsMaxAge {
		return known.names, known.at, nil
	}
	names, err := readRegions(ctx, s)
	if err != nil {
		if ok && now.Sub(known.at) < regionsLastResort {
			return known.names, known.at, nil
		}
		return nil, time.Time{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.regions[s.owner.ID] = regionList{names, now}
	return names, now, nil
}

func readRegions(ctx context.Context, s *Session) ([]string, error) {
	ctx = control.WithPurpose(ctx, control.PurposeSession)
	cfg := s.Config(control.HomeRegion(s.owner.Partition), SessionReads)
	// Without AllRegions the answer holds the regions that are enabled, by default or by opting in.
	out, err := ec2.NewFromConfig(cfg).DescribeRegions(ctx, &ec2.DescribeRegionsInput{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, r := range out.Regions {
		if name := aws.ToString(r.RegionName); name != "" && aws.ToString(r.OptInStatus) != "not-opted-in" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, control.Unexpected("DescribeRegions", "any region")
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Denied asks whether a service control policy refuses the region as such.
func (c *Cloud) Denied(ctx context.Context, s *Session, region string) bool {
	return control.IsDeniedBySCP(s.Try(ctx, region))
}

// Try makes one harmless call in the region, which needs no permission but ec2:DescribeRegions.
func (s *Session) Try(ctx context.Context, region string) error {
	ctx = control.WithPurpose(ctx, control.PurposeSession)
	_, err := ec2.NewFromConfig(s.Config(region, SessionReads)).DescribeRegions(ctx, &ec2.DescribeRegionsInput{})
	return err
}
