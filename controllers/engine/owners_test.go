package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// registry says who manages which volume, and whom it was asked about. It asks AWS, so that the role that asks is seen.
type registry struct {
	mu    sync.Mutex
	of    map[string]string
	err   error
	asked []string
}

func (r *registry) owner(ctx context.Context, t *control.Target, volume string) (string, error) {
	_, err := ec2.NewFromConfig(t.AWS).DescribeVolumes(ctx, &ec2.DescribeVolumesInput{VolumeIds: []string{volume}})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, t.Region+" "+volume)
	if err == nil {
		err = r.err
	}
	return r.of[volume], err
}

// questions are what was asked about, and forgets them.
func (r *registry) questions() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := slices.Sorted(slices.Values(r.asked))
	r.asked = nil
	return asked
}

// owning is a control of volumes that the registry knows the owners of.
func (l *lake) owning(r *registry, change ...func(*control.Control[section])) control.Bound {
	return l.encrypted(append([]func(*control.Control[section]){func(c *control.Control[section]) { c.Owner = r.owner }}, change...)...)
}

// book is a Ledger that approves of what it is told to.
type book struct {
	approved map[string]bool
	refused  map[string]bool
	proposed []Planned
	unseen   []string
	watched  []string // resources of which it asks whether they were seen
	begun    []Planned
	// handsOver is what it says of changes that it lets nobody write; empty: it lets all be written.
	handsOver string
}

func (b *book) Refused(p Plan) []Ruling {
	all := make([]Ruling, len(p.Changes))
	for i, c := range p.Changes {
		if b.refused[c.Drift.Resource] {
			all[i] = Ruling{Record: "rem-0", Message: "rejected by bob"}
		}
	}
	return all
}

func (b *book) Propose(_ context.Context, p Plan) []Ruling {
	b.proposed = append(b.proposed, p.Changes...)
	for _, resource := range b.watched {
		if !p.Saw(ireland, resource) {
			b.unseen = append(b.unseen, resource)
		}
	}
	var all []Ruling
	for _, c := range p.Changes {
		all = append(all, Ruling{Approved: b.approved[c.Drift.Resource], Record: "rem-1"})
	}
	return all
}

func (b *book) Begin(_ context.Context, p Plan) ([]Ruling, error) {
	if b.handsOver != "" {
		return slices.Repeat([]Ruling{{Record: "rem-2", Message: b.handsOver}}, len(p.Changes)), nil
	}
	b.begun = append(b.begun, p.Changes...)
	return slices.Repeat([]Ruling{{Approved: true}}, len(p.Changes)), nil
}

// kept runs a pass with a ledger.
func (l *lake) kept(b *book, tasks ...Task) []Result {
	p := Pass{
		Account: member, Partition: "aws", Ledger: b, HandsOver: b.handsOver != "",
		Facts:  control.Facts{ManagementAccount: management},
		Reader: Enter(l.entrance, l.entrance.Session(entry(member), nil)),
	}
	for i := range tasks {
		p.Tasks, p.Planned = append(p.Tasks, &tasks[i]), append(p.Planned, tasks[i].ID())
	}
	return l.Run(context.Background(), p)
}

const web = "CloudFormation stack web"

