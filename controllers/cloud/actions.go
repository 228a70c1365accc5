package cloud

// actions maps an operation of the SDK ("service id.operation") to the IAM action that AWS checks for it. An operation that
// is missing here cannot be called through a session. Source: the Service Authorization Reference, "Actions, resources,
// and condition keys" of each service; names differ most for S3.
var actions = map[string]string{
	"CloudFormation.DescribeStacks": "cloudformation:DescribeStacks",

	"CloudTrail.CreateTrail":       "cloudtrail:CreateTrail",
	"CloudTrail.DescribeTrails":    "cloudtrail:DescribeTrails",
	"CloudTrail.GetEventSelectors": "cloudtrail:GetEventSelectors",
	"CloudTrail.GetTrail":          "cloudtrail:GetTrail",
	"CloudTrail.GetTrailStatus":    "cloudtrail:GetTrailStatus",
	"CloudTrail.ListTags":          "cloudtrail:ListTags",
	"CloudTrail.PutEventSelectors": "cloudtrail:PutEventSelectors",
	"CloudTrail.StartLogging":      "cloudtrail:StartLogging",
	"CloudTrail.StopLogging":       "cloudtrail:StopLogging",
	"CloudTrail.UpdateTrail":       "cloudtrail:UpdateTrail",

	"EC2.DescribeRegions":               "ec2:DescribeRegions",
	"EC2.DescribeVolumes":               "ec2:DescribeVolumes",
	"EC2.DisableEbsEncryptionByDefault": "ec2:DisableEbsEncryptionByDefault",
	"EC2.EnableEbsEncryptionByDefault":  "ec2:EnableEbsEncryptionByDefault",
	"EC2.GetEbsDefaultKmsKeyId":         "ec2:GetEbsDefaultKmsKeyId",
	"EC2.GetEbsEncryptionByDefault":     "ec2:GetEbsEncryptionByDefault",
	"EC2.ModifyEbsDefaultKmsKeyId":      "ec2:ModifyEbsDefaultKmsKeyId",
	"EC2.ResetEbsDefaultKmsKeyId":       "ec2:ResetEbsDefaultKmsKeyId",

	"GuardDuty.CreateDetector":                    "guardduty:CreateDetector",
	"GuardDuty.CreateMembers":                     "guardduty:CreateMembers",
	"GuardDuty.DescribeOrganizationConfiguration": "guardduty:DescribeOrganizationConfiguration",
	"GuardDuty.DisableOrganizationAdminAccount":   "guardduty:DisableOrganizationAdminAccount",
	"GuardDuty.EnableOrganizationAdminAccount":    "guardduty:EnableOrganizationAdminAccount",
	"GuardDuty.GetAdministratorAccount":           "guardduty:GetAdministratorAccount",
	"GuardDuty.GetDetector":                       "guardduty:GetDetector",
	"GuardDuty.GetMemberDetectors":                "guardduty:GetMemberDetectors",
	"GuardDuty.GetMembers":                        "guardduty:GetMembers",
	"GuardDuty.ListDetectors":                     "guardduty:ListDetectors",
	"GuardDuty.ListMembers":                       "guardduty:ListMembers",
	"GuardDuty.ListOrganizationAdminAccounts":     "guardduty:ListOrganizationAdminAccounts",
	"GuardDuty.StartMonitoringMembers":            "guardduty:StartMonitoringMembers",
	"GuardDuty.StopMonitoringMembers":             "guardduty:StopMonitoringMembers",
	"GuardDuty.UpdateDetector":                    "guardduty:UpdateDetector",
	"GuardDuty.UpdateMemberDetectors":             "guardduty:UpdateMemberDetectors",
	"GuardDuty.UpdateOrganizationConfiguration":   "guardduty:UpdateOrganizationConfiguration",

	"IAM.AttachUserPolicy":            "iam:AttachUserPolicy",
	"IAM.DeleteAccountPasswordPolicy": "iam:DeleteAccountPasswordPolicy",
	"IAM.DetachUserPolicy":            "iam:DetachUserPolicy",
	"IAM.GenerateCredentialReport":    "iam:GenerateCredentialReport",
	"IAM.GetAccessKeyLastUsed":        "iam:GetAccessKeyLastUsed",
	"IAM.GetAccountPasswordPolicy":    "iam:GetAccountPasswordPolicy",
	"IAM.GetAccountSummary":           "iam:GetAccountSummary",
	"IAM.GetCredentialReport":         "iam:GetCredentialReport",
	"IAM.GetLoginProfile":             "iam:GetLoginProfile",
	"IAM.GetPolicy":                   "iam:GetPolicy",
	"IAM.GetPolicyVersion":            "iam:GetPolicyVersion",
	"IAM.GetRole":                     "iam:GetRole",
	"IAM.GetRolePolicy":               "iam:GetRolePolicy",
	"IAM.GetUser":                     "iam:GetUser",
	"IAM.ListAccessKeys":              "iam:ListAccessKeys",
	"IAM.ListAttachedRolePolicies":    "iam:ListAttachedRolePolicies",
	"IAM.ListAttachedUserPolicies":    "iam:ListAttachedUserPolicies",
	"IAM.ListEntitiesForPolicy":       "iam:ListEntitiesForPolicy",
	"IAM.ListMFADevices":              "iam:ListMFADevices",
	"IAM.ListRolePolicies":            "iam:ListRolePolicies",
	"IAM.ListVirtualMFADevices":       "iam:ListVirtualMFADevices",
	"IAM.ListUsers":                   "iam:ListUsers",
	"IAM.SimulatePrincipalPolicy":     "iam:SimulatePrincipalPolicy",
	"IAM.UpdateAccessKey":             "iam:UpdateAccessKey",
	"IAM.UpdateAccountPasswordPolicy": "iam:UpdateAccountPasswordPolicy",

	"KMS.DescribeKey":          "kms:DescribeKey",
	"KMS.DisableKeyRotation":   "kms:DisableKeyRotation",
	"KMS.EnableKeyRotation":    "kms:EnableKeyRotation",
	"KMS.GetKeyRotationStatus": "kms:GetKeyRotationStatus",
	"KMS.ListAliases":          "kms:ListAliases",
	"KMS.ListKeys":             "kms:ListKeys",
	"KMS.ListResourceTags":     "kms:ListResourceTags",

	"Organizations.DescribeOrganization":             "organizations:DescribeOrganization",
	"Organizations.ListAccounts":                     "organizations:ListAccounts",
	"Organizations.ListAccountsForParent":            "organizations:ListAccountsForParent",
	"Organizations.ListDelegatedAdministrators":      "organizations:ListDelegatedAdministrators",
	"Organizations.ListOrganizationalUnitsForParent": "organizations:ListOrganizationalUnitsForParent",
	"Organizations.ListRoots":                        "organizations:ListRoots",
	"Organizations.ListTagsForResource":              "organizations:ListTagsForResource",

	"RDS.DescribeDBClusters":  "rds:DescribeDBClusters",
	"RDS.DescribeDBInstances": "rds:DescribeDBInstances",

	"S3.DeleteBucketEncryption":        "s3:PutEncryptionConfiguration",
	"S3.DeleteBucketOwnershipControls": "s3:PutBucketOwnershipControls",
	"S3.DeleteBucketPolicy":            "s3:DeleteBucketPolicy",
	"S3.DeletePublicAccessBlock":       "s3:PutBucketPublicAccessBlock",
	"S3.GetBucketAcl":                  "s3:GetBucketAcl",
	"S3.GetBucketEncryption":           "s3:GetEncryptionConfiguration",
	"S3.GetBucketLogging":              "s3:GetBucketLogging",
	"S3.GetBucketOwnershipControls":    "s3:GetBucketOwnershipControls",
	"S3.GetBucketPolicy":               "s3:GetBucketPolicy",
	"S3.GetBucketPolicyStatus":         "s3:GetBucketPolicyStatus",
	"S3.GetBucketTagging":              "s3:GetBucketTagging",
	"S3.GetBucketVersioning":           "s3:GetBucketVersioning",
	"S3.GetObjectLockConfiguration":    "s3:GetBucketObjectLockConfiguration",
	"S3.GetPublicAccessBlock":          "s3:GetBucketPublicAccessBlock",
	"S3.ListBuckets":                   "s3:ListAllMyBuckets",
	"S3.PutBucketEncryption":           "s3:PutEncryptionConfiguration",
	"S3.PutBucketOwnershipControls":    "s3:PutBucketOwnershipControls",
	"S3.PutBucketPolicy":               "s3:PutBucketPolicy",
	"S3.PutBucketVersioning":           "s3:PutBucketVersioning",
	"S3.PutPublicAccessBlock":          "s3:PutBucketPublicAccessBlock",

	"S3 Control.DeletePublicAccessBlock": "s3:PutAccountPublicAccessBlock",
	"S3 Control.GetPublicAccessBlock":    "s3:GetAccountPublicAccessBlock",
	"S3 Control.PutPublicAccessBlock":    "s3:PutAccountPublicAccessBlock",

	"STS.AssumeRole":        "sts:AssumeRole",
	"STS.GetCallerIdentity": "sts:GetCallerIdentity",
}

// ActionOf is the IAM action behind an operation of the SDK, empty when the operation is not in the table.
func ActionOf(service, operation string) string { return actions[service+"."+operation] }

// Actions lists every IAM action in the table.
func Actions() []string {
	all := make([]string, 0, len(actions))
	for _, a := range actions {
		all = append(all, a)
	}
	return all
}

// SessionReads are the actions that Plumbline itself uses in every account, beside those of the controls.
var SessionReads = []string{"ec2:DescribeRegions"}

// DiscoveryReads are the actions that discovery uses in the account the organization is read from.
var DiscoveryReads = []string{
	"organizations:DescribeOrganization", "organizations:ListAccounts", "organizations:ListAccountsForParent",
	"organizations:ListOrganizationalUnitsForParent", "organizations:ListRoots", "organizations:ListTagsForResource",
}
