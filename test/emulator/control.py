"""The control endpoints under /plumbline/; README.md describes them."""

from __future__ import annotations

import json
import re
from typing import Any, Callable, Iterable
from urllib.parse import parse_qs

from moto import backends

from . import identity, settings as state
from .calls import Call
from .gateway import Gateway
from .requestlog import Entry
from .rules import BadRule, matches
from .settings import BadState

_FILTERS = ("service", "operation", "account", "region", "resource")


class NotFound(Exception):
    pass


class Control:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._routes: list[tuple[str, re.Pattern[str], Callable[..., Any]]] = [
            ("GET", re.compile("requests"), self._requests),
            ("DELETE", re.compile("requests"), self._clear_requests),
            ("GET", re.compile("rules"), self._rules),
            ("POST", re.compile("rules"), self._add_rule),
            ("DELETE", re.compile("rules"), self._clear_rules),
            ("DELETE", re.compile("rules/([^/]+)"), self._remove_rule),
            ("GET", re.compile("held"), self._held),
            ("POST", re.compile("held/([^/]+)/release"), self._release),
            ("GET", re.compile("sessions"), self._sessions),
            ("GET", re.compile("state"), self._state),
            ("POST", re.compile("state"), self._set_state),
            ("POST", re.compile("reset"), self._reset),
            ("POST", re.compile("messages/return"), self._return_messages),
        ]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"].removeprefix("/plumbline/").rstrip("/")
        status, answer = "404 Not Found", {"error": f"no {environ['REQUEST_METHOD']} /plumbline/{path}"}
        for method, pattern, handler in self._routes:
            found = pattern.fullmatch(path)
            if found is None or method != environ["REQUEST_METHOD"]:
                continue
            try:
                length = int(environ.get("CONTENT_LENGTH") or 0)
                raw = environ["wsgi.input"].read(length) if length else b""
                body = json.loads(raw) if raw.strip() else {}
                query = {key: values[-1] for key, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
                answer, status = handler(*found.groups(), query=query, body=body) or {}, "200 OK"
            except (BadRule, BadState, ValueError) as error:
                status, answer = "400 Bad Request", {"error": str(error)}
            except NotFound as error:
                status, answer = "404 Not Found", {"error": str(error)}
            break
        data = json.dumps(answer, default=str).encode() + b"\n"
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(data)))])
        return [data]

    def _requests(self, query: dict[str, str], body: Any) -> dict[str, Any]:
        entries, last = self._gateway.log.since(int(query.get("since", 0)))
        for name in _FILTERS:
            if name in query:
                entries = [entry for entry in entries if matches(query[name].split(","), str(getattr(entry, name)))]
        if "write" in query:
            entries = [entry for entry in entries if entry.write == (query["write"] == "true")]
        return {"requests": [self._entry(entry, "params" in query) for entry in entries], "last": last}

    @staticmethod
    def _entry(entry: Entry, params: bool) -> dict[str, Any]:
        public = entry.public()
        if params:
            call: Call = entry.call
            try:
                public["parameters"] = call.params
            except Exception as error:  # noqa: BLE001 - garbage in a request must not hide the request
                public["parameters"] = {"unreadable": repr(error)}
        return public

    def _clear_requests(self, query: dict[str, str], body: Any) -> None:
        self._gateway.log.clear()

    def _rules(self, query: dict[str, str], body: Any) -> dict[str, Any]:
        return {"rules": [rule.public() for rule in self._gateway.rules]}

    def _add_rule(self, query: dict[str, str], body: Any) -> dict[str, Any]:
        return {"id": self._gateway.rules.add(body).id}

    def _clear_rules(self, query: dict[str, str], body: Any) -> None:
        self._gateway.rules.clear(drop=False)

    def _remove_rule(self, rule: str, query: dict[str, str], body: Any) -> None:
        if not self._gateway.rules.remove(rule):
            raise NotFound(f"no rule {rule}")

    def _held(self, query: dict[str, str], body: Any) -> dict[str, Any]:
        return {"held": self._gateway.rules.held()}

    def _release(self, held: str, query: dict[str, str], body: Any) -> None:
        if not self._gateway.rules.release(held, bool(body.get("drop", False))):
            raise NotFound(f"nothing held as {held}")

    def _sessions(self, query: dict[str, str], body: Any) -> dict[str, Any]:
        return {"sessions": [session.public() for session in identity.SESSIONS.all()]}

    def _state(self, query: dict[str, str], body: Any) -> dict[str, Any]:
        return state.public(self._gateway.settings)

    def _set_state(self, query: dict[str, str], body: Any) -> None:
        with self._gateway.lock:
            for request in body if isinstance(body, list) else [body]:
                state.apply(self._gateway.settings, request)

    def _reset(self, query: dict[str, str], body: Any) -> None:
        self._gateway.reset()

    def _return_messages(self, query: dict[str, str], body: Any) -> None:
        """Makes the received messages of a queue visible, as SQS does when their visibility timeout is over."""
        queues = backends.get_backend("sqs")[body["account"]][body["region"]].queues
        if body["queue"] not in queues:
            raise NotFound(f"no queue {body['queue']}")
        for message in list(queues[body["queue"]].pending_messages):
            message.change_visibility(0)
