"""The operations answered here instead of by moto."""

from __future__ import annotations

from typing import Any, Callable

from .calls import Answer, Call
from .errors import AWSError

Handler = Callable[["Request"], "dict[str, Any] | Answer | None"]

HANDLERS: dict[tuple[str, str], Handler] = {}


class Request:
    """What a handler gets: the call, its parameters, and the way to moto."""

    def __init__(self, call: Call, forward: Callable[[], Answer]) -> None:
        self.call = call
        self.forward = forward
        self.account = call.account
        self.region = call.region
        self.settings = call.settings
        self.identity = call.identity

    @property
    def params(self) -> dict[str, Any]:
        return self.call.params

    def get(self, name: str, default: Any = None) -> Any:
        return self.call.params.get(name, default)

    def __getitem__(self, name: str) -> Any:
        """A required parameter."""
        if name not in self.call.params:
            raise AWSError("ValidationError" if self.call.protocol in ("query", "ec2") else "ValidationException",
                           f"1 validation error detected: Value at '{name[0].lower()}{name[1:]}' failed to satisfy constraint: Member must not be null")
        return self.call.params[name]


def operation(service: str, *names: str) -> Callable[[Handler], Handler]:
    """Registers a handler. It returns the output with the model's names, an Answer, or None for an empty output."""

    def register(handler: Handler) -> Handler:
        for name in names:
            HANDLERS[service, name] = handler
        return handler

    return register
