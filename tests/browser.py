"""A headless Chromium, driven through its driver's WebDriver protocol (W3C), which is JSON over HTTP."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MISSING = next((name for name in ("chromium", "chromedriver") if shutil.which(name) is None), "")
"""The program that a test with a browser lacks here, "" where there are all."""


class Browser:
    """One window."""

    def __init__(self, session: str) -> None:
        self.session = session

    def _call(self, path: str, given: dict[str, Any] | None = None) -> Any:
        data = None if given is None else json.dumps(given).encode()
        request = urllib.request.Request(self.session + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]

    def go(self, address: str) -> None:
        self._call("/url", {"url": address})

    def press(self, *keys: str) -> None:
        """Press and release keys of the keyboard, one after another, wherever the focus is."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._call("/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def emulate(self, name: str, **given: Any) -> Any:
        """A command of Chromium's own protocol, as `Emulation.setEmulatedMedia`."""
        return self._call("/goog/cdp/execute", {"cmd": name, "params": given})

    def said(self, kind: str) -> list[str]:
        """What the log "browser" (the console) or "performance" (every request) has got since last asked."""
        return [entry["message"] for entry in self._call("/se/log", {"type": kind})]

    def value(self, script: str) -> Any:
        """What the expression is in the page."""
        return self._call("/execute/sync", {"script": f"return {script}", "args": []})

    def until(self, script: str, seconds: float = 10) -> None:
        """Wait until the expression is true in the page."""
        end = time.monotonic() + seconds
        while not self.value(script):
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.02)

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("/screenshot")))


def _started(tries: int = 3) -> tuple[subprocess.Popen[str], int]:
    """A chromedriver and its port; it ends if the port that it chose is taken in the other IP."""
    command = ["chromedriver", "--port=0"]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert driver.stdout is not None
    for line in driver.stdout:
        if "successfully on port" in line:
            return driver, int(line.rstrip().rstrip(".").rpartition(" ")[2])
    driver.wait(10)
    assert tries > 1, "chromedriver does not start"
    return _started(tries - 1)


@contextmanager
def opened(scratch: Path) -> Iterator[Browser]:
    """A browser window; closed, with its driver, at the end."""
    driver, port = _started()
    try:
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        arguments += [f"--user-data-dir={scratch}", "--window-size=760,900"]
        options: dict[str, Any] = {"goog:chromeOptions": {"args": arguments}}
        options["goog:loggingPrefs"] = {"browser": "ALL", "performance": "ALL"}
        base = Browser(f"http://127.0.0.1:{port}")
        made = base._call("/session", {"capabilities": {"alwaysMatch": options}})
        browser = Browser(f"http://127.0.0.1:{port}/session/{made['sessionId']}")
        try:
            yield browser
        finally:
            request = urllib.request.Request(browser.session, method="DELETE")
            urllib.request.urlopen(request, timeout=30).close()
    finally:
        driver.terminate()
        driver.wait(10)
