package e2e

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

var _ = Describe("Audit", Ordered, func() {
	var volume, key, database string
	s := stage(plot{flags: []string{"--allow-writes"}, before: func(ctx context.Context, _ *scene) {
		volume = makeVolume(ctx, shopProd)
		encryptByDefault(ctx, everywhere...)
		setFlag(ctx, false, payProd, ireland)
		key = makeKey(ctx, webProd, virginia, "")
		database = makeDatabase(ctx, dataProd, frankfurt)
	}})

	It("reports exactly what departs, as desired and observed", func(ctx SpecContext) {
		s.declare(ctx, "EncryptionBaseline", "organization", `
			mode: Audit
			ebsDefault: {state: Enabled}
			ebsVolumes: {state: Enabled}
			rdsStorage: {state: Enabled}
			kmsRotation: {state: Enabled}`)
		s.awaitLooked(ctx, "EncryptionBaseline", "organization")
		Expect(s.rows(ctx, payProd)).To(Equal([]v1alpha1.DriftRow{
			flagRow(payProd, ireland, v1alpha1.RowAudit, "would be changed with mode: Enforce (Safe)"),
		}))
		Expect(s.rows(ctx, shopProd)).To(Equal([]v1alpha1.DriftRow{{
			Control: ebsVolumes, Region: frankfurt, Resource: volume, Field: "encrypted", Desired: "true", Observed: "false",
			Severity: v1alpha1.SeverityMedium, Reason: v1alpha1.RowReportOnly, Message: noRemedy(ebsVolumes),
		}}))
		Expect(s.rows(ctx, webProd)).To(Equal([]v1alpha1.DriftRow{{
			Control: kmsRotation, Region: virginia, Resource: key, Field: "state", Desired: "Enabled", Observed: "Disabled",
			Severity: v1alpha1.SeverityMedium, Reason: v1alpha1.RowAudit, Message: "would be changed with mode: Enforce (Safe)",
		}}))
		Expect(s.rows(ctx, dataProd)).To(Equal([]v1alpha1.DriftRow{{
			Control: rdsStorage, Region: frankfurt, Resource: database, Field: "storageEncrypted", Desired: "true", Observed: "false",
			Severity: v1alpha1.SeverityMedium, Reason: v1alpha1.RowReportOnly, Message: noRemedy(rdsStorage),
		}}))
		for _, id := range []string{security, logArchive, management} {
			Expect(s.rows(ctx, id)).To(BeEmpty())
			Expect(s.account(ctx, id).Status.State).To(Equal(v1alpha1.AccountCompliant))
		}
	})

	It("counts every check: four controls in three regions", func(ctx SpecContext) {
		Expect(s.account(ctx, payProd).Status.Checks).To(Equal(v1alpha1.CheckCounts{Total: 12, Compliant: 11, Drifted: 1}))
		Expect(s.account(ctx, security).Status.Checks).To(Equal(v1alpha1.CheckCounts{Total: 12, Compliant: 12}))
		b := &v1alpha1.EncryptionBaseline{}
		Expect(shared.client.Get(ctx, client.ObjectKey{Name: "organization"}, b)).To(Succeed())
		status := b.Status
		status.Conditions, status.Revision = nil, ""
		Expect(status).To(Equal(v1alpha1.BaselineStatus{
			ObservedGeneration: 1, State: v1alpha1.BaselineDrifted, Mode: v1alpha1.ModeAudit,
			Accounts: 7, Compliant: 3, Drifted: 4, Checks: v1alpha1.CheckCounts{Total: 84, Compliant: 80, Drifted: 4},
			Controls: []v1alpha1.BaselineControlCount{
				{Control: ebsDefault, Drifted: 1}, {Control: ebsVolumes, Drifted: 1}, {Control: kmsRotation, Drifted: 1}, {Control: rdsStorage, Drifted: 1},
			},
			WorstAccounts: []v1alpha1.BaselineAccountCount{
				{Account: payProd, Drifted: 1}, {Account: shopProd, Drifted: 1}, {Account: webProd, Drifted: 1}, {Account: dataProd, Drifted: 1},
			},
		}))
	})

	It("shows in kubectl get what a person looks for", func(ctx SpecContext) {
		Expect(kubectl(ctx, "get", "awsacct", payProd)).To(MatchRegexp(
			`NAME +ACCOUNT-NAME +STATE +CHECKS +DRIFTED +EXCEPTED +UNKNOWN +CHECKED +AGE\n111122223333 +pay-prod +Drifted +11/12 +1 +0 +0 +`))
		Expect(kubectl(ctx, "get", "baselines")).To(MatchRegexp(
			`NAME +MODE +ACCOUNTS +COMPLIANT +DRIFTED +UNKNOWN +ROLLOUT +READY +AGE\n.*organization +Audit +7 +3 +4 +0 +True +`))
		Expect(kubectl(ctx, "get", "awsacct", "--field-selector=status.state=Drifted", "-o", "name")).To(Equal(
			"awsaccount.plumbline.dev/" + payProd + "\nawsaccount.plumbline.dev/" + shopProd +
				"\nawsaccount.plumbline.dev/" + webProd + "\nawsaccount.plumbline.dev/" + dataProd + "\n"))
	})

	It("makes no write and never assumes the role that could", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.recheck(ctx)
		Expect(s.writes(ctx, mark)).To(BeEmpty())
		Expect(s.sessions(ctx, enforceRole)).To(BeEmpty())
	})
})

