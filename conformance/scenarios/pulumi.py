"""The Pulumi example, in each language: `foretell up`, then the real client publishes."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from azure.core.credentials import AzureKeyCredential
from azure.eventgrid import EventGridEvent, EventGridPublisherClient

from scenarios.scenario import Scenario
from server import Topic

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples" / "pulumi"
PROGRAMS = Path(__file__).resolve().parent.parent / "pulumi"
PATIENCE_S = 60
#: A program is compiled, and the function's environment is made.
UP_PATIENCE_S = 300
#: The TypeScript program has its code in a container and a blob.
RESOURCES = {"python": 9, "yaml": 9, "typescript": 11}

#: What the usual mistakes are answered with.
MISTAKES = {
    "connection-string": "list_storage_account_keys_output",
    "topic-keys": "list_topic_shared_access_keys_output",
    "source-control": "foretell:code",
}


def programs(folder: str) -> Path:
    """The examples, with the environment that these scenarios run in."""
    copy = Path(folder) / "pulumi"
    shutil.copytree(EXAMPLES, copy)
    for name in ("python", "naive"):
        (copy / name / "venv").symlink_to(sys.prefix)
    (copy / "typescript" / "node_modules").symlink_to(os.environ["NODE_PATH"])
    return copy


def deployed(program: str):
    def run(topic: Topic) -> None:
        server = topic.server
        with tempfile.TemporaryDirectory() as folder:
            path = str(programs(folder) / program)
            made = json.loads(server.command("up", path, "--json", timeout_s=UP_PATIENCE_S))
            assert made["changes"]["create"] == RESOURCES[program], made
            shown = server.command("stack", "output", path, "--json", "--show-secrets")
            outputs = json.loads(shown)
            assert outputs["topic_key"] not in json.dumps(made), "a secret is shown"
            publish(outputs, topic.verify)
            receipts = server.storage / "_accounts" / outputs["storage_account"] / "processed"
            wanted = receipts / "large.json"
            wait_for(wanted)
            assert json.loads(wanted.read_text()) == {"order": "/orders/1", "points": 2}
            again = json.loads(server.command("up", path, "--json", timeout_s=UP_PATIENCE_S))
            changes = {name: n for name, n in again["changes"].items() if n}
            assert changes == {"same": RESOURCES[program]}, again
            assert [file.name for file in receipts.iterdir()] == ["large.json"], "the filter"
            server.command("down", path, "--json")
            apps = json.loads(server.command("function", "list", "--json"))
            assert outputs["function_app"] not in [app["name"] for app in apps], apps
            assert not wanted.exists()

    return run


def publish(outputs: dict[str, str], verify: str | bool) -> None:
    """An order that the filter lets pass comes after one that it doesn't."""
    credential = AzureKeyCredential(outputs["topic_key"])
    client = EventGridPublisherClient(outputs["topic_endpoint"], credential)
    orders = [order("small", "/orders/1", 5), order("large", "/orders/1", 25)]
    client.send(orders, connection_verify=verify)


def order(name: str, subject: str, amount: float) -> EventGridEvent:
    return EventGridEvent(
        id=name, subject=subject, event_type="Order.Placed", data={"amount": amount}, data_version="1"
    )


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not path.is_file():
        assert time.monotonic() < deadline, f"there is no {path.name} after {PATIENCE_S} s"
        time.sleep(0.05)


def mistaken(mistake: str, instead: str):
    def run(topic: Topic) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = str(programs(folder) / "naive")
            words = ["up", path, "--stack", mistake, "--config", f"mistake={mistake}"]
            try:
                topic.server.command(*words)
            except RuntimeError as error:
                assert instead in str(error), error
                topic.server.command("down", path, "--stack", mistake)
            else:
                raise AssertionError("it was taken")

    return run


