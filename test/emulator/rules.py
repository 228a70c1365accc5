"""Rules: what a test wants to happen to some of the AWS calls."""

from __future__ import annotations

import fnmatch
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Iterator

from .errors import AWSError, access_denied_code, access_denied_status, throttling
from .policies import denied_message

ACTIONS = {"error", "hold-before", "hold-after", "delay", "drop-before", "drop-after", "rewrite-account"}
_MATCH_KEYS = {"service", "operation", "account", "region", "resource", "role", "access_key"}
_RULE_KEYS = {"match", "action", "status", "code", "message", "why", "times", "skip", "seconds", "account", "retry_after"}


class BadRule(ValueError):
    """A rule that cannot be right; the text says why."""


class Dropped(Exception):
    """The connection is to be closed without an answer."""


def matches(patterns: str | list[str], value: str) -> bool:
    return any(fnmatch.fnmatchcase(value, pattern) for pattern in ([patterns] if isinstance(patterns, str) else patterns))


@dataclass
class Rule:
    id: str
    match: dict[str, Any]
    action: str
    spec: dict[str, Any]
    hits: int = 0
    skipped: int = 0

    def used_up(self) -> bool:
        return "times" in self.spec and self.hits >= int(self.spec["times"])

    def public(self) -> dict[str, Any]:
        return {"id": self.id, "hits": self.hits, **self.spec}

    def error(self, call: Any) -> AWSError:
        code, message = self.spec.get("code", "InternalFailure"), self.spec.get("message", "")
        status = self.spec.get("status")
        if code == "throttle":
            error = throttling(call.service, call.protocol)
            error.message = message or error.message
            error.status = status or error.status
        elif code == "auto":
            error = AWSError(access_denied_code(call.service, call.protocol),
                             message or denied_message(call, self.spec.get("why", "scp")),
                             status or access_denied_status(call.protocol))
        else:
            error = AWSError(code, message or code, status)
        if "retry_after" in self.spec:
            error.headers["Retry-After"] = str(self.spec["retry_after"])
        return error


@dataclass
class Held:
    id: str
    rule: str
    when: str
    entry: Any
    event: threading.Event = field(default_factory=threading.Event)
    drop: bool = False

    def public(self) -> dict[str, Any]:
        return {"id": self.id, "rule": self.rule, "when": self.when, "request": self.entry.public()}


class Rules:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._held: dict[str, Held] = {}
        self._next = 1
        self._next_held = 1

    def add(self, spec: dict[str, Any]) -> Rule:
        if not isinstance(spec, dict):
            raise BadRule("a rule is a JSON object")
        if unknown := set(spec) - _RULE_KEYS:
            raise BadRule(f"unknown keys {sorted(unknown)}; a rule has {sorted(_RULE_KEYS)}")
        match = spec.get("match") or {}
        if unknown := set(match) - _MATCH_KEYS:
            raise BadRule(f"unknown keys in match {sorted(unknown)}; it has {sorted(_MATCH_KEYS)}")
        action = spec.get("action")
        if action not in ACTIONS:
            raise BadRule(f"action must be one of {sorted(ACTIONS)}, not {action!r}")
        if action == "error" and not spec.get("code"):
            raise BadRule('an error rule needs a code, for example "auto"')
        if action == "rewrite-account" and not spec.get("account"):
            raise BadRule("a rewrite-account rule needs an account")
        with self._lock:
            rule = Rule(f"rule-{self._next}", match, action, spec)
            self._next += 1
            self._rules.append(rule)
            return rule

    def take(self, call: Any) -> Rule | None:
        """The rule that serves this call; counts it."""
        with self._lock:
            for rule in self._rules:
                if rule.used_up() or not all(matches(want, call.attribute(key)) for key, want in rule.match.items()):
                    continue
                if rule.action == "rewrite-account" and (call.service, call.operation) != ("sts", "AssumeRole"):
                    continue
                if rule.skipped < int(rule.spec.get("skip", 0)):
                    rule.skipped += 1
                    continue
                rule.hits += 1
                return rule
        return None

    def hold(self, rule: Rule, when: str, entry: Any) -> None:
        """Blocks until the test lets go; raises Dropped when it wants no answer."""
        with self._lock:
            held = Held(f"held-{self._next_held}", rule.id, when, entry)
            self._next_held += 1
            self._held[held.id] = held
            entry.phase = "held"
        held.event.wait()
        if held.drop:
            raise Dropped

    def release(self, held_id: str, drop: bool) -> bool:
        with self._lock:
            held = self._held.pop(held_id, None)
        if held is None:
            return False
        held.drop = drop
        held.entry.phase = "received"
        held.event.set()
        return True

    def remove(self, rule_id: str) -> bool:
        with self._lock:
            before = len(self._rules)
            self._rules = [rule for rule in self._rules if rule.id != rule_id]
            found = len(self._rules) != before
            waiting = [held.id for held in self._held.values() if held.rule == rule_id]
        for held_id in waiting:
            self.release(held_id, drop=False)
        return found

    def clear(self, drop: bool) -> None:
        with self._lock:
            self._rules.clear()
            waiting = list(self._held)
        for held_id in waiting:
            self.release(held_id, drop)

    def held(self) -> list[dict[str, Any]]:
        with self._lock:
            return [held.public() for held in self._held.values()]

    def __iter__(self) -> Iterator[Rule]:
        with self._lock:
            return iter(list(self._rules))


def delay(rule: Rule) -> None:
    time.sleep(float(rule.spec.get("seconds", 1)))
