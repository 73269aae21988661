"""Events in the Event Grid schema, by `azure-eventgrid`."""

from typing import Any

from azure.eventgrid import EventGridEvent

from check import ANY, reads_back
from scenarios.publisher import CREDENTIALS, send
from scenarios.scenario import JSON_DATA, TIME, TIME_TEXT, Scenario
from server import Topic


def event(number: int, **changes: Any) -> dict[str, Any]:
    """The arguments of an `EventGridEvent`."""
    return {
        "id": f"e{number}",
        "subject": "customer/1",
        "event_type": "Shop.OrderPlaced",
        "event_time": TIME,
        "data_version": "1.0",
        "data": {"total": 12.5},
        **changes,
    }


def expected(arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": arguments["id"],
        "source": ANY,
        "subject": arguments["subject"],
        "type": arguments["event_type"],
        "time": TIME_TEXT,
        "dataversion": arguments["data_version"],
        "data": arguments["data"],
    }


def publishes(events: list[dict[str, Any]], as_list: bool = True, credential: str = "key 1"):
    def run(topic: Topic) -> None:
        sent = [EventGridEvent(**arguments) for arguments in events]
        send(topic, sent if as_list else sent[0], CREDENTIALS[credential](topic))
        reads_back(topic, [expected(arguments) for arguments in events])

    return run


def as_dictionary(topic: Topic) -> None:
    names = {"event_type": "eventType", "event_time": "eventTime", "data_version": "dataVersion"}
    arguments = event(1, event_time=TIME_TEXT)
    send(topic, {names.get(name, name): value for name, value in arguments.items()})
    reads_back(topic, [expected(arguments)])


def source_is_the_topic(topic: Topic) -> None:
    send(topic, EventGridEvent(**event(1)))
    (found,) = topic.read()
    ending = f"/topics/{topic.name}"
    assert found["source"].lower().endswith(ending), f"{found['source']} ends not with {ending}"


SUBJECTS = ["a", "a/b/../c", "with spaces", "ü/日本/😀", "100%", "?x=1&y#z", "a", "x" * 1_000]

SCENARIOS = [
    Scenario("Event Grid: one event", publishes([event(1)], as_list=False)),
    Scenario("Event Grid: a list of one", publishes([event(1)])),
    Scenario("Event Grid: a list", publishes([event(n) for n in range(100)])),
    Scenario("Event Grid: a dictionary", as_dictionary),
    Scenario(
        "Event Grid: subjects",
        publishes([event(n, subject=subject) for n, subject in enumerate(SUBJECTS)]),
    ),
    Scenario("Event Grid: the source is the topic", source_is_the_topic),
    *(
        Scenario(f"Event Grid: data is {name}", publishes([event(1, data=data)]))
        for name, data in JSON_DATA.items()
    ),
    *(
        Scenario(f"Event Grid: by {name}", publishes([event(1)], credential=name))
        for name in CREDENTIALS
    ),
]
