package e2e

import (
	"context"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

var _ = Describe("Events", Ordered, func() {
	var queue *eventQueue
	var metrics string
	s := stage(plot{flags: []string{"--allow-writes"}, before: func(ctx context.Context, _ *scene) {
		encryptByDefault(ctx, payProd, shopProd)
		queue = makeEventQueue(ctx)
	}})
	restart := func(ctx context.Context) {
		metrics = freeAddress()
		s.manager = s.startManager(ctx, "--event-queue-url="+queue.url, "--metrics-bind-address="+metrics, "--metrics-secure=false")
	}
	flowing := func(ctx context.Context, status metav1.ConditionStatus, reason string) {
		GinkgoHelper()
		s.awaitCondition(ctx, "AWSOrganization", "main", v1alpha1.ConditionEventsFlowing, status, reason)
	}
	switchedOff := anEvent{source: "ec2", name: "DisableEbsEncryptionByDefault", account: payProd, region: ireland}

	It("are waited for from the start", func(ctx SpecContext) {
		s.declare(ctx, "EncryptionBaseline", "ebs", `
			mode: Audit
			accounts: {include: ["`+payProd+`", "`+shopProd+`"]}
			ebsDefault: {state: Enabled}`)
		s.compliant(ctx, "EncryptionBaseline", "ebs")
		s.kill()
		restart(ctx)
		flowing(ctx, metav1.ConditionUnknown, v1alpha1.ReasonNoEvents)
	})

	It("bring a change into the status, with who made it, by looking at nothing else", func(ctx SpecContext) {
		setFlag(ctx, false, payProd, ireland)
		mark := s.mark(ctx)
		queue.send(ctx, switchedOff)
		s.awaitState(ctx, v1alpha1.AccountDrifted, payProd)
		row := s.account(ctx, payProd).Status.Drift[0]
		Expect([]string{row.Control, row.Region, row.By, row.Event}).To(Equal(
			[]string{ebsDefault, ireland, "assumed-role/Admin/alice", "DisableEbsEncryptionByDefault"}))
		Expect(row.EventTime).NotTo(BeNil())
		queue.awaitEmpty(ctx)
		looked := s.requests(ctx, stack.Query{Since: mark, Service: []string{"ec2"}})
		looked = slices.DeleteFunc(looked, func(r stack.Request) bool {
			return !strings.Contains(r.UserAgent, "plumbline") || r.Operation == "DescribeRegions"
		})
		Expect(lines(looked)).To(Equal([]string{call("ec2:"+readFlag, payProd, ireland)}))
		Expect(s.writes(ctx, mark)).To(HaveEach(HavePrefix("sqs:")))
		flowing(ctx, metav1.ConditionTrue, v1alpha1.ReasonEventsArrive)
	})

	It("that were handled, were refused, or are of others are not looked into", func(ctx SpecContext) {
		mark := s.mark(ctx)
		refused := switchedOff
		refused.errorCode = "Client.UnauthorizedOperation"
		queue.send(ctx, refused)
		queue.send(ctx, anEvent{source: "ec2", name: "RunInstances", account: payProd, region: ireland})
		queue.send(ctx, anEvent{source: "ec2", name: "DisableEbsEncryptionByDefault", account: "999988887777", region: ireland})
		queue.awaitEmpty(ctx)
		body := queue.send(ctx, anEvent{source: "ec2", name: "DisableEbsEncryptionByDefault", account: shopProd, region: frankfurt})
		queue.awaitEmpty(ctx)
		queue.put(ctx, body)
		queue.awaitEmpty(ctx)
		looked := s.requests(ctx, stack.Query{Since: mark, Operation: []string{readFlag}})
		Expect(lines(looked)).To(ContainElement(call("ec2:"+readFlag, shopProd, frankfurt)))
		Expect(lines(looked)).NotTo(ContainElement(call("ec2:"+readFlag, payProd, ireland)))
		Eventually(func(g Gomega) {
			_, found := fetch(ctx, g, "http://"+metrics+"/metrics", "")
			g.Expect(strings.Split(found, "\n")).To(ContainElement(`plumbline_event_messages_total{outcome="duplicate"} 1`))
			g.Expect(found).To(MatchRegexp(`(?m)^plumbline_event_to_status_seconds_count [1-9]`))
		}).WithContext(ctx).Should(Succeed())
	})

	It("that cannot be read are counted, and keep nothing from being handled", func(ctx SpecContext) {
		queue.put(ctx, `{"detail-type": "AWS API Call via CloudTrail", "detail": [1, `)
		queue.put(ctx, strings.Repeat("[", 100_000))
		setFlag(ctx, true, payProd, ireland)
		queue.send(ctx, anEvent{source: "ec2", name: "EnableEbsEncryptionByDefault", account: payProd, region: ireland})
		s.awaitState(ctx, v1alpha1.AccountCompliant, payProd)
		Eventually(func(g Gomega) {
			_, found := fetch(ctx, g, "http://"+metrics+"/metrics", "")
			g.Expect(found).To(MatchRegexp(`(?m)^plumbline_event_messages_total\{outcome="malformed"\} [2-9]`))
		}).WithContext(ctx).Should(Succeed())
		queue.purge(ctx)
	})

	It("that a killed manager had received come back to the next", func(ctx SpecContext) {
		setFlag(ctx, false, shopProd, virginia)
		held := s.hold(ctx, stack.ActionHoldBefore, in(shopProd, virginia, "ec2", readFlag), 0)
		queue.send(ctx, anEvent{source: "ec2", name: "DisableEbsEncryptionByDefault", account: shopProd, region: virginia})
		held.await(ctx)
		s.kill()
		held.drop(ctx)
		restart(ctx)
		// A poll of the killed manager that the emulator still has open takes what comes next.
		queue.awaitEmptyAfterAll(ctx)
		s.awaitState(ctx, v1alpha1.AccountDrifted, shopProd)
		row := s.account(ctx, shopProd).Status.Drift[0]
		Expect([]string{row.Region, row.By}).To(Equal([]string{virginia, "assumed-role/Admin/alice"}))
	})

	It("of its own changes raise no alarm; those of anybody else with its roles do", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "ebs", `
			mode: Enforce
			accounts: {include: ["`+payProd+`", "`+shopProd+`"]}
			ebsDefault: {state: Enabled}`)
		s.compliant(ctx, "EncryptionBaseline", "ebs")
		made := s.requests(ctx, stack.Query{Since: mark, Operation: []string{"EnableEbsEncryptionByDefault"}})
		Expect(made).NotTo(BeEmpty())
		own := anEvent{
			source: "ec2", name: "EnableEbsEncryptionByDefault", account: shopProd, region: virginia,
			role: "plumbline/PlumblineEnforce", session: "plumbline-" + ebsDefault, requestID: made[0].RequestID,
		}
		stolen := own
		stolen.requestID, stolen.name = "", "DisableEbsEncryptionByDefault"
		queue.send(ctx, own)
		queue.send(ctx, stolen)
		queue.awaitEmptyAfterAll(ctx)
		Eventually(func(g Gomega) {
			g.Expect(notes(ctx, g, shopProd, "UnexpectedUseOfRole")).To(HaveLen(1))
		}).WithContext(ctx).Should(Succeed())
		Expect(notes(ctx, Default, shopProd, "UnexpectedUseOfRole")[0]).To(And(
			ContainSubstring("ec2:DisableEbsEncryptionByDefault"), ContainSubstring("PlumblineEnforce")))
	})

	It("about users are looked into live, while the credential report still shows what was before", func(ctx SpecContext) {
		gwen := &iamPerson{name: "gwen", path: "/team/", password: daysAgo(365), mfa: true}
		newcomer := &iamPerson{name: "newcomer", password: daysAgo(365)}
		s.iamMake(ctx, shopProd, gwen)
		s.setState(ctx, map[string]any{"account": shopProd, "credential_report": "ready"})
		s.declare(ctx, "IAMBaseline", "users", `
			mode: Audit
			accounts: {include: ["`+shopProd+`"]}
			userMFA: {state: Enabled}`)
		s.compliant(ctx, "IAMBaseline", "users")
		mark := s.mark(ctx)
		appears := func(p *iamPerson, event anEvent) {
			GinkgoHelper()
			event.source, event.account, event.region = "iam", shopProd, virginia
			queue.send(ctx, event)
			Eventually(func(g Gomega) {
				rows := timeless(s.accountWith(ctx, g, shopProd).Status.Drift)
				want := reportOnly(iamRow(iamUserMFA, p.arn(shopProd), "mfa", "a device", "none"))
				want.By, want.Event = "assumed-role/Admin/alice", event.name
				for i := range rows {
					rows[i].EventTime = nil
				}
				g.Expect(rows).To(ContainElement(want))
			}).WithContext(ctx).Should(Succeed())
		}
		iamLose(ctx, shopProd, gwen.name)
		appears(gwen, anEvent{name: "DeactivateMFADevice", parameters: map[string]any{
			"userName": gwen.name, "serialNumber": iamARN(shopProd, "mfa/gwen"),
		}})
		s.iamMake(ctx, shopProd, newcomer)
		appears(newcomer, anEvent{name: "CreateLoginProfile", parameters: map[string]any{"userName": newcomer.name}})
		Expect(s.rows(ctx, shopProd)).To(HaveLen(2))
		Expect(s.requests(ctx, stack.Query{Since: mark, Operation: []string{"GenerateCredentialReport"}})).To(BeEmpty())
	})

	It("about accounts have the organization read again", func(ctx SpecContext) {
		before := s.mark(ctx)
		queue.send(ctx, anEvent{source: "organizations", name: "MoveAccount", account: management, region: virginia,
			parameters: map[string]any{"accountId": payProd}})
		Eventually(func(g Gomega) {
			g.Expect(s.requests(ctx, stack.Query{Since: before, Service: []string{"organizations"}, Operation: []string{"ListAccounts"}})).NotTo(BeEmpty())
		}).WithContext(ctx).WithTimeout(30 * time.Second).Should(Succeed())
		queue.awaitEmptyAfterAll(ctx)
	})

	It("whose queue is gone are missed, and said to be", func(ctx SpecContext) {
		queue.remove(ctx)
		flowing(ctx, metav1.ConditionFalse, v1alpha1.ReasonQueueUnreadable)
	})
})
