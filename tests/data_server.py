"""A web server on this machine that misbehaves on request."""

from __future__ import annotations

import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class DataServer:
    """Serves `files` by path. `log` has (path, Range header) of every request.

    `cuts`: how many bytes the next responses send before the connection breaks, in turn. `statuses`: HTTP
    statuses that the next responses have instead of 200. `ranges`: whether a Range header is honoured.
    `lengths`: whether Content-Length is sent. `gate`: responses wait for it.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.log: list[tuple[str, str | None]] = []
        self.cuts: list[int] = []
        self.statuses: list[int] = []
        self.ranges = True
        self.lengths = True
        self.gate = threading.Event()
        self.gate.set()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/{path}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _handler(server) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                asked = self.headers.get("Range")
                server.log.append((self.path, asked))
                server.gate.wait(30)
                data = server.files.get(self.path.lstrip("/"))
                status = server.statuses.pop(0) if server.statuses else 200 if data is not None else 404
                if data is None or status != 200:
                    self.send_error(status)
                    return
                start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.ranges else 0
                if start and start >= len(data):
                    self.send_error(416)
                    return
                self.send_response(206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
                if server.lengths:
                    self.send_header("Content-Length", str(len(data) - start))
                self.end_headers()
                cut = server.cuts.pop(0) if server.cuts else len(data)
                with suppress(ConnectionError):  # the client may have read enough
                    self.wfile.write(data[start : start + cut])

        return Handler
