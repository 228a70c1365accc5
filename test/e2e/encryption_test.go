package e2e

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/test/stack"
)

var _ = Describe("Encryption of new EBS volumes", Ordered, ContinueOnFailure, func() {
	keys := map[string]string{} // by region, those of alias/baseline
	var other string
	s := stage(plot{flags: []string{"--allow-writes"}, before: func(ctx context.Context, _ *scene) {
		encryptByDefault(ctx, payProd)
		setFlag(ctx, false, payProd, ireland)
		// The alias means another key in each region, and Virginia has none.
		for _, region := range []string{frankfurt, ireland} {
			keys[region] = makeKey(ctx, payProd, region, "alias/baseline")
		}
		other = makeKey(ctx, payProd, frankfurt, "")
		setDefaultKey(ctx, payProd, frankfurt, other)
		setDefaultKey(ctx, payProd, ireland, "alias/baseline")
	}})
	ours := `accounts: {include: ["` + payProd + `", "` + shopProd + `"]}`
	enforced := func(section string) string {
		return `
			mode: Enforce
			` + ours + `
			ebsDefault: {state: ` + section + `}`
	}
	off, key := notOn("encryptionByDefault"), func() departure { return departure{"kmsKey", keys[frankfurt], other} }
	ofKey := func(because verdict) []v1alpha1.DriftRow {
		return rowsOf(ebsDefault, frankfurt, "arn:aws:ec2:"+frankfurt+":"+payProd+":ebs-default-kms-key", because, key())
	}
	ofFlag := func(account, region string, because verdict, fields ...departure) []v1alpha1.DriftRow {
		return rowsOf(ebsDefault, region, "arn:aws:ec2:"+region+":"+account+":ebs-encryption-by-default", because, fields...)
	}

	It("is reported as a flag and a key of the account and region; an alias that AWS answers is the key it means", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "ebs", `
			mode: Audit
			`+ours+`
			ebsDefault: {state: Enabled, kmsKey: alias/baseline}`)
		s.recheck(ctx, payProd, shopProd)
		Expect(s.rows(ctx, payProd)).To(ConsistOf(append(ofFlag(payProd, ireland, inAudit("Safe"), off...), ofKey(inAudit("Disruptive"))...)))
		c := control(s.account(ctx, payProd), ebsDefault)
		Expect(c.Drifted).To(Equal(map[string]int32{frankfurt: 1, ireland: 1}))
		Expect(c.Unknown).To(Equal(map[string]int32{virginia: 1}))
		Expect(s.ours(ctx, mark)).To(BeEmpty())
	})

	It("is turned on by itself, also where the alias is missing, which is KeyNotFound and writes no key", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "ebs", enforced("Enabled, kmsKey: alias/baseline, approval: Irreversible"))
		s.recheck(ctx, shopProd)
		Expect(s.rows(ctx, shopProd)).To(BeEmpty())
		c := control(s.account(ctx, shopProd), ebsDefault)
		Expect(c).To(And(HaveField("Reason", "KeyNotFound"), HaveField("Unknown", map[string]int32{frankfurt: 1, ireland: 1, virginia: 1})))
		Expect(c.Message).To(MatchRegexp(`alias/baseline does not exist in ` + shopProd + `/[a-z0-9-]+ — create the key and its alias there, or exclude the region$`))
		Expect(s.account(ctx, shopProd).Status.State).To(Equal(v1alpha1.AccountUnknown))
		s.recheck(ctx, payProd)
		Expect(s.ours(ctx, mark)).To(ConsistOf(append(inEach(enableFlag, []string{shopProd}, regions),
			call(enableFlag, payProd, ireland), call(changeKey, payProd, frankfurt))))
		Expect(defaultKey(ctx, payProd, frankfurt)).To(Equal(keys[frankfurt]))
		Expect(defaultKey(ctx, payProd, virginia)).To(Equal("alias/aws/ebs"))
		Expect(defaultKey(ctx, shopProd, frankfurt)).To(Equal("alias/aws/ebs"))
		for _, region := range regions {
			Expect(flag(ctx, shopProd, region)).To(BeTrue())
		}
	})

	It("waits for an approval of another key by default", func(ctx SpecContext) {
		setDefaultKey(ctx, payProd, frankfurt, other)
		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "ebs", enforced("Enabled, kmsKey: alias/baseline"))
		s.recheck(ctx, payProd)
		Expect(s.rows(ctx, payProd)).To(Equal(ofKey(awaiting("Disruptive", key()))))
		Expect(s.ours(ctx, mark)).To(BeEmpty())
	})

	It("is not given a key that is disabled: AWS would take it, and instances would no longer launch", func(ctx SpecContext) {
		_, err := kms.NewFromConfig(shared.emulator.Config(payProd, frankfurt)).DisableKey(ctx, &kms.DisableKeyInput{KeyId: aws.String(keys[frankfurt])})
		Expect(err).NotTo(HaveOccurred())
		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "ebs", `
			mode: Enforce
			`+ours+`
			regions: {include: [`+frankfurt+`]}
			ebsDefault: {state: Enabled, kmsKey: alias/baseline, approval: Irreversible}`)
		s.recheck(ctx, payProd)
		Expect(control(s.account(ctx, payProd), ebsDefault)).To(And(HaveField("Reason", "KeyNotUsable"),
			HaveField("Message", ContainSubstring("alias/baseline cannot be the default key: its state is Disabled — mend the key or name another"))))
		Expect(s.ours(ctx, mark)).To(BeEmpty())
		Expect(defaultKey(ctx, payProd, frankfurt)).To(Equal(other))
	})

	It("keeps the key where none is declared", func(ctx SpecContext) {
		setFlag(ctx, false, payProd, frankfurt)
		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "ebs", enforced("Enabled"))
		s.recheck(ctx, payProd)
		Expect(s.account(ctx, payProd).Status.State).To(Equal(v1alpha1.AccountCompliant))
		Expect(s.ours(ctx, mark)).To(Equal([]string{call(enableFlag, payProd, frankfurt)}))
		Expect(defaultKey(ctx, payProd, frankfurt)).To(Equal(other))
		Expect(s.requests(ctx, stack.Query{Since: mark, Service: []string{"kms"}, Account: []string{payProd}})).To(BeEmpty())
	})

	It("waits for an approval in every mode to be turned off", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "ebs", enforced("Disabled, approval: Irreversible"))
		s.recheck(ctx, payProd)
		on := departure{"encryptionByDefault", "Disabled", "Enabled"}
		var want []v1alpha1.DriftRow
		for _, region := range regions {
			want = append(want, ofFlag(payProd, region, awaiting(weakening, on), on)...)
		}
		Expect(s.rows(ctx, payProd)).To(ConsistOf(want))
		Expect(s.ours(ctx, mark)).To(BeEmpty())
	})
})

