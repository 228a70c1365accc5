package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

const (
	member     = "111122223333"
	admin      = "222233334444"
	management = "123456789012"

	ireland   = "eu-west-1"
	frankfurt = "eu-central-1"
	home      = "us-east-1"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// lake is an AWS in which volumes are encrypted or not, and an engine over it whose clock a test sets.
type lake struct {
	cloudtest.Cloud
	*Engine
	entrance *cloud.Cloud

	mu      sync.Mutex
	now     time.Time
	volumes map[string]map[string]bool // account and region -> volume -> encrypted
	// hidden is how many looks do not show a write yet; forever when negative.
	hidden int
	shows  map[string]int // volume -> looks until its write shows
	// heard is what the recorder heard.
	heard []string
	// onWrite is called in every write, before it takes effect. Nil: nothing.
	onWrite func(t *control.Target, volume string) error
}

func newLake(t *testing.T, limits Limits) *lake {
	t.Helper()
	l := &lake{now: noon, volumes: map[string]map[string]bool{}, shows: map[string]int{}}
	l.entrance = cloud.New(l.Base(), nil, time.Now)
	l.Engine = New(limits, l, l.clock)
	l.sleep = func(ctx context.Context, d time.Duration) bool {
		l.pass(d)
		return ctx.Err() == nil
	}
	cloudtest.Handle(&l.Cloud, l.describe)
	cloudtest.Handle(&l.Cloud, func(cloudtest.Call, *ec2.EnableEbsEncryptionByDefaultInput) (*ec2.EnableEbsEncryptionByDefaultOutput, error) {
		return &ec2.EnableEbsEncryptionByDefaultOutput{}, nil
	})
	cloudtest.Handle(&l.Cloud, func(cloudtest.Call, *ec2.DescribeRegionsInput) (*ec2.DescribeRegionsOutput, error) {
		return &ec2.DescribeRegionsOutput{}, nil
	})
	return l
}

func (l *lake) clock() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

// pass lets time pass.
func (l *lake) pass(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = l.now.Add(d)
}

// leave makes volumes that are not encrypted.
func (l *lake) leave(account, region string, volumes ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.volumes[account+region] == nil {
		l.volumes[account+region] = map[string]bool{}
	}
	for _, v := range volumes {
		l.volumes[account+region][v] = false
	}
}

func (l *lake) describe(call cloudtest.Call, _ *ec2.DescribeVolumesInput) (*ec2.DescribeVolumesOutput, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := &ec2.DescribeVolumesOutput{}
	for v, encrypted := range l.volumes[call.Account+call.Region] {
		if n := l.shows[v]; encrypted && n != 0 {
			l.shows[v], encrypted = n-1, false
		}
		out.Volumes = append(out.Volumes, types.Volume{VolumeId: aws.String(v), Encrypted: aws.Bool(encrypted)})
	}
	slices.SortFunc(out.Volumes, func(a, b types.Volume) int { return strings.Compare(*a.VolumeId, *b.VolumeId) })
	return out, nil
}

// write encrypts a volume.
func (l *lake) write(ctx context.Context, t *control.Target, volume string) error {
	_, err := ec2.NewFromConfig(t.AWS).EnableEbsEncryptionByDefault(ctx, &ec2.EnableEbsEncryptionByDefaultInput{})
	if err != nil {
		return err
	}
	if l.onWrite != nil {
		if err := l.onWrite(t, volume); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil { // as a further call would fail
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.volumes[t.Account+t.Region][volume] = true
	l.shows[volume] = l.hidden
	return nil
}

func (l *lake) Changing(_ context.Context, c Change) {
	l.hear("changing " + c.Region + " " + c.Resource)
}

func (l *lake) Changed(_ context.Context, c Change, err error) {
	if err != nil {
		l.hear("failed " + c.Region + " " + c.Resource)
		return
	}
	l.hear("changed " + c.Region + " " + c.Resource)
}

func (l *lake) Observed(string, string, time.Duration) {}

func (l *lake) hear(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard = append(l.heard, what)
}

// changed are the volumes that were changed, in the order in which they were, and forgets them.
func (l *lake) changed() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, h := range l.heard {
		if volume, ok := strings.CutPrefix(h, "changed "); ok {
			all = append(all, volume)
		}
	}
	l.heard = nil
	return all
}

type section struct{ v1alpha1.ControlSpec }

// encrypted is the control that volumes are encrypted. change alters it.
func (l *lake) encrypted(change ...func(*control.Control[section])) control.Bound {
	c := control.Control[section]{
		Meta: control.Meta{
			ID: "ebs-encrypted", Title: "t", Doc: "d", Scope: control.Region, Risk: control.Safe, Severity: v1alpha1.SeverityHigh,
			Protects: true,
			Reads:    []string{"ec2:DescribeVolumes"}, Writes: []string{"ec2:EnableEbsEncryptionByDefault"}, Grants: []string{"kms:CreateGrant"},
		},
		Observe: l.observeVolumes,
		Remediate: func(ctx context.Context, t *control.Target, d control.Drift) error {
			return l.write(ctx, t, d.Resource)
		},
		Undo: func(context.Context, *control.Target, control.Drift) error { return nil },
	}
	for _, f := range change {
		f(&c)
	}
	return c.With(&section{v1alpha1.ControlSpec{State: v1alpha1.Enabled}})
}

func (l *lake) observeVolumes(ctx context.Context, t *control.Target, _ section) ([]control.Finding, error) {
	out, err := ec2.NewFromConfig(t.AWS).DescribeVolumes(ctx, &ec2.DescribeVolumesInput{})
	if err != nil {
		return nil, fmt.Errorf("listing volumes: %w", err)
	}
	var found []control.Finding
	for _, v := range out.Volumes {
		if !*v.Encrypted {
			found = append(found, control.Finding{Drift: drift(*v.VolumeId)})
		}
	}
	return found, nil
}

func drift(volume string) control.Drift {
	return control.Drift{
		Resource: volume, Fields: []control.Field{{Path: "encrypted", Want: "true", Got: "false"}},
		Before: control.JSON(false), After: control.JSON(true),
	}
}

// enforced is a task that may change what is Safe.
func enforced(b control.Bound, region string) Task {
	return Task{
		Control: b, Baseline: "EncryptionBaseline/organization", Region: region, Regions: []string{ireland, frankfurt},
		Mode: v1alpha1.ModeEnforce, Approval: v1alpha1.ApprovalDisruptive,
	}
}

func roleOf(account, name string) string {
	return "arn:aws:iam::" + account + ":role/plumbline/Plumbline" + name
}

func entry(account string) cloud.Account {
	return cloud.Account{ID: account, Partition: "aws", AuditRole: roleOf(account, "Audit"), EnforceRole: roleOf(account, "Enforce")}
}

// run runs a pass of an account over tasks, which are all that is planned.
func (l *lake) run(account string, tasks ...Task) []Result {
	return l.runOf(context.Background(), account, tasks, tasks)
}

func (l *lake) runOf(ctx context.Context, account string, planned, due []Task) []Result {
	admins := map[string]cloud.Account{"guardduty": entry(admin), "management": entry(management)}
	p := Pass{
		Account: account, Partition: "aws",
		Facts:  control.Facts{ManagementAccount: management, Administrators: map[string]string{"guardduty": admin}},
		Reader: Enter(l.entrance, l.entrance.Session(entry(account), admins)),
	}
	for i := range due {
		p.Tasks = append(p.Tasks, &due[i])
	}
	for _, t := range planned {
		p.Planned = append(p.Planned, t.ID())
	}
	return l.Run(ctx, p)
}

// reasons are the findings of results in short: the region, the resource and why it stands.
func reasons(results []Result) []string {
	all := []string{}
	for _, r := range results {
		switch {
		case r.Skipped:
			all = append(all, r.Region+" skipped")
		case r.Denied:
			all = append(all, r.Region+" denied")
		}
		for _, j := range r.Findings {
			s := r.Region + " " + j.Resource + " " + string(j.Outcome) + j.Reason
			if j.Failed {
				s += " failed"
			}
			all = append(all, s)
		}
	}
	return all
}

func names(prefix string, n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("%s%02d", prefix, i))
	}
	return all
}
