"""What a test set up by POST /plumbline/state: the things no AWS API can set."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Callable

DEFAULT_REGIONS = ["eu-central-1", "eu-west-1", "us-east-1"]
MANAGEMENT_ACCOUNT = "123456789012"


class BadState(ValueError):
    """A setting that cannot be right; the text says why."""


@dataclass
class Root:
    access_keys: int = 0
    mfa: int = 1
    mfa_device: str = "hardware"
    password: int | None = 1
    signing_certificates: int = 0


@dataclass
class Settings:
    """All settings; services keep what belongs to them in `by_service`."""

    regions: list[str] = field(default_factory=lambda: list(DEFAULT_REGIONS))
    account_regions: dict[str, list[str]] = field(default_factory=dict)
    principals: dict[str, str] = field(default_factory=dict)
    list_buckets_region: bool = True
    new_bucket_public_access_block: bool = True
    new_bucket_blocks_sse_c: bool = False
    s3_region_redirects: bool = True
    list_accounts_page_size: int = 20
    list_accounts_empty_pages: int = 0
    guardduty_org_lag: bool = False
    guardduty_unprocessed: dict[str, dict[str, str]] = field(default_factory=dict)
    guardduty_absent_features: dict[str, list[str]] = field(default_factory=dict)
    enforce_session_policies: bool = True
    enforce_identity_policies: bool = False
    enforce_trust: bool = True
    roots: dict[str, Root] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    by_service: dict[str, Any] = field(default_factory=dict)

    def enabled_regions(self, account: str) -> list[str]:
        return self.account_regions.get(account, self.regions)

    def root(self, account: str) -> Root:
        return self.roots.setdefault(account, Root())

    def service(self, name: str, make: Callable[[], Any]) -> Any:
        """The state a service module keeps; made anew after a reset."""
        if name not in self.by_service:
            self.by_service[name] = make()
        return self.by_service[name]


_GLOBAL = {
    "principals": dict, "list_buckets_region": bool, "new_bucket_public_access_block": bool, "new_bucket_blocks_sse_c": bool,
    "s3_region_redirects": bool, "list_accounts_page_size": int, "list_accounts_empty_pages": int, "guardduty_org_lag": bool, "guardduty_unprocessed": dict,
    "guardduty_absent_features": dict, "enforce_session_policies": bool, "enforce_identity_policies": bool, "enforce_trust": bool,
    "regions": list,
}

# Handlers of account settings: key -> function(settings, account, whole request). Service modules add theirs.
ACCOUNT_KEYS: dict[str, Callable[[Settings, str, dict[str, Any]], None]] = {}
# Keys that only qualify another one.
QUALIFIERS = {"account", "user", "access_key_id", "trail", "key", "region", "delivery", "key_metadata", "tags"}
# Functions told after a global setting changed: key -> function(settings).
CHANGED: dict[str, Callable[[Settings], None]] = {}


def account_key(key: str) -> Callable[[Callable[[Settings, str, dict[str, Any]], None]], Callable[..., None]]:
    def register(function: Callable[[Settings, str, dict[str, Any]], None]) -> Callable[..., None]:
        ACCOUNT_KEYS[key] = function
        return function

    return register


def parse_time(value: Any) -> datetime | None:
    """A naive UTC time, as moto keeps them."""
    if value is None:
        return None
    try:
        parsed = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        raise BadState(f"{value!r} is not an ISO 8601 time such as 2026-01-02T03:04:05Z") from None
    return parsed.astimezone(timezone.utc).replace(tzinfo=None) if parsed.tzinfo is not None else parsed


def apply(settings: Settings, request: dict[str, Any]) -> None:
    if not isinstance(request, dict):
        raise BadState("the state is a JSON object or a list of objects")
    account = request.get("account")
    if account is None:
        if unknown := set(request) - set(_GLOBAL):
            raise BadState(f"unknown keys {sorted(unknown)}; without an account there are {sorted(_GLOBAL)}")
        for key, value in request.items():
            if not isinstance(value, _GLOBAL[key]):
                raise BadState(f"{key} must be of type {_GLOBAL[key].__name__}")
            setattr(settings, key, value)
            if key in CHANGED:
                CHANGED[key](settings)
        return
    if unknown := set(request) - set(ACCOUNT_KEYS) - QUALIFIERS:
        raise BadState(f"unknown keys {sorted(unknown)}; with an account there are {sorted(set(ACCOUNT_KEYS) | QUALIFIERS)}")
    for key in request:
        if key in ACCOUNT_KEYS:
            ACCOUNT_KEYS[key](settings, str(account), request)


def public(settings: Settings) -> dict[str, Any]:
    answer = {key: getattr(settings, key) for key in _GLOBAL}
    answer["accounts"] = {
        account: {
            **({"regions": settings.account_regions[account]} if account in settings.account_regions else {}),
            **({"root": vars(settings.roots[account])} if account in settings.roots else {}),
            **({"permissions": False} if account in settings.closed else {}),
        }
        for account in sorted({*settings.account_regions, *settings.roots, *settings.closed})
    }
    return answer


@account_key("regions")
def _regions(settings: Settings, account: str, request: dict[str, Any]) -> None:
    settings.account_regions[account] = list(request["regions"])


@account_key("root")
def _root(settings: Settings, account: str, request: dict[str, Any]) -> None:
    root = settings.root(account)
    for key, value in request["root"].items():
        if not hasattr(root, key):
            raise BadState(f"unknown key {key!r} in root; it has {sorted(vars(root))}")
        setattr(root, key, value)


@account_key("permissions")
def _permissions(settings: Settings, account: str, request: dict[str, Any]) -> None:
    (settings.closed.discard if request["permissions"] else settings.closed.add)(account)
