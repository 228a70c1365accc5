"""The WSGI application in front of moto: logs every call, obeys the rules, checks the caller, answers or passes on."""

from __future__ import annotations

import functools
import socket
import sys
import threading
import traceback
from typing import Any, Callable, Iterable

from moto import backends
from moto.core.base_backend import BackendDict
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from . import errors, identity, models, organizations, rules, settings as state
from .calls import Answer, Call
from .errors import AWSError
from .registry import HANDLERS, Request
from .requestlog import RequestLog
from .rules import Dropped, Rules

# Services whose endpoint serves every region's account data, so that a disabled region does not matter.
_GLOBAL_SERVICES = {"iam", "sts", "organizations", "s3", "s3control", "cloudfront", "route53", "account"}


class Gateway:
    def __init__(self, log: RequestLog) -> None:
        self.log = log
        self.rules = Rules()
        self.settings = state.Settings()
        self.lock = threading.RLock()  # held by handlers, never while a call is held or delayed
        self._moto = DomainDispatcherApplication(create_backend_app)
        self.control: Callable[[dict[str, Any], Any], Iterable[bytes]] | None = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith("/plumbline/") and self.control is not None:
            return self.control(environ, start_response)
        if path == "/moto-api/reset":
            self.reset()
        if path.startswith("/moto-api"):
            return self._moto(environ, start_response)
        call = Call(environ, self.settings)
        call.entry = self.log.add(
            service=call.service, operation=call.operation, account=call.account, region=call.region, resource=call.resource,
            user_agent=call.headers.get("User-Agent", ""), write=call.write, principal=call.identity.arn,
            access_key=call.identity.access_key, request_id=call.request_id, call=call)
        try:
            answer = self._serve(call)
        except Dropped:
            self.log.finish(call.entry, "dropped")
            _close(environ)
            raise ConnectionAbortedError("dropped by a rule") from None
        self.log.finish(call.entry, "answered", answer.status, answer.error_code)
        start_response(f"{answer.status} {_REASONS.get(answer.status, 'Answer')}", answer.headers)
        return [] if call.method == "HEAD" else [answer.body]

    def _serve(self, call: Call) -> Answer:
        assert call.entry is not None
        rule = self.rules.take(call)
        if rule is None:
            return self._execute(call)
        call.entry.rule = rule.id
        if rule.action == "error":
            return self._error(call, rule.error(call))
        if rule.action == "drop-before":
            raise Dropped
        if rule.action == "hold-before":
            self.rules.hold(rule, "before", call.entry)
        elif rule.action == "delay":
            rules.delay(rule)
        elif rule.action == "rewrite-account":
            call.rewrite_account = str(rule.spec["account"])
        answer = self._execute(call)
        if rule.action == "hold-after":
            self.rules.hold(rule, "after", call.entry)
        elif rule.action == "drop-after":
            raise Dropped
        return answer

    def _execute(self, call: Call) -> Answer:
        assert call.entry is not None
        try:
            identity.check(call, self.settings)
            if (call.service not in _GLOBAL_SERVICES
                    and call.region not in self.settings.enabled_regions(call.account)):
                raise errors.disabled_region(call.service, call.protocol)
            call.entry.executed = True
            handler = HANDLERS.get((call.service, call.operation)) or HANDLERS.get((call.service, "*"))
            if handler is None:
                return self._forward(call)
            with self.lock:
                result = handler(Request(call, lambda: self._forward(call)))
            if isinstance(result, Answer):
                return result
            model = models.operation_model(call.service, call.operation)
            assert model is not None, f"{call.service} has no operation {call.operation}"
            status, headers, body = models.serialize(model, result or {}, call.request_id)
            return self._answer(call, status, headers, body)
        except AWSError as error:
            return self._error(call, error)
        except Exception as exception:  # noqa: BLE001 - a crash of the emulator must look like one, not like an answer
            if service_error := _moto_error(exception):
                return self._error(call, service_error)
            traceback.print_exc(file=sys.stderr)
            return self._error(call, AWSError("InternalFailure", f"the emulator failed: {exception!r}"))

    def _forward(self, call: Call) -> Answer:
        """Lets moto answer."""
        missing = AWSError("NotImplementedByEmulator", f"neither moto nor the emulator's extension has {call.service} {call.operation}")
        if not _has_backend(call.service):
            return self._missing(call, missing)
        captured: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> Callable[[bytes], None]:
            captured[:] = [int(status.split()[0]), headers]
            return lambda _data: None

        try:
            body = b"".join(self._moto(call.moto_environ(), start_response))
        except NotImplementedError:
            return self._missing(call, missing)
        status, headers = captured
        content_type = next((value for name, value in headers if name.lower() == "content-type"), "")
        if status in (404, 405) and content_type.startswith("text/html") and (not body or b"<title>" in body):
            if call.method != "HEAD" and not (call.service == "s3" and not body):
                return self._missing(call, missing)
        dropped = {"x-amzn-requestid", "connection"} | ({"content-length"} if call.method != "HEAD" else set())
        headers = [(name, value) for name, value in headers if name.lower() not in dropped]
        return self._answer(call, status, headers, body)

    def _missing(self, call: Call, error: AWSError) -> Answer:
        assert call.entry is not None
        call.entry.executed = False
        return self._error(call, error)

    def _answer(self, call: Call, status: int, headers: dict[str, str] | list[tuple[str, str]], body: bytes) -> Answer:
        pairs = [(name, str(value)) for name, value in (headers.items() if isinstance(headers, dict) else headers)]
        pairs.append(("x-amzn-RequestId", call.request_id))
        if call.service in ("s3", "s3control"):
            pairs = [pair for pair in pairs if pair[0].lower() not in ("x-amz-request-id", "x-amz-id-2")]
            pairs += [("x-amz-request-id", call.request_id), ("x-amz-id-2", "emulator")]
        if not any(name.lower() == "content-length" for name, _ in pairs):
            pairs.append(("Content-Length", "0" if call.method == "HEAD" else str(len(body))))
        return Answer(status, pairs, body)

    def _error(self, call: Call, error: AWSError) -> Answer:
        headers, body = errors.render(error, call.service, call.protocol, call.request_id)
        answer = self._answer(call, error.status, headers, body if call.method != "HEAD" else b"")
        answer.__dict__["error_code"] = error.code
        return answer

    def reset(self) -> None:
        self.rules.clear(drop=True)
        with self.lock:
            BackendDict.reset()
            organizations.forget()
            identity.SESSIONS.clear()
            self.settings.__init__()  # type: ignore[misc]
            self.log.clear(restart=True)


_REASONS = {200: "OK", 204: "No Content", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 409: "Conflict", 410: "Gone",
            429: "Too Many Requests", 500: "Internal Server Error", 501: "Not Implemented", 503: "Service Unavailable"}


_MOTO_NAMES = {"monitoring": "cloudwatch", "lambda": "awslambda", "elasticloadbalancing": "elbv2", "email": "ses", "states": "stepfunctions",
               "tagging": "resourcegroupstaggingapi", "elasticmapreduce": "emr", "sso": "ssoadmin", "servicequotas": "servicequotas"}


@functools.cache
def _has_backend(service: str) -> bool:
    return _MOTO_NAMES.get(service, service.replace("-", "")) in backends.list_of_moto_modules()


def _moto_error(exception: Exception) -> AWSError | None:
    """An error a moto backend raised inside one of our handlers."""
    code = getattr(exception, "error_type", None) or getattr(exception, "code", None)
    message = getattr(exception, "message", None)
    if isinstance(code, str) and isinstance(message, str):
        return AWSError(code, message)
    return None


def _close(environ: dict[str, Any]) -> None:
    connection = environ.get("werkzeug.socket")
    if connection is not None:
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
