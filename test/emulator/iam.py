"""IAM: root, users, passwords, MFA, access keys, the credential report and the policy simulator.

AWS: GetAccountSummary speaks of root; the credential report has a <root_account> row, is generated on request, served unchanged for up
to 4 hours and then expired; a password policy shows only the fields it has; lists page; a user holds at most 10 attached policies;
SimulatePrincipalPolicy evaluates the principal's and the given policies for the given resources ("*" when none is given, which a
statement for particular resources does not match) and context.
moto: no root, a report made at the time it is read, no paging, no quota, no simulator, several wrong answers about passwords.
What stands here is our own model of AWS; a test that rests on it shows agreement with that model. The simulator knows neither
boundaries nor service control policies; the state `simulate` stands in for them.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Iterable

from moto.iam.models import AccessKey, AccessKeyLastUsed, IAMBackend, ManagedPolicy, User, iam_backends

from . import organizations, policies
from .calls import Answer
from .errors import AWSError
from .identity import default_document, utcnow
from .registry import Request, operation
from .settings import BadState, Settings, account_key, parse_time

_QUOTA = 10
_REPORT_LIFE = timedelta(hours=4)
_COLUMNS = ["user", "arn", "user_creation_time", "password_enabled", "password_last_used", "password_last_changed",
            "password_next_rotation", "mfa_active", "access_key_1_active", "access_key_1_last_rotated", "access_key_1_last_used_date",
            "access_key_1_last_used_region", "access_key_1_last_used_service", "access_key_2_active", "access_key_2_last_rotated",
            "access_key_2_last_used_date", "access_key_2_last_used_region", "access_key_2_last_used_service", "cert_1_active",
            "cert_1_last_rotated", "cert_2_active", "cert_2_last_rotated"]
_EVERYTHING = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'
_CHANGE_PASSWORD = ('{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:ChangePassword"],"Resource":'
                    '["arn:aws:iam::*:user/${aws:username}"]},{"Effect":"Allow","Action":["iam:GetAccountPasswordPolicy"],"Resource":"*"}]}')
_READ_ONLY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["*:Get*","*:List*","*:Describe*"],"Resource":"*"}]}'
# A few AWS managed policies; moto's full list costs 30 MB for each account.
_AWS_POLICIES = {"AdministratorAccess": _EVERYTHING, "PowerUserAccess": _EVERYTHING, "ReadOnlyAccess": _READ_ONLY, "SecurityAudit": _READ_ONLY,
                 "ViewOnlyAccess": _READ_ONLY, "IAMUserChangePassword": _CHANGE_PASSWORD}


@dataclass
class Report:
    content: bytes = b""
    generated_at: datetime | None = None
    polls: int = 0
    polls_left: int = 0
    pending: bool = False
    stuck: bool = False  # in progress until the state says otherwise
    expired: bool = False
    limited: bool = False


@dataclass
class State:
    reports: dict[str, Report] = field(default_factory=dict)
    simulate: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)  # account, user ("" for all)


def _state(settings: Settings) -> State:
    return settings.service("iam", State)


def _backend(account: str) -> IAMBackend:
    return iam_backends[account]["aws"]


def _no_entity(message: str) -> AWSError:
    return AWSError("NoSuchEntity", message)


def _user(request: Request) -> User:
    """The named user, or the calling one."""
    name = request.get("UserName")
    if not name and request.identity.kind == "user":
        name = request.identity.arn.split("/")[-1]
    user = _backend(request.account).users.get(name or "")
    if user is None:
        raise _no_entity(f"The user with name {name} cannot be found.")
    return user


def _page(request: Request, name: str, items: list[Any]) -> dict[str, Any]:
    start, limit = int(request.get("Marker") or 0), int(request.get("MaxItems") or 100)
    if not 1 <= limit <= 1000:
        raise AWSError("ValidationError", "1 validation error detected: Value at 'maxItems' failed to satisfy constraint")
    answer: dict[str, Any] = {name: items[start:start + limit], "IsTruncated": start + limit < len(items)}
    if answer["IsTruncated"]:
        answer["Marker"] = str(start + limit)
    return answer


# The account.


@operation("iam", "GetAccountSummary")
def get_account_summary(request: Request) -> dict[str, Any]:
    summary = dict(_backend(request.account).account_summary.summary_map)
    root = request.settings.root(request.account)
    summary |= {"AccountMFAEnabled": root.mfa, "AccountAccessKeysPresent": root.access_keys, "AttachedPoliciesPerUserQuota": _QUOTA,
                "AccountSigningCertificatesPresent": root.signing_certificates}
    if root.password is not None:
        summary["AccountPasswordPresent"] = root.password
    return {"SummaryMap": summary}


@operation("iam", "GetAccountPasswordPolicy")
def get_account_password_policy(request: Request) -> dict[str, Any]:
    policy = _backend(request.account).account_password_policy
    if policy is None:
        raise _no_entity(f"The Password Policy with domain name {request.account} cannot be found.")
    answer = {"MinimumPasswordLength": policy.minimum_password_length, "RequireSymbols": policy.require_symbols,
              "RequireNumbers": policy.require_numbers, "RequireUppercaseCharacters": policy.require_uppercase_characters,
              "RequireLowercaseCharacters": policy.require_lowercase_characters,
              "AllowUsersToChangePassword": policy.allow_users_to_change_password, "ExpirePasswords": policy.expire_passwords}
    if policy.max_password_age:
        answer["MaxPasswordAge"] = policy.max_password_age
    if policy.password_reuse_prevention:
        answer["PasswordReusePrevention"] = policy.password_reuse_prevention
    if policy.hard_expiry is not None:
        answer["HardExpiry"] = bool(policy.hard_expiry)
    return {"PasswordPolicy": answer}


@operation("iam", "UpdateAccountPasswordPolicy")
def update_account_password_policy(request: Request) -> None:
    for name, low, high in (("MinimumPasswordLength", 6, 128), ("MaxPasswordAge", 1, 1095), ("PasswordReusePrevention", 1, 24)):
        value = request.get(name)
        if value is not None and not low <= value <= high:
            raise AWSError("ValidationError", f"1 validation error detected: Value '{value}' at '{name[0].lower()}{name[1:]}' failed to "
                           f"satisfy constraint: Member must have value between {low} and {high}")
    _backend(request.account).update_account_password_policy(
        allow_change_password=request.get("AllowUsersToChangePassword", False), hard_expiry=request.get("HardExpiry"),
        max_password_age=request.get("MaxPasswordAge"), minimum_password_length=request.get("MinimumPasswordLength", 6),
        password_reuse_prevention=request.get("PasswordReusePrevention"),
        require_lowercase_characters=request.get("RequireLowercaseCharacters", False), require_numbers=request.get("RequireNumbers", False),
        require_symbols=request.get("RequireSymbols", False), require_uppercase_characters=request.get("RequireUppercaseCharacters", False))


# The credential report.


def _report(settings: Settings, account: str) -> Report:
    return _state(settings).reports.setdefault(account, Report())


def _time(value: datetime | None, absent: str = "N/A") -> str:
    return value.strftime("%Y-%m-%dT%H:%M:%S+00:00") if value is not None else absent


def _flag(value: object) -> str:
    return "true" if value else "false"


def _last_used(key: AccessKey) -> tuple[datetime | None, str, str]:
    used = key.last_used
    if used is None:
        return None, "N/A", "N/A"
    if isinstance(used, datetime):  # set so by moto's users
        return used, "us-east-1", "iam"
    return used.timestamp, used.region, used.service


def _key_columns(keys: list[AccessKey]) -> list[str]:
    columns: list[str] = []
    for key in (*keys[:2], *[None] * (2 - len(keys[:2]))):
        if key is None:
            columns += ["false", "N/A", "N/A", "N/A", "N/A"]
        else:
            used, region, service = _last_used(key)
            columns += [_flag(key.status == "Active"), _time(getattr(key, "emulator_rotated", key.create_date)), _time(used), region, service]
    return columns


def _user_row(backend: IAMBackend, user: User) -> list[str]:
    changed = getattr(user, "emulator_password_changed", None) or getattr(user, "emulator_login_created", user.create_date)
    next_rotation = "N/A"
    if user.password and backend.account_password_policy is not None and backend.account_password_policy.max_password_age:
        next_rotation = _time(changed + timedelta(days=backend.account_password_policy.max_password_age))
    return [user.name, user.arn, _time(user.create_date), _flag(user.password),
            _time(user.password_last_used, "no_information") if user.password else "N/A", _time(changed) if user.password else "N/A",
            next_rotation, _flag(user.mfa_devices), *_key_columns(user.access_keys), "false", "N/A", "false", "N/A"]


def _root_row(settings: Settings, account: str) -> list[str]:
    root, member = settings.root(account), organizations.account_of(account)
    created = member.create_time if member is not None else utcnow()
    key = [_flag(root.access_keys), _time(created) if root.access_keys else "N/A", "N/A", "N/A", "N/A"]
    return ["<root_account>", f"arn:aws:iam::{account}:root", _time(created), "not_supported", "no_information", "not_supported",
            "not_supported", _flag(root.mfa), *key, "false", "N/A", "N/A", "N/A", "N/A", _flag(root.signing_certificates), "N/A",
            "false", "N/A"]


def _generate(settings: Settings, account: str) -> None:
    report, backend = _report(settings, account), _backend(account)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerow(_root_row(settings, account))
    for name in sorted(backend.users):
        writer.writerow(_user_row(backend, backend.users[name]))
    report.content, report.generated_at, report.expired = text.getvalue().encode(), utcnow(), False


def _fresh(report: Report) -> bool:
    return bool(report.content) and not report.expired and utcnow() - (report.generated_at or utcnow()) < _REPORT_LIFE


def _poll(report: Report) -> bool:
    """Whether a running generation is still running."""
    if report.stuck:
        return True
    if report.pending and report.polls_left > 0:
        report.polls_left -= 1
        return True
    report.pending = False
    return False


@operation("iam", "GenerateCredentialReport")
def generate_credential_report(request: Request) -> dict[str, Any]:
    report = _report(request.settings, request.account)
    if report.limited:
        raise AWSError("LimitExceeded", "No more capacity to launch new report generation tasks.")
    if _poll(report):
        return {"State": "INPROGRESS"}
    if _fresh(report):
        return {"State": "COMPLETE"}
    _generate(request.settings, request.account)
    report.pending, report.polls_left = True, report.polls
    return {"State": "STARTED", "Description": "No report exists. Starting a new report generation task"}


@operation("iam", "GetCredentialReport")
def get_credential_report(request: Request) -> dict[str, Any]:
    report = _report(request.settings, request.account)
    if _poll(report):
        raise AWSError("ReportInProgress", "Report generation in progress")
    if not report.content:
        raise AWSError("ReportNotPresent", "No report exists. Use GenerateCredentialReport to generate one.")
    if not _fresh(report):
        raise AWSError("ReportExpired", "The report has expired. Use GenerateCredentialReport to generate a new one.")
    return {"Content": report.content, "ReportFormat": "text/csv", "GeneratedTime": report.generated_at}


@account_key("credential_report")
def _set_report(settings: Settings, account: str, request: dict[str, Any]) -> None:
    report, wanted = _report(settings, account), request["credential_report"]
    if wanted not in ("absent", "expired", "in_progress", "ready", "limit", "normal"):
        raise BadState(f"credential_report cannot be {wanted!r}")
    report.stuck, report.limited, report.pending = wanted == "in_progress", wanted == "limit", False
    if wanted == "absent":
        report.content, report.generated_at = b"", None
    elif wanted == "ready":
        _generate(settings, account)
    elif wanted == "expired":
        if not report.content:
            _generate(settings, account)
        report.expired = True


@account_key("generated_at")
def _set_generated(settings: Settings, account: str, request: dict[str, Any]) -> None:
    report = _report(settings, account)
    if not report.content:
        _generate(settings, account)
    report.generated_at = parse_time(request["generated_at"])


@account_key("report_polls")
def _set_polls(settings: Settings, account: str, request: dict[str, Any]) -> None:
    _report(settings, account).polls = int(request["report_polls"])


# Users and their passwords.


def _describe_user(user: User, tags: bool = False) -> dict[str, Any]:
    answer: dict[str, Any] = {"Path": user.path, "UserName": user.name, "UserId": user.id, "Arn": user.arn, "CreateDate": user.create_date}
    if user.password_last_used:
        answer["PasswordLastUsed"] = user.password_last_used
    if tags and user.tags:
        answer["Tags"] = user.tags
    return answer


@operation("iam", "ListUsers")
def list_users(request: Request) -> dict[str, Any]:
    prefix = request.get("PathPrefix") or "/"
    users = sorted(_backend(request.account).users.values(), key=lambda user: user.name)
    return _page(request, "Users", [_describe_user(user) for user in users if user.path.startswith(prefix)])


@operation("iam", "GetUser")
def get_user(request: Request) -> dict[str, Any]:
    if not request.get("UserName") and request.identity.kind != "user":
        return {"User": {"Path": "/", "UserName": "", "UserId": request.account, "Arn": f"arn:aws:iam::{request.account}:root",
                         "CreateDate": utcnow()}}
    return {"User": _describe_user(_user(request), tags=True)}


@operation("iam", "DeleteUser")
def delete_user(request: Request) -> Answer:
    user = _user(request)
    for held, what in ((user.access_keys, "delete access keys"), (user.mfa_devices, "deactivate MFA device"),
                       (user.password, "delete login profile"), (user.group_list, "remove users from group"),
                       (user.managed_policies, "detach all policies"), (user.policies, "delete policies")):
        if held:
            raise AWSError("DeleteConflict", f"Cannot delete entity, must {what} first.")
    return request.forward()


def _profile(user: User) -> dict[str, Any]:
    return {"UserName": user.name, "CreateDate": getattr(user, "emulator_login_created", user.create_date),
            "PasswordResetRequired": user.password_reset_required}


def _with_password(request: Request) -> User:
    user = _user(request)
    if not user.password:
        raise _no_entity(f"Login Profile for User {user.name} cannot be found.")
    return user


@operation("iam", "CreateLoginProfile")
def create_login_profile(request: Request) -> dict[str, Any]:
    user = _user(request)
    if user.password:
        raise AWSError("EntityAlreadyExists", f"Login Profile for user {user.name} already exists.")
    user.password = request.get("Password") or "generated"
    user.password_reset_required = request.get("PasswordResetRequired", False)
    user.emulator_login_created = user.emulator_password_changed = utcnow()  # type: ignore[attr-defined]
    return {"LoginProfile": _profile(user)}


@operation("iam", "GetLoginProfile")
def get_login_profile(request: Request) -> dict[str, Any]:
    return {"LoginProfile": _profile(_with_password(request))}


@operation("iam", "UpdateLoginProfile")
def update_login_profile(request: Request) -> None:
    user = _with_password(request)
    if password := request.get("Password"):
        user.password = password
        user.emulator_password_changed = utcnow()  # type: ignore[attr-defined]
    if request.get("PasswordResetRequired") is not None:
        user.password_reset_required = request["PasswordResetRequired"]


@operation("iam", "DeleteLoginProfile")
def delete_login_profile(request: Request) -> None:
    user = _with_password(request)
    user.password, user.password_last_used, user.password_reset_required = None, None, False


# MFA devices and access keys.


@operation("iam", "ListMFADevices")
def list_mfa_devices(request: Request) -> dict[str, Any]:
    user = _user(request)
    devices = [{"UserName": user.name, "SerialNumber": device.serial_number, "EnableDate": device.enable_date}
               for device in user.mfa_devices.values()]
    return _page(request, "MFADevices", devices)


@operation("iam", "ListVirtualMFADevices")
def list_virtual_mfa_devices(request: Request) -> dict[str, Any]:
    devices: list[dict[str, Any]] = []
    for device in _backend(request.account).virtual_mfa_devices.values():
        one: dict[str, Any] = {"SerialNumber": device.serial_number}
        if device.user is not None:
            one |= {"User": _describe_user(device.user), "EnableDate": device.enable_date}
        devices.append(one)
    root, member = request.settings.root(request.account), organizations.account_of(request.account)
    if root.mfa and root.mfa_device == "virtual":
        created = member.create_time if member is not None else utcnow()
        devices.append({"SerialNumber": f"arn:aws:iam::{request.account}:mfa/root-account-mfa-device", "EnableDate": created,
                        "User": {"Path": "/", "UserName": "", "UserId": request.account, "Arn": f"arn:aws:iam::{request.account}:root",
                                 "CreateDate": created}})
    status = request.get("AssignmentStatus") or "Any"
    if status != "Any":
        devices = [device for device in devices if ("User" in device) == (status == "Assigned")]
    return _page(request, "VirtualMFADevices", devices)


@operation("iam", "ListAccessKeys")
def list_access_keys(request: Request) -> dict[str, Any]:
    user = _user(request)
    return _page(request, "AccessKeyMetadata", [{"UserName": user.name, "AccessKeyId": key.access_key_id, "Status": key.status,
                                                 "CreateDate": key.create_date} for key in user.access_keys])


@operation("iam", "GetAccessKeyLastUsed")
def get_access_key_last_used(request: Request) -> dict[str, Any]:
    for user in _backend(request.account).users.values():
        for key in user.access_keys:
            if key.access_key_id == request["AccessKeyId"]:
                used, region, service = _last_used(key)
                answer: dict[str, Any] = {"Region": region, "ServiceName": service}
                if used is not None:
                    answer["LastUsedDate"] = used
                return {"UserName": user.name, "AccessKeyLastUsed": answer}
    raise AWSError("AccessDenied", policies.denied_message(request.call, "identity"))


def _state_user(account: str, request: dict[str, Any]) -> User:
    name = request.get("user")
    if not name:
        raise BadState("name the user")
    user = _backend(account).users.get(name)
    if user is None:
        raise BadState(f"account {account} has no user {name}")
    return user


def _user_time(key: str, attribute: str) -> None:
    @account_key(key)
    def change(_: Settings, account: str, request: dict[str, Any]) -> None:
        setattr(_state_user(account, request), attribute, parse_time(request[key]))


_user_time("user_created_at", "create_date")
_user_time("password_last_used", "password_last_used")
_user_time("password_last_changed", "emulator_password_changed")


@account_key("login_profile_created_at")
def _login_created(_: Settings, account: str, request: dict[str, Any]) -> None:
    user = _state_user(account, request)
    user.emulator_login_created = user.emulator_password_changed = parse_time(request["login_profile_created_at"])  # type: ignore[attr-defined]
    user.password = user.password or "set by the test"


def _state_keys(account: str, request: dict[str, Any]) -> list[AccessKey]:
    user, wanted = _state_user(account, request), request.get("access_key_id")
    keys = [key for key in user.access_keys if wanted in (None, key.access_key_id)]
    if not keys:
        raise BadState(f"user {user.name} has no such access key")
    return keys


@account_key("access_key_created_at")
def _key_created(_: Settings, account: str, request: dict[str, Any]) -> None:
    for key in _state_keys(account, request):
        key.create_date = parse_time(request["access_key_created_at"])  # type: ignore[assignment]


@account_key("access_key_last_rotated")
def _key_rotated(_: Settings, account: str, request: dict[str, Any]) -> None:
    for key in _state_keys(account, request):
        key.emulator_rotated = parse_time(request["access_key_last_rotated"])  # type: ignore[attr-defined]


@account_key("access_key_last_used")
def _key_used(_: Settings, account: str, request: dict[str, Any]) -> None:
    used = parse_time(request["access_key_last_used"])
    for key in _state_keys(account, request):
        key.last_used = AccessKeyLastUsed(used, "s3", "us-east-1") if used is not None else None


# Policies.


def _managed(account: str, arn: str) -> ManagedPolicy:
    backend = _backend(account)
    name = arn.removeprefix("arn:aws:iam::aws:policy/")
    if name in _AWS_POLICIES and arn not in backend.managed_policies:
        backend.managed_policies[arn] = ManagedPolicy(name, account_id="aws", region="us-east-1", document=_AWS_POLICIES[name])
    if arn not in backend.managed_policies:
        raise _no_entity(f"Policy {arn} does not exist or is not attachable.")
    return backend.managed_policies[arn]


@operation("iam", "AttachUserPolicy")
def attach_user_policy(request: Request) -> None:
    user, policy = _user(request), _managed(request.account, request["PolicyArn"])
    if policy.arn in user.managed_policies:
        return
    if len(user.managed_policies) >= _QUOTA:
        raise AWSError("LimitExceeded", f"Cannot exceed quota for PoliciesPerUser: {_QUOTA}")
    policy.attach_to(user)


@operation("iam", "AttachRolePolicy", "AttachGroupPolicy")
def attach_role_or_group_policy(request: Request) -> Answer | None:
    policy, backend = _managed(request.account, request["PolicyArn"]), _backend(request.account)
    if "RoleName" in request.params:
        held: Any = backend.get_role(request["RoleName"])
    else:
        held = backend.get_group(request["GroupName"])
    if policy.arn not in held.managed_policies:
        policy.attach_to(held)
    return None


@operation("iam", "GetPolicy", "GetPolicyVersion", "ListPolicyVersions")
def get_policy(request: Request) -> Answer:
    if request["PolicyArn"].startswith("arn:aws:iam::aws:"):
        _managed(request.account, request["PolicyArn"])
    return request.forward()


@operation("iam", "DeletePolicy")
def delete_policy(request: Request) -> Answer:
    if _managed(request.account, request["PolicyArn"]).attachment_count > 0:
        raise AWSError("DeleteConflict", "Cannot delete a policy attached to entities.")
    return request.forward()


@operation("iam", "ListEntitiesForPolicy")
def list_entities_for_policy(request: Request) -> dict[str, Any]:
    arn, backend = _managed(request.account, request["PolicyArn"]).arn, _backend(request.account)
    wanted, prefix = request.get("EntityFilter"), request.get("PathPrefix") or "/"

    def holders(kind: str, things: Iterable[Any]) -> list[Any]:
        found = [thing for thing in things if arn in thing.managed_policies and thing.path.startswith(prefix)]
        return sorted(found, key=lambda thing: thing.name) if wanted in (None, kind) else []

    found = ([("PolicyGroups", {"GroupName": group.name, "GroupId": group.id}) for group in holders("Group", backend.groups.values())]
             + [("PolicyUsers", {"UserName": user.name, "UserId": user.id}) for user in holders("User", backend.users.values())]
             + [("PolicyRoles", {"RoleName": role.name, "RoleId": role.id}) for role in holders("Role", backend.roles.values())])
    page = _page(request, "found", found)
    answer: dict[str, Any] = {"PolicyGroups": [], "PolicyUsers": [], "PolicyRoles": [], **{key: value for key, value in page.items() if key != "found"}}
    for kind, entity in page["found"]:
        answer[kind].append(entity)
    return answer


# The simulator.


def _principal_documents(account: str, arn: str) -> tuple[str, list[str]]:
    """The principal's name and the documents of all its policies."""
    backend, kind = _backend(account), arn.split(":")[-1].split("/")[0]
    things: dict[str, Iterable[Any]] = {"user": backend.users.values(), "role": backend.roles.values(), "group": backend.groups.values()}
    found = next((thing for thing in things.get(kind, []) if thing.arn == arn), None)
    if found is None:
        raise _no_entity(f"{arn} does not exist.")
    holders = [found, *(backend.get_groups_for_user(found.name) if kind == "user" else [])]
    documents = [document for holder in holders for document in holder.policies.values()]
    documents += [default_document(policy) for holder in holders for policy in holder.managed_policies.values()]
    return found.name, documents


