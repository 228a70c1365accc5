"""IAM actions, policy documents and how AWS evaluates them, as far as the tests need it.

AWS: "Policy evaluation logic" and "IAM JSON policy elements" of the IAM user guide; actions from the Service Authorization
Reference (S3's differ from its operation names). moto: evaluates identity policies only, and only with its authentication on.
What stands here is our own model of AWS; a test that rests on it shows agreement with that model.
"""

from __future__ import annotations

import json
import re
from typing import Any, Iterable

_S3_ACTIONS = {
    "ListBuckets": "ListAllMyBuckets",
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "HeadObject": "GetObject",
    "DeleteObjects": "DeleteObject",
    "CopyObject": "PutObject",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
    "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
    "DeleteBucketTagging": "PutBucketTagging",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "GetBucketReplication": "GetReplicationConfiguration",
    "PutBucketReplication": "PutReplicationConfiguration",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "GetBucketCors": "GetBucketCORS",
}
_S3CONTROL_ACTIONS = {
    "GetPublicAccessBlock": "GetAccountPublicAccessBlock",
    "PutPublicAccessBlock": "PutAccountPublicAccessBlock",
    "DeletePublicAccessBlock": "PutAccountPublicAccessBlock",
}
_PREFIXES = {"s3control": "s3", "monitoring": "cloudwatch"}

# Calls that need no permission.
_FREE = {("sts", "GetCallerIdentity"), ("sts", "GetSessionToken"), ("sts", "GetAccessKeyInfo")}

_READS = ("Get", "List", "Describe", "Head", "Lookup", "Search", "Simulate", "Preview", "Validate", "Check", "Query", "Scan",
          "Select", "Estimate", "BatchGet", "Encrypt", "Decrypt", "Sign", "Verify", "GenerateDataKey", "Decode", "AssumeRole",
          "GenerateCredentialReport", "GenerateServiceLastAccessed", "GenerateOrganizationsAccessReport", "Unknown")


def iam_action(service: str, operation: str) -> str:
    """The IAM action that allows an operation."""
    table = {"s3": _S3_ACTIONS, "s3control": _S3CONTROL_ACTIONS}.get(service, {})
    return f"{_PREFIXES.get(service, service)}:{table.get(operation, operation)}"


def needs_permission(service: str, operation: str) -> bool:
    return (service, operation) not in _FREE


def is_write(operation: str) -> bool:
    return not operation.startswith(_READS)


_WHY = {
    "scp": "with an explicit deny in a service control policy",
    "identity": "because no identity-based policy allows the {action} action",
    "resource": "with an explicit deny in a resource-based policy",
    "session": "because no session policy allows the {action} action",
    "boundary": "because no permissions boundary allows the {action} action",
}