var _ = Describe("Rotation of KMS keys", Ordered, ContinueOnFailure, func() {
	var still, yearly, legacy, hidden, disabled string
	s := stage(plot{flags: []string{"--allow-writes"}, before: func(ctx context.Context, s *scene) {
		still, yearly, legacy = makeKey(ctx, webProd, frankfurt, "alias/orders"), makeKey(ctx, webProd, frankfurt, ""), makeKey(ctx, webProd, frankfurt, "alias/legacy-7")
		api := kms.NewFromConfig(shared.emulator.Config(webProd, frankfurt))
		_, err := api.EnableKeyRotation(ctx, &kms.EnableKeyRotationInput{KeyId: &yearly})
		Expect(err).NotTo(HaveOccurred())
		// What cannot rotate by itself, or is AWS's to rotate.
		_, err = api.CreateKey(ctx, &kms.CreateKeyInput{KeySpec: kmstypes.KeySpecRsa2048, KeyUsage: kmstypes.KeyUsageTypeSignVerify})
		Expect(err).NotTo(HaveOccurred())
		s.setState(ctx, map[string]any{
			"account": webProd, "region": frankfurt, "key": makeKey(ctx, webProd, frankfurt, ""), "key_metadata": map[string]any{"Origin": "EXTERNAL"},
		})
		_, err = api.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String("alias/aws/s3")})
		Expect(err).NotTo(HaveOccurred())
		disabled = makeKey(ctx, webProd, frankfurt, "")
		_, err = api.DisableKey(ctx, &kms.DisableKeyInput{KeyId: &disabled})
		Expect(err).NotTo(HaveOccurred())
		made, err := api.CreateKey(ctx, &kms.CreateKeyInput{BypassPolicyLockoutSafetyCheck: true, Policy: aws.String(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + webProd + `:role/keeper"},"Action":"kms:*","Resource":"*"}]}`)})
		Expect(err).NotTo(HaveOccurred())
		hidden = aws.ToString(made.KeyMetadata.Arn)
	}})
	rotation := func(mode, section string) string {
		return `
			mode: ` + mode + `
			` + only(webProd) + `
			kmsRotation: {exclude: ["alias/legacy-*"], state: ` + section + `}`
	}
	off := notOn("state")[0]
	period := func(desired, observed string) departure { return departure{"periodDays", desired, observed} }
	ofKey := func(key string, because verdict, fields ...departure) []v1alpha1.DriftRow {
		return rowsOf(kmsRotation, frankfurt, key, because, fields...)
	}

	It("is reported of the keys that can rotate; one whose policy keeps IAM out is Unknown beside them", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "keys", rotation("Audit", "Enabled, periodDays: 180"))
		s.recheck(ctx, webProd)
		Expect(s.rows(ctx, webProd)).To(ConsistOf(append(ofKey(still, inAudit("Safe"), off), ofKey(yearly, inAudit("Disruptive"), period("180", "365"))...)))
		c := control(s.account(ctx, webProd), kmsRotation)
		Expect(c.Drifted).To(Equal(map[string]int32{frankfurt: 2}))
		Expect(c.Unknown).To(Equal(map[string]int32{frankfurt: 1}))
		Expect(s.ours(ctx, mark)).To(BeEmpty())
	})

	It("is turned on by itself in the declared period; another period of a key that rotates waits for an approval", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "keys", rotation("Enforce", "Enabled, periodDays: 180"))
		s.recheck(ctx, webProd)
		Expect(s.rows(ctx, webProd)).To(Equal(ofKey(yearly, awaiting("Disruptive", period("180", "365")), period("180", "365"))))
		Expect(s.ours(ctx, mark)).To(Equal([]string{call(rotateKey, webProd, frankfurt)}))
		Expect(rotationPeriod(ctx, webProd, frankfurt, still)).To(BeEquivalentTo(180))
		Expect(rotationPeriod(ctx, webProd, frankfurt, yearly)).To(BeEquivalentTo(365))
	})

	It("is shortened with approval: Irreversible, once; no other key is touched", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "keys", rotation("Enforce", "Enabled, periodDays: 180, approval: Irreversible"))
		s.recheck(ctx, webProd)
		s.recheck(ctx, webProd)
		Expect(s.rows(ctx, webProd)).To(BeEmpty())
		Expect(s.ours(ctx, mark)).To(Equal([]string{call(rotateKey, webProd, frankfurt)}))
		Expect(rotationPeriod(ctx, webProd, frankfurt, yearly)).To(BeEquivalentTo(180))
		Expect(rotates(ctx, webProd, frankfurt, legacy)).To(BeFalse())
		Expect(rotates(ctx, webProd, frankfurt, hidden)).To(BeFalse())
		Expect(rotates(ctx, webProd, frankfurt, disabled)).To(BeFalse())
	})

	It("says of the key that cannot be read the code, the action, the role and the next step", func(ctx SpecContext) {
		c := control(s.account(ctx, webProd), kmsRotation)
		Expect(c).To(And(HaveField("Reason", v1alpha1.RowAccessDenied), HaveField("Unknown", map[string]int32{frankfurt: 1}), HaveField("Drifted", BeEmpty())))
		Expect(c.Message).To(And(ContainSubstring("AccessDeniedException"), ContainSubstring(hidden), ContainSubstring("allow kms:DescribeKey to "+
			roleARN(webProd, auditRole)), HaveSuffix("see whether the resource's own policy refuses it")))
		Expect(s.account(ctx, webProd).Status.Checks).To(Equal(v1alpha1.CheckCounts{Total: 3, Compliant: 2, Unknown: 1}))
	})

	It("waits for an approval in every mode to be made longer or turned off", func(ctx SpecContext) {
		mark := s.mark(ctx)
		for section, departs := range map[string]departure{
			"Enabled, periodDays: 2560, approval: Irreversible": period("2560", "180"),
			"Disabled, approval: Irreversible":                  {"state", "Disabled", "Enabled"},
		} {
			s.declare(ctx, "EncryptionBaseline", "keys", rotation("Enforce", section))
			s.recheck(ctx, webProd)
			Expect(s.rows(ctx, webProd)).To(ConsistOf(append(ofKey(still, awaiting(weakening, departs), departs), ofKey(yearly, awaiting(weakening, departs), departs)...)))
		}
		Expect(s.ours(ctx, mark)).To(BeEmpty())
	})
})

