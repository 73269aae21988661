"""The SDKs of npm: `@azure/eventgrid`, `@azure/eventgrid-namespaces`, `cloudevents`; see js/client.cjs."""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from check import ANY, reads_back
from issuer import SENDER, RECEIVER
from scenarios.scenario import Scenario
from server import Topic

CLIENT = Path(__file__).resolve().parent.parent / "js" / "client.cjs"
TIMEOUT_S = 60
TIME_TEXT = "2024-01-02T03:04:05.678Z"
SUBSCRIPTION = "work"
WRONG_KEY = "d3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3I="


def run(topic: Topic, task: str, **more: Any) -> dict[str, Any]:
    """What the client did, or the error that it met."""
    told = {
        "task": task, "base": topic.base, "endpoint": topic.endpoint, "topic": topic.name,
        "key": topic.key1, **more,
    }
    environment = {**os.environ}
    if topic.ca:
        environment["NODE_EXTRA_CA_CERTS"] = topic.ca
    done = subprocess.run(
        ["node", CLIENT], input=json.dumps(told).encode(), env=environment,
        capture_output=True, timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def done(topic: Topic, task: str, **more: Any) -> Any:
    result = run(topic, task, **more)
    assert "error" not in result, result
    return result["done"]


def token(topic: Topic, *roles: str) -> str:
    return topic.server.issuer.token(list(roles))


COMMON = {"subject": "customer/1", "time": TIME_TEXT}
CLOUD = {**COMMON, "source": "/shop", "type": "shop.order.placed"}
GRID = {**COMMON, "source": ANY, "type": "Shop.OrderPlaced", "dataversion": "1.0"}

#: What the events of js/client.cjs read back as.
EXPECTED: dict[str, list[dict[str, Any]]] = {
    "EventGrid": [
        {**GRID, "id": f"e{n}", "data": {"n": n, "deep": {"list": [1, "ü", None]}}} for n in (1, 2)
    ],
    "CloudEvent": [
        {**CLOUD, "id": "e1", "data": {"n": 1}, "region": "eu",
         "datacontenttype": "application/json"},
        {**CLOUD, "id": "e2", "data_base64": "AAH/", "datacontenttype": "image/png"},
    ],
}


def publishes(schema: str, credential: str):
    def scenario(topic: Topic) -> None:
        own = token(topic, SENDER) if credential == "token" else None
        done(topic, "publish", schema=schema, credential=credential, token=own)
        reads_back(topic, EXPECTED[schema])

    return scenario


def custom(credential: str):
    def scenario(topic: Topic) -> None:
        own = token(topic, SENDER) if credential == "token" else None
        done(topic, "publish", schema="Custom", credential=credential, token=own)
        found = [(event["id"], event["type"], event["data"]["total"]) for event in topic.read()]
        assert found == [(f"e{n}", "Shop.OrderPlaced", n) for n in (1, 2)], topic.read()

    return scenario


def refused(schema: str, status: int, credential: str = "key", roles: list[str] | None = None):
    def scenario(topic: Topic) -> None:
        own = token(topic, *roles) if roles is not None else None
        told = run(topic, "publish", schema=schema, credential=credential, token=own, key=WRONG_KEY)
        assert told["error"]["statusCode"] == status, told
        assert topic.read() == [], topic.read()

    return scenario


def pulled(credential: str):
    def scenario(topic: Topic) -> None:
        topic.server.command("subscription", "create", topic.name, SUBSCRIPTION, "--pull")
        own = token(topic, SENDER, RECEIVER) if credential == "token" else None
        told = done(topic, "pull", subscription=SUBSCRIPTION, credential=credential, token=own)
        one, two, three, four = told["tokens"]
        received = [{key: value for key, value in event.items() if key != "token"} for event in told["received"]]
        assert received == [
            {**CLOUD, "id": f"e{n}", "count": 1, "data": {"n": n}} for n in (1, 2, 3, 4)
        ], received
        assert told["acknowledged"] == {"failed": ["BAD"], "succeeded": [one]}, told
        assert told["renewed"] == {"failed": [], "succeeded": [two]}, told
        assert told["released"] == {"failed": [], "succeeded": [two]}, told
        (again,) = told["again"]
        assert (again["id"], again["count"]) == ("e2", 2), again
        assert told["delayed"] == {"failed": [], "succeeded": [three]}, told
        assert told["rejected"] == {"failed": [], "succeeded": [four]}, told
        deadline = time.monotonic() + TIMEOUT_S
        while "Rejected" not in (letters := topic.server.command("deadletter", "list", topic.name)):
            assert time.monotonic() < deadline, letters
            time.sleep(0.05)

    return scenario


def cloudevents(form: str):
    def scenario(topic: Topic) -> None:
        done(topic, "cloudevents", form=form)
        more = {"datacontenttype": "application/json", "region": "eu"}
        reads_back(
            topic, [{**CLOUD, **more, "id": f"e{n}", "data": {"n": n, "text": "ü 😀"}} for n in (1, 2)]
        )

    return scenario


CUSTOM = ("--input-schema", "custom")

SCENARIOS = [
    *(
        Scenario(f"JavaScript: {schema} by {credential}", publishes(schema, credential),
                 https_alone=credential == "token")
        for schema in EXPECTED
        for credential in ("key", "SAS", "token")
    ),
    *(
        Scenario(f"JavaScript: Custom by {credential}", custom(credential), create=CUSTOM,
                 https_alone=credential == "token")
        for credential in ("key", "SAS", "token")
    ),
    *(
        Scenario(f"JavaScript: received and settled by {credential}", pulled(credential),
                 https_alone=credential == "token")
        for credential in ("key", "token")
    ),
    *(Scenario(f"JavaScript: cloudevents, {form}", cloudevents(form)) for form in ("binary", "structured")),
    Scenario("JavaScript: refused: a wrong key", refused("EventGrid", 401)),
    Scenario("JavaScript: refused: a wrong SAS token", refused("CloudEvent", 401, "SAS")),
    Scenario("JavaScript: refused: a token without the role",
             refused("EventGrid", 403, "token", [RECEIVER]), https_alone=True),
]
