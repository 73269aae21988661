"""Bearer tokens of a real issuer, by the clients of `azure-eventgrid`. These send tokens over https alone."""

from collections.abc import Callable
from typing import Any

from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.eventgrid import EventGridConsumerClient, EventGridEvent, EventGridPublisherClient

from check import reads_back
from issuer import KEY_OF, RECEIVER, SENDER, Credential
from scenarios import eventgrid, namespaces
from scenarios.publisher import send
from scenarios.scenario import Scenario
from server import Topic


def credential(topic: Topic, roles: list[str], algorithm: str = "RS256", **more: Any) -> Credential:
    return Credential(topic.server.issuer.token(roles, algorithm, **more))


def publishes(roles: list[str], algorithm: str = "RS256"):
    def run(topic: Topic) -> None:
        own = [role.format(topic=topic.name) for role in roles]
        send(topic, EventGridEvent(**eventgrid.event(1)), credential(topic, own, algorithm))
        reads_back(topic, [eventgrid.expected(eventgrid.event(1))])

    return run


def pulled(topic: Topic) -> None:
    namespaces.subscribe(topic)
    with EventGridPublisherClient(
        topic.base, credential(topic, [SENDER], "ES256"), namespace_topic=topic.name,
        connection_verify=topic.verify,
    ) as client:
        client.send(namespaces.event(1))
    with EventGridConsumerClient(
        topic.base, credential(topic, [f"{RECEIVER}@{topic.name}"], "PS256"),
        namespace_topic=topic.name, subscription=namespaces.SUBSCRIPTION,
        connection_verify=topic.verify,
    ) as client:
        (details,) = client.receive(max_wait_time=10)
        token = details.broker_properties.lock_token
        assert client.renew_locks(lock_tokens=[token]).succeeded_lock_tokens == [token]
        assert client.release(lock_tokens=[token]).succeeded_lock_tokens == [token]
        (details,) = client.receive(max_wait_time=10)
        token = details.broker_properties.lock_token
        assert client.acknowledge(lock_tokens=[token]).succeeded_lock_tokens == [token]


def refused(status: int, make: Callable[[Topic], Credential]):
    def run(topic: Topic) -> None:
        try:
            send(topic, EventGridEvent(**eventgrid.event(1)), make(topic))
        except HttpResponseError as error:
            assert error.status_code == status, f"{error.status_code}, not {status}: {error}"
            assert isinstance(error, ClientAuthenticationError) == (status == 401), type(error)
        else:
            raise AssertionError(f"taken, not refused with {status}")
        assert topic.read() == [], topic.read()

    return run


def tampered(topic: Topic) -> Credential:
    good, better = (topic.server.issuer.token(roles).split(".") for roles in ([], [SENDER]))
    return Credential(".".join([better[0], better[1], good[2]]))


def unknown_key(topic: Topic) -> Credential:
    topic.server.issuer.add_key("unpublished")
    token = topic.server.issuer.token([SENDER], "ES256", key="unpublished")
    topic.server.issuer.remove_key("unpublished")
    return Credential(token)


REFUSED: dict[str, tuple[int, Callable[[Topic], Credential]]] = {
    "a token without the role": (403, lambda t: credential(t, [RECEIVER])),
    "a token without roles": (403, lambda t: credential(t, [])),
    "a token for another topic": (403, lambda t: credential(t, [f"{SENDER}@other"])),
    "an expired token": (401, lambda t: credential(t, [SENDER], exp=1_700_000_000)),
    "a token of the future": (401, lambda t: credential(t, [SENDER], nbf=4_000_000_000)),
    "a token without an expiry": (401, lambda t: credential(t, [SENDER], exp=None)),
    "a token by another issuer": (401, lambda t: credential(t, [SENDER], iss="https://example.com")),
    "a token for another audience": (401, lambda t: credential(t, [SENDER], aud="https://example.com")),
    "a token that was changed": (401, tampered),
    "a token by an unknown key": (401, unknown_key),
    "a token that is none": (401, lambda _: Credential("a.b.c")),
}

SCENARIOS = [
    *(
        Scenario(f"token: {algorithm}", publishes([SENDER], algorithm), https_alone=True)
        for algorithm in KEY_OF
    ),
    *(
        Scenario(f"token: {role}", publishes([role]), https_alone=True)
        for role in ["EventGridDataSender", SENDER + "@{topic}", "EventGrid Data Contributor"]
    ),
    Scenario("token: received and settled", pulled, https_alone=True),
    *(
        Scenario(f"token: refused: {name}", refused(*how), https_alone=True)
        for name, how in REFUSED.items()
    ),
]
