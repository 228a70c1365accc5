package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/format"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

// progress prints a line at once under `make test-chaos`, and with the failure in the suite.
func progress(text string, args ...any) {
	GinkgoWriter.Printf("fault: "+text+"\n", args...)
}

// A place is where a setting is: one control in one account and region.
type place struct{ control, account, region string }

func (p place) String() string { return call(p.control, p.account, p.region) }

// An estate is what the test knows to be so in AWS, because it alone changes it: where EBS encryption by default is off and
// where the GuardDuty detector is gone.
type estate struct {
	*scene
	dice   *rand.Rand
	broken map[place]bool
}

func (s *scene) estate() *estate {
	return &estate{scene: s, dice: rand.New(rand.NewPCG(uint64(chaos.seed), 1)), broken: map[place]bool{}} //nolint:gosec // dice
}

// repairs are the operations that put each control's setting right.
var repairs = map[string]string{ebsDefault: enableFlag, gdDetector: gdCreate}

// breaks breaks n settings that are not broken, anywhere, and returns the calls that put them right again, once each.
func (e *estate) breaks(ctx context.Context, n int) (repaired []string) {
	GinkgoHelper()
	for range n {
		p := place{[]string{ebsDefault, gdDetector}[e.dice.IntN(2)], members[e.dice.IntN(len(members))], regions[e.dice.IntN(len(regions))]}
		if e.broken[p] {
			continue
		}
		e.broken[p] = true
		if p.control == ebsDefault {
			setFlag(ctx, false, p.account, p.region)
		} else {
			e.setState(ctx, map[string]any{"account": p.account, "region": p.region, "detector": map[string]any{"deleted": true}})
		}
		repaired = append(repaired, call(repairs[p.control], p.account, p.region))
	}
	return repaired
}

// repaired notes that the manager has put everything right.
func (e *estate) repaired() { clear(e.broken) }

// declareBoth declares the two baselines.
func (e *estate) declareBoth(ctx context.Context, mode string) {
	GinkgoHelper()
	head := `
			mode: ` + mode + `
			accounts: {exclude: ["` + management + `"]` + map[string]string{"Enforce": ", all: true"}[mode] + `}`
	e.declare(ctx, "EncryptionBaseline", "organization", dedent(head)+"\nebsDefault: {state: Enabled}")
	e.declare(ctx, "GuardDutyBaseline", "organization", dedent(head)+"\ndetector: {state: Enabled}")
}

// judge says what of an account's status is not true: empty when all of it is. Where unknown is allowed, a check may be
// Unknown, whatever is so; what it may never be is compliant where the setting is broken, or drifted where it is not. only
// names the controls to look at; none means all.
func (e *estate) judge(a *v1alpha1.AWSAccount, unknownAllowed bool, only ...string) (lies []string) {
	if unknownAllowed && a.Status.State == v1alpha1.AccountUnreachable {
		return nil
	}
	for id := range repairs {
		if len(only) > 0 && !slices.Contains(only, id) {
			continue
		}
		for _, region := range regions {
			p := place{id, a.Name, region}
			drifted, unknown := said(a, id, region)
			if unknown && unknownAllowed {
				continue
			}
			if unknown || drifted != e.broken[p] {
				lies = append(lies, fmt.Sprintf("%s: broken %v, drifted %v, unknown %v", p, e.broken[p], drifted, unknown))
			}
		}
	}
	return lies
}

// said is what an account's status says of a control in a region; neither means compliant.
func said(a *v1alpha1.AWSAccount, id, region string) (drifted, unknown bool) {
	c := control(a, id)
	return c != nil && c.Drifted[region] > 0, c != nil && c.Unknown[region] > 0
}

// honest looks at the accounts that have answered the token and says how many these are. Nothing that their statuses say may be
// untrue; what could not be looked at is Unknown.
func (e *estate) honest(ctx context.Context, token string) (answered int) {
	GinkgoHelper()
	for _, id := range members {
		a := e.account(ctx, id)
		if a.Status.LastHandledReconcileAt != token {
			continue
		}
		answered++
		Expect(e.judge(a, true)).To(BeEmpty(), "%s\n%s", a.Status.State, format.Object(a.Status.Controls, 1))
	}
	return answered
}

// trueAgain waits until every account's status is true, and answers the token.
func (e *estate) trueAgain(ctx context.Context, token string) {
	GinkgoHelper()
	e.awaitAnswer(ctx, token, members...)
	for _, id := range members {
		Eventually(func(g Gomega) {
			g.Expect(e.judge(e.accountWith(ctx, g, id), false)).To(BeEmpty())
		}).WithContext(ctx).Should(Succeed())
	}
}