var _ = Describe("Storage that is not encrypted", Ordered, ContinueOnFailure, func() {
	var volume, database, cluster string
	s := stage(plot{flags: []string{"--allow-writes"}, before: func(ctx context.Context, _ *scene) {
		volume = makeVolume(ctx, dataProd)
		setFlag(ctx, true, dataProd, frankfurt)
		makeVolume(ctx, dataProd)
		database = makeStandalone(ctx, dataProd, frankfurt, "ledger", false)
		makeStandalone(ctx, dataProd, frankfurt, "sealed", true)
		cluster = makeCluster(ctx, dataProd, ireland)
	}})
	storage := func(mode string) string {
		return `
			mode: ` + mode + `
			` + only(dataProd) + `
			ebsVolumes: {state: Enabled}
			rdsStorage: {state: Enabled}`
	}
	rows := func() []v1alpha1.DriftRow {
		encrypted, stored := departure{"encrypted", "true", "false"}, departure{"storageEncrypted", "true", "false"}
		return slices.Concat(rowsOf(ebsVolumes, frankfurt, volume, unchanging(ebsVolumes), encrypted),
			rowsOf(rdsStorage, frankfurt, database, unchanging(rdsStorage), stored), rowsOf(rdsStorage, ireland, cluster, unchanging(rdsStorage), stored))
	}

	It("is reported: volumes, databases, and a cluster once for all its members", func(ctx SpecContext) {
		s.declare(ctx, "EncryptionBaseline", "storage", storage("Audit"))
		s.recheck(ctx, dataProd)
		Expect(s.rows(ctx, dataProd)).To(ConsistOf(rows()))
		Expect(s.account(ctx, dataProd).Status.Checks).To(Equal(v1alpha1.CheckCounts{Total: 6, Compliant: 3, Drifted: 3}))
	})

	It("is only reported under Enforce, too", func(ctx SpecContext) {
		mark := s.mark(ctx)
		s.declare(ctx, "EncryptionBaseline", "storage", storage("Enforce"))
		s.recheck(ctx, dataProd)
		Expect(s.rows(ctx, dataProd)).To(ConsistOf(rows()))
		Expect(s.ours(ctx, mark)).To(BeEmpty())
	})

	It("is Unknown in the region where AWS answers with garbage, and judged in the others", func(ctx SpecContext) {
		s.rule(ctx, stack.Rule{
			Match: in(dataProd, virginia, "ec2", "DescribeVolumes"), Action: stack.ActionError, Status: 500, Code: "InternalError",
			Message: "An internal error has occurred",
		})
		s.recheck(ctx, dataProd)
		Expect(s.rows(ctx, dataProd)).To(ConsistOf(rows()))
		c := control(s.account(ctx, dataProd), ebsVolumes)
		Expect(c.Drifted).To(Equal(map[string]int32{frankfurt: 1}))
		Expect(c.Unknown).To(Equal(map[string]int32{virginia: 1}))
		Expect(s.account(ctx, dataProd).Status.Checks).To(Equal(v1alpha1.CheckCounts{Total: 6, Compliant: 2, Drifted: 3, Unknown: 1}))
	})
})

