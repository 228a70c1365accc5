output "audit_role_arn" {
  description = "The role that Plumbline audits this account with."
  value       = aws_iam_role.audit.arn
}

output "enforce_role_arn" {
  description = "The role that Plumbline changes this account with; null without enforce."
  value       = var.enforce ? aws_iam_role.enforce[0].arn : null
}
