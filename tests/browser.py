"""Chromium without a window, spoken to over a pipe: DevTools messages, JSON ended by NUL.

No port is opened and nothing has to be installed beside the browser. The protocol:
https://chromedevtools.github.io/devtools-protocol, the pipe: ``--remote-debugging-pipe``.
"""

import fcntl
import json
import os
import select
import shutil
import signal
import time
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PATIENCE_S = 60


def find_chromium() -> str | None:
    """Where a browser is, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """A browser with one tab; a context manager that ends it."""

    def __init__(self, program: str, profile: Path) -> None:
        own_reading, its_writing = os.pipe()
        its_reading, own_writing = os.pipe()
        flags = (
            "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu",
            "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
            "--disable-background-networking", "--hide-scrollbars",
            f"--user-data-dir={profile}", "about:blank",
        )  # fmt: skip
        # The pipe is 3 and 4 in the browser, whatever the numbers are here: first out of the way.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (its_reading, its_writing)]
        nothing = (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)
        moved = [(os.POSIX_SPAWN_DUP2, end, number) for number, end in enumerate(ends, start=3)]
        self._pid = os.posix_spawn(
            program, (program, *flags), os.environ, file_actions=[nothing, *moved]
        )
        for end in (its_reading, its_writing, *ends):
            os.close(end)
        self._reading, self._writing = own_reading, own_writing
        self._left, self._number = b"", 0
        self.events: list[dict] = []
        target = self.call("Target.createTarget", url="about:blank", session=None)["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True, session=None)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.call("Browser.close", session=None)
            while True:
                self._message(time.monotonic() + _PATIENCE_S)
        except EOFError:
            os.waitpid(self._pid, 0)
        except BaseException:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            raise
        finally:
            os.close(self._reading)
            os.close(self._writing)

    def open(self, page: Path, *, width: int, scheme: str = "light") -> None:
        """Load a file in a window of a width and a colour scheme, and forget earlier events."""
        self.events.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900,
                  deviceScaleFactor=1, mobile=width < 500)  # fmt: skip
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])
        self.call("Page.navigate", url=page.as_uri())
        self._await(lambda event: event.get("method") == "Page.loadEventFired")

    def evaluate(self, script: str):
        """What an expression of JavaScript is, as plain values."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in found:
            raise AssertionError(found["exceptionDetails"])
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """One key, down and up."""
        code = {"Tab": 9, "Enter": 13}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key,
                      windowsVirtualKeyCode=code, **text)  # fmt: skip

    def call(self, method: str, *, session: str | None = "tab", **parameters):
        """Do something and wait for the answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = self._session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        number = self._number
        answer = self._await(lambda found: found.get("id") == number)
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        return answer["result"]

    def of(self, *methods: str) -> list[dict]:
        """The parameters of the events of some kinds since the page was opened."""
        return [event["params"] for event in self.events if event["method"] in methods]

    def _await(self, is_it) -> dict:
        end = time.monotonic() + _PATIENCE_S
        while True:
            message = self._message(end)
            if "method" in message:
                self.events.append(message)
            if is_it(message):
                return message

    def _message(self, end: float) -> dict:
        while b"\0" not in self._left:
            if not select.select([self._reading], [], [], max(end - time.monotonic(), 0))[0]:
                raise TimeoutError("the browser does not answer")
            found = os.read(self._reading, 1 << 20)
            if not found:
                raise EOFError("the browser ended")
            self._left += found
        message, _, self._left = self._left.partition(b"\0")
        return json.loads(message)
