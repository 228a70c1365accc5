"""STS: AssumeRole with trust policies, session credentials, caller identity.

AWS: AssumeRole is refused with AccessDenied, alike for a role that does not exist and one that does not trust the caller;
AssumedRoleUser.Arn names account, role name (no path) and session name; DurationSeconds is bounded by the role's maximum.
moto: every AssumeRole succeeds, in any account.
What stands here is our own model of AWS; a test that rests on it shows agreement with that model.
"""

from __future__ import annotations

import re
import secrets
from datetime import timedelta
from typing import Any

from moto.iam.models import iam_backends

from . import identity, organizations, policies
from .errors import AWSError
from .identity import Session
from .registry import Request, operation

_ROLE_ARN = re.compile(r"^arn:(?P<partition>aws[a-z-]*):iam::(?P<account>\d{12}):role(?P<path>/(?:.*/)?)(?P<name>[^/]+)$")


def find_role(account: str, arn: str) -> Any | None:
    backend = iam_backends[account]["aws"]
    return next((role for role in list(backend.roles.values()) if role.arn == arn), None)


def _refused(request: Request, arn: str) -> AWSError:
    return AWSError("AccessDenied", f"User: {request.identity.arn} is not authorized to perform: sts:AssumeRole on resource: {arn}")


def _trusted(request: Request, role: Any) -> bool:
    caller = request.identity
    context = {"aws:PrincipalAccount": [caller.account], "aws:PrincipalArn": [next(iter(caller.names - {caller.arn}), caller.arn)],
               "aws:PrincipalType": ["AssumedRole" if caller.session else "User"], "sts:RoleSessionName": [request["RoleSessionName"]]}
    if external_id := request.get("ExternalId"):
        context["sts:ExternalId"] = [external_id]
    if organization := organizations.organization_of(caller.account):
        context["aws:PrincipalOrgID"] = [organization.id]
    if source := request.get("SourceIdentity"):
        context["sts:SourceIdentity"] = [source]
    allowed = False
    for statement in policies.statements(role.assume_role_policy_document):
        if not policies.action_matches(statement, "sts:AssumeRole"):
            continue
        # A key that is a named principal's goes by that name alone, whatever it may do.
        anybody = caller.kind == "administrator" and caller.access_key not in request.settings.principals
        if not policies.principal_matches(statement, caller.names | {caller.arn}, caller.account, anybody):
            continue
        if not policies.conditions_hold(statement.get("Condition"), context):
            continue
        if statement.get("Effect") == "Deny":
            return False
        allowed = True
    return allowed


@operation("sts", "AssumeRole")
def assume_role(request: Request) -> dict[str, Any]:
    arn, name, duration = request["RoleArn"], request["RoleSessionName"], request.get("DurationSeconds") or 3600
    found = _ROLE_ARN.match(arn)
    if found is None:
        raise AWSError("ValidationError", f"{arn} is invalid")
    if not re.fullmatch(r"[\w+=,.@-]{2,64}", name):
        raise AWSError("ValidationError", f"1 validation error detected: Value '{name}' at 'roleSessionName' failed to satisfy "
                       "constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*")
    if not 900 <= duration <= 43200:
        raise AWSError("ValidationError", f"1 validation error detected: Value '{duration}' at 'durationSeconds' failed to satisfy constraint")
    policy = request.get("Policy", "")
    if len(policy) > 2048:
        raise AWSError("ValidationError", "1 validation error detected: Value at 'policy' failed to satisfy constraint: Member must "
                       "have length less than or equal to 2048")
    if policy:
        try:
            policies.statements(policy)
        except ValueError:
            raise AWSError("MalformedPolicyDocument", "This policy contains invalid Json") from None
    account = found["account"]
    if request.settings.enforce_trust:
        role = find_role(account, arn)
        if role is None or organizations.state_of(account) not in ("", "ACTIVE") or not _trusted(request, role):
            raise _refused(request, arn)
        limit = 3600 if request.identity.session is not None else int(role.max_session_duration or 3600)
        if duration > limit:
            raise AWSError("ValidationError", "The requested DurationSeconds exceeds the "
                           + ("1 hour session limit for roles assumed by role chaining" if request.identity.session is not None
                              else "MaxSessionDuration set for this role."))
    account = request.call.rewrite_account or account
    now = identity.utcnow()
    session = Session(
        account=account, role=found["name"], role_arn=re.sub(r"::\d{12}:", f"::{account}:", arn), session_name=name,
        external_id=request.get("ExternalId", ""), duration=duration, policy=policy,
        access_key="ASIA" + "".join(secrets.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for _ in range(16)),
        arn=f"arn:{found['partition']}:sts::{account}:assumed-role/{found['name']}/{name}", by=request.identity.arn,
        created_at=now, expires_at=now + timedelta(seconds=duration))
    identity.SESSIONS.add(session)
    return {
        "Credentials": {"AccessKeyId": session.access_key, "SecretAccessKey": secrets.token_hex(20),
                        "SessionToken": "FwoGZXIvYXdzE" + secrets.token_hex(40), "Expiration": session.expires_at},
        "AssumedRoleUser": {"AssumedRoleId": f"AROA{found['name'][:8].upper()}:{name}", "Arn": session.arn},
        "PackedPolicySize": len(policy) * 100 // 2048,
    }


@operation("sts", "GetCallerIdentity")
def get_caller_identity(request: Request) -> dict[str, Any]:
    return {"UserId": request.identity.user_id, "Account": request.account, "Arn": request.identity.arn}