def denied_message(call: Any, why: str) -> str:
    """AWS's usual text of a refusal."""
    action = iam_action(call.service, call.operation)
    ending = _WHY.get(why, _WHY["scp"]).format(action=action)
    resource = "*"
    if call.service == "s3" and call.resource:
        resource = f"arn:aws:s3:::{call.resource}"
    elif call.service == "sts" and call.resource:
        resource = call.resource
    elif call.service == "iam" and call.resource.startswith("arn:"):
        resource = call.resource
    on = f' on resource: "{resource}"' if call.service == "s3" else f" on resource: {resource}" if resource != "*" else ""
    text = f"User: {call.identity.arn} is not authorized to perform: {action}{on} {ending}"
    return f"You are not authorized to perform this operation. {text}" if call.service == "ec2" else text


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def wildcard(pattern: str, value: str) -> bool:
    """IAM's * and ?; brackets mean themselves."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), value, re.DOTALL) is not None


def action_matches(statement: dict[str, Any], action: str) -> bool:
    def any_of(patterns: Iterable[str]) -> bool:
        return any(wildcard(pattern.lower(), action.lower()) for pattern in patterns)

    if "NotAction" in statement:
        return not any_of(_list(statement["NotAction"]))
    return any_of(_list(statement.get("Action")))


def statements(document: str | dict[str, Any]) -> list[dict[str, Any]]:
    if isinstance(document, str):
        document = json.loads(document)
    return _list(document.get("Statement"))  # type: ignore[union-attr]


def _compare(operator: str, wanted: str, got: str) -> bool:
    if operator in ("StringEquals", "StringEqualsIgnoreCase"):
        return wanted.lower() == got.lower() if operator.endswith("Case") else wanted == got
    if operator in ("StringLike", "ArnLike", "ArnEquals"):
        return wildcard(wanted, got)
    if operator == "Bool":
        return wanted.lower() == got.lower()
    if operator.startswith("Numeric") or operator.startswith("Date"):
        try:
            a, b = float(got), float(wanted)
        except ValueError:
            return False
        return {"Equals": a == b, "LessThan": a < b, "LessThanEquals": a <= b, "GreaterThan": a > b,
                "GreaterThanEquals": a >= b}.get(re.sub("^(Numeric|Date)", "", operator), False)
    return False


_NEGATED = {"StringNotEquals": "StringEquals", "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
            "StringNotLike": "StringLike", "ArnNotLike": "ArnLike", "ArnNotEquals": "ArnEquals",
            "NumericNotEquals": "NumericEquals", "NotIpAddress": "IpAddress"}


def conditions_hold(conditions: dict[str, dict[str, Any]] | None, context: dict[str, list[str]]) -> bool:
    """Whether every condition holds. Keys compare without case; an absent key fails, except negated and IfExists."""
    present = {key.lower(): values for key, values in context.items()}
    for raw_operator, keys in (conditions or {}).items():
        operator = raw_operator.split(":")[-1]
        if_exists = operator.endswith("IfExists")
        operator = operator.removesuffix("IfExists")
        for key, wanted in keys.items():
            got = present.get(key.lower())
            wanted_list = [str(value) if not isinstance(value, bool) else str(value).lower() for value in _list(wanted)]
            if operator == "Null":
                if (got is None) != (wanted_list[0].lower() == "true"):
                    return False
                continue
            if got is None:
                if if_exists or operator in _NEGATED or raw_operator.startswith("ForAllValues:"):
                    continue
                return False
            if operator in _NEGATED:
                if any(_compare(_NEGATED[operator], want, value) for want in wanted_list for value in got):
                    return False
                continue
            hits = [any(_compare(operator, want, value) for want in wanted_list) for value in got]
            if not (all(hits) if raw_operator.startswith("ForAllValues:") else any(hits)):
                return False
    return True


def principal_matches(statement: dict[str, Any], arns: set[str], account: str, administrator: bool = False) -> bool:
    """Whether a resource policy's statement speaks of the caller, who goes by several ARNs (role, session, account)."""
    negated = "NotPrincipal" in statement
    principal = statement.get("NotPrincipal" if negated else "Principal")
    names = ["*"] if principal == "*" else _list((principal or {}).get("AWS"))
    found = False
    for name in names:
        if name == "*" or name == account or re.fullmatch(rf"arn:[a-z-]+:iam::{account}:root", name) or name in arns:
            found = True
        elif administrator and re.match(rf"arn:[a-z-]+:(iam|sts)::{account}:", name):
            found = True
    return found != negated


def evaluate(documents: Iterable[str | dict[str, Any]], action: str, context: dict[str, list[str]] | None = None,
             any_condition: bool = False) -> str:
    """allowed, explicitDeny or implicitDeny. Resources are not looked at; with `any_condition` conditions are taken to hold
    for an Allow and not for a Deny, and a Deny on some resources only is passed over."""
    allowed = False
    for document in documents:
        for statement in statements(document):
            if not action_matches(statement, action):
                continue
            condition = statement.get("Condition")
            deny = statement.get("Effect") == "Deny"
            if any_condition and deny and statement.get("Resource", "*") not in ("*", ["*"]):
                continue
            holds = (not deny if any_condition else conditions_hold(condition, context or {})) if condition else True
            if deny and holds:
                return "explicitDeny"
            allowed = allowed or (not deny and holds)
    return "allowed" if allowed else "implicitDeny"

