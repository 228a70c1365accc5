package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"runtime/metrics"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest/scale"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// enforced is what every baseline of the changes has in common.
func enforced(mode v1alpha1.Mode) v1alpha1.BaselineSpec {
	return v1alpha1.BaselineSpec{Mode: mode, Accounts: &v1alpha1.AccountSelector{All: true}}
}

func named(kind, name, token string) (metav1.TypeMeta, metav1.ObjectMeta) {
	return metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: kind}, metav1.ObjectMeta{
		Name: name, Annotations: map[string]string{v1alpha1.AnnotationReconcileRequestedAt: token},
	}
}

var on = v1alpha1.ControlSpec{State: v1alpha1.Enabled}

// automatic are the baselines of which nobody is asked about a change: a setting whose change is Safe, and one of a policy, whose
// states lie in a Secret.
func automatic(mode v1alpha1.Mode, token string) []control.Baseline {
	e, s := &v1alpha1.EncryptionBaseline{}, &v1alpha1.S3Baseline{}
	e.TypeMeta, e.ObjectMeta = named("EncryptionBaseline", "volumes", token)
	e.Spec.BaselineSpec, e.Spec.EBSDefault = enforced(mode), &v1alpha1.EBSDefault{ControlSpec: on}
	s.TypeMeta, s.ObjectMeta = named("S3Baseline", "transport", token)
	s.Spec.BaselineSpec, s.Spec.SecureTransport = enforced(mode), &v1alpha1.SecureTransport{ControlSpec: on}
	s.Spec.Approval = v1alpha1.ApprovalIrreversible
	return []control.Baseline{e, s}
}

// proposers is the number of baselines whose changes wait for an approval: as many as fill the places of all.
const proposers = controllers.MaxOpen / controllers.MaxOpenPerBaseline

// proposed are those baselines: each wants the buckets of some regions versioned, which cannot be taken back.
func proposed(token string) []control.Baseline {
	all := make([]control.Baseline, proposers)
	for i := range all {
		s := &v1alpha1.S3Baseline{}
		s.TypeMeta, s.ObjectMeta = named("S3Baseline", fmt.Sprintf("versions-%02d", i), token)
		s.Spec.BaselineSpec, s.Spec.Versioning = enforced(v1alpha1.ModeEnforce), &v1alpha1.Versioning{ControlSpec: on}
		s.Spec.Buckets, s.Spec.Regions = &v1alpha1.BucketSelector{Include: []string{"*"}}, &v1alpha1.RegionSelector{}
		for k, region := range scale.DefaultRegions() {
			if k%proposers == i {
				s.Spec.Regions.Include = append(s.Spec.Regions.Include, v1alpha1.Region(region))
			}
		}
		all[i] = s
	}
	return all
}

// declareAll makes baselines, or brings them up to date, and waits until every account has answered their token.
func (b *bench) declareAll(ctx context.Context, all []control.Baseline, token string) error {
	for _, o := range all {
		err := b.client.Get(ctx, client.ObjectKeyFromObject(o), o.DeepCopyObject().(control.Baseline)) //nolint:errcheck // a copy of a baseline is one
		switch {
		case client.IgnoreNotFound(err) != nil:
		case err != nil:
			err = b.client.Create(ctx, o)
		default:
			err = b.client.Patch(ctx, o, client.Merge)
		}
		if err != nil {
			return fmt.Errorf("declaring %s: %w", o.GetName(), err)
		}
	}
	return b.until(ctx, token, func(accounts []v1alpha1.AWSAccount) (n int) {
		for i := range accounts {
			done := 0
			for _, row := range accounts[i].Status.Baselines {
				if row.HandledReconcileAt == token {
					done++
				}
			}
			if done == len(all) {
				n++
			}
		}
		return n
	})
}

// finishedKept is how many finished Remediations are kept.
const finishedKept = 2000

// preloaded is the UID of a baseline that is gone.
const preloaded types.UID = "00000000-0000-4000-8000-000000000000"

// fill puts as many Remediations on record as there may be, and looks what the manager's memory of them takes: finished ones of all
// accounts, which stay, and open ones as large as they may be, which go again, so that proposing finds its places.
func (b *bench) fill(ctx context.Context, c *changesResult) error {
	c.HeapEmpty = heapNow()
	if err := b.preload(ctx, finishedKept, finished); err != nil {
		return err
	}
	c.HeapFinished = heapNow()
	if err := b.preload(ctx, finishedKept+controllers.MaxOpen, open); err != nil {
		return err
	}
	c.HeapOpen = heapNow()
	b.say("%d accounts: %d finished and %d open Remediations are on record: %s and %s of memory", b.Accounts, finishedKept, controllers.MaxOpen,
		mib(c.HeapFinished-c.HeapEmpty), mib(c.HeapOpen-c.HeapFinished))
	records, err := b.remediations(ctx)
	if err != nil {
		return err
	}
	return errors.Join(each(slices.DeleteFunc(slices.Clone(records), func(r v1alpha1.Remediation) bool { return !r.Status.Phase.Open() }),
		func(r v1alpha1.Remediation) error { return b.client.Delete(ctx, &r) }), b.haveRemediations(ctx, finishedKept))
}

