package cloudtrail

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

// creationCases are those of OrganizationTrail where the trail is missing.
func creationCases() []controltest.Case[v1alpha1.OrganizationTrail] {
	never := section(nil)
	ifMissing := section(func(s *v1alpha1.OrganizationTrail) {
		s.Create, s.Bucket.Prefix = v1alpha1.CreateIfMissing, "organization"
	})
	missing := func(risk control.Risk, got string) []control.Finding {
		return []control.Finding{drift(risk, field("name", "org-trail in eu-central-1", got))}
	}
	stopped := []control.Finding{drift(control.Safe, field("logging", "Enabled", "Disabled"))}
	otherLogs := missing(control.ReportOnly, "no such trail; "+otherARN+" logs")
	otherLogs[0].Message = "not created: " + otherARN + " records management events of the organization, and a second copy of them is " +
		"billed; declare that trail, or stop it first"

	return []controltest.Case[v1alpha1.OrganizationTrail]{
		{
			Name: "a missing trail is reported with what to do", Want: never, AWS: stage(),
			Findings: missing(control.ReportOnly, "no such trail"),
		},
		{
			Name: "a trail of the same name that is the delegated administrator's own is not the organization's", Want: never,
			AWS:      stage(trailLike("arn:aws:cloudtrail:eu-central-1:"+controltest.Account+":trail/org-trail", nil)),
			Findings: missing(control.ReportOnly, "no such trail"),
		},
		{
			Name: "a missing trail is created where that is declared; undoing that stops it", Want: ifMissing, AWS: stage(),
			Findings: missing(control.Disruptive, "no such trail"), AfterUndo: stopped,
		},
		{
			Name: "no second trail is created while another one of the organization logs", Want: ifMissing,
			AWS:      stage(trailLike(otherARN, nil)),
			Findings: otherLogs,
		},
		{
			Name: "a trail of the organization that is stopped, one that is blind and one of an account do not stand in the way", Want: ifMissing,
			Target: asManagement,
			AWS: stage(
				trailLike(otherARN, func(t *fakeTrail) { t.status.IsLogging = aws.Bool(false) }),
				trailLike(otherARN+"-2", blind(basic(types.ReadWriteTypeAll, false, nil, "arn:aws:s3:::payments/"))),
				trailLike(otherARN+"-3", func(t *fakeTrail) { t.IsOrganizationTrail = aws.Bool(false) }),
			),
			Findings: missing(control.Disruptive, "no such trail"), AfterUndo: stopped,
		},
		{
			Name: "nothing is created while it cannot be told whether another trail logs", Want: ifMissing,
			AWS: func(c *cloudtest.Cloud) {
				stage(trailLike(otherARN, nil))(c)
				c.Deny("cloudtrail:GetEventSelectors", awsError("ThrottlingException"))
			},
			Findings: []control.Finding{{
				Drift: control.Drift{Resource: trailARN}, Outcome: control.Unknown, Reason: control.ReasonThrottled,
			}},
		},
	}
}

// target is a target in the delegated administrator's account with every permission of the control.
func target(c *cloudtest.Cloud) *control.Target {
	return control.NewTarget(control.Target{
		Account: controltest.Account, Partition: "aws", Region: "us-east-1", Now: controltest.Now,
		Facts: control.Facts{ManagementAccount: controltest.Management},
	}, c.Connector(controltest.Account), OrganizationTrail.Actions(), nil, nil)
}

var creation = control.Drift{Resource: trailARN, Before: control.JSON(change{Logging: aws.Bool(false)}), After: control.JSON(change{
	Create: true, Logging: aws.Bool(true), settings: settings{Bucket: aws.String("log-archive"), Prefix: aws.String("")},
})}

func TestCreationIsRefusedWhenAnotherTrailHasBegunToLog(t *testing.T) {
	c := &cloudtest.Cloud{}
	stage(trailLike(otherARN, nil))(c)
	err := remediate(context.Background(), target(c), creation)
	if !errors.Is(err, errOtherTrail) || !strings.Contains(err.Error(), otherARN) {
		t.Errorf("got %v, want a refusal that names %s", err, otherARN)
	}
}

func TestACreationThatBrokeOffIsCompleted(t *testing.T) {
	c := &cloudtest.Cloud{}
	stage()(c)
	c.Deny("cloudtrail:StartLogging", nil)
	if err := remediate(context.Background(), target(c), creation); !control.IsAccessDenied(err) {
		t.Fatalf("the first try: got %v, want access denied", err)
	}
	c.Allow("cloudtrail:StartLogging")
	if err := remediate(context.Background(), target(c), creation); err != nil {
		t.Fatalf("the second try: %v", err)
	}
	status, err := statusOf(trailARN).From(context.Background(), target(c).In(region))
	if err != nil || !*status.IsLogging {
		t.Errorf("the trail does not log: %v", err)
	}
}
