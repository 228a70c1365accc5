"""GuardDuty: detectors with all their features, the delegated administrator and its members.

AWS: one detector per region; CreateDetector turns on every optional feature that is not named, RUNTIME_MONITORING excepted; UpdateDetector
merges per feature; GetDetector lists all features, the foundational ones included. The delegated administrator is set per region by
the management account and gets a detector; members are governed by it and cannot change their own detector; the organization
configuration (ALL, NEW, NONE) takes effect within 24 hours; member operations answer 200 with UnprocessedAccounts.
moto: any number of detectors, only features that were sent, no organization.
What stands here is our own model of AWS; a test that rests on it shows agreement with that model. The organization configuration
takes effect at once unless the state says `guardduty_org_lag`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Callable

from moto.guardduty.models import Detector, guardduty_backends
from moto.iam.models import iam_backends

from . import organizations
from .errors import AWSError
from .identity import utcnow
from .registry import Request, operation
from .settings import CHANGED, BadState, Settings, account_key

PRINCIPAL = "guardduty.amazonaws.com"
FOUNDATIONAL = ("CLOUD_TRAIL", "DNS_LOGS", "FLOW_LOGS")
ADDITIONAL = {
    "S3_DATA_EVENTS": (), "EKS_AUDIT_LOGS": (), "EBS_MALWARE_PROTECTION": (), "RDS_LOGIN_EVENTS": (), "LAMBDA_NETWORK_LOGS": (),
    "EKS_RUNTIME_MONITORING": ("EKS_ADDON_MANAGEMENT",),
    "RUNTIME_MONITORING": ("EKS_ADDON_MANAGEMENT", "ECS_FARGATE_AGENT_MANAGEMENT", "EC2_AGENT_MANAGEMENT"),
}
_OFF_BY_DEFAULT = {"EKS_RUNTIME_MONITORING", "RUNTIME_MONITORING"}
_FREQUENCIES = {"FIFTEEN_MINUTES", "ONE_HOUR", "SIX_HOURS"}
_LIMIT = 50
_SERVICE_ROLE = "AWSServiceRoleForAmazonGuardDuty"


@dataclass
class Feature:
    status: str
    updated_at: datetime
    additional: dict[str, str] = field(default_factory=dict)


@dataclass
class Member:
    account: str
    email: str
    status: str  # Enabled, Created, Removed
    invited_at: datetime
    updated_at: datetime


@dataclass
class OrganizationConfiguration:
    members: str = "NONE"
    features: dict[str, str] = field(default_factory=lambda: dict.fromkeys(ADDITIONAL, "NONE"))
    additional: dict[tuple[str, str], str] = field(default_factory=dict)


@dataclass
class State:
    admins: dict[tuple[str, str], str] = field(default_factory=dict)  # management account, region -> administrator
    members: dict[tuple[str, str], dict[str, Member]] = field(default_factory=dict)  # administrator, region
    configurations: dict[tuple[str, str], OrganizationConfiguration] = field(default_factory=dict)
    joined: list[str] = field(default_factory=list)  # accounts that joined and were not yet looked at


def _state(settings: Settings) -> State:
    return settings.service("guardduty", State)


def _bad(message: str) -> AWSError:
    return AWSError("BadRequestException", f"The request is rejected because {message}")


def _iso(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


# Detectors.


def detector_of(account: str, region: str) -> Detector | None:
    return next(iter(guardduty_backends[account][region].detectors.values()), None)


def known_features(settings: Settings, region: str) -> list[str]:
    absent = settings.guardduty_absent_features.get(region, [])
    return [name for name in ADDITIONAL if name not in absent]


def features_of(detector: Detector) -> dict[str, Feature]:
    if not hasattr(detector, "emulator_features"):
        detector.emulator_features = {  # type: ignore[attr-defined]
            name: Feature("DISABLED" if name in _OFF_BY_DEFAULT else "ENABLED", detector.created_at, dict.fromkeys(parts, "DISABLED"))
            for name, parts in ADDITIONAL.items()}
    return detector.emulator_features  # type: ignore[attr-defined]


def _make_detector(account: str, region: str, enable: bool = True, frequency: str = "SIX_HOURS", tags: dict[str, str] | None = None) -> Detector:
    backend = guardduty_backends[account][region]
    detector = backend.detectors[backend.create_detector(enable, frequency, {}, tags or {}, [])]
    detector.created_at = detector.updated_at = utcnow()
    return detector


def _check_features(request: Request, features: list[dict[str, Any]]) -> None:
    names = [feature.get("Name") for feature in features]
    if {"RUNTIME_MONITORING", "EKS_RUNTIME_MONITORING"} <= set(names):
        raise _bad("both EKS_RUNTIME_MONITORING and RUNTIME_MONITORING were provided in the request.")
    for feature in features:
        name = feature.get("Name")
        if name not in known_features(request.settings, request.region):
            raise _bad(f"an invalid or unsupported feature name is specified: {name}.")
        if feature.get("Status") not in ("ENABLED", "DISABLED"):
            raise _bad("an invalid status is specified for a feature.")
        for part in feature.get("AdditionalConfiguration") or []:
            if part.get("Name") not in ADDITIONAL[name]:
                raise _bad(f"an invalid additional configuration is specified for feature {name}.")


def _merge(detector: Detector, features: list[dict[str, Any]]) -> None:
    now = utcnow()
    for wanted in features:
        feature = features_of(detector)[wanted["Name"]]
        feature.status, feature.updated_at = wanted["Status"], now
        for part in wanted.get("AdditionalConfiguration") or []:
            feature.additional[part["Name"]] = part.get("Status", "DISABLED")
        if feature.status == "DISABLED":
            feature.additional = dict.fromkeys(feature.additional, "DISABLED")
    detector.updated_at = now


def _feature_list(settings: Settings, region: str, detector: Detector) -> list[dict[str, Any]]:
    result = []
    for name in known_features(settings, region):
        feature = features_of(detector)[name]
        one: dict[str, Any] = {"Name": name, "Status": feature.status, "UpdatedAt": feature.updated_at}
        if feature.additional:
            one["AdditionalConfiguration"] = [{"Name": part, "Status": status, "UpdatedAt": feature.updated_at}
                                              for part, status in feature.additional.items()]
        result.append(one)
    return result


def _data_sources(detector: Detector) -> dict[str, Any]:
    def status(name: str) -> str:
        return features_of(detector)[name].status

    return {"CloudTrail": {"Status": "ENABLED"}, "DNSLogs": {"Status": "ENABLED"}, "FlowLogs": {"Status": "ENABLED"},
            "S3Logs": {"Status": status("S3_DATA_EVENTS")}, "Kubernetes": {"AuditLogs": {"Status": status("EKS_AUDIT_LOGS")}},
            "MalwareProtection": {"ScanEc2InstanceWithFindings": {"EbsVolumes": {"Status": status("EBS_MALWARE_PROTECTION")}}}}


def _own(request: Request) -> Detector:
    detector = guardduty_backends[request.account][request.region].detectors.get(request["DetectorId"])
    if detector is None:
        raise _bad("the input detectorId is not owned by the current account.")
    return detector


def _administrator_of(settings: Settings, account: str, region: str) -> tuple[str, Member] | None:
    for (admin, where), members in _state(settings).members.items():
        if where == region and account in members and members[account].status == "Enabled":
            return admin, members[account]
    return None


@operation("guardduty", "ListDetectors")
def list_detectors(request: Request) -> dict[str, Any]:
    return {"DetectorIds": list(guardduty_backends[request.account][request.region].detectors)}


@operation("guardduty", "CreateDetector")
def create_detector(request: Request) -> dict[str, Any]:
    if detector_of(request.account, request.region) is not None:
        raise _bad("a detector already exists for the current account.")
    frequency = request.get("FindingPublishingFrequency") or "SIX_HOURS"
    if frequency not in _FREQUENCIES:
        raise _bad("an invalid finding publishing frequency is specified.")
    features = request.get("Features") or []
    _check_features(request, features)
    detector = _make_detector(request.account, request.region, bool(request["Enable"]), frequency, request.get("Tags"))
    _merge(detector, features)
    detector.updated_at = detector.created_at
    return {"DetectorId": detector.id}


@operation("guardduty", "GetDetector")
def get_detector(request: Request) -> dict[str, Any]:
    detector = _own(request)
    return {"CreatedAt": _iso(detector.created_at), "FindingPublishingFrequency": detector.finding_publish_freq,
            "ServiceRole": detector.service_role, "Status": "ENABLED" if detector.enabled else "DISABLED",
            "UpdatedAt": _iso(detector.updated_at), "Tags": detector.tags, "DataSources": _data_sources(detector),
            "Features": [{"Name": name, "Status": "ENABLED", "UpdatedAt": detector.created_at} for name in FOUNDATIONAL]
            + _feature_list(request.settings, request.region, detector)}


@operation("guardduty", "UpdateDetector")
def update_detector(request: Request) -> None:
    detector = _own(request)
    if _administrator_of(request.settings, request.account, request.region):
        raise _bad("member accounts are not allowed to change their own detector status or configuration.")
    frequency = request.get("FindingPublishingFrequency")
    if frequency and frequency not in _FREQUENCIES:
        raise _bad("an invalid finding publishing frequency is specified.")
    features = request.get("Features") or []
    _check_features(request, features)
    enable = request.get("Enable")
    if enable is not None:
        detector.enabled = enable
    if frequency:
        detector.finding_publish_freq = frequency
    _merge(detector, features)


@operation("guardduty", "DeleteDetector")
def delete_detector(request: Request) -> None:
    detector = _own(request)
    if _administrator_of(request.settings, request.account, request.region) or any(
            _state(request.settings).members.get((request.account, request.region), {})):
        raise _bad("the current account cannot delete detector while it has invited or associated members.")
    guardduty_backends[request.account][request.region].delete_detector(detector.id)


def _tagged(request: Request) -> Detector:
    name = request["ResourceArn"].split("detector/")[-1]
    detector = guardduty_backends[request.account][request.region].detectors.get(name)
    if detector is None:
        raise _bad("the resource ARN is invalid.")
    return detector


@operation("guardduty", "ListTagsForResource")
def list_tags_for_resource(request: Request) -> dict[str, Any]:
    return {"Tags": _tagged(request).tags}


@operation("guardduty", "TagResource")
def tag_resource(request: Request) -> None:
    _tagged(request).tags.update(request["Tags"])


@operation("guardduty", "UntagResource")
def untag_resource(request: Request) -> None:
    detector = _tagged(request)
    for key in request["TagKeys"]:
        detector.tags.pop(key, None)


# The delegated administrator.


def _management(account: str) -> str:
    organization = organizations.organization_of(account)
    return organization.master_account_id if organization is not None else ""


def _only_management(request: Request) -> None:
    if not organizations.is_management(request.account):
        raise AWSError("BadRequestException", "The request failed because you must be a user in the organization's management account to "
                       "use this operation.")


@operation("guardduty", "EnableOrganizationAdminAccount")
def enable_organization_admin_account(request: Request) -> None:
    _only_management(request)
    admin, state = request["AdminAccountId"], _state(request.settings)
    if organizations.account_of(admin) is None:
        raise _bad("the account is not a member of your organization.")
    if (request.account, request.region) in state.admins:
        raise _bad("the organization already has a delegated administrator account.")
    if any(other != admin for (management, _), other in state.admins.items() if management == request.account):
        raise _bad("the organization has another delegated administrator account in another Region.")
    state.admins[request.account, request.region] = admin
    state.members.setdefault((admin, request.region), {})
    state.configurations[admin, request.region] = OrganizationConfiguration()
    if detector_of(admin, request.region) is None:
        _make_detector(admin, request.region)
    backend = organizations.backend_of(request.account)
    if backend is not None and admin != request.account:
        organizations.register(backend, admin, PRINCIPAL)


@operation("guardduty", "DisableOrganizationAdminAccount")
def disable_organization_admin_account(request: Request) -> None:
    _only_management(request)
    state = _state(request.settings)
    if state.admins.get((request.account, request.region)) != request["AdminAccountId"]:
        raise _bad("the account is not the delegated administrator.")
    admin = state.admins.pop((request.account, request.region))
    state.members.pop((admin, request.region), None)
    state.configurations.pop((admin, request.region), None)


@operation("guardduty", "ListOrganizationAdminAccounts")
def list_organization_admin_accounts(request: Request) -> dict[str, Any]:
    management = _management(request.account)
    admin = _state(request.settings).admins.get((management, request.region))
    if request.account not in (management, admin):
        _only_management(request)
    return {"AdminAccounts": [{"AdminAccountId": admin, "AdminStatus": "ENABLED"}] if admin else []}


@operation("guardduty", "GetAdministratorAccount")
def get_administrator_account(request: Request) -> dict[str, Any]:
    _own(request)
    found = _administrator_of(request.settings, request.account, request.region)
    if found is None:
        return {}
    return {"Administrator": {"AccountId": found[0], "RelationshipStatus": "Enabled", "InvitedAt": _iso(found[1].invited_at)}}


@operation("guardduty", "DisassociateFromAdministratorAccount")
def disassociate_from_administrator_account(request: Request) -> None:
    _own(request)
    raise _bad("the account is a member of an organization and cannot disassociate from its delegated administrator.")


# The organization's configuration.


def _configuration(request: Request) -> OrganizationConfiguration:
    _own(request)
    found = _state(request.settings).configurations.get((request.account, request.region))
    if found is None:
        raise AWSError("BadRequestException", "The request failed because the current account is not the organization's delegated administrator.")
    return found


@operation("guardduty", "DescribeOrganizationConfiguration")
def describe_organization_configuration(request: Request) -> dict[str, Any]:
    configuration = _configuration(request)
    features = []
    for name in known_features(request.settings, request.region):
        one: dict[str, Any] = {"Name": name, "AutoEnable": configuration.features[name]}
        if ADDITIONAL[name]:
            one["AdditionalConfiguration"] = [{"Name": part, "AutoEnable": configuration.additional.get((name, part), "NONE")}
                                              for part in ADDITIONAL[name]]
        features.append(one)
    return {"AutoEnable": configuration.members != "NONE", "AutoEnableOrganizationMembers": configuration.members,
            "MemberAccountLimitReached": False, "Features": features}


@operation("guardduty", "UpdateOrganizationConfiguration")
def update_organization_configuration(request: Request) -> None:
    configuration = _configuration(request)
    members, auto = request.get("AutoEnableOrganizationMembers"), request.get("AutoEnable")
    if members is None and auto is None:
        raise _bad("a value for autoEnableOrganizationMembers or autoEnable is required.")
    if members is None:
        members = "NEW" if auto else "NONE"
    if members not in ("ALL", "NEW", "NONE"):
        raise _bad("an invalid autoEnableOrganizationMembers is specified.")
    features = request.get("Features") or []
    if {"RUNTIME_MONITORING", "EKS_RUNTIME_MONITORING"} <= {feature.get("Name") for feature in features}:
        raise _bad("both EKS_RUNTIME_MONITORING and RUNTIME_MONITORING were provided in the request.")
    for feature in features:
        name = feature.get("Name")
        if name not in known_features(request.settings, request.region) or feature.get("AutoEnable") not in ("ALL", "NEW", "NONE"):
            raise _bad(f"an invalid or unsupported feature is specified: {name}.")
        if members == "NONE" and feature["AutoEnable"] == "NEW":
            raise _bad("features cannot be enabled automatically when autoEnableOrganizationMembers is NONE.")
    configuration.members = members
    for feature in features:
        configuration.features[feature["Name"]] = feature["AutoEnable"]
        for part in feature.get("AdditionalConfiguration") or []:
            configuration.additional[feature["Name"], part["Name"]] = part.get("AutoEnable", "NONE")
    spread(request.settings)


def _enroll(settings: Settings, admin: str, region: str, account: str, email: str) -> str:
    """Makes an account a member as the organization's administrator does; says why when it cannot."""
    state, configuration = _state(settings), _state(settings).configurations[admin, region]
    if account == admin:
        return "The request is rejected because the account ID is the delegated administrator's own."
    if organizations.state_of(account) != "ACTIVE":
        return "The request is rejected because the account is not an active member of the organization."
    detector = detector_of(account, region)
    if organizations.is_management(account) and detector is None and not any(
            role.name == _SERVICE_ROLE for role in iam_backends[account]["aws"].roles.values()):
        return "The request is rejected because GuardDuty is not enabled in the organization's management account."
    if detector is None:
        detector = _make_detector(account, region)
        for name, feature in features_of(detector).items():
            feature.status = "ENABLED" if configuration.features[name] in ("ALL", "NEW") else "DISABLED"
    detector.enabled = True
    for name, auto in configuration.features.items():
        if auto in ("ALL", "NEW"):
            features_of(detector)[name].status = "ENABLED"
    now = utcnow()
    state.members[admin, region][account] = Member(account, email, "Enabled", now, now)
    return ""


