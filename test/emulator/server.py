"""Starting and stopping the emulator."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from types import FrameType

# Before moto is imported: it reads these once.
os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
os.environ.setdefault("MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS", "true")  # the extension judges that itself
os.environ.setdefault("DISABLE_GLOBAL_CORS", "true")
# moto builds botocore clients for their models; they never call anyone and need no real configuration.
for _name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "MOTO_ACCOUNT_ID"):
    os.environ.pop(_name, None)
os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server  # noqa: E402

from . import services  # noqa: E402,F401 - registers the handlers
from .control import Control  # noqa: E402
from .gateway import Gateway  # noqa: E402
from .requestlog import RequestLog  # noqa: E402


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = None

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's name
        pass

    def connection_dropped(self, error: BaseException, environ: object = None) -> None:
        pass


def _watch_parent(pid: int) -> None:
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            os._exit(0)
        except PermissionError:
            pass
        time.sleep(0.5)


def _watch_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def make(host: str, port: int, log: str | None) -> tuple[BaseWSGIServer, Gateway]:
    # The file lives as long as the process.
    file = open(log, "a", encoding="utf-8") if log else None  # noqa: SIM115
    gateway = Gateway(RequestLog(file))
    gateway.control = Control(gateway)
    return make_server(host, port, gateway, threaded=True, request_handler=_Handler), gateway


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="emulator", description="The AWS emulator for tests and the demo; see README.md.")
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (default: %(default)s)")
    parser.add_argument("--port", type=int, default=5000, help="port, 0 for a free one (default: %(default)s)")
    parser.add_argument("--log", metavar="FILE", help="append one JSON line per AWS call to FILE")
    parser.add_argument("--parent", type=int, metavar="PID", help="exit when this process is gone")
    parser.add_argument("--exit-with-stdin", action="store_true", help="exit when standard input ends")
    options = parser.parse_args(argv)

    try:
        server, _ = make(options.host, options.port, options.log)
    except OSError as error:
        print(f"emulator: cannot listen on {options.host}:{options.port}: {error.strerror}", file=sys.stderr)
        return 1

    def stop(_signal: int, _frame: FrameType | None) -> None:
        os._exit(0)  # held requests would keep an orderly exit waiting

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if options.parent:
        threading.Thread(target=_watch_parent, args=(options.parent,), daemon=True).start()
    if options.exit_with_stdin:
        threading.Thread(target=_watch_stdin, daemon=True).start()
    print(f"ready http://{options.host}:{server.port}", flush=True)
    server.serve_forever()
    return 0