// preload makes Remediations until there are n, and waits until the manager knows them all.
func (b *bench) preload(ctx context.Context, n int, of func(b *bench, i int) *v1alpha1.Remediation) error {
	have, err := b.remediations(ctx)
	if err != nil {
		return err
	}
	var missing []*v1alpha1.Remediation
	for i := range n - len(have) {
		missing = append(missing, of(b, i))
	}
	if err := each(missing, func(r *v1alpha1.Remediation) error {
		status := r.Status
		if err := b.client.Create(ctx, r); err != nil {
			return err
		}
		r.Status = status
		return b.client.Status().Update(ctx, r)
	}); err != nil {
		return fmt.Errorf("putting remediations on record: %w", err)
	}
	return b.haveRemediations(ctx, n)
}

func (b *bench) haveRemediations(ctx context.Context, n int) error {
	return b.await(ctx, fmt.Sprintf("%d remediations", n), func() (bool, error) {
		records, err := b.remediations(ctx)
		return len(records) == n && !slices.ContainsFunc(records, func(r v1alpha1.Remediation) bool { return r.Status.Phase == "" }), err
	})
}

// each does something with all, some at a time.
func each[T any](all []T, do func(T) error) error {
	var g errgroup.Group
	g.SetLimit(16)
	for _, one := range all {
		g.Go(func() error { return do(one) })
	}
	return g.Wait()
}

// finished is a Remediation that was made yesterday.
func finished(b *bench, i int) *v1alpha1.Remediation {
	r := remediation(scale.Account(i%b.Accounts), i, 2)
	at := metav1.NewTime(b.clock().Add(-24 * time.Hour).Truncate(time.Second))
	r.Status.Phase, r.Status.Message, r.Status.Progress = v1alpha1.RemediationApplied, "made, and AWS shows it", "2/2"
	for k := range r.Status.Changes {
		r.Status.Changes[k].Outcome = v1alpha1.ChangeApplied
	}
	r.Status.StartedAt, r.Status.FinishedAt, r.Status.Decided = &at, &at, &v1alpha1.Decided{By: "plumbline", At: at, Reason: "no approval is needed for it"}
	return r
}

// open is a Remediation that waits for an approval, with as many changes as one may have, in an account that is not of the organization.
func open(_ *bench, i int) *v1alpha1.Remediation {
	r := remediation("100000000000", i, engine.MaxProposed)
	r.Status.Phase, r.Status.Message = v1alpha1.RemediationProposed, "waits for an approval"
	return r
}

func remediation(account string, i, changes int) *v1alpha1.Remediation {
	plan := digest(fmt.Sprint(account, i))
	expires := metav1.NewTime(time.Now().Add(72 * time.Hour).Truncate(time.Second))
	r := &v1alpha1.Remediation{
		ObjectMeta: metav1.ObjectMeta{
			Name:   fmt.Sprintf("%s-s3-default-encryption-%.8s-0", account, plan),
			Labels: map[string]string{v1alpha1.LabelAccount: account, v1alpha1.LabelControl: "s3-default-encryption", v1alpha1.LabelPlan: plan},
		},
		Status: v1alpha1.RemediationStatus{
			Account: account, Control: "s3-default-encryption", Baseline: "S3Baseline/gone", BaselineUID: preloaded, Revision: plan[:8],
			Role: "arn:aws:iam::" + account + ":role/plumbline/PlumblineEnforce", Risk: "Safe", Reversible: true, PlanDigest: plan,
			Digest: digest(plan), Expires: &expires,
		},
	}
	for k := range changes {
		name := fmt.Sprintf("arn:aws:s3:::acme-%04d-%04d-%s", i, k, account)
		r.Status.Changes = append(r.Status.Changes, v1alpha1.RemediationChange{
			Region: scale.DefaultRegions()[k%len(scale.DefaultRegions())], Resource: name, Risk: "Safe",
			Fields: []v1alpha1.RemediationField{{Path: "encryption.algorithm", From: "none", To: "AES256"}},
			Before: `{"algorithm":"","bucketKey":false}`, After: `{"algorithm":"AES256","bucketKey":false}`,
			BeforeDigest: digest(name), AfterDigest: digest(name + "after"),
		})
	}
	return r
}

func digest(of string) string {
	sum := sha256.Sum256([]byte(of))
	return hex.EncodeToString(sum[:16])
}

// heapNow is what objects take that something refers to.
func heapNow() int64 {
	for range 2 { // what finalizers kept alive goes with the second
		runtime.GC()
	}
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64()) //nolint:gosec // bytes of memory
}