func TestWhatSomebodyElseManagesIsProposedAndNotWritten(t *testing.T) {
	for name, tc := range map[string]struct {
		change   func(*Task)
		of       map[string]string
		err      error
		volume   string
		findings []string
		proposed []string
		message  string
	}{
		"a Safe change": {
			of: map[string]string{"v": web}, findings: []string{"eu-west-1 v AwaitingApproval"}, proposed: []string{"v of CloudFormation stack web"},
			message: "managed by CloudFormation stack web: the next update of the stack reverts a change or fails over it; better changed in its " +
				"template; would set encrypted from false to true (Safe); waits for an approval in every mode",
		},
		"where nothing but what is Irreversible waits": {
			change: func(t *Task) { t.Approval = v1alpha1.ApprovalIrreversible }, of: map[string]string{"v": web},
			findings: []string{"eu-west-1 v AwaitingApproval"}, proposed: []string{"v of CloudFormation stack web"}, message: "managed by CloudFormation stack web",
		},
		"where everything waits, it is told all the same": {
			change: func(t *Task) { t.Approval = v1alpha1.ApprovalAll }, of: map[string]string{"v": web},
			findings: []string{"eu-west-1 v AwaitingApproval"}, proposed: []string{"v of CloudFormation stack web"}, message: "managed by CloudFormation stack web",
		},
		"what somebody has undone": {
			change: func(t *Task) { t.Withdrawn = func(control.Drift) string { return "alice" } }, of: map[string]string{"v": web},
			findings: []string{"eu-west-1 v AwaitingApproval"}, proposed: []string{"v of CloudFormation stack web"},
			message: "undone by alice; put right again once it is approved; managed by CloudFormation stack web",
		},
		"an owner that cannot be read": {
			err:      cloudtest.Error("AccessDenied", "no"),
			findings: []string{"eu-west-1 v AwaitingApproval"}, proposed: []string{"v unread"}, message: "who manages it could not be read (AccessDenied: AccessDenied: no",
		},
		"a control that panics over it": {
			volume: "panic", findings: []string{"eu-west-1 panic AwaitingApproval"}, proposed: []string{"panic unread"}, message: "who manages it could not be read",
		},
		"a name that tells": {
			volume: "aws-controltower-v", findings: []string{"eu-west-1 aws-controltower-v AwaitingApproval"},
			proposed: []string{"aws-controltower-v of AWS Control Tower"}, message: "managed by AWS Control Tower: it takes a change for drift",
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, volume := newLake(t, Limits{}), tc.volume
			if volume == "" {
				volume = "v"
			}
			l.leave(member, ireland, volume)
			r := &registry{of: tc.of, err: tc.err}
			task := enforced(l.owning(r, func(c *control.Control[section]) {
				c.Owner = func(ctx context.Context, t *control.Target, v string) (string, error) {
					if v == "panic" {
						panic("nil map")
					}
					return r.owner(ctx, t, v)
				}
			}), ireland)
			if tc.change != nil {
				tc.change(&task)
			}
			b := &book{}
			got := l.kept(b, task)
			compare(t, "findings", tc.findings, reasons(got))
			compare(t, "proposed", tc.proposed, owners(b.proposed))
			compare(t, "written", []string(nil), l.changed())
			if m := got[0].Findings[0].Message; !strings.HasPrefix(m, tc.message) {
				t.Errorf("message %q, want %q", m, tc.message)
			}
			for _, s := range l.Sessions() {
				compare(t, "role", roleOf(member, "Audit"), s.Role)
			}
			compare(t, "without a ledger", tc.findings, reasons(l.run(member, task)))
			compare(t, "written without a ledger", []string(nil), l.changed())

			b.approved = map[string]bool{volume: true}
			compare(t, "findings once it is approved", []string{}, reasons(l.kept(b, task)))
			compare(t, "written once it is approved", []string{"eu-west-1 " + volume}, l.changed())
		})
	}
}

// owners are planned changes in short.
func owners(changes []Planned) []string {
	var all []string
	for _, c := range changes {
		s := c.Drift.Resource
		switch {
		case c.OwnerUnread != "":
			s += " unread"
		case c.Owner != "":
			s += " of " + c.Owner
		}
		all = append(all, s)
	}
	return all
}

func TestWhatIsManagedStaysOnRecordWhenOthersAreVerified(t *testing.T) {
	l := newLake(t, Limits{})
	l.leave(member, ireland, "v", "w")
	got := l.kept(&book{}, enforced(l.owning(&registry{of: map[string]string{"w": web}}), ireland))
	compare(t, "findings", []string{"eu-west-1 w AwaitingApproval"}, reasons(got))
	compare(t, "written", []string{"eu-west-1 v"}, l.changed())
	w := got[0].Findings[0]
	compare(t, "owner and record", []string{web, "rem-1"}, []string{w.Owner, w.Record})
}