def spread(settings: Settings) -> None:
    """Lets the organization's configurations reach the members, unless they lag."""
    if settings.guardduty_org_lag:
        return
    state = _state(settings)
    joined, state.joined = state.joined, []
    for (admin, region), configuration in state.configurations.items():
        for account in organizations.accounts_in(admin):
            member = state.members[admin, region].get(account.id)
            associated = member is not None and member.status == "Enabled"
            new = account.id in joined
            if not associated and (configuration.members == "ALL" or (configuration.members == "NEW" and new)):
                associated = not _enroll(settings, admin, region, account.id, account.email)
            detector = detector_of(account.id, region)
            if not associated or detector is None:
                continue
            if configuration.members == "ALL":
                detector.enabled = True
            for name, auto in configuration.features.items():
                feature = features_of(detector)[name]
                if auto == "ALL" and name in known_features(settings, region) and feature.status != "ENABLED":
                    feature.status, feature.updated_at = "ENABLED", utcnow()
                for part in feature.additional:
                    if configuration.additional.get((name, part)) == "ALL":
                        feature.additional[part] = "ENABLED"


CHANGED["guardduty_org_lag"] = spread


def account_joined(settings: Settings, account: str) -> None:
    """Organizations tells of a new account."""
    _state(settings).joined.append(account)
    spread(settings)


