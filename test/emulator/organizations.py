"""Organizations: accounts with chosen ids, states and paths, honest paging, who may ask.

AWS: read operations answer the management account and every delegated administrator, others AccessDeniedException; pages hold
at most 20 and may be empty with a NextToken; an account carries State (Status retires) and Paths; CreateAccount is asynchronous.
moto: anybody may ask, a delegated administrator sees no accounts, no Paths, random ids, several service principals refused.
What stands here is our own model of AWS; a test that rests on it shows agreement with that model. CreateAccount stays synchronous.
"""

from __future__ import annotations

import base64
import binascii
import threading
from typing import Any, Callable

from moto.organizations import models as moto_models
from moto.organizations import utils
from moto.organizations.models import FakeAccount, FakeDelegatedAdministrator, FakeOrganization, OrganizationsBackend, organizations_backends

from .calls import Answer
from .errors import AWSError
from .registry import Request, operation
from .settings import BadState, Settings, account_key, parse_time

ID_TAG = "emulator:account-id"
_STATES = ["PENDING_ACTIVATION", "ACTIVE", "SUSPENDED", "PENDING_CLOSURE", "CLOSED"]
_READS = ("Describe", "List")

# Services that want to know of a new account: function(settings, account).
JOINED: list[Callable[[Settings, str], None]] = []
_PAGE_LIMIT = 20

FakeDelegatedAdministrator.SUPPORTED_SERVICES += [
    principal for principal in (
        "cloudtrail.amazonaws.com", "config.amazonaws.com", "securityhub.amazonaws.com", "inspector2.amazonaws.com",
        "ipam.amazonaws.com", "iam.amazonaws.com", "stacksets.cloudformation.amazonaws.com",
        "member.org.stacksets.cloudformation.amazonaws.com", "account.amazonaws.com", "detective.amazonaws.com",
        "fms.amazonaws.com", "sso.amazonaws.com", "backup.amazonaws.com", "malware-protection.guardduty.amazonaws.com")
    if principal not in FakeDelegatedAdministrator.SUPPORTED_SERVICES]
moto_models.FakeServiceAccess.TRUSTED_SERVICES += ["iam.amazonaws.com", "malware-protection.guardduty.amazonaws.com"]

# The id the account being created is to get; moto draws it at random.
_chosen = threading.local()
_random_account_id = utils.make_random_account_id


def _account_id() -> str:
    return getattr(_chosen, "id", "") or _random_account_id()


utils.make_random_account_id = _account_id


def backend_of(account: str) -> OrganizationsBackend | None:
    """The backend of the organization an account belongs to; None when it belongs to none."""
    management, partition = organizations_backends.master_accounts.get(account, (account, "aws"))
    accounts = dict.get(organizations_backends, management)
    backend = dict.get(accounts, partition) if accounts is not None else None
    return backend if backend is not None and backend.org is not None else None


def organization_of(account: str) -> FakeOrganization | None:
    backend = backend_of(account)
    return backend.org if backend is not None else None


def account_of(account: str) -> FakeAccount | None:
    backend = backend_of(account)
    return next((one for one in backend.accounts if one.id == account), None) if backend is not None else None


def state_of(account: str) -> str:
    """The account's state, or "" outside of any organization."""
    found = account_of(account)
    return found.state if found is not None else ""


def accounts_in(account: str) -> list[FakeAccount]:
    """The accounts of the organization `account` belongs to."""
    backend = backend_of(account)
    return list(backend.accounts) if backend is not None else []


def is_management(account: str) -> bool:
    organization = organization_of(account)
    return organization is not None and organization.master_account_id == account


def delegated(account: str, principal: str | None = None) -> bool:
    backend = backend_of(account)
    return backend is not None and any(
        admin.account.id == account and (principal is None or principal in admin.services) for admin in backend.admins)