func TestWhatNobodyManagesIsProposedInTheWordsOfBefore(t *testing.T) {
	l := newLake(t, Limits{})
	l.leave(member, ireland, "v")
	got := l.kept(&book{}, enforced(l.owning(&registry{}, func(c *control.Control[section]) {
		c.Risk = control.Disruptive
		c.Observe = func(ctx context.Context, t *control.Target, s section) ([]control.Finding, error) {
			found, err := l.observeVolumes(ctx, t, s)
			for i := range found {
				found[i].Message = "two jobs write to it"
			}
			return found, err
		}
	}), ireland))
	compare(t, "message", "would set encrypted from false to true (Disruptive); waits for an approval, or is applied with approval: Irreversible on the "+
		"section; two jobs write to it", got[0].Findings[0].Message)
}

func TestOwnersAreAskedForOnlyOfWhatWouldBeChangedOrProposed(t *testing.T) {
	disruptive := func(c *control.Control[section]) { c.Risk = control.Disruptive }
	for name, tc := range map[string]struct {
		alter  func(*control.Control[section])
		change func(*Task)
		want   []string
	}{
		"in Audit nobody is": {change: func(t *Task) { t.Mode = v1alpha1.ModeAudit }},
		"nor of what is excused": {change: func(t *Task) {
			t.Excused = func(string) string { return "x" }
		}},
		"nor of what is held back": {change: func(t *Task) { t.Hold = Hold{v1alpha1.RowWritesDisabled, "no"} }},
		"nor of what is held back and would be proposed": {alter: disruptive, change: func(t *Task) {
			t.Hold = Hold{v1alpha1.RowRolloutWaiting, "later"}
		}},
		"nor of what was just changed": {change: func(t *Task) { t.Looks = func(string) int { return 1 } }},
		"nor of what is only reported": {alter: func(c *control.Control[section]) { c.Risk, c.Remediate = control.ReportOnly, nil }},
		"of what would be changed":     {want: []string{"eu-west-1 v"}},
		"of what would be proposed":    {alter: disruptive, want: []string{"eu-west-1 v"}},
	} {
		t.Run(name, func(t *testing.T) {
			l, r := newLake(t, Limits{}), &registry{}
			l.leave(member, ireland, "v")
			task := enforced(l.owning(r, func(c *control.Control[section]) {
				if tc.alter != nil {
					tc.alter(c)
				}
			}), ireland)
			if tc.change != nil {
				tc.change(&task)
			}
			l.kept(&book{}, task)
			compare(t, "asked about", tc.want, r.questions())
		})
	}
}

func TestOwnersAreAskedForOfAsMuchAsAPassCanChange(t *testing.T) {
	l, r := newLake(t, Limits{ChangesPerPass: 3}), &registry{of: map[string]string{"a00": web, "a02": web}}
	l.leave(member, ireland, names("a", 9)...)
	b := &book{watched: []string{"a00", "a01", "a07"}}
	got := reasons(l.kept(b, enforced(l.owning(r), ireland)))
	compare(t, "asked about", []string{"eu-west-1 a00", "eu-west-1 a01", "eu-west-1 a02", "eu-west-1 a03", "eu-west-1 a04"}, r.questions())
	compare(t, "made", []string{"eu-west-1 a01", "eu-west-1 a03", "eu-west-1 a04"}, l.changed())
	compare(t, "proposed", []string{"a00 of " + web, "a02 of " + web}, owners(b.proposed))
	compare(t, "not seen, for it was not asked about", []string{"a07"}, b.unseen)
	compare(t, "findings", []string{
		"eu-west-1 a00 AwaitingApproval", "eu-west-1 a02 AwaitingApproval", "eu-west-1 a05 CapReached", "eu-west-1 a06 CapReached",
		"eu-west-1 a07 CapReached", "eu-west-1 a08 CapReached",
	}, got)

	many := make([]string, MaxProposed+20)
	for i := range many {
		many[i] = fmt.Sprintf("b%03d", i)
	}
	l.leave(member, frankfurt, many...)
	l.kept(&book{}, enforced(l.owning(r, func(c *control.Control[section]) { c.Risk = control.Disruptive }), frankfurt))
	compare(t, "asked about of what is proposed", MaxProposed, len(r.questions()))
}