def options(topic: Topic) -> None:
    """What a program says of its resources beside their properties."""
    server = topic.server
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "options"
        shutil.copytree(PROGRAMS / "options", path)
        (path / "venv").symlink_to(sys.prefix)

        def up(renamed: bool) -> tuple[dict[str, int], dict[str, Any]]:
            words = ["--config", f"renamed={str(renamed).lower()}", "--json", "--yes"]
            done = json.loads(server.command("up", str(path), *words, timeout_s=UP_PATIENCE_S))
            return {name: n for name, n in done["changes"].items() if n}, done["outputs"]

        changes, first = up(False)
        assert changes == {"create": 14, "read": 1}, changes
        assert first["location"] == "northeurope", first
        assert first["nested"] == {"list": ["[secret]", "plain"]}, first
        assert up(False) == ({"same": 14, "read": 1}, first)
        changes, second = up(True)
        # The topic with a name of its own takes its subscription along.
        assert changes == {"update": 1, "replace": 3, "same": 10, "read": 1}, changes
        assert second["replaced"] != first["replaced"], second
        assert (second["both"], second["found"]) == (first["both"], "CloudEventSchemaV1_0"), second
        stacks = server.command("read", "foretell.stacks", "--json")
        assert "swordfish" not in stacks
        down = json.loads(server.command("down", str(path), "--purge", "--yes", "--json"))
        assert down["changes"]["delete"] == 14, down


#: Programs that never end, and say which process they are.
ENDLESS = {
    "python": {
        "Pulumi.yaml": "name: endless\nruntime: {name: python, options: {virtualenv: venv}}\n",
        "__main__.py": "import os, threading\n"
        "open('began', 'w').write(str(os.getpid()))\n"
        "os.rename('began', 'pid')\n"
        "threading.Event().wait()\n",
    },
    "nodejs": {
        "Pulumi.yaml": "name: endless\nruntime: {name: nodejs, options: {typescript: false}}\n",
        "package.json": '{"main": "index.js", "dependencies": {"@pulumi/pulumi": "*"}}',
        "index.js": "const fs = require('fs');\n"
        "fs.writeFileSync('began', String(process.pid));\n"
        "fs.renameSync('began', 'pid');\n"
        "setInterval(() => {}, 1000);\n",
    },
}


def orphaned(runtime: str):
    def run(topic: Topic) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name, text in ENDLESS[runtime].items():
                Path(folder, name).write_text(text)
            Path(folder, "venv").symlink_to(sys.prefix)
            Path(folder, "node_modules").symlink_to(os.environ["NODE_PATH"])
            with topic.server.begun("preview", folder) as preview:
                try:
                    wait_for(Path(folder, "pid"))
                finally:
                    preview.kill()
                pid = Path(folder, "pid").read_text()
            deadline = time.monotonic() + PATIENCE_S
            while runs(pid):
                assert time.monotonic() < deadline, f"the program runs on as process {pid}"
                time.sleep(0.05)

    return run


def runs(pid: str) -> bool:
    try:
        stat = Path("/proc", pid, "stat").read_text()
    except FileNotFoundError:
        return False
    # One that has ended, and that nobody has asked about, is still listed.
    return stat.rpartition(")")[2].split()[0] != "Z"


def under_mocks(topic: Topic) -> None:
    """The program is accepted by Pulumi's own test mocks."""
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", EXAMPLES / "tests"]
    done = subprocess.run(tests, capture_output=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stdout.decode()


SCENARIOS = [
    Scenario("pulumi: the example under Pulumi's mocks", under_mocks),
    Scenario("pulumi: components, providers, aliases and options", options),
    Scenario("pulumi: a Python program ends when its engine is killed", orphaned("python")),
    Scenario("pulumi: a Node.js program ends when its engine is killed", orphaned("nodejs")),
] + [
    Scenario(f"pulumi: the example in {name}", deployed(folder))
    for name, folder in (("Python", "python"), ("YAML", "yaml"), ("TypeScript", "typescript"))
] + [
    Scenario(f"pulumi: {mistake} says what to write instead", mistaken(mistake, instead))
    for mistake, instead in MISTAKES.items()
]
