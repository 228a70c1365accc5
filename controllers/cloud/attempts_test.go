package cloud_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/google/go-cmp/cmp"

	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

func TestTheObserverHearsOfEveryAttemptAndWhatItIsFor(t *testing.T) {
	var stage cloudtest.Cloud
	answers := []error{cloudtest.Error("Throttling", "slow down"), nil, cloudtest.Error("AccessDenied", "no"), errors.New("reset")}
	cloudtest.Handle(&stage, func(cloudtest.Call, *ec2.GetEbsEncryptionByDefaultInput) (*ec2.GetEbsEncryptionByDefaultOutput, error) {
		err := answers[0]
		answers = answers[1:]
		return &ec2.GetEbsEncryptionByDefaultOutput{}, err
	})
	var heard []cloud.Attempt
	s := cloud.New(stage.Base(), func(a cloud.Attempt) { heard = append(heard, a) }, time.Now).Session(account(member), nil)
	ctx, requests := cloud.CountRequests(control.WithPurpose(context.Background(), "ebs-default-encryption"))
	for range 3 {
		_ = readFlag(ctx, s.Config(region, []string{readsFlag}))
	}
	flag := func(outcome, id string) cloud.Attempt {
		return cloud.Attempt{
			Account: member, Region: region, Service: "EC2", Operation: "GetEbsEncryptionByDefault", Outcome: outcome,
			Purpose: "ebs-default-encryption", RequestID: id,
		}
	}
	want := []cloud.Attempt{
		{Account: member, Region: "eu-central-1", Service: "STS", Operation: "AssumeRole", Outcome: "ok", Purpose: "session", RequestID: "request-1"},
		flag("throttled", "request-2"), flag("ok", "request-3"), flag("denied", "request-4"), flag("error", ""),
	}
	if diff := cmp.Diff(want, heard); diff != "" {
		t.Errorf("heard (-want +got):\n%s", diff)
	}
	if n := requests.Load(); n != int64(len(want)) {
		t.Errorf("counted %d requests of %d", n, len(want))
	}
}

// A role that cannot be assumed is a refused call of STS. The service that the role was wanted for heard nothing.
func TestWhatIsNotSentIsNoAttempt(t *testing.T) {
	var stage cloudtest.Cloud
	flagHandlers(&stage)
	stage.DenyRole(roleOf(member, "Audit"), cloudtest.Error("AccessDenied", "no"))
	var heard []string
	s := cloud.New(stage.Base(), func(a cloud.Attempt) { heard = append(heard, a.Service+" "+a.Outcome) }, time.Now).Session(account(member), nil)
	_ = readFlag(context.Background(), s.Config(region, []string{readsFlag}))
	if diff := cmp.Diff([]string{"STS denied"}, heard); diff != "" {
		t.Errorf("heard (-want +got):\n%s", diff)
	}
}