def register(backend: OrganizationsBackend, account: str, principal: str) -> None:
    """What a service does that registers its delegated administrator itself."""
    if not delegated(account, principal):
        backend.register_delegated_administrator(AccountId=account, ServicePrincipal=principal)


def forget() -> None:
    """moto's reset leaves this behind."""
    organizations_backends.master_accounts.clear()


def _path(backend: OrganizationsBackend, account: FakeAccount) -> str:
    assert backend.org is not None
    parents: list[str] = []
    parent = account.parent_id
    while parent and parent != backend.org.root_id:
        parents.insert(0, parent)
        parent = next((ou.parent_id for ou in backend.ou if ou.id == parent), None)
    return "/".join([backend.org.id, backend.org.root_id, *parents, account.id]) + "/"


def _describe(backend: OrganizationsBackend, account: FakeAccount) -> dict[str, Any]:
    status = {"PENDING_ACTIVATION": "ACTIVE", "CLOSED": "SUSPENDED"}.get(account.state, account.state)
    return {"Id": account.id, "Arn": account.arn, "Email": account.email, "Name": account.name, "Status": status, "State": account.state,
            "Paths": [_path(backend, account)], "JoinedMethod": account.joined_method, "JoinedTimestamp": account.create_time}


def gate(request: Request) -> OrganizationsBackend:
    """Who may ask what; points moto at the management account's backend, where the organization is."""
    backend = backend_of(request.account)
    if backend is None:
        raise AWSError("AWSOrganizationsNotInUseException", "Your account is not a member of an organization.")
    assert backend.org is not None
    if request.account != backend.org.master_account_id and request.call.operation != "DescribeOrganization":
        if not (delegated(request.account) and request.call.operation.startswith(_READS)):
            raise AWSError("AccessDeniedException", "You don't have permissions to access this resource.")
    request.call.moto_account = backend.org.master_account_id
    return backend


@operation("organizations", "*")
def _other(request: Request) -> Answer:
    gate(request)
    return request.forward()


@operation("organizations", "CreateOrganization")
def _create(request: Request) -> Answer:
    return request.forward()


def _page(request: Request, name: str, items: list[Any], limit: int, empty_pages: int = 0) -> dict[str, Any]:
    """One page; the token says how many empty pages were given and where the next one starts."""
    empties, start = 0, 0
    if token := request.get("NextToken"):
        try:
            kind, empties_text, start_text = base64.urlsafe_b64decode(token).decode().split(":")
            empties, start = int(empties_text), int(start_text)
            if kind != name:
                raise ValueError(kind)
        except (ValueError, binascii.Error, UnicodeDecodeError):
            raise AWSError("InvalidInputException", "You specified an invalid value.", Reason="INVALID_NEXT_TOKEN") from None
    maximum = request.get("MaxResults", limit)
    if not 1 <= maximum <= _PAGE_LIMIT:
        raise AWSError("InvalidInputException", "You specified an invalid value.", Reason="MAX_VALUE_EXCEEDED" if maximum > _PAGE_LIMIT
                       else "MIN_VALUE_EXCEEDED")

    def token_for(empties: int, start: int) -> str:
        return base64.urlsafe_b64encode(f"{name}:{empties}:{start}".encode()).decode()

    if empties < empty_pages:
        return {name: [], "NextToken": token_for(empties + 1, start)}
    end = start + min(maximum, limit)
    answer: dict[str, Any] = {name: items[start:end]}
    if end < len(items):
        answer["NextToken"] = token_for(empties, end)
    return answer


@operation("organizations", "ListAccounts")
def list_accounts(request: Request) -> dict[str, Any]:
    backend = gate(request)
    accounts = sorted(backend.accounts, key=lambda account: (account.create_time, account.id))
    return _page(request, "Accounts", [_describe(backend, account) for account in accounts],
                 request.settings.list_accounts_page_size, request.settings.list_accounts_empty_pages)


