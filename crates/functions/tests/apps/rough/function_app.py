"""Functions that treat their worker badly."""

import asyncio
import os
import sys
import threading
import time

import azure.functions as func

app = func.FunctionApp()
four = threading.Barrier(4)


@app.event_grid_trigger(arg_name="event")
def meeting(event: func.EventGridEvent) -> None:
    four.wait()


@app.event_grid_trigger(arg_name="event")
def hanging(event: func.EventGridEvent) -> None:
    while True:
        time.sleep(60)


@app.event_grid_trigger(arg_name="event")
async def hanging_async(event: func.EventGridEvent) -> None:
    await asyncio.sleep(3600)


@app.event_grid_trigger(arg_name="event")
def dying(event: func.EventGridEvent) -> None:
    sys.__stderr__.write("famous last words\n")
    sys.__stderr__.flush()
    os._exit(7)


@app.event_grid_trigger(arg_name="event")
@app.blob_output(arg_name="$return", path="pids/pid", connection="AzureWebJobsStorage")
def pid(event: func.EventGridEvent) -> str:
    return str(os.getpid())


@app.event_grid_trigger(arg_name="event")
@app.blob_output(arg_name="$return", path="pids/pid", connection="AzureWebJobsStorage")
def second_try(event: func.EventGridEvent) -> str:
    """Does not end when it is called first, and at once when it is called again."""
    marker = event.get_json()["marker"]
    if not os.path.exists(marker):
        open(marker, "w").close()
        time.sleep(60)
    return str(os.getpid())
