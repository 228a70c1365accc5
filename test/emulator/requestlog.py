"""The log of every AWS call, in order of arrival."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from typing import IO, Any


def now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass
class Entry:
    """One attempt to call AWS."""

    seq: int
    time: str
    service: str
    operation: str
    account: str
    region: str
    resource: str
    user_agent: str
    write: bool
    principal: str
    access_key: str
    request_id: str
    status: int = 0
    error_code: str = ""
    executed: bool = False
    phase: str = "received"
    rule: str = ""
    call: Any = None

    def public(self) -> dict[str, object]:
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "call"}


class RequestLog:
    def __init__(self, file: IO[str] | None = None) -> None:
        self._lock = threading.Lock()
        self._file = file
        self._entries: list[Entry] = []
        self._seq = 0

    def add(self, **values: object) -> Entry:
        with self._lock:
            self._seq += 1
            entry = Entry(seq=self._seq, time=now(), **values)  # type: ignore[arg-type]
            self._entries.append(entry)
            return entry

    def finish(self, entry: Entry, phase: str, status: int = 0, error_code: str = "") -> None:
        with self._lock:
            entry.phase, entry.status, entry.error_code = phase, status, error_code
            if self._file is not None:
                self._file.write(json.dumps(entry.public()) + "\n")
                self._file.flush()

    def since(self, seq: int) -> tuple[list[Entry], int]:
        with self._lock:
            return [entry for entry in self._entries if entry.seq > seq], self._seq

    def clear(self, restart: bool = False) -> None:
        with self._lock:
            self._entries.clear()
            if restart:
                self._seq = 0
