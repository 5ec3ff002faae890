"""A web server on this machine that misbehaves on demand."""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[["Handler"], None]


@dataclass
class Site:
    """The answers to each path, in turn, the last one repeated; and the requests so far."""

    address: str
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    heard: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def serve(self, path: str, *answers: Answer) -> str:
        """Set the answers for a path and return its address."""
        self.answers[path] = list(answers)
        return self.address + path

    def ranges(self) -> list[str | None]:
        """Return the Range header of each request so far."""
        return [headers.get("Range") for _, headers in self.heard]


class Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        self.site.heard.append((self.path, dict(self.headers)))
        answers = self.site.answers[self.path]
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def say(self, status: int, headers: Mapping[str, Any], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Ignore clients that hang up, as some tests want."""


@contextmanager
def site() -> Iterator[Site]:
    """Yield a server on a free port of the loopback device."""
    server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {}))
    made = Site(f"http://127.0.0.1:{server.server_address[1]}")
    server.RequestHandlerClass.site = made  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        made.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


def whole(data: bytes, etag: str | None = '"1"', *, cut: int | None = None) -> Answer:
    """Answer as a good server with Range and If-Range, but hang up after `cut` bytes of a body."""

    def answer(handler: Handler) -> None:
        headers = {"ETag": etag, "Content-Type": "application/octet-stream"}
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        fresh = handler.headers.get("If-Range") in (None, etag)
        if asked and fresh:
            start = int(asked[1])
            if start >= len(data):
                handler.say(416, {"Content-Range": f"bytes */{len(data)}"})
                return
            place = f"bytes {start}-{len(data) - 1}/{len(data)}"
            rest = data[start:]
            headers |= {"Content-Range": place, "Content-Length": str(len(rest))}
            handler.say(206, headers, rest[:cut])
        else:
            handler.say(200, headers | {"Content-Length": str(len(data))}, data[:cut])

    return answer


def saying(status: int, body: bytes = b"", **headers: object) -> Answer:
    """Answer every request with exactly this; `Content_Length` is the header Content-Length."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.say(status, named, body)


def stalling(body: bytes, length: int, **headers: object) -> Answer:
    """Answer with the beginning of a file, then stall."""

    def answer(handler: Handler) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        handler.say(200, {"Content-Length": length, **named}, body)
        handler.wfile.flush()
        handler.site.over.wait(20)

    return answer
