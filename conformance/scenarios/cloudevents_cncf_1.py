"""CloudEvents by version 1 of the SDK of the CNCF, which has the name of version 2: a process of its own."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from check import reads_back
from scenarios.cloudevents_cncf import EVENTS, FORMS, attributes, expected, post
from scenarios.scenario import TIME_TEXT, Scenario
from server import Topic

CLIENT = Path(__file__).resolve().parent.parent / "py" / "cloudevents1.py"
TIMEOUT_S = 60


def message(form: str, about: dict[str, Any], data: Any) -> tuple[dict[str, str], bytes]:
    is_bytes = isinstance(data, bytes)
    asked = {
        "form": form, "attributes": about, "bytes": is_bytes,
        "data": base64.b64encode(data).decode() if is_bytes else data,
    }
    environment = {**os.environ, "PYTHONPATH": os.environ["CLOUDEVENTS_1"]}
    done = subprocess.run(
        [sys.executable, CLIENT], input=json.dumps(asked).encode(), env=environment,
        capture_output=True, timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr.decode()
    made = json.loads(done.stdout)
    return made["headers"], base64.b64decode(made["body"])


def publishes(form: str, changes: dict[str, Any], data: Any):
    def run(topic: Topic) -> None:
        sent = attributes(**{**changes, "time": TIME_TEXT})
        post(topic, *message(form, sent, data))
        # Its binary form has text as JSON, whatever the content type says.
        arrived = json.dumps(data) if form == "binary" and isinstance(data, str) else data
        reads_back(topic, [expected(sent, arrived)])

    return run


SCENARIOS = [
    Scenario(f"CNCF 1 {form}: {name}", publishes(form, changes, data))
    for form in FORMS
    for name, changes, data in EVENTS
    # It puts no percent signs into headers, so that these attributes can't be in any.
    if (form, name) != ("binary", "odd attributes")
]
