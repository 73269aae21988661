"""The publisher client of `azure-eventgrid`, as an application makes it."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from azure.core.credentials import AzureKeyCredential, AzureSasCredential
from azure.eventgrid import EventGridPublisherClient, generate_sas

from scenarios.scenario import in_an_hour
from server import Topic


def sas(topic: Topic, key: str, expiry: datetime) -> AzureSasCredential:
    return AzureSasCredential(generate_sas(topic.endpoint, key, expiry))


#: How a publisher may show who it is.
CREDENTIALS: dict[str, Callable[[Topic], Any]] = {
    "key 1": lambda topic: AzureKeyCredential(topic.key1),
    "key 2": lambda topic: AzureKeyCredential(topic.key2),
    "a SAS token by key 1": lambda topic: sas(topic, topic.key1, in_an_hour()),
    "a SAS token by key 2": lambda topic: sas(topic, topic.key2, in_an_hour()),
}


def send(topic: Topic, events: Any, credential: Any = None) -> None:
    credential = credential or AzureKeyCredential(topic.key1)
    client = EventGridPublisherClient(topic.endpoint, credential)
    try:
        # For such a topic the client hands no options of its own on.
        client.send(events, connection_verify=topic.verify)
    finally:
        client.close()
