"""CloudEvents, by `azure-eventgrid`: always the batch form."""

import base64
from datetime import timedelta, timezone
from typing import Any

from azure.core.messaging import CloudEvent

from check import MAYBE, reads_back
from scenarios.publisher import CREDENTIALS, send
from scenarios.scenario import JSON_DATA, TIME, TIME_TEXT, Scenario
from server import Topic

BINARY = bytes(range(256))


def event(number: int, **changes: Any) -> dict[str, Any]:
    """The arguments of a `CloudEvent`."""
    return {
        "id": f"e{number}",
        "source": "/shop",
        "type": "shop.order.placed",
        "time": TIME,
        **changes,
    }


def expected(arguments: dict[str, Any]) -> dict[str, Any]:
    wanted = {**arguments, **arguments.get("extensions", {})}
    wanted.pop("extensions", None)
    # The client writes times in UTC. The server may fill in one that is missing.
    wanted["time"] = MAYBE if arguments["time"] is None else TIME_TEXT
    if isinstance(data := wanted.get("data"), bytes):
        del wanted["data"]
        wanted["data_base64"] = base64.b64encode(data).decode()
    return wanted


def publishes(events: list[dict[str, Any]], as_list: bool = True, credential: str = "key 1"):
    def run(topic: Topic) -> None:
        sent = [CloudEvent(**arguments) for arguments in events]
        send(topic, sent if as_list else sent[0], CREDENTIALS[credential](topic))
        reads_back(topic, [expected(arguments) for arguments in events])

    return run


def as_dictionary(topic: Topic) -> None:
    sent = {**event(1, time=TIME_TEXT, data={"a": 1}), "specversion": "1.0", "region": "eu"}
    send(topic, sent)
    reads_back(topic, [sent])


EVENTS: dict[str, dict[str, Any]] = {
    "no data": {},
    "text": {"data": "two\nlines", "datacontenttype": "text/plain"},
    "XML": {"data": "<a b='c'/>", "datacontenttype": "application/xml"},
    "binary": {"data": BINARY},
    "binary with a type": {"data": BINARY, "datacontenttype": "image/png"},
    "JSON with a type": {"data": {"a": [1, None]}, "datacontenttype": "application/json"},
    "JSON of a vendor's type": {"data": {"a": 1}, "datacontenttype": "application/vnd.a+json"},
    "all attributes": {
        "data": {"a": 1},
        "subject": "customer/1",
        "dataschema": "https://example.com/schema/1",
        "datacontenttype": "application/json; charset=utf-8",
    },
    "extensions": {"extensions": {"region": "eu", "attempt": 3, "urgent": True, "note": "ü 😀"}},
    "tags": {"extensions": {"tags": "customer:1 order:2"}},
    "a trace": {"extensions": {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}},
    "no time": {"time": None},
    "a time with an offset": {"time": TIME.astimezone(timezone(timedelta(hours=5, minutes=30)))},
}

SCENARIOS = [
    Scenario("CloudEvents: one event", publishes([event(1, data={"a": 1})], as_list=False)),
    Scenario(
        "CloudEvents: a list",
        publishes([event(n, subject=f"s{n % 7}", data=n) for n in range(100)]),
    ),
    Scenario("CloudEvents: a dictionary", as_dictionary),
    *(
        Scenario(f"CloudEvents: {name}", publishes([event(1, **changes)]))
        for name, changes in EVENTS.items()
    ),
    *(
        Scenario(f"CloudEvents: data is {name}", publishes([event(1, data=data)]))
        for name, data in JSON_DATA.items()
    ),
    *(
        Scenario(f"CloudEvents: by {name}", publishes([event(1)], credential=name))
        for name in CREDENTIALS
    ),
]
