"""The page for people, on this machine alone."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from harness.annotate import questions as asking
from harness.annotate.questions import Question
from harness.annotate.votes import NONE, Ballot, check_name
from harness.errors import UserError
from harness.store import Record

HERE = "127.0.0.1"
LARGEST = 10_000
"""Bytes of a request's body."""

PAGE = Path(__file__).with_name("page.html")


class Desk:
    """Who is asked what next, and where the answers go. Nothing of it is remembered but the ballot."""

    def __init__(self, questions: list[Question], ballot: Ballot) -> None:
        self.questions, self.ballot = questions, ballot
        self._alone = threading.Lock()

    def order(self, annotator: str) -> list[Question]:
        return asking.order(self.questions, check_name(annotator))

    def state(self, annotator: str) -> dict[str, Any]:
        """Where this annotator stands: how many questions there are, and the first one without an answer."""
        name, order = check_name(annotator), self.order(annotator)
        said = self.ballot.votes().get(name, {})
        answers = [said.get(question.name) for question in order]
        at = next((place for place, answer in enumerate(answers) if answer is None), len(order))
        return {"annotator": name, "total": len(order), "at": at, "last": answers[at - 1] if at else None}

    def vote(self, annotator: str, at: Any, answer: Any) -> dict[str, Any]:
        """Record the answer to the question at place `at`. A second answer to the same one replaces it."""
        if not isinstance(answer, int) or isinstance(answer, bool):
            raise UserError(f"answer: {answer!r} is neither a digit nor {NONE} for none of these")
        with self._alone:
            question = self._question(annotator, at)
            self.ballot.vote(check_name(annotator), question.name, answer)
            return self.state(annotator)

    def undo(self, annotator: str) -> dict[str, Any]:
        """Take back the answer before the open question."""
        with self._alone:
            state = self.state(annotator)
            if state["at"]:
                question = self._question(annotator, state["at"] - 1)
                self.ballot.vote(state["annotator"], question.name, None)
            return self.state(annotator)

    def image(self, annotator: str, at: int) -> bytes:
        return asking.png(self._question(annotator, at).image)

    def _question(self, annotator: str, at: Any) -> Question:
        order = self.order(annotator)
        if not isinstance(at, int) or isinstance(at, bool) or not 0 <= at < len(order):
            raise UserError(f"at: {at!r} is not a place from 0 to {len(order) - 1}")
        return order[at]


class Server(ThreadingHTTPServer):
    """What `Handler` answers for."""

    daemon_threads = True

    def __init__(self, port: int, desk: Desk) -> None:
        self.desk = desk
        super().__init__((HERE, port), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/":
            self._answer(lambda: (PAGE.read_bytes(), "text/html; charset=utf-8"))
        elif parts.path == "/state":
            self._answer(lambda: _json(self.server.desk.state(asked.get("annotator", ""))))
        elif parts.path == "/image":
            self._answer(
                lambda: (
                    self.server.desk.image(asked.get("annotator", ""), _whole(asked.get("at"))),
                    "image/png",
                )
            )
        else:
            self._send(404, b"there is no such page", "text/plain")

    def do_POST(self) -> None:
        given = self._body()
        if given is None:
            return
        who = str(given.get("annotator", ""))
        if self.path == "/vote":
            self._answer(lambda: _json(self.server.desk.vote(who, given.get("at"), given.get("answer"))))
        elif self.path == "/undo":
            self._answer(lambda: _json(self.server.desk.undo(who)))
        else:
            self._send(404, b"there is no such page", "text/plain")

    def _body(self) -> dict[str, Any] | None:
        """The JSON object that was sent; None where it was refused. Other sites cannot send this type."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LARGEST:
            self.close_connection = True
            self._send(413, b"the request is too long", "text/plain")
            return None
        text = self.rfile.read(int(length))
        if self.headers.get_content_type() != "application/json":
            self._send(415, b"send application/json", "text/plain")
            return None
        try:
            given = json.loads(text)
        except ValueError:
            given = None
        if not isinstance(given, dict):
            self._send(400, b"send a JSON object", "text/plain")
            return None
        return given

    def _answer(self, work: Callable[[], tuple[bytes, str]]) -> None:
        name = urlsplit("//" + self.headers.get("Host", "")).hostname
        if name not in (HERE, "localhost"):
            self._send(403, b"only this machine may ask", "text/plain")
            return
        try:
            content, kind = work()
        except UserError as error:
            self._send(400, str(error).encode(), "text/plain; charset=utf-8")
            return
        self._send(200, content, kind)

    def _send(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header(
            "Content-Security-Policy", "default-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
        )
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """The terminal is the annotator's."""


def open_server(results: Path, record: Record, port: int = 0, limit: int = 200) -> ThreadingHTTPServer:
    """A server, not yet running, that asks about at most `limit` images of a cell; port 0 takes a free one.

    Only this machine can reach it: it listens on 127.0.0.1 and refuses requests made under another name.
    Raises `UserError` where the cell has no images to judge, or the port is taken.
    """
    questions = asking.chosen(asking.of_record(results, record), limit, record.fit)
    desk = Desk(questions, asking.ballot(results, record))
    try:
        return Server(port, desk)
    except OSError as error:
        raise UserError(f"port {port} cannot be used: {error.strerror}; give another one") from None


def serve(
    results: Path,
    record: Record,
    port: int = 0,
    annotator: str = "",
    limit: int = 200,
    told: Callable[[str], None] = print,
) -> None:
    """Serve the page until it is interrupted; `told` is given its address first."""
    name = check_name(annotator) if annotator else ""
    server = open_server(results, record, port, limit)
    from urllib.parse import urlencode

    told(f"http://{HERE}:{server.server_port}/" + (f"?{urlencode({'annotator': name})}" if name else ""))
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


def _json(value: dict[str, Any]) -> tuple[bytes, str]:
    return json.dumps(value).encode(), "application/json"


def _whole(text: str | None) -> int:
    if text is None or not text.isdecimal():
        raise UserError(f"at: {text!r} is not a place")
    return int(text)
