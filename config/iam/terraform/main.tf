# Plumbline's roles in one account: the same as ../member-roles.yaml. Use the module once per account, with that account's
# provider. What the policies allow stands in policies.tf, which is generated.

data "aws_partition" "current" {}

data "aws_caller_identity" "current" {}

locals {
  partition = data.aws_partition.current.partition
  account   = data.aws_caller_identity.current.account_id

  enforce_kinds = var.enforce ? (var.enforce_kinds == null ? local.enforced_anywhere : tolist(var.enforce_kinds)) : []

  audit_policies = toset([
    for name, policy in local.policies : name
    if contains(["both", "audit"], policy.part) || (policy.part == "organization" && var.read_organization)
  ])

  enforce_policies = toset([
    for name, policy in local.policies : name
    if var.enforce && (
      policy.part == "both"
      || (policy.part == "enforce" && contains(local.enforce_kinds, policy.kind))
      || (policy.part == "writing" && contains(local.enforce_kinds, policy.kind) && contains(var.policy_writing_kinds, policy.kind))
    )
  ])

  guards = toset([for name, policy in local.policies : name if policy.part == "guard"])

  # With separate hands, the enforcer may assume both roles, and nobody else the enforce role.
  trusted = {
    audit   = var.enforcer_arn == null ? [var.principal_arn] : [var.principal_arn, var.enforcer_arn]
    enforce = var.enforcer_arn == null ? [var.principal_arn] : [var.enforcer_arn]
  }

  trust = {
    for role, principals in local.trusted : role => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Sid       = "ThisInstallation"
        Effect    = "Allow"
        Principal = { AWS = principals }
        Action    = "sts:AssumeRole"
        Condition = {
          StringEquals = {
            "sts:ExternalId"     = var.external_id
            "aws:PrincipalOrgID" = var.organization_id
          }
        }
      }]
    })
  }
}

# No description: AWS lets none be changed, and Terraform would replace the policy for it.
resource "aws_iam_policy" "plumbline" {
  for_each = setunion(local.audit_policies, local.enforce_policies, local.guards)

  name   = each.key
  path   = "/plumbline/"
  policy = local.policies[each.key].document
}

resource "aws_iam_role" "audit" {
  name                 = "PlumblineAudit"
  path                 = "/plumbline/"
  description          = "Plumbline reads this account's security settings"
  max_session_duration = 3600
  assume_role_policy   = local.trust.audit
}

resource "aws_iam_role" "enforce" {
  count = var.enforce ? 1 : 0

  name                 = "PlumblineEnforce"
  path                 = "/plumbline/"
  description          = "Plumbline changes this account's security settings, one change at a time"
  max_session_duration = 3600
  assume_role_policy   = local.trust.enforce

  lifecycle {
    precondition {
      condition     = alltrue([for kind in local.enforce_kinds : contains(local.kinds, kind)])
      error_message = "enforce_kinds names a kind that Plumbline does not have; the kinds are ${join(", ", local.kinds)}."
    }
    precondition {
      condition     = alltrue([for kind in var.policy_writing_kinds : contains(local.enforce_kinds, kind)])
      error_message = "policy_writing_kinds names a kind that enforce_kinds does not; a kind that may write policies must be enforced."
    }
  }
}

resource "aws_iam_role_policy_attachment" "audit" {
  for_each = local.audit_policies

  role       = aws_iam_role.audit.name
  policy_arn = aws_iam_policy.plumbline[each.key].arn
}

resource "aws_iam_role_policy_attachment" "enforce" {
  for_each = local.enforce_policies

  role       = aws_iam_role.enforce[0].name
  policy_arn = aws_iam_policy.plumbline[each.key].arn
}
