package e2e

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

var _ = Describe("Metrics", Ordered, func() {
	s := stage(plot{flags: []string{"--allow-writes"}})
	var plain, secured string

	It("tell what a dashboard needs, with few labels", func(ctx SpecContext) {
		s.kill()
		plain = freeAddress()
		s.manager = s.startManager(ctx, "--metrics-bind-address="+plain, "--metrics-secure=false")
		s.declare(ctx, "EncryptionBaseline", "organization", `
			mode: Enforce
			accounts: {include: ["`+payProd+`"]}
			ebsDefault: {state: Enabled}`)
		s.compliant(ctx, "EncryptionBaseline", "organization")
		Eventually(func(g Gomega) {
			status, body := fetch(ctx, g, "http://"+plain+"/metrics", "")
			g.Expect(status).To(Equal(http.StatusOK))
			for _, line := range []string{
				`plumbline_checks{baseline="organization",kind="EncryptionBaseline",state="compliant"} 3`,
				`plumbline_checks{baseline="organization",kind="EncryptionBaseline",state="drifted"} 0`,
				`plumbline_baseline_accounts{baseline="organization",kind="EncryptionBaseline",state="compliant"} 1`,
				`plumbline_control_outcomes_total{control="ebs-default-encryption",outcome="Compliant"} 3`,
				`plumbline_control_duration_seconds_count{control="ebs-default-encryption"} 3`,
				`plumbline_changes_total{control="ebs-default-encryption",outcome="applied"} 3`,
				`plumbline_aws_calls_total{operation="EnableEbsEncryptionByDefault",outcome="ok",service="EC2"} 3`,
			} {
				g.Expect(strings.Split(body, "\n")).To(ContainElement(line))
			}
			g.Expect(body).To(MatchRegexp(`(?m)^plumbline_oldest_observation_age_seconds [0-9.e+-]+$`))
		}).WithContext(ctx).Should(Succeed())
	})

	It("count the calls that AWS refused and throttled", func(ctx SpecContext) {
		s.rule(ctx, stack.Rule{Match: in(payProd, ireland, "ec2", readFlag), Action: stack.ActionError, Code: "throttle", Times: 1})
		s.rule(ctx, stack.Rule{Match: in(payProd, ireland, "ec2", readFlag), Action: stack.ActionError, Code: "auto", Times: 1})
		s.recheck(ctx, payProd)
		_, body := fetch(ctx, Default, "http://"+plain+"/metrics", "")
		Expect(strings.Split(body, "\n")).To(ContainElements(
			`plumbline_aws_calls_total{operation="GetEbsEncryptionByDefault",outcome="denied",service="EC2"} 1`,
			`plumbline_aws_calls_total{operation="GetEbsEncryptionByDefault",outcome="throttled",service="EC2"} 1`))
	})

	It("that are secured refuse the anonymous and the unauthorised, and answer who may read them", func(ctx SpecContext) {
		s.kill()
		secured = freeAddress()
		s.manager = s.startManager(ctx, "--metrics-bind-address="+secured)
		status := func(token string) func(Gomega) int {
			return func(g Gomega) int {
				got, _ := fetch(ctx, g, "https://"+secured+"/metrics", token)
				return got
			}
		}
		for _, args := range [][]string{
			{"serviceaccount", "-n", "default", "stranger"},
			{"serviceaccount", "-n", "default", "prometheus"},
			{"clusterrolebinding", "read-metrics", "--clusterrole=plumbline-metrics-reader", "--serviceaccount=default:prometheus"},
		} {
			kubectl(ctx, append([]string{"create"}, args...)...)
			DeferCleanup(func(ctx SpecContext) { kubectl(ctx, append([]string{"delete"}, named(args)...)...) })
		}
		bearer := func(account string) string { return kubectl(ctx, "-n", "default", "create", "token", account) }
		Eventually(status("")).WithContext(ctx).Should(Equal(http.StatusUnauthorized))
		Eventually(status(bearer("prometheus"))).WithContext(ctx).Should(Equal(http.StatusOK))
		Eventually(status(bearer("stranger"))).WithContext(ctx).Should(Equal(http.StatusForbidden))
	})
})

// named are the arguments of kubectl create that name the object, and not what is in it.
func named(args []string) []string {
	return slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return strings.HasPrefix(arg, "--") })
}

// fetch gets an address, with a bearer token where one is given.
func fetch(ctx context.Context, g Gomega, url, bearer string) (status int, body string) {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	g.Expect(err).NotTo(HaveOccurred())
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // the manager signs its own certificate
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(request)
	g.Expect(err).NotTo(HaveOccurred())
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	g.Expect(err).NotTo(HaveOccurred())
	return answer.StatusCode, string(content)
}