// setDefaultKey sets the key that EBS uses by default, behind the manager's back.
func setDefaultKey(ctx context.Context, account, region, key string) {
	GinkgoHelper()
	_, err := ec2.NewFromConfig(shared.emulator.Config(account, region)).ModifyEbsDefaultKmsKeyId(ctx, &ec2.ModifyEbsDefaultKmsKeyIdInput{KmsKeyId: &key})
	Expect(err).NotTo(HaveOccurred())
}

// rotationPeriod is the period in days in which a key rotates; 0 when it does not.
func rotationPeriod(ctx context.Context, account, region, key string) int32 {
	GinkgoHelper()
	out, err := kms.NewFromConfig(shared.emulator.Config(account, region)).GetKeyRotationStatus(ctx, &kms.GetKeyRotationStatusInput{KeyId: &key})
	Expect(err).NotTo(HaveOccurred())
	return aws.ToInt32(out.RotationPeriodInDays)
}

// makeStandalone makes a database that belongs to no cluster, and returns its ARN.
func makeStandalone(ctx context.Context, account, region, name string, encrypted bool) string {
	GinkgoHelper()
	made, err := rds.NewFromConfig(shared.emulator.Config(account, region)).CreateDBInstance(ctx, &rds.CreateDBInstanceInput{
		DBInstanceIdentifier: &name, DBInstanceClass: aws.String("db.t3.micro"), Engine: aws.String("postgres"), MasterUsername: aws.String("ledger"),
		MasterUserPassword: aws.String("only-in-the-emulator"), AllocatedStorage: aws.Int32(20), StorageEncrypted: &encrypted,
	})
	Expect(err).NotTo(HaveOccurred())
	return aws.ToString(made.DBInstance.DBInstanceArn)
}

// makeCluster makes an unencrypted cluster with one member, and returns the cluster's ARN.
func makeCluster(ctx context.Context, account, region string) string {
	GinkgoHelper()
	api, name := rds.NewFromConfig(shared.emulator.Config(account, region)), aws.String("orders")
	made, err := api.CreateDBCluster(ctx, &rds.CreateDBClusterInput{
		DBClusterIdentifier: name, Engine: aws.String("aurora-postgresql"), MasterUsername: aws.String("orders"),
		MasterUserPassword: aws.String("only-in-the-emulator"),
	})
	Expect(err).NotTo(HaveOccurred())
	_, err = api.CreateDBInstance(ctx, &rds.CreateDBInstanceInput{
		DBInstanceIdentifier: aws.String("orders-1"), DBInstanceClass: aws.String("db.r6g.large"), Engine: aws.String("aurora-postgresql"), DBClusterIdentifier: name,
	})
	Expect(err).NotTo(HaveOccurred())
	return aws.ToString(made.DBCluster.DBClusterArn)
}
