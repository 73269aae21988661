"""A `foretell serve` process on a free port and a temporary directory, and its topics."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from issuer import AUDIENCE, Issuer

START_TIMEOUT_S = 20
STOP_TIMEOUT_S = 20
COMMAND_TIMEOUT_S = 60


@dataclass(frozen=True)
class Topic:
    """A topic of the running server: how to publish to it, and what it holds."""

    name: str
    base: str
    key1: str
    key2: str
    server: "Server"

    @property
    def verify(self) -> str | bool:
        """Whom a client in Python is to trust: the server's own authority."""
        return self.ca or True

    @property
    def ca(self) -> str | None:
        return self.server.ca

    @property
    def endpoint(self) -> str:
        """Where it is published to, as an Event Grid SDK is told."""
        return f"{self.base}/topics/{self.name}/api/events"

    def read(self) -> list[dict[str, Any]]:
        """Its events as CloudEvents JSON objects."""
        text = self.server.command("read", self.name, "--json")
        return [json.loads(line) for line in text.splitlines() if line.strip()]


class Server:
    """Made with its topics (with the words to create them); runs within a `with` block."""

    def __init__(self, topics: dict[str, tuple[str, ...]], issuer: Issuer, https: bool) -> None:
        self._binary = binary()
        self._folder = tempfile.TemporaryDirectory(prefix="foretell-conformance-")
        self._data = Path(self._folder.name) / "data"
        self._log = Path(self._folder.name) / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._topics = topics
        self._https = https
        self.issuer = issuer
        #: The file that clients are to trust.
        self.ca = str(self._data / "tls" / "ca.pem") if https else None
        self._keys: dict[str, dict[str, str]] = {}
        self.base = ""

    def __enter__(self) -> "Server":
        try:
            for topic, words in self._topics.items():
                self.command("topic", "create", topic, *words)
                self._keys[topic] = json.loads(self.command("topic", "keys", topic, "--json"))
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    @property
    def storage(self) -> Path:
        """The folder of its storage account."""
        return self._data / "storage"

    def topic(self, name: str) -> Topic:
        keys = self._keys[name]
        return Topic(name, self.base, keys["key1"], keys["key2"], self)

    def command(self, *arguments: str, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        """What a command prints, run on the data directory or through the server that holds it."""
        done = subprocess.run(
            [self._binary, *arguments, "--data", self._data],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
        )
        if done.returncode != 0:
            words = " ".join(arguments)
            raise RuntimeError(f"foretell {words}: exit {done.returncode}: {done.stderr.decode()}")
        return done.stdout.decode()

    def begun(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A command that runs on."""
        return subprocess.Popen(
            [self._binary, *arguments, "--data", self._data],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _start(self) -> None:
        port = free_port()
        self.base = f"{'https' if self._https else 'http'}://127.0.0.1:{port}"
        application = Path(self._folder.name) / "app"
        application.mkdir()
        (application / "foretell.toml").write_text(
            f'[access]\ntls = {json.dumps(self._https)}\n'
            f'[access.oidc]\nissuer = "{self.issuer.url}"\naudience = "{AUDIENCE}"\n'
        )
        serve = ["serve", application, "--data", self._data, "--listen", f"127.0.0.1:{port}"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [self._binary, *serve], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_healthy():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start:\n{self._log.read_text()}")
            time.sleep(0.02)

    def _is_healthy(self) -> bool:
        try:
            trust = ssl.create_default_context(cafile=self.ca) if self.ca else None
            url = f"{self.base}/healthz"
            with urllib.request.urlopen(url, timeout=5, context=trust) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def _stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                print("the server did not stop on SIGTERM: killed", file=sys.stderr)
                self._process.kill()
                self._process.wait()
        self._folder.cleanup()


def binary() -> Path:
    """The binary to run."""
    target = Path(__file__).resolve().parent.parent / "target"
    named = os.environ.get("FORETELL_BIN")
    places = [Path(named)] if named else [target / kind / "foretell" for kind in ("release", "debug")]
    for place in places:
        if place.is_file():
            return place.resolve()
    tried = ", ".join(map(str, places))
    raise SystemExit(f"no foretell binary: build it, or name it in FORETELL_BIN (tried {tried})")


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
