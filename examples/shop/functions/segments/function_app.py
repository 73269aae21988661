"""Classifies the customers of the shop: an ordinary Azure Functions app.

For each purchase it keeps the customer's profile in a blob, segments/CUSTOMER.json, and says to
which segment the customer belongs. Purchases may come late, that is, out of the order of their
dates: the profile is the same in whichever order they come.
"""

import json
import logging

import azure.functions as func

app = func.FunctionApp()

PURCHASE = "purchase"

# A customer who has spent this much, in dollars, is a champion, and so is one with this many orders.
CHAMPION_DOLLARS = 500.0
CHAMPION_ORDERS = 10
# A customer with this many orders is a regular.
REGULAR_ORDERS = 4


def classify_profile(orders: int, dollars: float) -> str:
    """The segment of a customer with so many orders, worth so much in all."""
    if dollars >= CHAMPION_DOLLARS or orders >= CHAMPION_ORDERS:
        return "champion"
    if orders >= REGULAR_ORDERS:
        return "regular"
    return "repeat" if orders > 1 else "new"


def updated_profile(profile: dict, purchase: dict) -> dict:
    """The profile with one more purchase in it."""
    date = purchase["date"]
    orders = profile.get("orders", 0) + 1
    dollars = round(profile.get("dollars", 0.0) + float(purchase.get("dollars", 0.0)), 2)
    return {
        "customer_id": purchase["customer_id"],
        "segment": classify_profile(orders, dollars),
        "orders": orders,
        "cds": profile.get("cds", 0) + int(purchase.get("cds", 0)),
        "dollars": dollars,
        "first_purchase": min(profile.get("first_purchase", date), date),
        "last_purchase": max(profile.get("last_purchase", date), date),
        # Event Grid may deliver an event twice; the one that was counted last is known again.
        "last_event": None,
    }


@app.function_name("classify")
@app.event_grid_trigger(arg_name="event")
@app.blob_input(
    arg_name="previous",
    path="segments/{data.customer_id}.json",
    connection="AzureWebJobsStorage",
)
@app.blob_output(
    arg_name="segment",
    path="segments/{data.customer_id}.json",
    connection="AzureWebJobsStorage",
)
def classify(
    event: func.EventGridEvent, previous: func.InputStream, segment: func.Out[str]
) -> None:
    if event.event_type != PURCHASE:
        return
    profile = json.loads(previous.read()) if previous is not None else {}
    if profile.get("last_event") == event.id:
        return
    new = updated_profile(profile, event.get_json())
    new["last_event"] = event.id
    if new["segment"] == "champion" and profile.get("segment") != "champion":
        logging.info("customer %s is now a champion", new["customer_id"])
    segment.set(json.dumps(new))
