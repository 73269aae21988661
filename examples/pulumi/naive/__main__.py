"""The usual mistakes: none of this is in azure-native. `mistake` chooses one."""

import pulumi
from pulumi_azure_native import eventgrid, resources, storage, web

mistake = pulumi.Config().require("mistake")

group = resources.ResourceGroup("orders")

if mistake == "connection-string":
    account = storage.StorageAccount(
        "orders",
        resource_group_name=group.name,
        sku=storage.SkuArgs(name=storage.SkuName.STANDARD_LRS),
        kind=storage.Kind.STORAGE_V2,
    )
    pulumi.export("connection", account.primary_connection_string)

if mistake == "topic-keys":
    topic = eventgrid.Topic("orders", resource_group_name=group.name)
    pulumi.export("key", topic.list_shared_access_keys().key1)

if mistake == "source-control":
    web.WebApp(
        "orders",
        resource_group_name=group.name,
        kind="functionapp",
        source_control={"repo_url": "https://example.com/orders.git", "branch": "main"},
    )
