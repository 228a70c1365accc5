package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest/scale"
)

// changesResult is what changes cost: those that nobody is asked about, those that are proposed, and all that is on record.
type changesResult struct {
	// Made are the changes that were made without asking, Records the Remediations that have them on record, Documents those of
	// them whose states lie in a Secret.
	Made, Records, Documents int64
	// Finished and Open are the Remediations that were finished and proposed in the end, Waiting the plans that wait for a place.
	Finished, Open, Waiting int64
	// Approved are the Remediations of one batch that was approved, ApprovedChanges the changes in them.
	Approved, ApprovedChanges int64
	// Changing is the sweep in which what nobody is asked about was changed, Quiet the same sweep with nothing left to change.
	Changing, Quiet part
	// Proposing is the sweep in which the rest was proposed, Resting the same sweep with nothing new to propose.
	Proposing, Resting part
	// Approving is from the approval of the batch until all of it was made.
	Approving part
	// HeapEmpty, HeapFinished and HeapOpen are what objects took after a garbage collection: without Remediations, with as many
	// finished ones as are kept, and with as many open ones, as large as they may be, beside them. In bytes.
	HeapEmpty, HeapFinished, HeapOpen int64
	// Load is the machine's load average over a minute when it began: what else is under way makes times longer, not counts.
	Load float64
}

// part is what a part of the run cost.
type part struct {
	Seconds, CPU float64
	// API are the requests to the API server by kind, AWS those to AWS by operation.
	API, AWS map[string]int64
	// Lists are the manager's lists of Remediations, by the field that they go by.
	Lists map[string]listed
}

// withChanges is the task with drift that is changed and proposed: every bucket of the buckets baselines, and beside these a few settings.
func (t task) withChanges() task {
	t.Name, t.Writes, t.Drift = "changes", true, 0
	t.Drifts = map[string]float64{"ebs-default": 0.02, "policy": 0.02, "versioning": 1}
	return t
}

// changes measures what proposals, approvals and changes cost, with as many Remediations on record as there may be.
func (t task) changes(ctx context.Context, r *result) error {
	c := &changesResult{Load: loadAverage()}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	b, err := t.start(ctx)
	if err != nil {
		return err
	}
	defer func() {
		stop()
		if err := <-b.stopped; err != nil {
			b.say("the manager ended: %v", err)
		}
	}()
	if r.Discovery, err = b.discover(ctx); err != nil {
		return err
	}
	r.Changes = c
	done, err := b.profileCPU()
	if err != nil {
		return err
	}
	defer done()
	if err := b.fill(ctx, c); err != nil {
		return err
	}
	for _, step := range []func(context.Context, *changesResult) error{b.change, b.propose, b.approve} {
		if err := step(ctx, c); err != nil {
			return err
		}
	}
	r.Memory = b.memory
	return b.checks(ctx, r)
}

// measured does something and says what it cost.
func (b *bench) measured(do func() error) (part, error) {
	before, aws, api, began := usageOf(os.Getpid()).CPU, calls(b.stage), b.writes.kinds(), time.Now()
	b.lists.take()
	err := do()
	return part{
		Seconds: time.Since(began).Seconds(), CPU: usageOf(os.Getpid()).CPU - before,
		API: since(api, b.writes.kinds()), AWS: since(aws, calls(b.stage)), Lists: b.lists.take(),
	}, err
}

// calls are the requests to AWS so far by operation.
func calls(stage *scale.Cloud) map[string]int64 {
	all := map[string]int64{}
	for name, n := range stage.Counts() {
		all[name] = n.Calls
	}
	return all
}

// since is what has come to counts.
func since(before, now map[string]int64) map[string]int64 {
	more := map[string]int64{}
	for name, n := range now {
		if n -= before[name]; n > 0 {
			more[name] = n
		}
	}
	return more
}

// change has the drift changed that nobody is asked about. Everything is looked at before in Audit, so that nothing is entered for the
// first time, and once more when nothing is left to change: the difference is what the changes cost.
func (b *bench) change(ctx context.Context, c *changesResult) (err error) {
	if err := b.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: controllers.DefaultNamespace}}); err != nil {
		return err
	}
	if err := b.declareAll(ctx, automatic(v1alpha1.ModeAudit, "audit"), "audit"); err != nil {
		return err
	}
	c.Changing, err = b.measured(func() error {
		return errors.Join(b.declareAll(ctx, automatic(v1alpha1.ModeEnforce, "changing"), "changing"), b.settled(ctx))
	})
	if err != nil {
		return err
	}
	if c.Quiet, err = b.measured(func() error {
		return b.declareAll(ctx, automatic(v1alpha1.ModeEnforce, "quiet"), "quiet")
	}); err != nil {
		return err
	}
	records, err := b.remediations(ctx)
	if err != nil {
		return err
	}
	for i := range records {
		s := &records[i].Status
		if s.Decided == nil || s.Decided.By != "plumbline" || s.BaselineUID == preloaded {
			continue
		}
		c.Records++
		if s.Secret != "" {
			c.Documents++
		}
	}
	c.Made = c.Changing.AWS["EC2.EnableEbsEncryptionByDefault"] + c.Changing.AWS["S3.PutBucketPolicy"]
	b.say("%d accounts: %d changes made in %.1fs, on record in %d Remediations", b.Accounts, c.Made, c.Changing.Seconds, c.Records)
	return nil
}

