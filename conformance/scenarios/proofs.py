"""Proofs, checked by a program that knows nothing of Foretell but docs/format.md."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from azure.core.messaging import CloudEvent

from scenarios import cloudevents_azure
from scenarios.publisher import send
from scenarios.scenario import Scenario
from server import Topic

CHECK = Path(__file__).resolve().parents[2] / "examples" / "proof" / "check.py"


def check(proof: Path, root: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, CHECK, proof, root]
    return subprocess.run(words, capture_output=True, text=True, timeout=60)


def proven(topic: Topic) -> None:
    send(topic, [CloudEvent(**cloudevents_azure.event(n)) for n in range(1, 8)])
    with tempfile.TemporaryDirectory() as folder:
        proof = Path(folder) / "proof.json"
        root = json.loads(topic.server.command("verify", "--json"))["root"]
        for event in topic.read():
            position = event["position"]
            topic.server.command("prove", topic.name, str(position), "--out", str(proof))
            done = check(proof, root)
            assert done.returncode == 0, done.stderr
            shown = json.loads(done.stdout)
            for name in ("id", "source", "type", "subject", "position"):
                assert shown[name] == event.get(name, ""), (name, shown, event)
        value = json.loads(proof.read_text())
        assert check(proof, "0" * 64).returncode == 1, "another root was accepted"
        value["leaf"] -= 1
        proof.write_text(json.dumps(value))
        assert check(proof, root).returncode == 1, "a proof of another leaf was accepted"


SCENARIOS = [Scenario("proofs: checked by a program of a few lines", proven)]
