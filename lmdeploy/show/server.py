"""The page's HTTP server: on 127.0.0.1 alone, under a secret path, one thread a connection, gone when it is closed.

A page of another site must not see the pictures. So the Host header must name this machine (a foreign name that
resolves to 127.0.0.1 is refused), every path begins with a random key, which keeps other users of this machine out too
as long as they do not see the address, and the headers forbid embedding, caching and anything from elsewhere.
"""

from __future__ import annotations

import hmac
import json
import logging
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import resources
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lmdeploy.show.board import Board, Shown

LOG = logging.getLogger(__name__)
HOME = "127.0.0.1"
NAMES = frozenset({HOME, "localhost"})  # any port: an SSH tunnel may end at another one
MAX_CONNECTIONS = 32
SILENT_S = 10.0  # a connection on which nothing can be sent or is asked for so long is dropped
WAIT_S = 2.0  # a viewer who waits for a picture is answered within this time
BUFFER_BYTES = 1 << 17  # of the motion JPEG's socket: what lies in it is old when it is seen
BOUNDARY = "lmdeploy-frame"
FILES = {"": "text/html", "page.css": "text/css", "page.js": "text/javascript"}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' blob:; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class LiveServer(HTTPServer):
    """Serves a board until it is closed.

    Args:
        board: what is shown.
        title: of the page.
        on_stop: called when a viewer asks for the end; from a viewer's thread.
    """

    allow_reuse_address = False  # on Windows it would let another program take the port over

    def __init__(self, board: Board, title: str, on_stop: Callable[[], None]) -> None:
        """Take a free port and begin to answer."""
        self.board, self.title, self.on_stop = board, title, on_stop
        self.key = secrets.token_urlsafe(16)
        self.closing = threading.Event()
        self._open: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        super().__init__((HOME, 0), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.1,), name="show", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Of the page."""
        return f"http://{HOME}:{self.server_port}/{self.key}/"

    def server_bind(self) -> None:
        """Bind without asking the network for this machine's name, as HTTPServer would."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOME, self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, which `close` can end."""
        with self._lock:
            if len(self._open) >= MAX_CONNECTIONS:
                self.shutdown_request(request)
                return
            thread = threading.Thread(target=self._serve, args=(request, client_address), name="show-viewer")
            thread.daemon = True
            self._open[thread] = request
        thread.start()

    def close(self) -> None:
        """Free the port and end every connection and thread; a second call does nothing."""
        if self.closing.is_set():
            return
        self.closing.set()
        self.board.finish()
        self.shutdown()
        self._thread.join()
        self.server_close()
        with self._lock:
            still_open = dict(self._open)
        for connection in still_open.values():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in still_open:
            if thread is not threading.current_thread():  # `on_stop` may close
                thread.join()

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError:  # the viewer has gone, or looks away
            pass
        except Exception:
            LOG.exception("the live view failed for one viewer")
        finally:
            self.shutdown_request(request)
            with self._lock:
                self._open.pop(threading.current_thread(), None)


class _Handler(BaseHTTPRequestHandler):
    server: LiveServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "lmdeploy", ""
    timeout = SILENT_S

    def do_GET(self) -> None:
        """Answer one request."""
        path, query = self._asked()
        if path in FILES:
            self._file(path)
        elif path == "state":
            self.server.board.wait(_number(query, "after"), WAIT_S)
            self._send(HTTPStatus.OK, "application/json", self._state(self.server.board.newest()).encode())
        elif path == "picture":
            self._picture(query)
        elif path == "stream.mjpg":
            self._motion()
        elif path is not None:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"there is nothing here\n")

    def do_POST(self) -> None:
        """The button that ends the run."""
        path, _ = self._asked()
        if path == "stop":
            self.server.on_stop()
            self._send(HTTPStatus.OK, "application/json", b"{}")
        elif path is not None:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"there is nothing here\n")
        self.close_connection = True  # what a body may hold is not read

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: there is a request for every picture."""

    def _asked(self) -> tuple[str | None, dict[str, list[str]]]:
        """Path below the key, and query; None after an answer that refuses it."""
        try:
            host, parts = urlsplit(f"//{self.headers.get('Host', '')}").hostname, urlsplit(self.path)
        except ValueError:  # one of them is no address at all
            host, parts = None, urlsplit("")
        if host not in NAMES:
            self._send(HTTPStatus.MISDIRECTED_REQUEST, "text/plain", b"this is not the address that was printed\n")
            return None, {}
        key, _, path = parts.path.removeprefix("/").partition("/")
        if not hmac.compare_digest(key.encode(), self.server.key.encode()):
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"open the whole address that was printed\n")
            return None, {}
        return path, parse_qs(parts.query)

    def _file(self, path: str) -> None:
        text = (resources.files("lmdeploy.show") / (path or "page.html")).read_text(encoding="utf-8")
        self._send(HTTPStatus.OK, f"{FILES[path]}; charset=utf-8", text.encode())

    def _picture(self, query: dict[str, list[str]]) -> None:
        board = self.server.board
        if "number" in query:
            shown = board.at(_number(query, "number"))
        else:
            board.wait(after := _number(query, "after"), WAIT_S)
            shown = board.newest(after)
        if shown is None:
            self._send(HTTPStatus.NO_CONTENT, "", b"", state=self._state(None))
            return
        jpeg = board.jpeg(shown)
        self._send(HTTPStatus.OK, "image/jpeg", jpeg, state=self._state(shown))

    def _motion(self) -> None:
        """Motion JPEG, for viewers without scripts and for other programs."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        self._head(HTTPStatus.OK, f"multipart/x-mixed-replace; boundary={BOUNDARY}", None)
        board, last = self.server.board, -1
        self.wfile.write(f"--{BOUNDARY}\r\n".encode())
        while not self.server.closing.is_set():
            board.wait(last, WAIT_S)
            if (shown := board.newest(last)) is not None:
                last, jpeg = shown.number, board.jpeg(shown)
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                # The next boundary goes along at once: browsers show a part when it has ended
                self.wfile.write(head.encode() + jpeg + f"\r\n--{BOUNDARY}\r\n".encode())
            elif board.finished:
                break

    def _state(self, shown: Shown | None) -> str:
        return json.dumps(self.server.board.state(shown) | {"title": self.server.title})

    def _send(self, status: HTTPStatus, kind: str, body: bytes, state: str = "") -> None:
        self._head(status, kind, len(body), state)
        self.wfile.write(body)

    def _head(self, status: HTTPStatus, kind: str, length: int | None, state: str = "") -> None:
        self.send_response(status)
        optional = {"Content-Type": kind, "Lmdeploy-State": state}
        if length is not None and status != HTTPStatus.NO_CONTENT:
            optional["Content-Length"] = str(length)
        for name, value in (*HEADERS.items(), *optional.items()):
            if value:
                self.send_header(name, value)
        self.end_headers()


def _number(query: dict[str, list[str]], name: str) -> int:
    """A number of the query, -1 for anything else."""
    text = query.get(name, [""])[0]
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else -1
