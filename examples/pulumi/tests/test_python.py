"""The Python program under Pulumi's own mocks: what it declares, without any server."""

import pathlib
import runpy

import pulumi

PROGRAM = pathlib.Path(__file__).parent.parent / "python" / "__main__.py"


class Mocks(pulumi.runtime.Mocks):
    def __init__(self):
        self.made = {}

    def new_resource(self, args):
        outputs = dict(args.inputs)
        outputs.setdefault("name", f"{args.name}12345678")
        if args.typ.endswith(":Topic"):
            outputs["endpoint"] = "http://127.0.0.1:4077/topics/orders12345678/api/events"
        self.made[f"{args.typ.split(':')[-1]}/{args.name}"] = args.inputs
        return [f"/ids/{args.name}", outputs]

    def call(self, args):
        if args.token.endswith("listStorageAccountKeys"):
            return {"keys": [{"keyName": "key1", "permissions": "FULL", "value": "a2V5"}]}
        assert args.token.endswith("listTopicSharedAccessKeys"), args.token
        return {"key1": "one", "key2": "two"}


def run(config):
    mocks = Mocks()
    pulumi.runtime.set_mocks(mocks, project="orders", stack="dev", preview=False)
    pulumi.runtime.set_all_config(config)

    @pulumi.runtime.test
    def program():
        runpy.run_path(str(PROGRAM), run_name="__main__")

    program()
    return mocks.made


def test_everything_is_declared():
    made = run({})
    assert sorted(made) == [
        "AppServicePlan/orders",
        "BlobContainer/given-up",
        "BlobContainer/processed",
        "EventSubscription/process",
        "ResourceGroup/orders",
        "StorageAccount/orders",
        "Topic/orders",
        "WebApp/orders",
    ]
    settings = made["WebApp/orders"]["siteConfig"]["appSettings"]
    values = {setting["name"]: setting["value"] for setting in settings}
    assert "AccountName=orders12345678;AccountKey=a2V5;" in str(values["AzureWebJobsStorage"])
    assert values["EVENT_GRID_TOPIC_ENDPOINT"].endswith("/api/events")
    subscription = made["EventSubscription/process"]
    assert subscription["destination"]["resourceId"] == "/ids/orders/functions/process"
    assert subscription["retryPolicy"]["maxDeliveryAttempts"] == 5
    assert subscription["deadLetterDestination"]["blobContainerName"] == "given-up12345678"


def test_without_the_subscription():
    assert "EventSubscription/process" not in run({"orders:subscribe": "false"})
