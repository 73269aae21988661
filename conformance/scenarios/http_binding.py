"""The HTTP scenarios of the CloudEvents project's conformance features, as data: raw requests,
and the event that each must be read back as.

Source: github.com/cloudevents/conformance, features/http-protocol-binding.feature, which has the
first four; the others are further rules of the HTTP protocol binding 1.0.2, by section.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import requests

from check import reads_back
from scenarios.scenario import Scenario
from server import Topic

TIMEOUT_S = 30

GREETING = {"message": "Hello World!"}
#: As a person would write it: data must be read by its content, not its layout.
GREETING_TEXT = json.dumps(GREETING, indent=4)

ATTRIBUTES = {
    "specversion": "1.0",
    "type": "com.example.someevent",
    "time": "2018-04-05T03:56:24Z",
    "id": "1234-1234-1234",
    "source": "/mycontext/subcontext",
}
JSON_TYPES = ("application/json", "application/json; charset=utf-8")
STRUCTURED_TYPES = (
    "application/cloudevents+json",
    "application/cloudevents+json; charset=utf-8",
)
BATCH_TYPE = "application/cloudevents-batch+json"


@dataclass(frozen=True)
class Request:
    """What is sent, and what must be read back; nothing where it is refused."""

    name: str
    headers: dict[str, str]
    body: str | bytes
    events: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200


def binary(content_type: str | None, **more: str) -> dict[str, str]:
    headers = {f"ce-{name}": value for name, value in {**ATTRIBUTES, **more}.items()}
    return headers if content_type is None else {**headers, "Content-Type": content_type}


def structured(**changes: Any) -> str:
    event = {**ATTRIBUTES, "datacontenttype": "application/json", "data": GREETING, **changes}
    return json.dumps({name: value for name, value in event.items() if value is not None}, indent=4)


def read(**changes: Any) -> dict[str, Any]:
    event = {**ATTRIBUTES, "datacontenttype": "application/json", "data": GREETING, **changes}
    return {name: value for name, value in event.items() if value is not None}


REQUESTS = [
    # The scenarios of the features.
    *(
        Request(
            f"binary content mode, {content_type}",
            binary(content_type),
            GREETING_TEXT,
            [read(datacontenttype=content_type)],
        )
        for content_type in JSON_TYPES
    ),
    *(
        Request(
            f"structured content mode, {content_type}",
            {"Content-Type": content_type},
            structured(),
            [read()],
        )
        for content_type in STRUCTURED_TYPES
    ),
    # 3.1.3: names of headers have no case, values are percent-decoded.
    Request(
        "binary content mode, names in capitals",
        {name.upper(): value for name, value in binary("application/json").items()},
        GREETING_TEXT,
        [read()],
    ),
    Request(
        "binary content mode, percent-encoded values",
        binary("application/json", subject="Euro%20%E2%82%AC%20%F0%9F%98%80"),
        GREETING_TEXT,
        [read(subject="Euro \u20ac \U0001f600")],
    ),
    Request(
        "binary content mode, an extension",
        binary("application/json", comexampleextension1="value"),
        GREETING_TEXT,
        [read(comexampleextension1="value")],
    ),
    # 3.1.2: the body is the data as it is.
    Request(
        "binary content mode, text",
        binary("text/plain"),
        "Hello World!",
        [read(datacontenttype="text/plain", data="Hello World!")],
    ),
    Request(
        "binary content mode, bytes",
        binary("application/octet-stream"),
        b"\x00\x01\xff",
        [read(datacontenttype="application/octet-stream", data=None, data_base64="AAH/")],
    ),
    Request(
        "binary content mode, no data", binary(None), "", [read(datacontenttype=None, data=None)]
    ),
    # 3.2: the media type tells the mode, whatever the headers say beside it.
    Request(
        "structured content mode, also with headers of the binary mode",
        {**binary(STRUCTURED_TYPES[0]), "ce-id": "another"},
        structured(),
        [read()],
    ),
    # 3.3: a batch may hold several, or none.
    Request(
        "batched content mode",
        {"Content-Type": BATCH_TYPE},
        f"[{structured()},{structured(id='another')}]",
        [read(), read(id="another")],
    ),
    Request("batched content mode, empty", {"Content-Type": BATCH_TYPE}, "[]"),
    # What is required is required in each mode.
    *(
        Request(
            f"{mode} content mode, no {name}",
            headers,
            body,
            status=400,
        )
        for name in ("id", "source", "type", "specversion")
        for mode, headers, body in (
            (
                "binary",
                {n: v for n, v in binary("application/json").items() if n != f"ce-{name}"},
                GREETING_TEXT,
            ),
            ("structured", {"Content-Type": STRUCTURED_TYPES[0]}, structured(**{name: None})),
        )
    ),
    Request(
        "binary content mode, another version",
        binary("application/json", specversion="0.3"),
        GREETING_TEXT,
        status=400,
    ),
    Request(
        "structured content mode, a format that isn't known",
        {"Content-Type": "application/cloudevents+xml"},
        "<event/>",
        status=400,
    ),
]


def replay(request: Request):
    def run(topic: Topic) -> None:
        headers = {**request.headers, "aeg-sas-key": topic.key1}
        answer = requests.post(
            topic.endpoint,
            headers=headers,
            data=request.body,
            timeout=TIMEOUT_S,
            verify=topic.verify,
        )
        assert answer.status_code == request.status, f"{answer.status_code}: {answer.text}"
        reads_back(topic, request.events)

    return run


SCENARIOS = [
    Scenario(f"HTTP protocol binding: {request.name}", replay(request)) for request in REQUESTS
]
