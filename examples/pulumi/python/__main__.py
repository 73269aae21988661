"""Orders go to a topic; a function writes a receipt for each that is over 10."""

import pulumi
from pulumi_azure_native import eventgrid, resources, storage, web

config = pulumi.Config()

group = resources.ResourceGroup("orders")

account = storage.StorageAccount(
    "orders",
    resource_group_name=group.name,
    sku=storage.SkuArgs(name=storage.SkuName.STANDARD_LRS),
    kind=storage.Kind.STORAGE_V2,
    allow_blob_public_access=False,
)
containers = {
    name: storage.BlobContainer(
        name,
        resource_group_name=group.name,
        account_name=account.name,
        container_name=name,
    )
    for name in ("processed", "given-up")
}
keys = storage.list_storage_account_keys_output(
    resource_group_name=group.name, account_name=account.name
)
connection = pulumi.Output.concat(
    "DefaultEndpointsProtocol=https;AccountName=",
    account.name,
    ";AccountKey=",
    keys.keys[0].value,
    ";EndpointSuffix=core.windows.net",
)

topic = eventgrid.Topic(
    "orders",
    resource_group_name=group.name,
    input_schema=eventgrid.InputSchema.EVENT_GRID_SCHEMA,
)
topic_keys = eventgrid.list_topic_shared_access_keys_output(
    resource_group_name=group.name, topic_name=topic.name
)

plan = web.AppServicePlan(
    "orders",
    resource_group_name=group.name,
    kind="functionapp",
    reserved=True,
    sku=web.SkuDescriptionArgs(name="Y1", tier="Dynamic"),
)
settings = {
    "FUNCTIONS_EXTENSION_VERSION": "~4",
    "FUNCTIONS_WORKER_RUNTIME": "python",
    "AzureWebJobsStorage": connection,
    "EVENT_GRID_TOPIC_ENDPOINT": topic.endpoint,
    "EVENT_GRID_TOPIC_KEY": topic_keys.key1,
}
app = web.WebApp(
    "orders",
    resource_group_name=group.name,
    kind="functionapp,linux",
    server_farm_id=plan.id,
    https_only=True,
    identity=web.ManagedServiceIdentityArgs(
        type=web.ManagedServiceIdentityType.SYSTEM_ASSIGNED
    ),
    site_config=web.SiteConfigArgs(
        linux_fx_version="PYTHON|3.11",
        app_settings=[
            web.NameValuePairArgs(name=name, value=value) for name, value in settings.items()
        ],
    ),
)

# Azure refuses it before the function's code is there.
if config.get_bool("subscribe") is not False:
    eventgrid.EventSubscription(
        "process",
        scope=topic.id,
        destination=eventgrid.AzureFunctionEventSubscriptionDestinationArgs(
            endpoint_type="AzureFunction",
            resource_id=pulumi.Output.concat(app.id, "/functions/process"),
        ),
        filter=eventgrid.EventSubscriptionFilterArgs(
            subject_begins_with="/orders/",
            advanced_filters=[
                eventgrid.NumberGreaterThanAdvancedFilterArgs(
                    operator_type="NumberGreaterThan", key="data.amount", value=10
                )
            ],
        ),
        retry_policy=eventgrid.RetryPolicyArgs(
            max_delivery_attempts=5, event_time_to_live_in_minutes=60
        ),
        dead_letter_destination=eventgrid.StorageBlobDeadLetterDestinationArgs(
            endpoint_type="StorageBlob",
            resource_id=account.id,
            blob_container_name=containers["given-up"].name,
        ),
    )

pulumi.export("topic_endpoint", topic.endpoint)
pulumi.export("topic_key", topic_keys.key1)
pulumi.export("storage_account", account.name)
pulumi.export("function_app", app.name)
