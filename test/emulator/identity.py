"""Who is calling: account and principal of an access key, sessions, and what a session may do.

AWS: every request is attributed to the principal of its access key; a session's inline policy narrows what its role may do.
moto: maps keys to accounts, takes unknown keys for the management account's, and looks at no policy.
What stands here is our own model of AWS; a test that rests on it shows agreement with that model.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from moto.iam.models import iam_backends

from . import errors, policies
from .errors import AWSError
from .settings import MANAGEMENT_ACCOUNT, BadState, Settings, account_key


def utcnow() -> datetime:
    return datetime.now(timezone.utc).replace(tzinfo=None)


@dataclass
class Session:
    """One successful AssumeRole."""

    account: str
    role: str
    role_arn: str
    session_name: str
    external_id: str
    duration: int
    policy: str
    access_key: str
    arn: str
    by: str
    created_at: datetime
    expires_at: datetime
    expired: bool = False

    def public(self) -> dict[str, Any]:
        return {key: value.isoformat() + "Z" if isinstance(value, datetime) else value
                for key, value in vars(self).items() if key != "expired"}


@dataclass
class Identity:
    """The caller of a request."""

    account: str
    arn: str
    access_key: str
    kind: str  # administrator, user, session, unknown-session
    role: str = ""
    user_id: str = ""
    session: Session | None = None
    inactive: bool = False
    names: set[str] = field(default_factory=set)  # ARNs a policy may name this caller by


class Sessions:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}

    def add(self, session: Session) -> None:
        with self._lock:
            self._sessions[session.access_key] = session

    def get(self, access_key: str) -> Session | None:
        return self._sessions.get(access_key)

    def all(self) -> list[Session]:
        with self._lock:
            return list(self._sessions.values())

    def clear(self) -> None:
        with self._lock:
            self._sessions.clear()


SESSIONS = Sessions()


@account_key("expire_sessions")
def _expire(_: Settings, account: str, request: dict[str, Any]) -> None:
    if request["expire_sessions"] is not True:
        raise BadState("expire_sessions can only be true")
    for session in SESSIONS.all():
        if session.account == account:
            session.expired = True


def _administrator(account: str, access_key: str, arn: str = "") -> Identity:
    arn = arn or f"arn:aws:iam::{account}:user/administrator"
    return Identity(account, arn, access_key, "administrator", user_id="AIDAADMINISTRATOR", names={arn})


def resolve(access_key: str, forced_account: str, settings: Settings) -> Identity:
    if session := SESSIONS.get(access_key):
        return Identity(session.account, session.arn, access_key, "session", role=session.role, session=session,
                        user_id=f"AROA{session.role[:8].upper()}:{session.session_name}", names={session.arn, session.role_arn})
    if forced_account:
        return _administrator(forced_account, access_key)
    if access_key in settings.principals:
        arn = settings.principals[access_key]
        return _administrator(arn.split(":")[4], access_key, arn)
    if re.fullmatch(r"\d{12}", access_key):
        return _administrator(access_key, access_key)
    for account, backends in list(iam_backends.items()):
        backend = dict.get(backends, "aws")
        key = backend.access_keys.get(access_key) if backend is not None else None
        if key is not None and key.user_name and key.user_name in backend.users:
            user = backend.users[key.user_name]
            return Identity(account, user.arn, access_key, "user", user_id=user.id, inactive=key.status != "Active",
                            names={user.arn})
    if access_key.startswith("ASIA"):
        return Identity(MANAGEMENT_ACCOUNT, "", access_key, "unknown-session")
    return _administrator(MANAGEMENT_ACCOUNT, access_key)


def check(call: Any, settings: Settings) -> None:
    """Refuses what AWS would refuse before it looks at the operation."""
    identity: Identity = call.identity
    if identity.kind == "unknown-session" or identity.inactive:
        raise errors.invalid_token(call.service, call.protocol)
    session = identity.session
    if session is not None and (session.expired or session.expires_at <= utcnow()):
        raise errors.expired_token(call.service, call.protocol)
    if session is None or not policies.needs_permission(call.service, call.operation):
        return
    if session.account in settings.closed:
        raise denied(call, "scp")
    action = policies.iam_action(call.service, call.operation)
    if settings.enforce_session_policies and session.policy:
        decision = policies.evaluate([session.policy], action, any_condition=True)
        if decision != "allowed":
            raise denied(call, "session")
    if settings.enforce_identity_policies:
        if policies.evaluate(role_policies(session.account, session.role_arn), action, any_condition=True) != "allowed":
            raise denied(call, "identity")


def role_policies(account: str, role_arn: str) -> list[str]:
    """The documents of a role's inline and attached policies; everything for OrganizationAccountAccessRole."""
    backend = iam_backends[account]["aws"]
    for role in list(backend.roles.values()):
        if role.arn == role_arn:
            if role.name == "OrganizationAccountAccessRole":
                return ['{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}']
            return [*role.policies.values(), *(default_document(policy) for policy in role.managed_policies.values())]
    return []


def default_document(policy: Any) -> str:
    """The document of a managed policy's default version."""
    for version in policy.versions:
        if version.version_id == policy.default_version_id:
            return version.document
    return '{"Statement":[]}'


def denied(call: Any, why: str) -> AWSError:
    return AWSError(errors.access_denied_code(call.service, call.protocol), policies.denied_message(call, why),
                    errors.access_denied_status(call.protocol))