@operation("organizations", "ListAccountsForParent")
def list_accounts_for_parent(request: Request) -> dict[str, Any]:
    backend = gate(request)
    parent = backend.validate_parent_id(request["ParentId"])
    accounts = sorted((account for account in backend.accounts if account.parent_id == parent), key=lambda account: account.id)
    return _page(request, "Accounts", [_describe(backend, account) for account in accounts],
                 request.settings.list_accounts_page_size, request.settings.list_accounts_empty_pages)


@operation("organizations", "ListOrganizationalUnitsForParent")
def list_organizational_units_for_parent(request: Request) -> dict[str, Any]:
    backend = gate(request)
    parent = backend.validate_parent_id(request["ParentId"])
    units = [{"Id": ou.id, "Arn": ou.arn, "Name": ou.name} for ou in backend.ou if ou.parent_id == parent]
    return _page(request, "OrganizationalUnits", units, _PAGE_LIMIT)


@operation("organizations", "DescribeAccount")
def describe_account(request: Request) -> dict[str, Any]:
    backend = gate(request)
    return {"Account": _describe(backend, backend.get_account_by_id(request["AccountId"]))}


@operation("organizations", "CreateAccount")
def create_account(request: Request) -> dict[str, Any]:
    backend = gate(request)
    params = dict(request.params)
    tags = params.pop("Tags", [])
    wanted = next((tag["Value"] for tag in tags if tag["Key"] == ID_TAG), "")
    if wanted and (len(wanted) != 12 or not wanted.isdigit()):
        raise AWSError("InvalidInputException", f"the tag {ID_TAG} must hold a 12-digit account id, not {wanted!r}")
    if wanted and any(account.id == wanted for account in backend.accounts):
        raise AWSError("InvalidInputException", f"account {wanted} is already in the organization")
    if any(account.email == params["Email"] for account in backend.accounts):
        raise AWSError("InvalidInputException", f"another account has the e-mail address {params['Email']}")
    _chosen.id = wanted
    try:
        status = backend.create_account(**params, Tags=[tag for tag in tags if tag["Key"] != ID_TAG])
    finally:
        _chosen.id = ""
    for tell in JOINED:
        tell(request.settings, status["CreateAccountStatus"]["AccountId"])
    return status


@operation("organizations", "CreateOrganizationalUnit")
def create_organizational_unit(request: Request) -> Answer:
    backend = gate(request)
    backend.validate_parent_id(request["ParentId"])
    if any(ou.parent_id == request["ParentId"] and ou.name == request["Name"] for ou in backend.ou):
        raise AWSError("DuplicateOrganizationalUnitException", "An OU with the same name already exists.")
    return request.forward()


@operation("organizations", "MoveAccount")
def move_account(request: Request) -> Answer:
    backend = gate(request)
    account = backend.get_account_by_id(request["AccountId"])
    if account.parent_id != request["SourceParentId"]:
        raise AWSError("SourceParentNotFoundException", "We can't find a source root or OU with the ParentId that you specified.")
    return request.forward()


def _member(account: str) -> tuple[OrganizationsBackend, FakeAccount]:
    backend, found = backend_of(account), account_of(account)
    if backend is None or found is None:
        raise BadState(f"account {account} is in no organization")
    return backend, found


@account_key("organization_state")
def _set_state(_: Settings, account: str, request: dict[str, Any]) -> None:
    if request["organization_state"] not in _STATES:
        raise BadState(f"organization_state must be one of {_STATES}")
    _member(account)[1].state = request["organization_state"]


@account_key("joined_at")
def _set_joined(_: Settings, account: str, request: dict[str, Any]) -> None:
    _member(account)[1].create_time = parse_time(request["joined_at"])


@account_key("removed")
def _remove(_: Settings, account: str, request: dict[str, Any]) -> None:
    if request["removed"] is not True:
        raise BadState("removed can only be true")
    backend, _found = _member(account)
    backend.remove_account_from_organization(AccountId=account)
