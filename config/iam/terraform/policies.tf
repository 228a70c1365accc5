# Written by hack/generate (make generate) from the controls. Do not edit.
#
# part says which role has a policy: both, audit, organization (the audit role, in the account that the organization is read
# from), enforce and writing (the enforce role, where the kind is enforced), guard (neither: it is attached to users).

locals {
  # The kinds with something to change in every account.
  enforced_anywhere = ["GuardDutyBaseline", "S3Baseline", "IAMBaseline", "EncryptionBaseline"]

  # Every kind.
  kinds = ["GuardDutyBaseline", "CloudTrailBaseline", "S3Baseline", "IAMBaseline", "EncryptionBaseline"]

  policies = {
    # Data and secrets are denied to both of Plumbline's roles.
    "deny-data" = {
      part = "both"
      kind = ""
      document = jsonencode({
        Version = "2012-10-17"
        Statement = [
          {
            Sid    = "DataAndSecrets"
            Effect = "Deny"
            Action = [
              "dynamodb:BatchGetItem",
              "dynamodb:GetItem",
              "dynamodb:GetRecords",
              "dynamodb:PartiQLSelect",
              "dynamodb:Query",
              "dynamodb:Scan",
              "kms:Decrypt",
              "lambda:GetFunction*",
              "logs:FilterLogEvents",
              "logs:GetLogEvents",
              "logs:GetLogRecord",
              "logs:GetQueryResults",
              "logs:StartLiveTail",
              "logs:StartQuery",
              "s3:GetObject*",
              "secretsmanager:BatchGetSecretValue",
              "secretsmanager:GetSecretValue",
              "sqs:ReceiveMessage",
              "ssm:GetParameter*",
            ]
            Resource = "*"
          },
        ]
      })
    }
    # What Plumbline reads in every account beside its controls.
    "audit-session" = {
      part = "audit"
      kind = ""
      document = jsonencode({
        Version = "2012-10-17"
        Statement = [
          {
            Sid      = "Read"
            Effect   = "Allow"
            Action   = "ec2:DescribeRegions"
            Resource = "*"
          },
        ]
      })
    }
    # What Plumbline reads of AWS Organizations.
    "read-organization" = {
      part = "organization"
      kind = ""
      document = jsonencode({
        Version = "2012-10-17"
        Statement = [
          {
            Sid    = "Read"
            Effect = "Allow"
            Action = [
              "organizations:DescribeOrganization",
              "organizations:ListAccounts",
              "organizations:ListAccountsForParent",
              "organizations:ListOrganizationalUnitsForParent",
              "organizations:ListRoots",
              "organizations:ListTagsForResource",
            ]
            Resource = "*"
          },
        ]
      })
    }
    # What the controls of GuardDutyBaseline read.
    "audit-guardduty" = {
      part = "audit"
      kind = "GuardDutyBaseline"
      document = jsonencode({
        Version = "2012-10-17"
        Statement = [
          {
            Sid    = "Read"
            Effect = "Allow"
            Action = [
              "guardduty:DescribeOrganizationConfiguration",
              "guardduty:GetDetector",
              "guardduty:GetMemberDetectors",
              "guardduty:GetMembers",
              "guardduty:ListDetectors",
              "guardduty:ListMembers",
              "guardduty:ListOrganizationAdminAccounts",
            ]
            Resource = "*"
          },
        ]
      })
    }
    # What the controls of GuardDutyBaseline read and change.
    "enforce-guardduty" = {
      part = "enforce"
      kind = "GuardDutyBaseline"
      document = jsonencode({
        Version = "2012-10-17"
        Statement = [
          {
            Sid    = "Read"
            Effect = "Allow"
            Action = [
              "guardduty:DescribeOrganizationConfiguration",
              "guardduty:GetDetector",
              "guardduty:GetMemberDetectors",
              "guardduty:GetMembers",
              "guardduty:ListDetectors",
              "guardduty:ListMembers",
              "guardduty:ListOrganizationAdminAccounts",
            ]
            Resource = "*"
          },
          {
            Sid    = "Write"
            Effect = "Allow"
            Action = [
              "guardduty:CreateDetector",
              "guardduty:CreateMembers",
              "guardduty:DisableOrganizationAdminAccount",
              "guardduty:EnableOrganizationAdminAccount",
              "guardduty:StartMonitoringMembers",
              "guardduty:StopMonitoringMembers",
              "guardduty:UpdateDetector",
              "guardduty:UpdateMemberDetectors",
              "guardduty:UpdateOrganizationConfiguration",
            ]
            Resource = "*"
          },
          {
            Sid    = "TrustedAccess"
            Effect = "Allow"
            Action = [
              "organizations:EnableAWSServiceAccess",
              "organizations:RegisterDelegatedAdministrator",
            ]
            Resource = "*"
            Condition = {
              StringEquals = {
                "organizations:ServicePrincipal" = [
                  "guardduty.amazonaws.com",
                  "malware-protection.guardduty.amazonaws.com",
                ]
              }
            }
          },
          {
            Sid    = "Grant"
            Effect = "Allow"
            Action = [
              "organizations:DescribeAccount",
              "organizations:DescribeOrganization",
              "organizations:DescribeOrganizationalUnit",
              "organizations:ListAWSServiceAccessForOrganization",
              "organizations:ListAccounts",
              "organizations:ListDelegatedAdministrators",
            ]
            Resource = "*"
          },
          {
            Sid    = "ServiceLinkedRole"
            Effect = "Allow"
            Action = "iam:CreateServiceLinkedRole"
            Resource = [
              "arn:${local.partition}:iam::${local.account}:role/aws-service-role/guardduty.amazonaws.com/*",
              "arn:${local.partition}:iam::${local.account}:role/aws-service-role/malware-protection.guardduty.amazonaws.com/*",
            ]
            Condition = {
              StringEquals = {
                "iam:AWSServiceName" = [
                  "guardduty.amazonaws.com",
                  "malware-protection.guardduty.amazonaws.com",
                ]
              }
            }
          },
        ]
      })
    }
    # What the controls of CloudTrailBaseline read.
    "audit-cloudtrail" = {
      part = "audit"
      kind = "CloudTrailBaseline"
      document = jsonencode({
        Version = "2012-10-17"
        Statement = [
          {
            Sid    = "Read"
            Effect = "Allow"
            Action = [
              "cloudtrail:DescribeTrails",
              "cloudtrail:GetEventSelectors",
              "cloudtrail:GetTrailStatus",
              "cloudtrail:ListTags",
            ]
            Resource = "*"
          },
        ]
      })
    }
    # What the controls of CloudTrailBaseline read and change.
    "enforce-cloudtrail" = {
      part = "enforce"
      kind = "CloudTrailBaseline"
      document = jsonencode({
        Version = "2012-10-17"
        Statement = [
          {
            Sid    = "Read"
            Effect = "Allow"
            Action = [
              "cloudtrail:DescribeTrails",
              "cloudtrail:GetEventSelectors",
              "cloudtrail:GetTrailStatus",
              "cloudtrail:ListTags",
            ]
            Resource = "*"
          },
          {
            Sid    = "Write"
            Effect = "Allow"
            Action = [
              "cloudtrail:CreateTrail",
              "cloudtrail:PutEventSelectors",
              "cloudtrail:StartLogging",
              "cloudtrail:StopLogging",
              "cloudtrail:UpdateTrail",
            ]
            Resource = "*"
          },
          {
            Sid      = "ServiceLinkedRole"
            Effect   = "Allow"
            Action   = "iam:CreateServiceLinkedRole"
            Resource = "arn:${local.partition}:iam::${local.account}:role/aws-service-role/cloudtrail.amazonaws.com/*"
            Condition = {
              StringEquals = {
                "iam:AWSServiceName" = "cloudtrail.amazonaws.com"
              }
            }
          },
          {
            Sid    = "Grant"
            Effect = "Allow"
            Action = [
              "iam:GetRole",
              "organizations:DescribeOrganization",
              "organizations:ListAWSServiceAccessForOrganization",
              "organizations:ListAccounts",
            ]
            Resource = "*"
          },
          {
            Sid      = "PassRole"
            Effect   = "Allow"
            Action   = "iam:PassRole"
            Resource = "arn:${local.partition}:iam::${local.account}:role/*"
            Condition = {
              StringEquals = {
                "iam:PassedToService" = "cloudtrail.amazonaws.com"
              }
            }
          },
        ]
      })
    }
    # What the controls of S3Baseline read.
    "audit-s3" = {
      part = "audit"
      kind = "S3Baseline"
      document = jsonencode({
        Version = "2012-10-17"
        Statement = [
          {
            Sid    = "Read"
            Effect = "Allow"
            Action = [
              "kms:DescribeKey",
              "kms:ListAliases",
              "s3:GetAccountPublicAccessBlock",
              "s3:GetBucketAcl",
              "s3:GetBucketLogging",
              "s3:GetBucketObjectLockConfiguration",
              "s3:GetBucketOwnershipControls",
              "s3:GetBucketPolicy",
              "s3:GetBucketPolicyStatus",
              "s3:GetBucketPublicAccessBlock",
              "s3:GetBucketTagging",
              "s3:GetBucketVersioning",
              "s3:GetEncryptionConfiguration",
              "s3:ListAllMyBuckets",
            ]
            Resource = "*"
          },
        ]
      })
    }
    # What the controls of S3Baseline read and change.
    "enforce-s3" = {
      part = "enforce"
      kind = "S3Baseline"
      document = jsonencode({
        Version = "2012-10-17"
        Statement = [
          {
            Sid    = "Read"
            Effect = "Allow"
            Action = [
              "kms:DescribeKey",
              "kms:ListAliases",
              "s3:GetAccountPublicAccessBlock",
              "s3:GetBucketAcl",
              "s3:GetBucketLogging",
              "s3:GetBucketObjectLockConfiguration",
              "s3:GetBucketOwnershipControls",
              "s3:GetBucketPolicy",
              "s3:GetBucketPolicyStatus",
              "s3:GetBucketPublicAccessBlock",
              "s3:GetBucketTagging",
              "s3:GetBucketVersioning",
              "s3:GetEncryptionConfiguration",
              "s3:ListAllMyBuckets",
            ]
            Resource = "*"
          },
          {
            Sid    = "Write"
            Effect = "Allow"
            Action = [
              "s3:PutAccountPublicAccessBlock",
              "s3:PutBucketOwnershipControls",
              "s3:PutBucketPublicAccessBlock",
              "s3:PutBucketVersioning",
              "s3:PutEncryptionConfiguration",
            ]
            Resource = "*"
          },
        ]
      })
    }
    # The resource policies that the controls of S3Baseline change.
    "enforce-s3-policies" = {
      part = "writing"
      kind = "S3Baseline"
      document = jsonencode({
        Version = "2012-10-17"
        Statement = [
          {
            Sid    = "Write"
            Effect = "Allow"
            Action = [
              "s3:DeleteBucketPolicy",
              "s3:PutBucketPolicy",
            ]
            Resource = "*"
          },
        ]
      })
    }
    # What the controls of IAMBaseline read.
    "audit-iam" = {
      part = "audit"
      kind = "IAMBaseline"
      document = jsonencode({
        Version = "2012-10-17"
        Statement = [
          {
            Sid    = "Read"
            Effect = "Allow"
            Action = [
              "iam:GenerateCredentialReport",
              "iam:GetAccessKeyLastUsed",
              "iam:GetAccountPasswordPolicy",
              "iam:GetAccountSummary",
              "iam:GetCredentialReport",
              "iam:GetLoginProfile",
              "iam:GetPolicy",
              "iam:GetPolicyVersion",
              "iam:GetRole",
              "iam:GetUser",
              "iam:ListAccessKeys",
              "iam:ListAttachedRolePolicies",
              "iam:ListAttachedUserPolicies",
              "iam:ListEntitiesForPolicy",
              "iam:ListMFADevices",
              "iam:ListRolePolicies",
              "iam:ListUsers",
              "iam:ListVirtualMFADevices",
              "iam:SimulatePrincipalPolicy",
            ]
            Resource = "*"
          },
        ]
      })
    }
    # What the controls of IAMBaseline read and change.
    "enforce-iam" = {
      part = "enforce"
      kind = "IAMBaseline"
      document = jsonencode({
        Version = "2012-10-17"
        Statement = [
          {
            Sid    = "Read"
            Effect = "Allow"
            Action = [
              "iam:GenerateCredentialReport",
              "iam:GetAccessKeyLastUsed",
              "iam:GetAccountPasswordPolicy",
              "iam:GetAccountSummary",
              "iam:GetCredentialReport",
              "iam:GetLoginProfile",
              "iam:GetPolicy",
              "iam:GetPolicyVersion",
              "iam:GetRole",
              "iam:GetUser",
              "iam:ListAccessKeys",
              "iam:ListAttachedRolePolicies",
              "iam:ListAttachedUserPolicies",
              "iam:ListEntitiesForPolicy",
              "iam:ListMFADevices",
              "iam:ListRolePolicies",
              "iam:ListUsers",
              "iam:ListVirtualMFADevices",
              "iam:SimulatePrincipalPolicy",
            ]
            Resource = "*"
          },
          {
            Sid    = "OnlyTheGuard"
            Effect = "Allow"
            Action = [
              "iam:AttachUserPolicy",
              "iam:DetachUserPolicy",
            ]
            Resource = "arn:${local.partition}:iam::${local.account}:user/*"
            Condition = {
              ArnEquals = {
                "iam:PolicyARN" = [
                  "arn:${local.partition}:iam::${local.account}:policy/plumbline/mfa-guard",
                  "arn:${local.partition}:iam::${local.account}:policy/plumbline/mfa-guard-keys",
                ]
              }
            }
          },
          {
            Sid    = "Write"
            Effect = "Allow"
            Action = [
              "iam:DeleteAccountPasswordPolicy",
              "iam:UpdateAccessKey",
              "iam:UpdateAccountPasswordPolicy",
            ]
            Resource = "*"
          },
        ]
      })
    }
    # What the controls of EncryptionBaseline read.
    "audit-encryption" = {
      part = "audit"
      kind = "EncryptionBaseline"
      document = jsonencode({
        Version = "2012-10-17"
        Statement = [
          {
            Sid    = "Read"
            Effect = "Allow"
            Action = [
              "ec2:DescribeVolumes",
              "ec2:GetEbsDefaultKmsKeyId",
              "ec2:GetEbsEncryptionByDefault",
              "kms:DescribeKey",
              "kms:GetKeyRotationStatus",
              "kms:ListAliases",
              "kms:ListKeys",
              "kms:ListResourceTags",
              "rds:DescribeDBClusters",
              "rds:DescribeDBInstances",
            ]
            Resource = "*"
          },
        ]
      })
    }
    # What the controls of EncryptionBaseline read and change.
    "enforce-encryption" = {
      part = "enforce"
      kind = "EncryptionBaseline"
      document = jsonencode({
        Version = "2012-10-17"
        Statement = [
          {
            Sid    = "Read"
            Effect = "Allow"
            Action = [
              "ec2:DescribeVolumes",
              "ec2:GetEbsDefaultKmsKeyId",
              "ec2:GetEbsEncryptionByDefault",
              "kms:DescribeKey",
              "kms:GetKeyRotationStatus",
              "kms:ListAliases",
              "kms:ListKeys",
              "kms:ListResourceTags",
              "rds:DescribeDBClusters",
              "rds:DescribeDBInstances",
            ]
            Resource = "*"
          },
          {
            Sid    = "Write"
            Effect = "Allow"
            Action = [
              "ec2:DisableEbsEncryptionByDefault",
              "ec2:EnableEbsEncryptionByDefault",
              "ec2:ModifyEbsDefaultKmsKeyId",
              "ec2:ResetEbsDefaultKmsKeyId",
              "kms:DisableKeyRotation",
              "kms:EnableKeyRotation",
            ]
            Resource = "*"
          },
        ]
      })
    }
    # MFA guard ConsoleOnly: leaves a user without MFA just enough to enrol a device.
    "mfa-guard" = {
      part = "guard"
      kind = ""
      document = jsonencode({
        Version = "2012-10-17"
        Statement = [
          {
            Sid    = "List"
            Effect = "Allow"
            Action = [
              "iam:ListVirtualMFADevices",
              "iam:GetAccountPasswordPolicy",
            ]
            Resource = "*"
          },
          {
            Sid      = "CreateDevice"
            Effect   = "Allow"
            Action   = "iam:CreateVirtualMFADevice"
            Resource = "arn:${local.partition}:iam::*:mfa/*"
          },
          {
            Sid    = "OwnUser"
            Effect = "Allow"
            Action = [
              "iam:EnableMFADevice",
              "iam:GetMFADevice",
              "iam:ListMFADevices",
              "iam:ResyncMFADevice",
              "iam:GetUser",
              "iam:ChangePassword",
            ]
            Resource = [
              "arn:${local.partition}:iam::*:user/$${aws:username}",
              "arn:${local.partition}:iam::*:user/*/$${aws:username}",
            ]
          },
          {
            Sid    = "DenyUnlessMFA"
            Effect = "Deny"
            NotAction = [
              "iam:CreateVirtualMFADevice",
              "iam:EnableMFADevice",
              "iam:GetMFADevice",
              "iam:ListMFADevices",
              "iam:ListVirtualMFADevices",
              "iam:ResyncMFADevice",
              "iam:GetUser",
              "iam:ChangePassword",
              "iam:GetAccountPasswordPolicy",
              "sts:GetSessionToken",
              "sts:GetCallerIdentity",
            ]
            Resource = "*"
            Condition = {
              Bool = {
                "aws:MultiFactorAuthPresent" = "false"
                "aws:ViaAWSService"          = "false"
              }
            }
          },
        ]
      })
    }
    # MFA guard ConsoleAndKeys: leaves a user without MFA just enough to enrol a device.
    "mfa-guard-keys" = {
      part = "guard"
      kind = ""
      document = jsonencode({
        Version = "2012-10-17"
        Statement = [
          {
            Sid    = "List"
            Effect = "Allow"
            Action = [
              "iam:ListVirtualMFADevices",
              "iam:GetAccountPasswordPolicy",
            ]
            Resource = "*"
          },
          {
            Sid      = "CreateDevice"
            Effect   = "Allow"
            Action   = "iam:CreateVirtualMFADevice"
            Resource = "arn:${local.partition}:iam::*:mfa/*"
          },
          {
            Sid    = "OwnUser"
            Effect = "Allow"
            Action = [
              "iam:EnableMFADevice",
              "iam:GetMFADevice",
              "iam:ListMFADevices",
              "iam:ResyncMFADevice",
              "iam:GetUser",
              "iam:ChangePassword",
            ]
            Resource = [
              "arn:${local.partition}:iam::*:user/$${aws:username}",
              "arn:${local.partition}:iam::*:user/*/$${aws:username}",
            ]
          },
          {
            Sid    = "DenyUnlessMFA"
            Effect = "Deny"
            NotAction = [
              "iam:CreateVirtualMFADevice",
              "iam:EnableMFADevice",
              "iam:GetMFADevice",
              "iam:ListMFADevices",
              "iam:ListVirtualMFADevices",
              "iam:ResyncMFADevice",
              "iam:GetUser",
              "iam:ChangePassword",
              "iam:GetAccountPasswordPolicy",
              "sts:GetSessionToken",
              "sts:GetCallerIdentity",
            ]
            Resource = "*"
            Condition = {
              Bool = {
                "aws:ViaAWSService" = "false"
              }
              BoolIfExists = {
                "aws:MultiFactorAuthPresent" = "false"
              }
            }
          },
        ]
      })
    }
  }
}
