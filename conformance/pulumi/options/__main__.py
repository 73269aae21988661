"""Components, an explicit provider, aliases, `.get()` and the options of resources."""

import pulumi
from pulumi_azure_native import Provider, eventgrid, resources, storage

config = pulumi.Config()
renamed = config.require_bool("renamed")
schema = "CloudEventSchemaV1_0" if renamed else "EventGridSchema"
tags = {"version": "2" if renamed else "1"}


class App(pulumi.ComponentResource):
    """An account and a topic."""

    def __init__(self, name, group, opts=None):
        super().__init__("shop:app:App", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.account = storage.StorageAccount(
            f"{name}acc",
            resource_group_name=group.name,
            sku={"name": "Standard_LRS"},
            kind="StorageV2",
            opts=child,
        )
        self.topic = eventgrid.Topic(f"{name}-topic", resource_group_name=group.name, opts=child)
        self.register_outputs({"topic": self.topic.endpoint})


provider = Provider("north", location="northeurope")
group = resources.ResourceGroup("group", opts=pulumi.ResourceOptions(provider=provider))
one = App("one", group, opts=pulumi.ResourceOptions(providers=[provider]))
two = App(
    "second" if renamed else "two",
    group,
    opts=pulumi.ResourceOptions(aliases=[pulumi.Alias(name="two")] if renamed else None),
)


def topic(name, **options):
    return eventgrid.Topic(
        name, resource_group_name=group.name, tags=tags, opts=pulumi.ResourceOptions(**options)
    )


topic("ignored", ignore_changes=["tags"])
topic("changed", custom_timeouts=pulumi.CustomTimeouts(create="1m", delete="1m"))
replaced = topic("replaced", replace_on_changes=["tags.version"])
named = eventgrid.Topic(
    "named",
    topic_name="conformance-named",
    resource_group_name=group.name,
    input_schema=schema,
)
eventgrid.EventSubscription(
    "hook",
    scope=named.id,
    event_delivery_schema=schema,
    destination=eventgrid.WebHookEventSubscriptionDestinationArgs(
        endpoint_type="WebHook", endpoint_url="http://127.0.0.1:9/none"
    ),
    opts=pulumi.ResourceOptions(parent=named),
)
found = eventgrid.Topic.get("found", named.id)

pulumi.export("location", group.location)
pulumi.export("replaced", replaced.name)
pulumi.export("found", found.input_schema)
pulumi.export("both", pulumi.Output.all(one.topic.name, two.topic.name))
pulumi.export("nested", {"list": [config.require_secret("password"), "plain"]})
