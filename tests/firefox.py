"""A page in an installed Firefox, by WebDriver BiDi; Playwright drives only a build of its own."""

from __future__ import annotations

import asyncio
import json
import queue
import re
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from tornado.websocket import websocket_connect

PATHS = [path for path in map(shutil.which, ("firefox", "firefox-esr")) if path]
NOWHERE = "127.0.0.1"
PREFERENCES = {
    # Nothing is reached but files: what would go out is sent to a port where nobody listens.
    "network.proxy.type": 1,
    "network.proxy.http": NOWHERE,
    "network.proxy.http_port": 9,
    "network.proxy.ssl": NOWHERE,
    "network.proxy.ssl_port": 9,
    "app.update.disabledForTesting": True,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}


class Firefox:
    """A Firefox without a window and with one page, within a ``with`` block."""

    def __init__(self, profile: Path) -> None:
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in PREFERENCES.items()]
        (profile / "user.js").write_text("\n".join(lines), encoding="utf-8")
        command = [PATHS[0], "--headless", "--no-remote", "--profile", str(profile)]
        self._process = subprocess.Popen(
            [*command, "--remote-debugging-port=0"],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._loop = asyncio.new_event_loop()  # in a thread: Playwright's runs in this one
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._count = 0

    def _wait(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=60)

    def __enter__(self) -> Firefox:
        addresses: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, args=(addresses,), daemon=True).start()
        try:
            address = addresses.get(timeout=60)
        except queue.Empty:
            self._process.kill()
            pytest.skip("Firefox does not start, or not with WebDriver BiDi")
        self._socket = self._wait(self._connect(f"{address}/session"))
        self.send("session.new", capabilities={})
        (first, *_) = self.send("browsingContext.getTree")["contexts"]
        self._page = first["context"]
        return self

    def _listen(self, addresses: queue.Queue[str]) -> None:
        """Read all that Firefox says, so that it need not wait; its address is among it."""
        with self._process.stderr as lines:
            for line in lines:
                if found := re.search(r"WebDriver BiDi listening on (ws://\S+)", line):
                    addresses.put(found[1])

    async def _connect(self, address: str) -> Any:
        return await websocket_connect(address, max_message_size=1 << 28)

    def __exit__(self, *reason: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)
        self._loop.call_soon_threadsafe(self._loop.stop)

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Give a command of WebDriver BiDi and return its result."""
        self._count += 1
        message = json.dumps({"id": self._count, "method": method, "params": params})
        return self._wait(self._answer(message, self._count))

    async def _answer(self, message: str, number: int) -> dict[str, Any]:
        await self._socket.write_message(message)
        while True:
            answer = json.loads(await self._socket.read_message())
            if answer.get("id") == number:
                if answer["type"] == "error":
                    raise OSError(f"{answer['error']}: {answer['message']}")
                return answer["result"]

    def open(self, url: str) -> None:
        """Open an address and wait until it is loaded."""
        self.send("browsingContext.navigate", context=self._page, url=url, wait="complete")

    def _evaluate(self, expression: str) -> dict[str, Any]:
        answer = self.send(
            "script.evaluate", expression=expression, target={"context": self._page},
            awaitPromise=True,
        )  # fmt: skip
        if answer["type"] == "exception":
            raise OSError(answer["exceptionDetails"]["text"])
        return answer["result"]

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, or of its promise, as JSON has it."""
        wrapped = f"Promise.resolve({expression}).then(value => JSON.stringify(value ?? null))"
        return json.loads(self._evaluate(wrapped)["value"])

    def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file in an input."""
        node = self._evaluate(f"document.querySelector({json.dumps(selector)})")
        element = {"sharedId": node["sharedId"]}
        self.send("input.setFiles", context=self._page, element=element, files=[str(path)])
