"""The same event sent twice, and another under the same identity."""

from typing import Any

from azure.core.exceptions import ResourceExistsError
from azure.core.messaging import CloudEvent
from azure.eventgrid import EventGridEvent

from scenarios import cloudevents_azure, eventgrid
from scenarios.publisher import send
from scenarios.scenario import Scenario
from server import Topic

FORMS: dict[str, tuple[Any, Any]] = {
    "Event Grid": (EventGridEvent, eventgrid.event),
    "CloudEvents": (CloudEvent, cloudevents_azure.event),
}


def ids(topic: Topic) -> list[str]:
    return [event["id"] for event in topic.read()]


def sent_again(form: str):
    make, arguments = FORMS[form]

    def run(topic: Topic) -> None:
        send(topic, [make(**arguments(1)), make(**arguments(2))])
        send(topic, [make(**arguments(2)), make(**arguments(3))])
        send(topic, make(**arguments(1)))
        assert ids(topic) == ["e1", "e2", "e3"], ids(topic)

    return run


def other_content(form: str):
    make, arguments = FORMS[form]

    def run(topic: Topic) -> None:
        send(topic, make(**arguments(1, data={"a": 1})))
        try:
            send(topic, [make(**arguments(2)), make(**arguments(1, data={"a": 2}))])
        except ResourceExistsError as error:
            assert error.status_code == 409, error.status_code
        else:
            raise AssertionError("taken, although the id was there with other content")
        assert ids(topic) == ["e1"], ids(topic)

    return run


def other_source(topic: Topic) -> None:
    for source in ("/one", "/two"):
        send(topic, CloudEvent(**cloudevents_azure.event(1, source=source)))
    assert ids(topic) == ["e1", "e1"], ids(topic)


SCENARIOS = [
    *(Scenario(f"identity: {form} sent again", sent_again(form)) for form in FORMS),
    *(Scenario(f"identity: {form} with other content", other_content(form)) for form in FORMS),
    Scenario("identity: the same id from another source", other_source),
]
