import os

import azure.functions as func

blueprint = func.Blueprint()


@blueprint.function_name(name="fromBlueprint")
@blueprint.event_grid_trigger(arg_name="event")
@blueprint.blob_output(
    arg_name="result", path="%CONTAINER%/{DateTime:yyyy-MM-dd}.txt", connection="AzureWebJobsStorage"
)
def from_blueprint(event: func.EventGridEvent, result: func.Out[str]):
    result.set(os.environ["GREETING"] + " " + os.environ["OVERRIDDEN"])
