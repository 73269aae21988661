import azure.functions as func

bp = func.Blueprint()


@bp.event_grid_trigger(arg_name="event")
def only(event: func.EventGridEvent) -> None:
    pass