// propose has far more drift proposed than may be proposed at a time.
func (b *bench) propose(ctx context.Context, c *changesResult) (err error) {
	if c.Proposing, err = b.measured(func() error { return b.declareAll(ctx, proposed("proposing"), "proposing") }); err != nil {
		return err
	}
	if c.Resting, err = b.measured(func() error { return b.declareAll(ctx, proposed("resting"), "resting") }); err != nil {
		return err
	}
	records, err := b.remediations(ctx)
	if err != nil {
		return err
	}
	for i := range records {
		switch phase := records[i].Status.Phase; {
		case phase == v1alpha1.RemediationProposed:
			c.Open++
		case !phase.Open():
			c.Finished++
		}
	}
	for _, o := range proposed("") {
		at, err := b.proposalOf(ctx, o.GetName())
		if err != nil {
			return err
		}
		c.Waiting += int64(at.Waiting)
	}
	b.say("%d accounts: %d proposals are open and %d wait for a place; %d Remediations are finished", b.Accounts, c.Open, c.Waiting, c.Finished)
	return nil
}

// proposalOf is the batch that waits for an approval in a baseline whose sums are those of today.
func (b *bench) proposalOf(ctx context.Context, name string) (p v1alpha1.BaselineProposal, err error) {
	err = b.await(ctx, "the proposals of "+name, func() (bool, error) {
		var o v1alpha1.S3Baseline
		if err := b.client.Get(ctx, client.ObjectKey{Name: name}, &o); err != nil {
			return false, err
		}
		records, err := b.remediations(ctx)
		if err != nil {
			return false, err
		}
		open := int32(0)
		for i := range records {
			if s := &records[i].Status; s.BaselineUID == o.UID && s.Phase == v1alpha1.RemediationProposed {
				open++
			}
		}
		if len(o.Status.Proposals) != 1 {
			return open == 0, nil
		}
		p = o.Status.Proposals[0]
		return p.Open == open, nil
	})
	return p, err
}

// approve has the batch of one baseline approved, as Git does it, and made.
func (b *bench) approve(ctx context.Context, c *changesResult) error {
	o := proposed("approving")[0]
	p, err := b.proposalOf(ctx, o.GetName())
	if err != nil {
		return err
	}
	spec, _ := o.Common()
	spec.Approvals = []v1alpha1.BatchApproval{{Control: p.Control, Digest: p.Digest, By: "bench"}}
	c.Approved, c.ApprovedChanges = int64(p.Open), int64(p.Changes)
	c.Approving, err = b.measured(func() error {
		if err := b.client.Patch(ctx, o, client.Merge); err != nil {
			return fmt.Errorf("approving a batch: %w", err)
		}
		return b.await(ctx, "what was approved", func() (bool, error) {
			records, err := b.remediations(ctx)
			made := int64(0)
			for i := range records {
				if s := &records[i].Status; s.Decided != nil && s.Decided.Batch == p.Digest && s.Phase == v1alpha1.RemediationApplied {
					made++
				}
			}
			return made == c.Approved, err
		})
	})
	b.say("%d accounts: %d proposals were made in %.1fs after their approval", b.Accounts, c.Approved, c.Approving.Seconds)
	return err
}

// settled waits until nothing is left to change without asking, and until no more finished Remediations are there than are kept.
// The management account is not written to.
func (b *bench) settled(ctx context.Context) error {
	return b.await(ctx, "the changes", func() (bool, error) {
		records, err := b.remediations(ctx)
		if err != nil || len(records) > finishedKept {
			return false, err
		}
		for i := range records {
			if records[i].Status.Phase.Open() {
				return false, nil
			}
		}
		var accounts v1alpha1.AWSAccountList
		if err := b.list.List(ctx, &accounts, client.UnsafeDisableDeepCopy); err != nil {
			return false, err
		}
		for i := range accounts.Items {
			if a := &accounts.Items[i]; a.Name != scale.Management() && a.Status.Checks.Drifted > 0 {
				return false, nil
			}
		}
		return true, nil
	})
}

// remediations are all of them, out of the manager's cache but not by the client whose lists are timed.
func (b *bench) remediations(ctx context.Context) ([]v1alpha1.Remediation, error) {
	var all v1alpha1.RemediationList
	err := b.mgr.GetCache().List(ctx, &all, client.UnsafeDisableDeepCopy)
	return all.Items, err
}

// await waits until something holds.
func (b *bench) await(ctx context.Context, what string, holds func() (bool, error)) error {
	for began := time.Now(); ; {
		b.memory.note()
		switch there, err := holds(); {
		case err != nil:
			return fmt.Errorf("waiting for %s: %w", what, err)
		case there:
			return nil
		case time.Since(began) > patience:
			return fmt.Errorf("waiting for %s: not there after %s", what, patience)
		}
		if err := pause(ctx, b.poll); err != nil {
			return err
		}
	}
}
