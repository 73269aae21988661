"""The clients of `azure-eventgrid` for a namespace's topic: publish, receive and settle."""

from collections.abc import Callable

from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
)
from azure.core.messaging import CloudEvent
from azure.eventgrid import EventGridConsumerClient, EventGridPublisherClient

from check import reads_back
from scenarios.scenario import TIME, TIME_TEXT, Scenario
from server import Topic

SUBSCRIPTION = "Work"


def publisher(topic: Topic, key: str | None = None) -> EventGridPublisherClient:
    credential = AzureKeyCredential(key or topic.key1)
    return EventGridPublisherClient(
        topic.base, credential, namespace_topic=topic.name, connection_verify=topic.verify
    )


def consumer(topic: Topic, key: str | None = None, name: str = SUBSCRIPTION) -> EventGridConsumerClient:
    credential = AzureKeyCredential(key or topic.key2)
    return EventGridConsumerClient(
        topic.base, credential, namespace_topic=topic.name, subscription=name,
        connection_verify=topic.verify,
    )


def event(number: int, data: object = None) -> CloudEvent:
    return CloudEvent(
        source="/till", type="order.placed", id=str(number), subject="s", time=TIME,
        data={"n": number} if data is None else data, extensions={"shop": "west"},
    )


def subscribe(topic: Topic) -> None:
    topic.server.command("subscription", "create", topic.name, SUBSCRIPTION, "--pull")


def published(topic: Topic) -> None:
    with publisher(topic) as client:
        client.send(event(1))
        client.send([event(2), event(3, b"\x00\x01")])
    common = {"source": "/till", "type": "order.placed", "subject": "s", "time": TIME_TEXT, "shop": "west"}
    reads_back(
        topic,
        [
            {**common, "id": "1", "data": {"n": 1}},
            {**common, "id": "2", "data": {"n": 2}},
            {**common, "id": "3", "data_base64": "AAE="},
        ],
    )


def received(topic: Topic) -> None:
    subscribe(topic)
    with publisher(topic) as client:
        client.send([event(1), event(2, b"\x00\x01")])
    with consumer(topic) as client:
        details = client.receive(max_events=10, max_wait_time=10)
        assert [d.broker_properties.delivery_count for d in details] == [1, 1], details
        one, two = (d.event for d in details)
        assert (one.id, one.source, one.type, one.subject) == ("1", "/till", "order.placed", "s"), one
        assert (one.time, one.data, one.extensions) == (TIME, {"n": 1}, {"shop": "west"}), one
        assert two.data == b"\x00\x01", two


def settled(topic: Topic) -> None:
    subscribe(topic)
    with publisher(topic) as client:
        client.send([event(number) for number in range(1, 5)])
    with consumer(topic) as client:
        details = client.receive(max_events=100, max_wait_time=10)
        tokens = [d.broker_properties.lock_token for d in details]
        assert len(set(tokens)) == 4, tokens

        result = client.acknowledge(lock_tokens=[tokens[0], "BAD"])
        assert result.succeeded_lock_tokens == [tokens[0]], result
        assert [f.lock_token for f in result.failed_lock_tokens] == ["BAD"], result
        assert result.failed_lock_tokens[0].error.code, result
        again = client.acknowledge(lock_tokens=[tokens[0]])
        assert [f.lock_token for f in again.failed_lock_tokens] == [tokens[0]], again

        result = client.renew_locks(lock_tokens=[tokens[1]])
        assert result.succeeded_lock_tokens == [tokens[1]], result
        result = client.release(lock_tokens=[tokens[1]])
        assert result.succeeded_lock_tokens == [tokens[1]], result
        (details,) = client.receive(max_events=1, max_wait_time=10)
        assert (details.event.id, details.broker_properties.delivery_count) == ("2", 2), details

        result = client.release(lock_tokens=[tokens[2]], release_delay=60)
        assert result.succeeded_lock_tokens == [tokens[2]], result
        result = client.reject(lock_tokens=[tokens[3]])
        assert result.succeeded_lock_tokens == [tokens[3]], result
        # All are done, locked or wait for their release.
        assert client.receive(max_wait_time=10) == []
    letters = topic.server.command("deadletter", "list", topic.name)
    assert "Rejected" in letters, letters


def refused(kind: type[HttpResponseError], attempt: Callable[[Topic], object]) -> Callable[[Topic], None]:
    def run(topic: Topic) -> None:
        subscribe(topic)
        try:
            attempt(topic)
        except HttpResponseError as error:
            assert isinstance(error, kind), f"{type(error)} is no {kind}: {error}"
            if kind is HttpResponseError:
                assert error.status_code == 400, error
        else:
            raise AssertionError("taken, not refused")

    return run


WRONG_KEY = "d3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3I="

SCENARIOS = [
    Scenario("namespace: published", published),
    Scenario("namespace: received", received),
    Scenario("namespace: settled", settled),
    *(
        Scenario(f"namespace: refused: {name}", refused(kind, attempt))
        for name, kind, attempt in [
            ("a wrong key, publishing", ClientAuthenticationError,
             lambda t: publisher(t, WRONG_KEY).send(event(1))),
            ("a wrong key, receiving", ClientAuthenticationError,
             lambda t: consumer(t, WRONG_KEY).receive()),
            ("no such subscription", ResourceNotFoundError,
             lambda t: consumer(t, name="none").receive()),
            ("a wait too short", HttpResponseError,
             lambda t: consumer(t).receive(max_wait_time=9)),
            ("a wait too long", HttpResponseError,
             lambda t: consumer(t).receive(max_wait_time=121)),
            ("no events asked for", HttpResponseError,
             lambda t: consumer(t).receive(max_events=0)),
            ("an odd delay", HttpResponseError,
             lambda t: consumer(t).release(lock_tokens=["x"], release_delay=5)),
        ]
    ),
]
