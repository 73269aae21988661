"""CloudEvents by the SDK of the CNCF, over plain HTTP: structured, binary and batch."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import requests
from cloudevents.core.bindings.http import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from check import reads_back
from scenarios.scenario import TIME, TIME_TEXT, Scenario
from server import Topic

TIMEOUT_S = 30
FORMS = {"structured": to_structured, "binary": to_binary}


def attributes(**changes: Any) -> dict[str, Any]:
    return {"id": "e1", "source": "/shop", "type": "shop.order.placed", "time": TIME, **changes}


def post(
    topic: Topic, headers: dict[str, str], body: bytes | Iterator[bytes], **parameters: str
) -> None:
    headers = headers if parameters else {**headers, "aeg-sas-key": topic.key1}
    answer = requests.post(
        topic.endpoint, params=parameters, headers=headers, data=body, timeout=TIMEOUT_S,
        verify=topic.verify,
    )
    assert answer.status_code == 200, f"{answer.status_code}: {answer.text}"


def expected(sent: dict[str, Any], data: Any) -> dict[str, Any]:
    wanted = {**sent, "time": TIME_TEXT}
    if isinstance(data, bytes):
        wanted["data_base64"] = base64.b64encode(data).decode()
    elif data is not None:
        wanted["data"] = data
    return wanted


def publishes(form: str, changes: dict[str, Any], data: Any):
    def run(topic: Topic) -> None:
        sent = attributes(**changes)
        message = FORMS[form](CloudEvent(dict(sent), data), JSONFormat())
        post(topic, message.headers, message.body)
        reads_back(topic, [expected(sent, data)])

    return run


def batch(topic: Topic) -> None:
    sent = [(attributes(id=f"e{n}"), {"n": n}) for n in range(10)]
    bodies = [JSONFormat().write(CloudEvent(dict(about), data)).decode() for about, data in sent]
    headers = {"content-type": "application/cloudevents-batch+json"}
    post(topic, headers, f"[{','.join(bodies)}]".encode())
    reads_back(topic, [expected(about, data) for about, data in sent])


def chunked(topic: Topic) -> None:
    message = to_structured(CloudEvent(attributes(), {"a": 1}), JSONFormat())
    half = len(message.body) // 2
    parts = iter([message.body[:half], message.body[half:]])
    post(topic, message.headers, parts)  # an iterator makes `requests` send chunks
    reads_back(topic, [expected(attributes(specversion="1.0"), {"a": 1})])


def key_in_the_query(topic: Topic) -> None:
    message = to_structured(CloudEvent(attributes(), None), JSONFormat())
    post(topic, message.headers, message.body, **{"aeg-sas-key": topic.key1})
    reads_back(topic, [expected(attributes(), None)])


def numbers_to_the_last_digit(topic: Topic) -> None:
    text = '{"big":123456789012345678901234567890,"price":1.10,"tiny":1e-400}'
    body = json.dumps({**attributes(time=TIME_TEXT), "specversion": "1.0", "data": 0})
    headers = {"content-type": "application/cloudevents+json"}
    post(topic, headers, body.replace('"data": 0', f'"data": {text}').encode())
    found = topic.server.command("read", topic.name, "--json")
    assert f'"data":{text}' in found, found


JSON, TEXT, BYTES = "application/json", "text/plain", "application/octet-stream"
EVENTS: list[tuple[str, dict[str, Any], Any]] = [
    ("JSON", {"datacontenttype": JSON}, {"a": [1, None, "ü"]}),
    ("JSON without a type", {}, {"a": 1}),
    ("text", {"datacontenttype": TEXT}, "two\nlines, ü"),
    ("bytes", {"datacontenttype": BYTES}, bytes(range(256))),
    ("no data", {}, None),
    ("odd attributes", {"subject": 'ü "x" 100% 😀', "source": "urn:a%20b"}, None),
    ("extensions", {"region": "eu", "note": "a b"}, None),
    ("a schema", {"datacontenttype": JSON, "dataschema": "https://example.com/1"}, {"a": 1}),
]

SCENARIOS = [
    *(
        Scenario(f"CNCF {form}: {name}", publishes(form, changes, data))
        for form in FORMS
        for name, changes, data in EVENTS
    ),
    Scenario("CNCF batch", batch),
    Scenario("CNCF structured: chunked", chunked),
    Scenario("CNCF structured: the key in the query", key_in_the_query),
    Scenario("CNCF structured: numbers to the last digit", numbers_to_the_last_digit),
]