organizations.JOINED.append(account_joined)


# Members.


def _members(request: Request) -> dict[str, Member]:
    _own(request)
    return _state(request.settings).members.get((request.account, request.region), {})


def _relationship(member: Member, region: str) -> str:
    detector = detector_of(member.account, region)
    if member.status == "Enabled" and detector is not None and not detector.enabled:
        return "Disabled"
    return member.status


def _describe(request: Request, member: Member) -> dict[str, Any]:
    detector = detector_of(member.account, request.region)
    return {"AccountId": member.account, "DetectorId": detector.id if detector is not None else None, "MasterId": request.account,
            "AdministratorId": request.account, "Email": member.email, "RelationshipStatus": _relationship(member, request.region),
            "InvitedAt": _iso(member.invited_at), "UpdatedAt": _iso(member.updated_at)}


def _each(request: Request, act: Callable[[Member], str | None]) -> list[dict[str, str]]:
    """Does it for every named member; the rest comes back unprocessed, as do those the test wants to fail."""
    members, unprocessed = _members(request), []
    accounts = request["AccountIds"]
    if not 1 <= len(accounts) <= _LIMIT:
        raise _bad(f"an invalid number of account IDs is specified; 1 to {_LIMIT} are allowed.")
    injected = request.settings.guardduty_unprocessed.get(request.call.operation, {})
    for account in accounts:
        if account in injected:
            reason: str | None = injected[account]
        elif account not in members:
            reason = "The request is rejected because the given account ID is not an associated member of the current account."
        else:
            reason = act(members[account])
        if reason:
            unprocessed.append({"AccountId": account, "Result": reason})
    return unprocessed


