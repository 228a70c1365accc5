variable "principal_arn" {
  type        = string
  description = "The one role or user that the manager signs in as, arn:aws:iam::ACCOUNT:role/NAME. Nobody else may assume the roles."

  validation {
    condition     = can(regex("^arn:aws(-cn|-us-gov)?:iam::[0-9]{12}:(role|user)/[A-Za-z0-9+=,.@_/-]+$", var.principal_arn))
    error_message = "principal_arn must be the ARN of exactly one IAM role or user, without wildcards and not an account's root."
  }
}

variable "enforcer_arn" {
  type        = string
  default     = null
  description = "Only with separate hands: the one role or user that the enforcer signs in as. It may assume both roles, and nobody else the enforce role. It is roles.enforcerPrincipal of the AWSOrganization."

  validation {
    condition     = var.enforcer_arn == null || can(regex("^arn:aws(-cn|-us-gov)?:iam::[0-9]{12}:(role|user)/[A-Za-z0-9+=,.@_/-]+$", var.enforcer_arn))
    error_message = "enforcer_arn must be the ARN of exactly one IAM role or user, without wildcards and not an account's root."
  }
}

variable "external_id" {
  type        = string
  description = "The roles.externalId of the AWSOrganization, unique to this installation of Plumbline. Not a secret."

  validation {
    condition     = can(regex("^[A-Za-z0-9+=,.@:/_-]+$", var.external_id)) && length(var.external_id) >= 2 && length(var.external_id) <= 1224
    error_message = "external_id must be 2 to 1224 letters, digits or any of +=,.@:/_-."
  }
}

variable "organization_id" {
  type        = string
  description = "The id of the AWS organization that the principal must belong to, o-exampleorgid."

  validation {
    condition     = can(regex("^o-[a-z0-9]{10,32}$", var.organization_id))
    error_message = "organization_id must be an organization's id: o- and 10 to 32 lower-case letters or digits."
  }
}

variable "read_organization" {
  type        = bool
  default     = false
  description = "May the audit role read AWS Organizations? Only true in the account that the AWSOrganization is read from."
}

variable "enforce" {
  type        = bool
  default     = false
  description = "Create the enforce role? Without it Plumbline cannot change anything in this account."
}

variable "enforce_kinds" {
  type        = set(string)
  default     = null
  description = "With enforce: the baseline kinds that Plumbline may change something for, [\"S3Baseline\"]. Absent: those that have something to change in every account, which leaves out a kind that is decided in one account for the organization."
}

variable "policy_writing_kinds" {
  type        = set(string)
  default     = []
  description = "With enforce: the kinds among them that may also write resource policies, [\"S3Baseline\"]. Whoever may write a resource's policy can open the resource."
}
