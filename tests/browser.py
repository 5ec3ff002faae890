"""Chromium as tests drive it: the DevTools protocol over a pipe, without a port or a package."""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
PATIENCE = 30.0
"""Seconds to wait for anything: plenty, for a machine that does other things too."""

OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root, and open nothing but files of their own
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


class Browser:
    """One process. Commands are answered in order; events are kept by the tab that they are of."""

    def __init__(self, inward: int, outward: int) -> None:
        self._inward, self._outward = inward, outward
        self._buffer = b""
        self._number = 0
        self.events: dict[str, list[dict[str, Any]]] = {}

    def command(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """The result of a command of the protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._outward, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            if "method" in answer:
                self.events.setdefault(answer.get("sessionId", ""), []).append(answer)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._inward], [], [], PATIENCE)
            assert ready, "Chromium does not answer."
            data = os.read(self._inward, 1 << 20)
            assert data, "Chromium has ended."
            self._buffer += data
        message, self._buffer = self._buffer.split(b"\0", 1)
        return dict(json.loads(message))


class Tab:
    """One page in the browser."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        target = browser.command("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.command("Target.attachToTarget", targetId=target, flatten=True)
        self._target, self._session = target, attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.command(f"{domain}.enable")

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.command(method, self._session, **parameters)

    def close(self) -> None:
        self._browser.command("Target.closeTarget", targetId=self._target)

    def open(self, page: Path, fragment: str = "") -> None:
        """Load a file and wait until it has run its scripts."""
        self.command("Page.navigate", url="about:blank")
        self.command("Page.navigate", url=page.resolve().as_uri() + fragment)
        self.wait("location.protocol === 'file:' && document.readyState === 'complete'")

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        result = self.command(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, expression: str) -> None:
        """Until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.run(expression):
            assert time.monotonic() < end, f"This never came true: {expression}"
            time.sleep(0.02)

    def texts(self, selector: str) -> list[str]:
        """The texts of the elements that can be seen."""
        return list(
            self.run(
                f"[...document.querySelectorAll({json.dumps(selector)})]"
                ".filter((e) => e.checkVisibility()).map((e) => e.innerText.trim())"
            )
        )

    def click(self, selector: str) -> None:
        """Press and release the mouse over the middle of the first element."""
        x, y = self.middle(selector)
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.mouse(kind, x, y)

    def middle(self, selector: str) -> tuple[float, float]:
        """Where the middle of an element is, after it was scrolled into view."""
        x, y = self.run(
            "(() => { const e = document.querySelector(" + json.dumps(selector) + ");"
            "e.scrollIntoView({ block: 'center', behavior: 'instant' });"
            "const b = e.getBoundingClientRect();"
            "return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        return float(x), float(y)

    def drag(self, x: float, y: float, to: float) -> None:
        """Press at a place, move across to another, and release there."""
        self.mouse("mousePressed", x, y)
        self.mouse("mouseMoved", to, y, button="left")
        self.mouse("mouseReleased", to, y)

    def mouse(self, kind: str, x: float, y: float, button: str = "") -> None:
        """One event of the mouse; a button is held while it moves where one is named."""
        held = button or ("none" if kind == "mouseMoved" else "left")
        self.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=held, clickCount=1)

    def key(self, key: str) -> None:
        """Press a key by its name, such as "ArrowDown", or a letter."""
        text = {"text": key} if len(key) == 1 else {}
        codes = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Escape": 27}
        code = {"windowsVirtualKeyCode": codes[key]} if key in codes else {}
        for kind in ("keyDown", "keyUp"):
            self.command("Input.dispatchKeyEvent", type=kind, key=key, **code, **text)

    def choose(self, selector: str, value: str) -> None:
        """Choose an option of a select as a person does, by its value or its text."""
        self.run(
            "(() => { const s = document.querySelector(" + json.dumps(selector) + ");"
            f"const wanted = {json.dumps(value)};"
            "s.value = [...s.options].find((o) => [o.value, o.text].includes(wanted)).value;"
            "s.dispatchEvent(new Event('change', { bubbles: true })); })()"
        )

    def resize(self, width: int, height: int, scheme: str = "light") -> None:
        """Take a window's size in CSS pixels, and a light or dark scheme."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.command("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, path: Path, whole: bool = False) -> None:
        """Save what is seen, or the whole page, as PNG."""
        data = self.command("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def _events(self, method: str) -> Iterator[dict[str, Any]]:
        self.run("0")  # whatever came before this answer is in
        for event in self._browser.events.get(self._session, []):
            if event["method"] == method:
                yield event["params"]

    @property
    def errors(self) -> list[str]:
        """Everything that the console shows, policy violations and failed requests included."""
        said = [json.dumps(event["args"]) for event in self._events("Runtime.consoleAPICalled")]
        thrown = [json.dumps(event) for event in self._events("Runtime.exceptionThrown")]
        return [*said, *thrown, *(e["entry"]["text"] for e in self._events("Log.entryAdded"))]

    @property
    def requests(self) -> list[str]:
        """The address of everything that was asked for."""
        return [event["request"]["url"] for event in self._events("Network.requestWillBeSent")]


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile in a folder; it ends with the block."""
    assert CHROMIUM
    to_browser, ours = os.pipe()
    theirs, from_browser = os.pipe()
    # The protocol is spoken on the child's descriptors 3 and 4, which may be taken here.
    reading, writing = (
        fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (to_browser, from_browser)
    )
    process = os.posix_spawn(
        CHROMIUM,
        [CHROMIUM, *OPTIONS, f"--user-data-dir={profile}"],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, reading, 3),
            (os.POSIX_SPAWN_DUP2, writing, 4),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
    )
    for fd in (to_browser, from_browser, reading, writing):
        os.close(fd)
    made = Browser(theirs, ours)
    try:
        yield made
    finally:
        os.kill(process, signal.SIGTERM)
        os.waitpid(process, 0)
        os.close(ours)
        os.close(theirs)
