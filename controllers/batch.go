package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Many proposals that are alike are approved as a batch: all that is proposed for one control of a baseline at the time. Its
// digest stands in the baseline's status, and spec.approvals names it; that is also how Git approves. Whatever is proposed,
// superseded or decided in between makes another digest, so nobody approves what they have not seen.

// batchDigest is SHA-256 over the baseline, the control and the digests of the proposals, the first 32 hex digits.
func batchDigest(baseline, id string, members []*v1alpha1.Remediation) string {
	lines := []string{baseline, id}
	for _, r := range members {
		lines = append(lines, r.Name+" "+r.Status.Digest)
	}
	slices.Sort(lines[2:])
	return digestOf(encode(lines))
}

// membersOf are the Remediations of a control of a baseline of which is holds.
func membersOf(records []v1alpha1.Remediation, baseline, id string, is func(*v1alpha1.Remediation) bool) []*v1alpha1.Remediation {
	var found []*v1alpha1.Remediation
	for i := range records {
		if r := &records[i]; r.Status.Baseline == baseline && r.Status.Control == id && is(r) {
			found = append(found, r)
		}
	}
	return found
}

func isProposed(now time.Time) func(*v1alpha1.Remediation) bool {
	return func(r *v1alpha1.Remediation) bool {
		return r.Status.Phase == v1alpha1.RemediationProposed && !r.Expired(now)
	}
}

// maxNamed is how many accounts of a batch are named.
const maxNamed = 10

// proposals are the batches that wait for an approval, and how many accounts wait for a place among them.
func (s *sum) proposals() []v1alpha1.BaselineProposal {
	var all []v1alpha1.BaselineProposal
	for _, b := range s.controls {
		members := membersOf(s.records, s.key(), b.ID, isProposed(s.now))
		p := v1alpha1.BaselineProposal{Control: b.ID, Open: int32(len(members)), Waiting: max(s.awaiting[b.ID]-int32(len(members)), 0)}
		if p.Open+p.Waiting == 0 {
			continue
		}
		slices.SortFunc(members, func(a, b *v1alpha1.Remediation) int { return strings.Compare(a.Name, b.Name) })
		var changes []v1alpha1.RemediationChange
		for _, r := range members {
			changes = append(changes, r.Status.Changes...)
			if len(p.Accounts) < maxNamed && !slices.Contains(p.Accounts, r.Status.Account) {
				p.Accounts = append(p.Accounts, r.Status.Account)
			}
		}
		if p.Open > 0 {
			p.Digest, p.Risk, p.Changes = batchDigest(s.key(), b.ID, members), riskOf(changes), int32(len(changes))
			p.Wave = s.waveOf(b.ID, members)
		}
		all = append(all, p)
	}
	return all
}

// waveOf is the wave under way where all proposals for a control are of it, or of those before; empty where there is none.
func (s *sum) waveOf(id string, open []*v1alpha1.Remediation) string {
	organizationWide := slices.ContainsFunc(s.controls, func(b control.Bound) bool { return b.ID == id && b.Scope == control.Organization })
	if s.rolled == nil || s.rolled.Wave >= s.rolled.Waves || organizationWide {
		return ""
	}
	spec, _ := s.object.Common()
	all := wavesOf(spec, s.soak)
	all.first = s.rolled.First
	in := map[string]bool{}
	for _, r := range open {
		in[r.Status.Account] = true
	}
	for _, m := range s.members {
		if wave, _ := all.of(m.account); in[m.account.Name] && wave > int(s.rolled.Wave) {
			return ""
		}
	}
	return all.name(int(s.rolled.Wave))
}

// refusal says why an entry of spec.approvals does not count.
type refusal struct{ reason, message string }

// approve has the batches that the baseline's spec approves approved, and says of each of the others why it does not count. A
// batch counts from when its digest was that of what is proposed: what of it was approved already, before a manager was
// interrupted, still belongs to it.
func (s *sum) approve(ctx context.Context, r *Remediations) (refused []refusal, err error) {
	spec, _ := s.object.Common()
	for i, a := range spec.Approvals {
		mine := func(rem *v1alpha1.Remediation) bool {
			return rem.Status.Decided != nil && rem.Status.Decided.Batch == a.Digest
		}
		begun := membersOf(s.records, s.key(), a.Control, mine)
		open := membersOf(s.records, s.key(), a.Control, isProposed(s.now))
		matches := batchDigest(s.key(), a.Control, slices.Concat(begun, open)) == a.Digest
		if why := s.refuses(a, matches, open); why.message != "" && len(begun) == 0 {
			why.message = fmt.Sprintf("approvals[%d] (%s): %s", i, a.Control, why.message)
			refused = append(refused, why)
			continue
		}
		if !matches {
			continue // it was used: what is proposed now came later
		}
		for _, rem := range open {
			err = errors.Join(err, r.approveOne(ctx, rem, a))
		}
	}
	return refused, err
}

// refuses says why an approval of which nothing was approved yet does not count; empty where it does.
func (s *sum) refuses(a v1alpha1.BatchApproval, matches bool, open []*v1alpha1.Remediation) refusal {
	if !matches {
		return refusal{v1alpha1.ReasonOtherDigest, "its digest is not that of what is proposed now; read status.proposals again"}
	}
	switch wave := s.waveOf(a.Control, open); {
	case a.Wave == "" || a.Wave == wave:
		return refusal{}
	case wave == "":
		return refusal{v1alpha1.ReasonOtherWave, fmt.Sprintf(
			"it is for wave %q, and what is proposed now is of no one wave; look at status.proposals again, and leave wave out to approve it", a.Wave)}
	default:
		return refusal{v1alpha1.ReasonOtherWave, fmt.Sprintf(
			"it is for wave %q, and what is proposed now is of wave %q; look at status.proposals again, and write that wave to approve it", a.Wave, wave)}
	}
}

// approveOne approves a member of a batch, unless it is another one by now.
func (s *Remediations) approveOne(ctx context.Context, member *v1alpha1.Remediation, a v1alpha1.BatchApproval) error {
	digest := member.Status.Digest
	return s.update(ctx, member.Name, func(r *v1alpha1.Remediation) bool {
		if r.Status.Digest != digest || r.Status.Phase != v1alpha1.RemediationProposed || r.Expired(s.Clock()) || r.Spec.Rejected != nil {
			return false
		}
		r.Status.Phase, r.Status.Message = v1alpha1.RemediationApproved, "approved in "+r.Status.Baseline+"; observed afresh, then made"
		r.Status.Decided = &v1alpha1.Decided{
			By: a.By, At: metav1.NewTime(s.Clock().UTC().Truncate(time.Second)), Reason: a.Reason, Via: a.Via, Batch: a.Digest,
		}
		return true
	})
}
