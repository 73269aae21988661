/** Orders go to a topic; a function, whose code is a blob, writes a receipt for each. */

import * as pulumi from "@pulumi/pulumi";
import * as eventgrid from "@pulumi/azure-native/eventgrid";
import * as resources from "@pulumi/azure-native/resources";
import * as storage from "@pulumi/azure-native/storage";
import * as web from "@pulumi/azure-native/web";

const group = new resources.ResourceGroup("orders");

const account = new storage.StorageAccount("orders", {
    resourceGroupName: group.name,
    sku: { name: storage.SkuName.Standard_LRS },
    kind: storage.Kind.StorageV2,
    allowBlobPublicAccess: false,
});
const [code, processed, givenUp] = ["code", "processed", "given-up"].map(
    (name) =>
        new storage.BlobContainer(name, {
            resourceGroupName: group.name,
            accountName: account.name,
            containerName: name,
        }),
);
const keys = storage.listStorageAccountKeysOutput({
    resourceGroupName: group.name,
    accountName: account.name,
});
const connection = pulumi.interpolate`DefaultEndpointsProtocol=https;AccountName=${account.name};AccountKey=${keys.keys[0].value};EndpointSuffix=core.windows.net`;

const zip = new storage.Blob("function.zip", {
    resourceGroupName: group.name,
    accountName: account.name,
    containerName: code.name,
    source: new pulumi.asset.FileArchive("../function"),
});
const signature = storage.listStorageAccountServiceSASOutput({
    resourceGroupName: group.name,
    accountName: account.name,
    canonicalizedResource: pulumi.interpolate`/blob/${account.name}/${code.name}`,
    resource: storage.SignedResource.C,
    permissions: storage.Permissions.R,
    protocols: storage.HttpProtocol.Https,
    sharedAccessStartTime: "2024-01-01",
    sharedAccessExpiryTime: "2034-01-01",
});

const topic = new eventgrid.Topic("orders", {
    resourceGroupName: group.name,
    inputSchema: eventgrid.InputSchema.EventGridSchema,
});
const topicKeys = eventgrid.listTopicSharedAccessKeysOutput({
    resourceGroupName: group.name,
    topicName: topic.name,
});

const plan = new web.AppServicePlan("orders", {
    resourceGroupName: group.name,
    kind: "functionapp",
    reserved: true,
    sku: { name: "Y1", tier: "Dynamic" },
});
const app = new web.WebApp("orders", {
    resourceGroupName: group.name,
    kind: "functionapp,linux",
    serverFarmId: plan.id,
    httpsOnly: true,
    siteConfig: {
        linuxFxVersion: "PYTHON|3.11",
        appSettings: Object.entries({
            FUNCTIONS_EXTENSION_VERSION: "~4",
            FUNCTIONS_WORKER_RUNTIME: "python",
            WEBSITE_RUN_FROM_PACKAGE: pulumi.interpolate`${zip.url}?${signature.serviceSasToken}`,
            AzureWebJobsStorage: connection,
            EVENT_GRID_TOPIC_ENDPOINT: topic.endpoint,
            EVENT_GRID_TOPIC_KEY: topicKeys.key1,
        }).map(([name, value]) => ({ name, value })),
    },
});

new eventgrid.EventSubscription("process", {
    scope: topic.id,
    destination: {
        endpointType: "AzureFunction",
        resourceId: pulumi.interpolate`${app.id}/functions/process`,
    },
    filter: {
        subjectBeginsWith: "/orders/",
        advancedFilters: [{ operatorType: "NumberGreaterThan", key: "data.amount", value: 10 }],
    },
    retryPolicy: { maxDeliveryAttempts: 5, eventTimeToLiveInMinutes: 60 },
    deadLetterDestination: {
        endpointType: "StorageBlob",
        resourceId: account.id,
        blobContainerName: givenUp.name,
    },
});

export const topic_endpoint = topic.endpoint;
export const topic_key = topicKeys.key1;
export const storage_account = account.name;
export const function_app = app.name;
export const results = processed.name;