func TestWhatWasRefusedTakesNoPlaceInAProposal(t *testing.T) {
	many := make([]string, MaxProposed+3)
	refused := map[string]bool{}
	for i := range many {
		many[i] = fmt.Sprintf("b%03d", i)
		refused[many[i]] = i < MaxProposed
	}
	last := many[MaxProposed:]
	l, r := newLake(t, Limits{}), &registry{of: map[string]string{last[1]: web}}
	l.leave(member, frankfurt, many...)
	b := &book{refused: refused}
	got := l.kept(b, enforced(l.owning(r, func(c *control.Control[section]) { c.Risk = control.Disruptive }), frankfurt))
	compare(t, "asked about", []string{"eu-central-1 " + last[0], "eu-central-1 " + last[1], "eu-central-1 " + last[2]}, r.questions())
	compare(t, "proposed", []string{last[0], last[1] + " of " + web, last[2]}, owners(b.proposed))
	compare(t, "findings", []string{"eu-central-1 " + many[MaxProposed-1] + " Rejected", "eu-central-1 " + last[0] + " AwaitingApproval"},
		reasons(got)[MaxProposed-1:MaxProposed+1])
	compare(t, "the record of what was refused", "rem-0", got[0].Findings[0].Record)

	// What somebody manages waits for an approval once that is known, and may have been refused before.
	b, r.of = &book{refused: map[string]bool{"v": true}}, map[string]string{"v": web}
	l.leave(member, ireland, "v")
	compare(t, "findings", []string{"eu-west-1 v Rejected"}, reasons(l.kept(b, enforced(l.owning(r), ireland))))
	compare(t, "proposed", []string(nil), owners(b.proposed))
}

func TestWhatWasRefusedStaysSoWhenOthersAreVerified(t *testing.T) {
	l, r := newLake(t, Limits{}), &registry{of: map[string]string{"v": web}}
	l.leave(member, ireland, "v", "w")
	got := l.kept(&book{refused: map[string]bool{"v": true}}, enforced(l.owning(r), ireland))
	compare(t, "written", []string{"eu-west-1 w"}, l.changed())
	compare(t, "findings", []string{"eu-west-1 v Rejected"}, reasons(got))
}

func TestAPassThatIsEndedWhileOwnersAreAskedForWritesNothing(t *testing.T) {
	l := newLake(t, Limits{})
	l.leave(member, ireland, "v")
	ctx, cancel := context.WithCancel(context.Background())
	task := enforced(l.owning(&registry{}, func(c *control.Control[section]) {
		c.Owner = func(context.Context, *control.Target, string) (string, error) { cancel(); return "", nil }
	}), ireland)
	compare(t, "findings", []string{"eu-west-1 v CapReached"}, reasons(l.runOf(ctx, member, []Task{task}, []Task{task})))
	compare(t, "written", []string(nil), l.changed())
}

func TestAProposalThatAChangeBesideItAltersIsSaidAnew(t *testing.T) {
	l := newLake(t, Limits{})
	l.leave(member, ireland, "v")
	written := false
	l.onWrite = func(*control.Target, string) error { written = true; return nil }
	got := l.kept(&book{}, enforced(l.owning(&registry{}, func(c *control.Control[section]) {
		c.Observe = func(ctx context.Context, t *control.Target, s section) ([]control.Finding, error) {
			found, err := l.observeVolumes(ctx, t, s)
			d := drift("w")
			d.Risk = control.Disruptive
			if written {
				d.Fields[0].Got, d.Before = "in part", control.JSON("in part")
			}
			return append(found, control.Finding{Drift: d}), err
		}
	}), ireland))
	compare(t, "written", []string{"eu-west-1 v"}, l.changed())
	compare(t, "findings", []string{"eu-west-1 w AwaitingApproval"}, reasons(got))
	if m := got[0].Findings[0].Message; !strings.HasPrefix(m, "would set encrypted from in part to true") {
		t.Errorf("message %q", m)
	}
	compare(t, "record, which is of another change", "", got[0].Findings[0].Record)
}
