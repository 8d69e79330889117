"""Firefox without a display, driven by its own protocol, Marionette, which geckodriver uses too.

Debian has no geckodriver, and playwright's WebDriver BiDi sends a command that this Firefox does not know.
"""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FIREFOX = Path("/usr/bin/firefox-esr")
SETTINGS = {
    "marionette.port": 0,  # any that is free; Firefox writes it into the profile
    "app.update.enabled": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#",
    "toolkit.telemetry.enabled": False,
}


class Firefox:
    """One window of a Firefox whose Marionette listens on ``port``."""

    def __init__(self, port: int) -> None:
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=120)
        self.stream = self.connection.makefile("rb")
        self.number = 0
        self._read()  # its greeting
        self.send("WebDriver:NewSession", capabilities={"alwaysMatch": {"acceptInsecureCerts": False}})
        self.send("WebDriver:SetTimeouts", script=90_000, pageLoad=60_000)

    def send(self, command: str, **parameters: Any) -> Any:
        """The result of a command of Marionette."""
        self.number += 1
        message = json.dumps([0, self.number, command, parameters]).encode()
        self.connection.sendall(b"%d:%s" % (len(message), message))
        _, number, error, result = self._read()
        assert number == self.number
        assert error is None, f"{command}: {error['message']}"
        return result.get("value", result)

    def _read(self) -> Any:
        length = b""
        while (digit := self.stream.read(1)) != b":":
            assert digit, "Firefox has ended"
            length += digit
        return json.loads(self.stream.read(int(length)))

    def open(self, address: str) -> None:
        self.send("WebDriver:Navigate", url=address)

    def give(self, selector: str, path: Path) -> None:
        """Chooses the file ``path`` in an input."""
        found = self.send("WebDriver:FindElement", using="css selector", value=selector)
        self.send("WebDriver:ElementSendKeys", id=next(iter(found.values())), text=str(path))

    def run(self, script: str, *values: Any) -> Any:
        """What ``script``, the body of an async function in the page, returns."""
        body = f"const done = arguments[arguments.length - 1]; (async (...given) => {{ {script} }})(...arguments)"
        answer = f"{body}.then((value) => done({{ value }}), (error) => done({{ error: String(error) }}))"
        found = self.send("WebDriver:ExecuteAsyncScript", script=answer, args=[*values], sandbox=None)
        assert "error" not in found, found["error"]
        return found.get("value")

    def wait(self, condition: str) -> None:
        """Until the JavaScript expression ``condition`` is true. A minute at most."""
        seen = self.run(
            f"for (let i = 0; i < 600; i++) {{ if ({condition}) return null; await new Promise((r) => setTimeout(r, 100)); }}"
            "return document.body.innerText;"
        )
        assert seen is None, f"{condition} did not come: {seen}"


@contextmanager
def launched_firefox(profile: Path) -> Iterator[Firefox]:
    """Firefox with a new profile in the empty folder ``profile``. Without it, CI fails, and other machines skip the
    test."""
    if not FIREFOX.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{FIREFOX} is missing: apt-get install firefox-esr")
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in SETTINGS.items()]
    (profile / "user.js").write_text("".join(lines))
    command = [FIREFOX, "--headless", "--marionette", "--no-remote", "--profile", profile]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = profile / "MarionetteActivePort"
        deadline = time.monotonic() + 60
        while not (port.exists() and port.read_text()):
            assert process.poll() is None, f"Firefox ended with {process.returncode}"
            assert time.monotonic() < deadline, "Firefox did not start in a minute"
            time.sleep(0.05)
        yield Firefox(int(port.read_text()))
    finally:
        process.terminate()
        process.wait(timeout=60)
