"""What must be refused, with which status, and without leaving anything behind."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import requests
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
)
from azure.core.messaging import CloudEvent
from azure.eventgrid import EventGridEvent

from scenarios import cloudevents_azure, eventgrid
from scenarios.publisher import sas, send
from scenarios.scenario import TIME_TEXT, Scenario, an_hour_ago, in_an_hour
from server import Topic

WRONG_KEY = "d3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3I="
TIMEOUT_S = 30


def refused(status: int, kind: type[HttpResponseError], attempt: Callable[[Topic], None]):
    """The client raises an error of this kind, and the topic stays empty."""

    def run(topic: Topic) -> None:
        try:
            attempt(topic)
        except HttpResponseError as error:
            assert isinstance(error, kind), f"{type(error)} is no {kind}"
            # The client puts an error of its own in place of the answer to 404.
            if error.response is not None:
                assert error.status_code == status, f"{error.status_code}, not {status}: {error}"
                has_error_body(error.response.text())
        else:
            raise AssertionError(f"taken, not refused with {status}")
        assert topic.read() == [], topic.read()

    return run


def has_error_body(text: str) -> None:
    error = json.loads(text)["error"]
    assert error["code"] and error["message"], text


def good() -> EventGridEvent:
    return EventGridEvent(**eventgrid.event(1))


def with_credential(make: Callable[[Topic], Any]) -> Callable[[Topic], None]:
    return lambda topic: send(topic, good(), make(topic))


def elsewhere(topic: Topic) -> None:
    send(dataclasses.replace(topic, name="no-such-topic"), good())


CREDENTIALS: dict[str, Callable[[Topic], Any]] = {
    "a wrong key": lambda _: AzureKeyCredential(WRONG_KEY),
    "a short key": lambda _: AzureKeyCredential("x"),
    "a SAS token by a wrong key": lambda topic: sas(topic, WRONG_KEY, in_an_hour()),
    "an expired SAS token": lambda topic: sas(topic, topic.key1, an_hour_ago()),
}

GRID = {
    "id": "e1",
    "subject": "s",
    "eventType": "t",
    "eventTime": TIME_TEXT,
    "dataVersion": "1",
    "data": {},
}
CLOUD = {"specversion": "1.0", "id": "e1", "source": "/s", "type": "t"}

#: Sent as dictionaries, which the client passes on as they are.
BAD_EVENTS: dict[str, Any] = {
    "Event Grid, an empty type": {**GRID, "eventType": ""},
    "Event Grid, no time": {**GRID, "eventTime": None},
    "Event Grid, a wrong time": {**GRID, "eventTime": "yesterday"},
    "Event Grid, an unknown property": {**GRID, "color": "red"},
    "Event Grid, a number as subject": {**GRID, "subject": 1},
    "Event Grid, one of two": [GRID, {**GRID, "id": ""}],
    "CloudEvents, a wrong time": {**CLOUD, "time": "2024-02-30T00:00:00Z"},
    "CloudEvents, a capital in a name": {**CLOUD, "Region": "eu"},
    "CloudEvents, an object as extension": {**CLOUD, "region": {}},
    "CloudEvents, a reserved attribute": {**CLOUD, "position": 5},
    "CloudEvents, data twice": {**CLOUD, "data": 1, "data_base64": "AA=="},
    "CloudEvents, one of two": [CLOUD, {**CLOUD, "id": "e2", "type": ""}],
}

#: Sent as they are: content type, body and status.
BAD_BODIES: dict[str, tuple[str, bytes, int]] = {
    # The client would mend these two on the way.
    "CloudEvents, an empty id": (
        "application/cloudevents-batch+json",
        b'[{"specversion":"1.0","id":"","source":"/s","type":"t"}]',
        400,
    ),
    "CloudEvents, wrong base64": (
        "application/cloudevents-batch+json",
        b'[{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"*"}]',
        400,
    ),
    "no JSON": ("application/json", b"[{", 400),
    "nothing": ("application/json", b"", 400),
    "wrong UTF-8": ("application/json", b'[{"id":"\xff"}]', 400),
    "deep nesting": ("application/json", b"[" * 100_000, 400),
    "an object in a batch": ("application/cloudevents-batch+json", json.dumps(CLOUD).encode(), 400),
    "an array as one event": ("application/cloudevents+json", b"[]", 400),
    "no content type known": ("text/plain", b"hello", 400),
    "too large a body": ("application/json", b"[" + b" " * (1 << 20) + b"]", 413),
}


def large(topic: Topic) -> None:
    send(topic, CloudEvent(**cloudevents_azure.event(1, data="x" * (1 << 20))))


def posts(content_type: str, body: bytes, status: int):
    def run(topic: Topic) -> None:
        headers = {"aeg-sas-key": topic.key1, "content-type": content_type}
        answer = requests.post(
            topic.endpoint, headers=headers, data=body, timeout=TIMEOUT_S, verify=topic.verify
        )
        assert answer.status_code == status, f"{answer.status_code}, not {status}: {answer.text}"
        has_error_body(answer.text)
        assert topic.read() == [], topic.read()

    return run


def no_credential(topic: Topic) -> None:
    answer = requests.post(topic.endpoint, json=[GRID], timeout=TIMEOUT_S, verify=topic.verify)
    assert answer.status_code == 401, answer.status_code
    has_error_body(answer.text)
    assert topic.read() == [], topic.read()


SCENARIOS = [
    *(
        Scenario(
            f"refused: {name}", refused(401, ClientAuthenticationError, with_credential(make))
        )
        for name, make in CREDENTIALS.items()
    ),
    Scenario("refused: no credential", no_credential),
    Scenario("refused: an unknown topic", refused(404, ResourceNotFoundError, elsewhere)),
    Scenario("refused: too large an event", refused(413, HttpResponseError, large)),
    *(
        Scenario(
            f"refused: {name}",
            refused(400, HttpResponseError, lambda topic, events=events: send(topic, events)),
        )
        for name, events in BAD_EVENTS.items()
    ),
    *(Scenario(f"refused: {name}", posts(*request)) for name, request in BAD_BODIES.items()),
]