var _ = Describe("A manager that is asked to stop", Ordered, func() {
	s := stage(plot{flags: []string{"--allow-writes"}})

	It("ends the write it has begun, begins no other, and exits with 0", func(ctx SpecContext) {
		write := s.hold(ctx, stack.ActionHoldBefore, in(payProd, ireland, "ec2", "EnableEbsEncryptionByDefault"), 0)
		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "organization", `
			mode: Enforce
			accounts: {include: ["`+payProd+`"]}
			regions: {include: [`+ireland+`]}
			ebsDefault: {state: Enabled}`)
		write.await(ctx)
		ended := make(chan error, 1)
		go func() { ended <- s.manager.Stop(ctx) }()
		Consistently(ended).WithContext(ctx).ShouldNot(Receive(), "it waits for the write")
		write.release(ctx)
		Eventually(ended).WithContext(ctx).Should(Receive(BeNil()), "exit code 0")
		Expect(s.done(ctx, mark)).To(Equal([]string{call(enableFlag, payProd, ireland)}))
		Expect(logged(s.log, "changed")).To(HaveLen(1))
	})

	It("has written down that the change is made and not seen yet, and looks at it when it is started again", func(ctx SpecContext) {
		Expect(s.rows(ctx, payProd)).To(Equal([]v1alpha1.DriftRow{flagRow(payProd, ireland, v1alpha1.RowSettling,
			"the change was made and AWS does not show it yet; looked at again in a minute")}))
		mark := s.mark(ctx)
		s.start(ctx)
		s.recheck(ctx, payProd)
		s.compliant(ctx, "EncryptionBaseline", "organization")
		Expect(s.writes(ctx, mark)).To(BeEmpty())
	})

	It("and has nothing to do exits with 0 at once", func(ctx SpecContext) {
		stopping, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		Expect(s.manager.Stop(stopping)).To(Succeed())
	})
})

var _ = Describe("Two managers", Ordered, func() {
	s := stage(plot{flags: []string{"--allow-writes", "--max-accounts-changing=10"}})
	// Each has an access key of its own, by which the request log tells them apart. The emulator takes either for the
	// administrator of the management account.
	keys := []string{"AKIAFIRST", "AKIASECOND"}
	var pair []*stack.Manager
	var logs []string
	AfterAll(func() {
		for i, m := range pair {
			Expect(m.Kill()).To(Succeed())
			expectCleanLog(logs[i])
		}
	})
	// atWork are the keys of those of them that called AWS since a mark.
	atWork := func(ctx SpecContext, since int) []string {
		GinkgoHelper()
		var found []string
		for _, r := range s.requests(ctx, stack.Query{Since: since, Operation: []string{"AssumeRole"}}) {
			found = append(found, r.AccessKey)
		}
		return found
	}

	It("are one that works and one that stands by", func(ctx SpecContext) {
		s.kill()
		mark := s.mark(ctx)
		for i, key := range keys {
			logs = append(logs, filepath.Join(shared.dir, "manager-"+strings.ToLower(key)+".log"))
			pair = append(pair, s.startManagerWith(ctx, stack.ManagerOptions{
				Args: []string{"--leader-elect=true", "--leader-election-namespace=" + managerNamespace},
				Env:  []string{"AWS_ACCESS_KEY_ID=" + key}, Log: logs[i],
			}))
			if i == 0 {
				Eventually(func() []map[string]any { return logged(logs[0], "Starting workers") }).WithContext(ctx).ShouldNot(BeEmpty())
			}
		}
		s.declare(ctx, "EncryptionBaseline", "organization", everyMember)
		s.compliant(ctx, "EncryptionBaseline", "organization")
		s.recheck(ctx)
		Expect(atWork(ctx, mark)).To(And(Not(BeEmpty()), HaveEach(keys[0])))
		Expect(logged(logs[1], "Starting workers")).To(BeEmpty())
	})

	It("are still one that works after the other crashed, within the lease's time", func(ctx SpecContext) {
		setFlag(ctx, false, payProd, ireland)
		mark := s.mark(ctx)
		Expect(pair[0].Kill()).To(Succeed())
		t := s.ask(ctx)
		s.awaitAnswer(ctx, t, everywhere...)
		Expect(atWork(ctx, mark)).To(And(Not(BeEmpty()), HaveEach(keys[1])))
		Eventually(func() []string { return s.done(ctx, mark) }).WithContext(ctx).Should(Equal([]string{call(enableFlag, payProd, ireland)}))
	})

	It("give the lease on when the one that works is asked to stop", func(ctx SpecContext) {
		stopping, cancel := context.WithTimeout(ctx, 60*time.Second)
		defer cancel()
		Expect(pair[1].Stop(stopping)).To(Succeed())
		lease := kubectl(ctx, "-n", managerNamespace, "get", "lease", "plumbline.dev", "-o", "jsonpath={.spec.holderIdentity}")
		Expect(lease).To(BeEmpty())
	})
})