def _not_under_all(request: Request) -> None:
    configuration = _state(request.settings).configurations.get((request.account, request.region))
    if configuration is not None and configuration.members == "ALL":
        raise _bad("autoEnableOrganizationMembers is set to ALL for the organization.")


@operation("guardduty", "CreateMembers")
def create_members(request: Request) -> dict[str, Any]:
    members = _members(request)
    details = request["AccountDetails"]
    if not 1 <= len(details) <= _LIMIT:
        raise _bad(f"an invalid number of accounts is specified; 1 to {_LIMIT} are allowed.")
    injected, unprocessed = request.settings.guardduty_unprocessed.get("CreateMembers", {}), []
    delegated = (request.account, request.region) in _state(request.settings).configurations
    for detail in details:
        account = detail["AccountId"]
        member = members.get(account)
        if account in injected:
            reason = injected[account]
        elif member is not None and member.status == "Enabled":
            reason = "The request is rejected because the account is already an associated member."
        elif delegated and organizations.account_of(account) is not None:
            reason = _enroll(request.settings, request.account, request.region, account, detail["Email"])
        else:
            now, reason = utcnow(), ""
            _state(request.settings).members.setdefault((request.account, request.region), {})[account] = Member(
                account, detail["Email"], "Created", now, now)
        if reason:
            unprocessed.append({"AccountId": account, "Result": reason})
    return {"UnprocessedAccounts": unprocessed}


