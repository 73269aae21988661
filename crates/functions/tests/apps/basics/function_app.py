"""Functions of many forms, each as users write them."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import typing

import azure.functions as func
from helpers import shout
from helpers.more import blueprint

if typing.TYPE_CHECKING:
    from decimal import Decimal

app = func.FunctionApp()
app.register_functions(blueprint)


@app.function_name("profile")
@app.event_grid_trigger(arg_name="event")
@app.blob_input(arg_name="previous", path="out/{data.id}.json", connection="AzureWebJobsStorage")
@app.blob_output(arg_name="result", path="out/{data.id}.json", connection="AzureWebJobsStorage")
def read_modify_write(
    event: func.EventGridEvent, previous: str, result: func.Out[str]
) -> None:
    count = json.loads(previous)["count"] if previous else 0
    result.set(json.dumps({"count": count + 1, "subject": event.subject}))


# Decorators in another order, a binary blob, no annotation of the event.
@app.blob_output(arg_name="result", path="binary/{rand-guid}", connection="AzureWebJobsStorage")
@app.event_grid_trigger(arg_name="event")
@app.blob_input("original", "binary/original", "AzureWebJobsStorage")
@app.function_name("binary")
def binary(event, original: bytes, result: func.Out[bytes]):
    assert isinstance(event, func.EventGridEvent)
    result.set((original or b"") + bytes(range(256)))


@app.event_grid_trigger(arg_name="event")
@app.blob_output(arg_name="$return", path="returned/{data.id}", connection="AzureWebJobsStorage")
def returning(event: func.EventGridEvent) -> str:
    return shout(event.get_json()["id"])


@app.event_grid_trigger(arg_name="event")
@app.blob_input(arg_name="stream", path="out/{data.id}.json", connection="AzureWebJobsStorage")
@app.blob_output(arg_name="copy", path="copies/{data.id}", connection="AzureWebJobsStorage")
@app.blob_output(arg_name="unset", path="unset/{data.id}", connection="AzureWebJobsStorage")
async def asynchronous(
    event: func.EventGridEvent,
    stream: func.InputStream,
    copy: func.Out[func.InputStream],
    unset: func.Out[str],
    context: func.Context,
) -> None:
    await asyncio.sleep(0)
    logging.info("invocation %s of %s", context.invocation_id, context.function_name)
    logging.info("replayed: %s", context.trace_context.attributes.get("foretell-replayed"))
    if stream is not None:
        copy.set(stream)


@app.event_grid_trigger(arg_name="event")
@app.event_grid_output("one", topic_endpoint_uri="OUT_ENDPOINT", topic_key_setting="OUT_KEY")
@app.event_grid_output("many", topic_endpoint_uri="OUT_ENDPOINT", topic_key_setting="OUT_KEY")
def events(event: func.CloudEvent, one: func.Out[func.EventGridOutputEvent], many: func.Out[str]):
    one.set(
        func.EventGridOutputEvent(
            id="",
            data={"from": event.source},
            subject="s/1",
            event_type="made",
            event_time=None,
            data_version="2",
        )
    )
    grid = {"id": "g", "subject": "s/2", "eventType": "made", "data": 1,
            "dataVersion": "", "eventTime": "2024-01-01T00:00:00"}
    cloud = {"specversion": "1.0", "id": "c", "source": "/x", "type": "made", "data": 2}
    many.set(json.dumps([grid, cloud]))


@app.event_grid_trigger(arg_name="event")
def raising(event: func.EventGridEvent) -> None:
    logging.warning("about to fail")
    raise ValueError("no such customer: ü")


@app.event_grid_trigger(arg_name="event")
def exiting(event: func.EventGridEvent) -> None:
    sys.exit(3)


@app.event_grid_trigger(arg_name="event")
def printing(event: func.EventGridEvent) -> None:
    print("printed")
    print("no newline", end="")
    sys.stderr.write("to stderr\n")
    sys.stdout.buffer.write(b"\x08\0\0\0\0\0\0\0{garbage}\n")
    sys.__stdout__.write("past the stream\n")
    sys.__stdout__.flush()
    logging.getLogger("shop.orders").error("structured %d \udcff", 7)
    thread = threading.Thread(target=print, args=("from a thread",))
    thread.start()
    thread.join()


@app.event_grid_trigger(arg_name="event")
def returning_unbound(event: func.EventGridEvent):
    return "nowhere"


@app.event_grid_trigger(arg_name="event")
@app.blob_output(arg_name="result", path="out/x", connection="AzureWebJobsStorage")
def wrong_value(event: func.EventGridEvent, result: func.Out[str]) -> None:
    result.set({"not": "text"})


@app.event_grid_trigger(arg_name="event")
def unresolved_hint(event: func.EventGridEvent, amount: Decimal = None) -> None:
    pass


@app.event_grid_trigger(arg_name="event")
def unbound(event: func.EventGridEvent, nothing: str) -> None:
    pass


@app.route(route="hello")
def web(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("hello")


@app.event_grid_trigger(arg_name="event")
@app.queue_output(arg_name="message", queue_name="q", connection="AzureWebJobsStorage")
def queueing(event: func.EventGridEvent, message: func.Out[str]) -> None:
    message.set("x")
