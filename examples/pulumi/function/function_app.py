import json
import logging

import azure.functions as func

app = func.FunctionApp()


@app.event_grid_trigger(arg_name="event")
@app.blob_output(
    arg_name="receipt", path="processed/{id}.json", connection="AzureWebJobsStorage"
)
def process(event: func.EventGridEvent, receipt: func.Out[str]) -> None:
    order = event.get_json()
    logging.info("order %s over %s", event.subject, order["amount"])
    receipt.set(json.dumps({"order": event.subject, "points": int(order["amount"] // 10)}))