@operation("guardduty", "ListMembers")
def list_members(request: Request) -> dict[str, Any]:
    members = sorted(_members(request).values(), key=lambda member: member.account)
    if str(request.get("OnlyAssociated", "true")).lower() == "true":
        members = [member for member in members if member.status == "Enabled"]
    limit = int(request.get("MaxResults") or _LIMIT)
    if not 1 <= limit <= _LIMIT:
        raise _bad("an invalid maxResults is specified.")
    token = request.get("NextToken") or ""
    if token:
        members = [member for member in members if member.account > token]
    answer: dict[str, Any] = {"Members": [_describe(request, member) for member in members[:limit]]}
    if len(members) > limit:
        answer["NextToken"] = members[limit - 1].account
    return answer


@operation("guardduty", "GetMembers")
def get_members(request: Request) -> dict[str, Any]:
    found: list[dict[str, Any]] = []
    return {"UnprocessedAccounts": _each(request, lambda member: found.append(_describe(request, member))), "Members": found}


@operation("guardduty", "GetMemberDetectors")
def get_member_detectors(request: Request) -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    def look(member: Member) -> str | None:
        detector = detector_of(member.account, request.region)
        if member.status != "Enabled" or detector is None:
            return "The request is rejected because the given account ID is not an associated member of the current account."
        found.append({"AccountId": member.account, "DataSources": _data_sources(detector),
                      "Features": _feature_list(request.settings, request.region, detector)})
        return None

    return {"UnprocessedAccounts": _each(request, look), "MemberDataSourceConfigurations": found}