// made are the changes that reached AWS since a mark, the test's own left out.
func (e *estate) made(ctx context.Context, since int) []string {
	GinkgoHelper()
	var made []string
	for _, r := range e.requests(ctx, stack.Query{Since: since, Operation: []string{"EnableEbsEncryptionByDefault", "CreateDetector", "UpdateDetector"}}) {
		if r.Executed {
			made = append(made, call(r.Service+":"+r.Operation, r.Account, r.Region))
		}
	}
	return made
}

// metric is the sum of a metric's samples with a label, as the manager serves them.
func (s *scene) metric(ctx context.Context, g Gomega, name, label string) float64 {
	GinkgoHelper()
	_, body := fetch(ctx, g, "http://"+s.metrics+"/metrics", "")
	sum := 0.0
	for _, m := range regexp.MustCompile(`(?m)^`+name+`(?:\{([^}]*)\})? (\S+)$`).FindAllStringSubmatch(body, -1) {
		if label == "" || regexp.MustCompile(`(^|,)`+label+`(,|$)`).MatchString(m[1]) {
			v, err := strconv.ParseFloat(m[2], 64)
			g.Expect(err).NotTo(HaveOccurred())
			sum += v
		}
	}
	return sum
}

// goroutines is how many run in a manager that has begun to work: the workers that wait for accounts are among them.
func (s *scene) goroutines(ctx context.Context) float64 {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		g.Expect(s.metric(ctx, g, "controller_runtime_reconcile_total", `controller="account"`)).NotTo(BeZero())
	}).WithContext(ctx).Should(Succeed())
	return s.metric(ctx, Default, "go_goroutines", "")
}

// atRest waits until nothing waits in the queue of accounts, and until no more goroutines run than before, but for a few
// that come and go.
func (s *scene) atRest(ctx context.Context, goroutines float64) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		g.Expect(s.metric(ctx, g, "workqueue_depth", `name="account"`)).To(BeZero())
		g.Expect(s.metric(ctx, g, "go_goroutines", "")).To(BeNumerically("<=", goroutines+10))
	}).WithContext(ctx).Should(Succeed())
}

// mend puts everything right behind the manager's back.
func (e *estate) mend(ctx context.Context) {
	GinkgoHelper()
	for p := range e.broken {
		if p.control == ebsDefault {
			setFlag(ctx, true, p.account, p.region)
		} else {
			gdMake(ctx, p.account, p.region, "SIX_HOURS")
		}
	}
	e.repaired()
}

// askBaseline asks for a baseline to be looked at again in every account, and returns the token. Unlike the account's own
// token, it lets sessions and regions stand.
func (s *scene) askBaseline(ctx context.Context, kind string) string {
	GinkgoHelper()
	t := token()
	kubectl(ctx, "annotate", "--overwrite", kind, "organization", v1alpha1.AnnotationReconcileRequestedAt+"="+t)
	return t
}

// awaitHandled waits until a baseline's token is answered in every account, by what is so.
func (e *estate) awaitHandled(ctx context.Context, kind, token string, unknownAllowed bool) {
	GinkgoHelper()
	id := map[string]string{"EncryptionBaseline": ebsDefault, "GuardDutyBaseline": gdDetector}[kind]
	for _, account := range members {
		Eventually(func(g Gomega) {
			a := e.accountWith(ctx, g, account)
			i := slices.IndexFunc(a.Status.Baselines, func(b v1alpha1.AccountBaseline) bool { return b.Kind == kind })
			g.Expect(i).To(BeNumerically(">=", 0))
			g.Expect(a.Status.Baselines[i].HandledReconcileAt).To(Equal(token))
			g.Expect(e.judge(a, unknownAllowed, id)).To(BeEmpty(), "account %s", account)
		}).WithContext(ctx).Should(Succeed())
	}
}

// trueInTheEnd asks until every account's status is true: what did not answer is left alone for half a minute and longer, also
// when somebody asks.
func (e *estate) trueInTheEnd(ctx context.Context) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		e.recheck(ctx)
		for _, id := range members {
			g.Expect(e.judge(e.accountWith(ctx, g, id), false)).To(BeEmpty())
		}
	}).WithContext(ctx).WithTimeout(5 * time.Minute).Should(Succeed())
}