def _resource_matches(statement: dict[str, Any], resource: str, user: str) -> bool:
    negated = "NotResource" in statement
    patterns = statement.get("NotResource" if negated else "Resource", "*")
    patterns = [patterns] if isinstance(patterns, str) else patterns
    return any(policies.wildcard(pattern.replace("${aws:username}", user), resource) for pattern in patterns) != negated


def _decide(documents: list[str], action: str, resource: str, user: str, context: dict[str, list[str]]) -> str:
    allowed = False
    for document in documents:
        for statement in policies.statements(document):
            if not policies.action_matches(statement, action) or not _resource_matches(statement, resource, user):
                continue
            if not policies.conditions_hold(statement.get("Condition"), context):
                continue
            if statement.get("Effect") == "Deny":
                return "explicitDeny"
            allowed = True
    return "allowed" if allowed else "implicitDeny"


@operation("iam", "SimulatePrincipalPolicy", "SimulateCustomPolicy")
def simulate_principal_policy(request: Request) -> dict[str, Any]:
    source, user, documents = request.get("PolicySourceArn", ""), "", []
    if source:
        user, documents = _principal_documents(request.account, source)
    documents += request.get("PolicyInputList") or []
    for document in documents:
        try:
            policies.statements(document)
        except ValueError:
            raise AWSError("InvalidInput", "The policy document is not valid JSON.") from None
    context = {entry["ContextKeyName"]: [str(value) for value in entry.get("ContextKeyValues") or []]
               for entry in request.get("ContextEntries") or []}
    if user:
        context.setdefault("aws:username", [user])
    overrides = _state(request.settings).simulate
    results = []
    for action in request["ActionNames"]:
        for resource in request.get("ResourceArns") or ["*"]:
            decision = (overrides.get((request.account, user), {}).get(action) or overrides.get((request.account, ""), {}).get(action)
                        or _decide(documents, action, resource, user, context))
            results.append({"EvalActionName": action, "EvalResourceName": resource, "EvalDecision": decision, "MatchedStatements": [],
                            "MissingContextValues": []})
    page = _page(request, "EvaluationResults", results)
    return page


@account_key("simulate")
def _set_simulate(settings: Settings, account: str, request: dict[str, Any]) -> None:
    decisions = request["simulate"]
    if bad := [value for value in decisions.values() if value not in ("allowed", "explicitDeny", "implicitDeny")]:
        raise BadState(f"a decision is allowed, explicitDeny or implicitDeny, not {json.dumps(bad)}")
    _state(settings).simulate[account, request.get("user", "")] = decisions