@operation("guardduty", "UpdateMemberDetectors")
def update_member_detectors(request: Request) -> dict[str, Any]:
    features = request.get("Features") or []
    _check_features(request, features)

    def change(member: Member) -> str | None:
        detector = detector_of(member.account, request.region)
        if member.status != "Enabled" or detector is None:
            return "The request is rejected because the given account ID is not an associated member of the current account."
        _merge(detector, features)
        return None

    return {"UnprocessedAccounts": _each(request, change)}


def _set_enabled(request: Request, enabled: bool) -> dict[str, Any]:
    def change(member: Member) -> str | None:
        detector = detector_of(member.account, request.region)
        if member.status != "Enabled" or detector is None:
            return "The request is rejected because the given account ID is not an associated member of the current account."
        detector.enabled, detector.updated_at, member.updated_at = enabled, utcnow(), utcnow()
        return None

    return {"UnprocessedAccounts": _each(request, change)}


@operation("guardduty", "StartMonitoringMembers")
def start_monitoring_members(request: Request) -> dict[str, Any]:
    return _set_enabled(request, True)


@operation("guardduty", "StopMonitoringMembers")
def stop_monitoring_members(request: Request) -> dict[str, Any]:
    _not_under_all(request)
    return _set_enabled(request, False)


@operation("guardduty", "DisassociateMembers")
def disassociate_members(request: Request) -> dict[str, Any]:
    _not_under_all(request)

    def change(member: Member) -> None:
        member.status, member.updated_at = "Removed", utcnow()

    return {"UnprocessedAccounts": _each(request, change)}


@operation("guardduty", "DeleteMembers")
def delete_members(request: Request) -> dict[str, Any]:
    _not_under_all(request)
    members = _members(request)

    def change(member: Member) -> str | None:
        if member.status == "Enabled":
            return "The request is rejected because the account is an associated member; disassociate it first."
        del members[member.account]
        return None

    return {"UnprocessedAccounts": _each(request, change)}


@account_key("detector")
def _set_detector(settings: Settings, account: str, request: dict[str, Any]) -> None:
    region, wanted = request.get("region"), request["detector"]
    if not region:
        raise BadState("detector needs a region")
    if unknown := set(wanted) - {"status", "features", "finding_publishing_frequency", "deleted"}:
        raise BadState(f"unknown keys {sorted(unknown)} in detector")
    detector = detector_of(account, region)
    if wanted.get("deleted"):
        guardduty_backends[account][region].detectors.clear()
        return
    if detector is None:
        detector = _make_detector(account, region)
    if "status" in wanted:
        detector.enabled = wanted["status"] == "ENABLED"
    detector.finding_publish_freq = wanted.get("finding_publishing_frequency", detector.finding_publish_freq)
    for name, status in (wanted.get("features") or {}).items():
        if name not in ADDITIONAL:
            raise BadState(f"unknown feature {name!r}; there are {sorted(ADDITIONAL)}")
        features_of(detector)[name].status = status
