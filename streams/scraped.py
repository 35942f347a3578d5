"""A process seen from outside: figures for Prometheus at `/metrics`, one word on how it is at `/health`."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar, Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from optimizer.errors import InputError, MissingPartError, Problem

log = logging.getLogger(__name__)


class Health(Protocol):
    """A dataclass with one word, `ok` when all is well, and what it stands on."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def status(self) -> str: ...


@contextmanager
def scraped(place: str | None, registry: CollectorRegistry, health: Callable[[], Health]) -> Iterator[None]:
    """Answers at `host:port` while the block runs; without a place nothing listens.

    Raises:
        InputError: the place is none.
        MissingPartError: it is taken.
    """
    if place is None:
        yield
        return
    server = _server(place, registry, health)
    thread = Thread(target=server.serve_forever, name="scraped", daemon=True)
    thread.start()
    log.info("metrics and health at http://%s:%d", *server.server_address[:2])
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _server(place: str, registry: CollectorRegistry, health: Callable[[], Health]) -> ThreadingHTTPServer:
    host, _, port = place.rpartition(":")
    if not host or not port.isdigit():
        raise InputError([Problem("command line", "--observe", place, "must be host:port, e.g. 127.0.0.1:9108")])

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._say(200, CONTENT_TYPE_LATEST, generate_latest(registry))
            elif self.path == "/health":
                found = health()
                code = 200 if found.status == "ok" else 503
                self._say(code, "application/json", json.dumps(asdict(found)).encode())
            else:
                self._say(404, "text/plain", b"/metrics or /health\n")

        def _say(self, code: int, kind: str, content: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            log.debug(format, *args)

    try:
        return ThreadingHTTPServer((host, int(port)), Answers)
    except (OSError, OverflowError) as error:
        raise MissingPartError(f"nothing can listen at {place}: {error}; give another --observe") from error