var _ = Describe("A manager without --allow-writes", Ordered, func() {
	s := stage(plot{})

	It("changes nothing under Enforce, and says so on the baseline and on every row", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "organization", `
			mode: Enforce
			accounts: {all: true}
			ebsDefault: {state: Enabled}`)
		s.awaitLooked(ctx, "EncryptionBaseline", "organization")
		message := s.awaitCondition(ctx, "EncryptionBaseline", "organization", v1alpha1.ConditionEnforcing,
			metav1.ConditionFalse, v1alpha1.ReasonWritesDisabled)
		Expect(message).To(ContainSubstring("--allow-writes"))
		for _, id := range everywhere {
			var want []v1alpha1.DriftRow
			for _, region := range regions {
				want = append(want, flagRow(id, region, v1alpha1.RowWritesDisabled, "the manager runs without --allow-writes"))
			}
			Expect(s.rows(ctx, id)).To(Equal(want))
		}
		s.recheck(ctx)
		Expect(s.writes(ctx, mark)).To(BeEmpty())
		Expect(s.sessions(ctx, enforceRole)).To(BeEmpty())
	})

	It("tells of it in one event", func(ctx SpecContext) {
		Eventually(func(g Gomega) {
			g.Expect(notes(ctx, g, "organization", v1alpha1.ReasonWritesDisabled)).To(HaveLen(1))
		}).WithContext(ctx).Should(Succeed())
	})

	It("makes the changes once it may write", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.kill()
		s.manager = s.startManager(ctx, "--allow-writes", "--max-accounts-changing=10")
		s.awaitState(ctx, v1alpha1.AccountCompliant, members...)
		Expect(s.writes(ctx, mark)).To(ConsistOf(inEach(enableFlag, members, regions)))
		s.awaitCondition(ctx, "EncryptionBaseline", "organization", v1alpha1.ConditionEnforcing, metav1.ConditionTrue, v1alpha1.ReasonWritesAllowed)
	})
})

// makeDatabase makes a database whose storage is not encrypted and returns its ARN.
func makeDatabase(ctx context.Context, account, region string) string {
	GinkgoHelper()
	made, err := rds.NewFromConfig(shared.emulator.Config(account, region)).CreateDBInstance(ctx, &rds.CreateDBInstanceInput{
		DBInstanceIdentifier: aws.String("ledger"), DBInstanceClass: aws.String("db.t3.micro"), Engine: aws.String("postgres"),
		MasterUsername: aws.String("ledger"), MasterUserPassword: aws.String("only-in-the-emulator"), AllocatedStorage: aws.Int32(20),
	})
	Expect(err).NotTo(HaveOccurred())
	return aws.ToString(made.DBInstance.DBInstanceArn)
}

// noRemedy is the message on the row of a control that changes nothing.
func noRemedy(control string) string {
	return "Plumbline does not change this; see " + control + " in docs/controls.md"
}
