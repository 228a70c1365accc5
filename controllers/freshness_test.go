package controllers

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

func TestStaleIsWhatWasNotLookedAtForTwoIntervals(t *testing.T) {
	hour, day := &metav1.Duration{Duration: time.Hour}, &metav1.Duration{Duration: 24 * time.Hour}
	for name, tc := range map[string]struct {
		settings, resources time.Duration // ages
		interval            *metav1.Duration
		want                bool
	}{
		"just looked at":                     {0, 0, hour, false},
		"within two intervals":               {119 * time.Minute, 47 * time.Hour, hour, false},
		"settings after two intervals":       {121 * time.Minute, 0, hour, true},
		"resources after two intervals":      {0, 49 * time.Hour, hour, true},
		"a short interval is written rarely": {29 * time.Minute, 0, &metav1.Duration{Duration: 5 * time.Minute}, false},
		"a short interval after half an hour": {
			31 * time.Minute, 0, &metav1.Duration{Duration: 5 * time.Minute}, true,
		},
		"a long interval": {40 * time.Hour, 40 * time.Hour, day, false},
	} {
		t.Run(name, func(t *testing.T) {
			at := func(age time.Duration) *metav1.Time { return stamp(noon.Add(-age)) }
			spec := &v1alpha1.BaselineSpec{Interval: tc.interval, ResourceInterval: day}
			row := &v1alpha1.AccountBaseline{LastObservedTime: at(tc.settings), ResourcesObservedTime: at(tc.resources)}
			same(t, "stale", tc.want, !staleRow(spec, row, noon).IsZero())
		})
	}
}

func TestAnAccountThatCannotBeEnteredBecomesStaleAndIsNotOnceItCan(t *testing.T) {
	c := newCluster(t)
	c.create(organization(), anAccount(member), encryptionBaseline(v1alpha1.ModeAudit))
	stale := func() bool { return findCondition(c.account(member).Status.Conditions, v1alpha1.ConditionStale) != nil }
	role := "arn:aws:iam::" + member + ":role/plumbline/PlumblineAudit"
	c.pass(member)
	c.aws.DenyRole(role, apiError{"AccessDenied", "no"})
	c.accounts.Cloud.Forget(member)
	c.later(90 * time.Minute)
	c.pass(member)
	same(t, "stale after one interval", false, stale())
	c.later(time.Hour)
	c.pass(member)
	same(t, "stale after two intervals", true, stale())
	c.rollUp()
	b := reload(c, "organization", &v1alpha1.EncryptionBaseline{})
	same(t, "stale accounts of the baseline", int32(1), b.Status.Stale)
	if findCondition(b.Status.Conditions, v1alpha1.ConditionStale) == nil {
		t.Error("the baseline does not say so")
	}
	c.aws.DenyRole(role, nil)
	c.later(time.Minute)
	c.pass(member)
	same(t, "stale when it was looked at again", false, stale())
	c.rollUp()
	same(t, "stale accounts then", int32(0), reload(c, "organization", &v1alpha1.EncryptionBaseline{}).Status.Stale)
}

func (c *cluster) rollUp() {
	c.Helper()
	if _, err := c.baselines.Reconcile(c.ctx, rollUp{}); err != nil {
		c.Fatal(err)
	}
}

func TestTheTimeOfTheLastLookIsWrittenOnceAnInterval(t *testing.T) {
	for interval, want := range map[time.Duration]time.Duration{
		5 * time.Minute: observedEvery, 15 * time.Minute: observedEvery, time.Hour: 48 * time.Minute, 24 * time.Hour: 24 * time.Hour * 4 / 5,
	} {
		rows := []row{{spec: &v1alpha1.BaselineSpec{Interval: &metav1.Duration{Duration: interval}}}, {spec: &v1alpha1.BaselineSpec{Interval: &metav1.Duration{Duration: 24 * time.Hour}}}}
		same(t, interval.String(), want, refreshEvery(rows))
	}
	same(t, "without a baseline", observedEvery, refreshEvery(nil))
}
