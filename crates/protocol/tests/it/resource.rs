use foretell_protocol::{
    DeliverySchema, InputMapping, InputSchema, MasterKey, Provisioning, SubscriptionDefinition,
    SubscriptionFacts, Target, TopicDefinition, TopicFacts, Validation, from_config, to_config,
};
use foretell_types::ErrorKind;
use serde_json::{Value, json};

const ID: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.EventGrid/topics/shop";

#[test]
fn topics() {
    let mapping = json!({"inputSchemaMappingType": "Json",
        "properties": {"subject": {"sourceField": "who"}}});
    for (body, schema, mapped) in [
        (json!({}), InputSchema::Any, false),
        (
            json!({"location": "westeurope", "tags": {"a": "b"}, "properties": {}}),
            InputSchema::Any,
            false,
        ),
        (
            json!({"properties": {"inputSchema": "EventGridSchema"}}),
            InputSchema::EventGrid,
            false,
        ),
        (
            json!({"properties": {"inputSchema": "cloudEventSchemaV1_0", "publicNetworkAccess": "enabled"}}),
            InputSchema::CloudEvents,
            false,
        ),
        (
            json!({"properties": {"inputSchema": "CustomEventSchema", "inputSchemaMapping": mapping}}),
            InputSchema::Custom,
            true,
        ),
    ] {
        let topic = TopicDefinition::from_json(&body).unwrap();
        assert_eq!(
            (topic.input_schema, topic.mapping.is_some()),
            (schema, mapped),
            "{body}"
        );
        let answer = topic.to_json(&TopicFacts {
            name: "shop",
            resource_id: ID,
            endpoint: "http://h/topics/shop/api/events",
            metric_resource_id: "m",
        });
        assert_eq!(answer["id"], ID);
        assert_eq!(answer["name"], "shop");
        assert_eq!(answer["type"], "Microsoft.EventGrid/topics");
        assert_eq!(answer["properties"]["provisioningState"], "Succeeded");
        assert_eq!(answer["properties"]["metricResourceId"], "m");
        assert_eq!(TopicDefinition::from_json(&answer).unwrap(), topic);
        assert_eq!(
            from_config::<TopicDefinition>(&to_config(&topic).unwrap()).unwrap(),
            topic
        );
    }
}

#[test]
fn wrong_topics() {
    for (body, expected) in [
        (json!(7), "the body must be an object, not a number"),
        (json!({"x": 1}), "x is not known"),
        (json!({"properties": []}), "properties must be an object"),
        (json!({"properties": {"x": 1}}), "properties.x is not known"),
        (
            json!({"properties": {"inputSchema": "Xml"}}),
            "properties.inputSchema is \"Xml\"",
        ),
        (
            json!({"properties": {"disableLocalAuth": true}}),
            "properties.disableLocalAuth is not supported yet",
        ),
        (
            json!({"properties": {"inputSchemaMapping": {"inputSchemaMappingType": "Json"}}}),
            "properties.inputSchemaMapping needs properties.inputSchema CustomEventSchema",
        ),
        (
            json!({"properties": {"inputSchemaMapping": 1}}),
            "properties: inputSchemaMapping must be an object",
        ),
    ] {
        let error = TopicDefinition::from_json(&body).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().starts_with(expected), "{error}");
    }
}

fn subscription(properties: Value) -> Result<SubscriptionDefinition, String> {
    let body = json!({ "properties": properties });
    SubscriptionDefinition::from_json(&body, InputSchema::EventGrid)
        .map_err(|error| error.message().to_owned())
}

fn hook() -> Value {
    json!({"endpointType": "WebHook", "properties": {"endpointUrl": "https://h/p?code=1"}})
}

#[test]
fn subscriptions() {
    let full = subscription(json!({
        "destination": {"endpointType": "AzureFunction", "properties": {
            "resourceId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/Sites/app/functions/on_order",
            "maxEventsPerBatch": 1.0, "preferredBatchSizeInKilobytes": 64}},
        "filter": {"subjectBeginsWith": "a", "enableAdvancedFilteringOnArrays": true,
            "advancedFilters": [{"operatorType": "StringIn", "key": "Data.Kind", "values": ["a"]},
                {"operatorType": "NumberInRange", "key": "data.n", "values": [[0.1, 2], [5, 6e300]]},
                {"operatorType": "IsNotNull", "key": "subject"}]},
        "retryPolicy": {"maxDeliveryAttempts": 3.0, "eventTimeToLiveInMinutes": 60},
        "deadLetterDestination": {"endpointType": "StorageBlob", "properties": {
            "resourceId": "/x", "blobContainerName": "dead-letters"}},
        "eventDeliverySchema": "CloudEventSchemaV1_0"}))
    .unwrap();
    assert_eq!(full.target.to_string(), "function:app/on_order");
    assert_eq!(
        (full.max_delivery_attempts, full.event_ttl_minutes),
        (3, 60)
    );
    assert_eq!(full.dead_letter.as_deref(), Some("dead-letters"));
    assert_eq!(full.schema, Some(DeliverySchema::CloudEvents));
    assert_eq!(full.filter.subject_begins_with, "a");
    let plain =
        subscription(json!({"destination": hook(), "deadLetterDestination": null})).unwrap();
    let url = "https://h/p?code=1".to_owned();
    assert_eq!(plain, SubscriptionDefinition::new(Target::WebHook(url)));
    assert_eq!(
        (plain.max_delivery_attempts, plain.event_ttl_minutes),
        (30, 1440)
    );
    let pull = subscription(json!({"destination": {"endpointType": "Pull"}})).unwrap();
    assert_eq!(pull.target, Target::Pull);

    let mut asked = hook();
    asked["properties"]["validation"] = json!("Always");
    asked["properties"]["maxEventsPerBatch"] = json!(100.0);
    asked["properties"]["deliveryAttributeMappings"] = json!([
        {"name": "x-tenant", "type": "static", "properties": {"value": "acme"}},
        {"name": "X-Customer", "type": "Dynamic", "properties": {"sourceField": "data.customer"}},
    ]);
    asked["properties"]["preferredBatchSizeInKilobytes"] = json!(512);
    asked["properties"]["ordering"] = json!("none");
    let asked = subscription(json!({"destination": asked})).unwrap();
    let ordered = [&asked, &plain, &pull].map(SubscriptionDefinition::is_ordered);
    assert_eq!(ordered, [false, true, false]);
    assert_eq!(asked.validation, Validation::Always);
    assert_eq!(
        (asked.max_events_per_batch, asked.preferred_batch_kilobytes),
        (100, 512)
    );

    let queue = subscription(
        json!({"deliveryConfiguration": {"deliveryMode": "Queue", "queue": {
        "receiveLockDurationInSeconds": 300.0, "maxDeliveryCount": 3, "eventTimeToLive": "P1DT90M", "ordering": "Subject",
        "deadLetterDestinationWithResourceIdentity": {
            "identity": {"type": "SystemAssigned"},
            "deadLetterDestination": {"endpointType": "StorageBlob", "properties": {
                "resourceId": "/x", "blobContainerName": "given-up"}}}}}}),
    )
    .unwrap();
    assert_eq!(queue.target, Target::Pull);
    assert_eq!(
        (queue.lock_seconds, queue.max_delivery_attempts),
        (Some(300), 3)
    );
    assert_eq!(
        (queue.event_ttl_minutes, queue.dead_letter.as_deref()),
        (1_530, Some("given-up"))
    );
    assert_eq!(
        (pull.event_ttl_minutes, pull.max_delivery_attempts),
        (10_080, 10)
    );

    for mut definition in [full, plain, pull, asked, queue] {
        let answer = definition.to_json(&SubscriptionFacts {
            name: "sub",
            topic_resource_id: ID,
            topic_schema: InputSchema::EventGrid,
            provisioning: &Provisioning::Succeeded,
        });
        assert_eq!(answer["id"], format!("{ID}/eventSubscriptions/sub"));
        assert_eq!(answer["properties"]["topic"], ID);
        let kept: SubscriptionDefinition = from_config(&to_config(&definition).unwrap()).unwrap();
        assert_eq!(kept, definition);
        let back = SubscriptionDefinition::from_json(&answer, InputSchema::EventGrid).unwrap();
        definition.schema.get_or_insert(match definition.target {
            Target::Pull => DeliverySchema::CloudEvents,
            _ => DeliverySchema::EventGrid,
        });
        if definition.target == Target::Pull {
            definition.lock_seconds.get_or_insert(60);
        }
        assert_eq!(back, definition);
    }
}

#[test]
fn wrong_subscriptions() {
    let with = |name: &str, value: Value| {
        let mut properties = json!({ "destination": hook() });
        properties[name] = value;
        properties
    };
    let dead = |properties: Value| {
        with(
            "deadLetterDestination",
            json!({"endpointType": "StorageBlob", "properties": properties}),
        )
    };
    let queue =
        |queue: Value| json!({"deliveryConfiguration": {"deliveryMode": "Queue", "queue": queue}});
    let to = |kind: &str, properties: Value| json!({"destination": {"endpointType": kind, "properties": properties}});
    for (properties, expected) in [
        (Value::Null, "properties is missing"),
        (json!({}), "properties.destination is missing"),
        (
            to("EventHub", json!({})),
            "properties.destination.endpointType is \"EventHub\": expected WebHook",
        ),
        (
            to("WebHook", Value::Null),
            "properties.destination.properties.endpointUrl is missing",
        ),
        (
            to("WebHook", json!({"endpointUrl": "ftp://h/"})),
            "properties.destination.properties.endpointUrl: webhook address \"ftp://h/\" has neither",
        ),
        (
            to(
                "WebHook",
                json!({"endpointUrl": "http://h/", "maxEventsPerBatch": 5001}),
            ),
            "properties.destination.properties.maxEventsPerBatch is 5001: expected a whole number from 1 to 5000",
        ),
        (
            to(
                "WebHook",
                json!({"endpointUrl": "http://h/", "preferredBatchSizeInKilobytes": 0}),
            ),
            "properties.destination.properties.preferredBatchSizeInKilobytes is 0: expected",
        ),
        (
            to(
                "AzureFunction",
                json!({"resourceId": "/sites/a/functions/f", "maxEventsPerBatch": 2}),
            ),
            "maxEventsPerBatch is 2, and function:a/f is no webhook: it gets",
        ),
        (
            to(
                "WebHook",
                json!({"endpointUrl": "http://h/", "validation": "no"}),
            ),
            "properties.destination.properties.validation: \"no\" is no choice of validation: expected auto",
        ),
        (
            to(
                "AzureFunction",
                json!({"resourceId": "/sites/a/functions/f", "validation": "always"}),
            ),
            "validation is always, and function:a/f is no webhook: leave it out",
        ),
        (
            to("AzureFunction", json!({"resourceId": "/sites/a"})),
            "properties.destination.properties.resourceId is \"/sites/a\": expected",
        ),
        (
            to(
                "AzureFunction",
                json!({"resourceId": "/sites/a b/functions/f"}),
            ),
            "properties.destination.properties.resourceId: \"a b\" is not the name of an application",
        ),
        (
            with(
                "deliveryConfiguration",
                json!({"deliveryMode": "Queue", "queue": {}}),
            ),
            "properties.destination and properties.deliveryConfiguration are both there",
        ),
        (
            json!({"deliveryConfiguration": {"deliveryMode": "Mail"}}),
            "properties.deliveryConfiguration.deliveryMode is \"Mail\": expected Queue or Push",
        ),
        (
            queue(json!({"receiveLockDurationInSeconds": 59})),
            "properties.deliveryConfiguration.queue.receiveLockDurationInSeconds is 59: expected a whole number from 60 to 300",
        ),
        (
            queue(json!({"ordering": "time"})),
            "properties.deliveryConfiguration.queue.ordering: \"time\" is not an ordering",
        ),
        (
            queue(json!({"maxDeliveryCount": 11})),
            "properties.deliveryConfiguration.queue.maxDeliveryCount is 11: expected a whole number from 1 to 10",
        ),
        (
            queue(json!({"eventTimeToLive": "P8D"})),
            "properties.deliveryConfiguration.queue.eventTimeToLive is \"P8D\": expected whole minutes",
        ),
        (
            with("filter", json!({"advancedFilters": [{}]})),
            "properties.filter.advancedFilters[0].operatorType is missing",
        ),
        (
            with("retryPolicy", json!({"maxDeliveryAttempts": 31})),
            "properties.retryPolicy.maxDeliveryAttempts is 31: expected a whole number from 1 to 30",
        ),
        (
            with("retryPolicy", json!({"eventTimeToLiveInMinutes": 0.5})),
            "properties.retryPolicy.eventTimeToLiveInMinutes is 0.5",
        ),
        (
            with("retryPolicy", json!({"x": 1})),
            "properties.retryPolicy.x is not known",
        ),
        (
            with("expirationTimeUtc", json!("2030-13-01T00:00:00Z")),
            "properties.expirationTimeUtc: ",
        ),
        (
            with("eventDeliverySchema", json!("Xml")),
            "properties.eventDeliverySchema: \"Xml\" is not",
        ),
        (
            with("eventDeliverySchema", json!("CustomInputSchema")),
            "eventDeliverySchema CustomInputSchema is not possible",
        ),
        (
            with("deadLetterDestination", json!({"endpointType": "Queue"})),
            "properties.deadLetterDestination.endpointType is \"Queue\"",
        ),
        (
            dead(json!({})),
            "properties.deadLetterDestination.properties.blobContainerName is missing",
        ),
        (
            dead(json!({"blobContainerName": "A"})),
            "properties.deadLetterDestination.properties.blobContainerName: \"A\" is not the name",
        ),
    ] {
        let message = subscription(properties).unwrap_err();
        assert!(
            message.starts_with(expected),
            "{message}\nexpected: {expected}"
        );
    }
}

#[test]
fn the_schema_matrix() {
    use DeliverySchema as Out;
    for (input, fitting) in [
        (
            InputSchema::EventGrid,
            &[Out::EventGrid, Out::CloudEvents][..],
        ),
        (InputSchema::CloudEvents, &[Out::CloudEvents]),
        (
            InputSchema::Custom,
            &[Out::EventGrid, Out::CloudEvents, Out::Custom],
        ),
        (InputSchema::Any, &[Out::EventGrid, Out::CloudEvents]),
    ] {
        for schema in [Out::EventGrid, Out::CloudEvents, Out::Custom] {
            assert_eq!(
                schema.fits(input),
                fitting.contains(&schema),
                "{input} {schema:?}"
            );
        }
        assert!(Out::default_for(input).is_none_or(|schema| schema.fits(input)));
        assert_eq!(input.to_string().parse::<InputSchema>().unwrap(), input);
    }
}

#[test]
fn targets() {
    for text in [
        "webhook:http://127.0.0.1:8080/",
        "webhook:https://h/p?code=a:b",
        "webhook:http://[::1]:80/x",
        "function:app/on_order",
        "pull",
    ] {
        assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
    }
    for (text, expected) in [
        ("", "is not a target: expected webhook:URL"),
        ("Pull", "is not a target"),
        ("pull:x", "is not a target"),
        ("queue:x", "is not a target"),
        ("function:app", "is not a target"),
        ("function:/f", "is not the name of an application"),
        ("function:a/../b", "is not the name of a function"),
        ("function:../b", "is not the name of an application"),
        ("webhook:", "is not a URL"),
        ("webhook:/path", "has neither scheme"),
        ("webhook:http://a b/", "is not a URL"),
        ("webhook:http://u:p@h/", "has no plain host"),
    ] {
        let error = text.parse::<Target>().unwrap_err();
        assert!(error.message().contains(expected), "{text}: {error}");
    }
}

#[test]
fn configuration_of_other_versions() {
    for (text, kind) in [
        (
            r#"{"version":2,"definition":{"later":1}}"#,
            ErrorKind::NewerFormat,
        ),
        (r#"{"version":1}"#, ErrorKind::Damaged),
        ("", ErrorKind::Damaged),
    ] {
        let error = from_config::<TopicDefinition>(text.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), kind);
    }
    // As version 1 wrote it; never edited.
    let golden = br#"{"version":1,"definition":{"target":"function:app/f","filter":{"included_event_types":["a"],"subject_begins_with":"b","subject_ends_with":"","subject_case_sensitive":true},"max_delivery_attempts":3,"event_ttl_minutes":5,"dead_letter":"dead","schema":"cloudevents"}}"#;
    let definition: SubscriptionDefinition = from_config(golden).unwrap();
    assert_eq!(to_config(&definition).unwrap(), golden);
    let golden = br#"{"version":1,"definition":{"target":"pull","filter":{"included_event_types":[],"subject_begins_with":"","subject_ends_with":"","subject_case_sensitive":false,"advanced":[{"key":"data.a","operator":{"number_in_range":[[1,2.5]]}},{"key":"data.b","operator":{"bool_equals":true}},{"key":"Subject","operator":{"string_not_in":["x"]}},{"key":"data.c","operator":"is_not_null"}],"advanced_on_arrays":true},"max_delivery_attempts":30,"event_ttl_minutes":1440,"dead_letter":null,"schema":null}}"#;
    let definition: SubscriptionDefinition = from_config(golden).unwrap();
    assert_eq!(to_config(&definition).unwrap(), golden);
    let golden = br#"{"version":1,"definition":{"input_schema":"custom","mapping":{"id":"a","topic":null,"event_time":null,"subject":{"source_field":"b","default_value":"c"},"event_type":{"source_field":null,"default_value":null},"data_version":{"source_field":null,"default_value":null}}}}"#;
    let definition: TopicDefinition = from_config(golden).unwrap();
    assert_eq!(to_config(&definition).unwrap(), golden);
    assert_eq!(definition.mapping.unwrap().id.as_deref(), Some("a"));
    assert_eq!(InputMapping::default().to_json()["properties"], json!({}));
}

#[test]
fn secrets_of_attributes_are_not_shown() {
    let mut hook = hook();
    hook["properties"]["deliveryAttributeMappings"] = json!([{"name": "authorization",
        "type": "Static", "properties": {"value": "Bearer x", "isSecret": true}}]);
    let mut definition = subscription(json!({ "destination": hook })).unwrap();
    assert!(!format!("{definition:?}").contains("Bearer"));
    assert!(to_config(&definition).is_err(), "only sealed");
    let master = MasterKey::new([7; 32]);
    let value = definition.attributes[0].value.clone();
    definition.attributes[0].value = value.sealed(&master).unwrap();
    let kept = to_config(&definition).unwrap();
    assert!(!String::from_utf8_lossy(&kept).contains("Bearer"));
    assert_eq!(
        from_config::<SubscriptionDefinition>(&kept).unwrap(),
        definition
    );
    let answer = definition.to_json(&SubscriptionFacts {
        name: "sub",
        topic_resource_id: ID,
        topic_schema: InputSchema::EventGrid,
        provisioning: &Provisioning::Succeeded,
    });
    let shown = &answer["properties"]["destination"]["properties"]["deliveryAttributeMappings"][0];
    let properties = json!({"value": null, "isSecret": true});
    assert_eq!(shown["properties"], properties);
    let error = SubscriptionDefinition::from_json(&answer, InputSchema::EventGrid).unwrap_err();
    assert!(
        error
            .message()
            .contains("[0].properties.value is missing: a secret"),
        "{error}"
    );
}

#[test]
fn wrong_attributes() {
    let fixed = |name: &str, value: &str| json!({"name": name, "type": "Static", "properties": {"value": value}});
    let dynamic =
        |field: &str| json!({"name": "x", "type": "Dynamic", "properties": {"sourceField": field}});
    let eleven: Vec<Value> = (0..11).map(|n| fixed(&format!("x-{n}"), "1")).collect();
    for (attributes, expected) in [
        (json!({}), "deliveryAttributeMappings must be an array"),
        (json!([1]), "deliveryAttributeMappings[0] must be an object"),
        (json!([{}]), "deliveryAttributeMappings[0].name is missing"),
        (
            json!([{"name": "x", "type": "Other", "properties": {}}]),
            "[0].type is \"Other\": expected Static or Dynamic",
        ),
        (
            json!([{"name": "x", "type": "Static"}]),
            "[0].properties is missing",
        ),
        (
            json!([{"name": "x", "type": "Static", "properties": {}}]),
            "[0].properties.value is missing",
        ),
        (
            json!([{"name": "x", "type": "Dynamic", "properties": {}}]),
            "[0].properties.sourceField is missing",
        ),
        (json!([fixed("a b", "1")]), "\"a b\": the name is not that"),
        (
            json!([fixed("AEG-x", "1")]),
            "\"AEG-x\": a delivery has this header",
        ),
        (
            json!([fixed("Content-Type", "1")]),
            "a delivery has this header",
        ),
        (json!([fixed("x", "")]), "the value must have 1 to 4096"),
        (
            json!([fixed("x", "a\r\nb: c")]),
            "the value must have 1 to 4096",
        ),
        (
            json!([fixed("x", &"v".repeat(4097))]),
            "the value must have 1 to 4096",
        ),
        (
            json!([fixed("x", "1"), fixed("X", "2")]),
            "\"X\": the name is there twice",
        ),
        (json!([dynamic("data..x")]), "sourceField is \"data..x\""),
        (
            json!(eleven),
            "there are 11 delivery attributes: at most 10",
        ),
    ] {
        let mut hook = hook();
        hook["properties"]["deliveryAttributeMappings"] = attributes;
        let error = subscription(json!({ "destination": hook })).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn filters_as_a_namespace_has_them() {
    let with = |more: Value| {
        let mut body = json!({"properties": {"deliveryConfiguration": {"deliveryMode": "Queue", "queue": {}}}});
        for (name, value) in more.as_object().unwrap() {
            body["properties"][name] = value.clone();
        }
        SubscriptionDefinition::from_json(&body, InputSchema::CloudEvents)
    };
    let filters = json!({
        "includedEventTypes": ["a", "b"],
        "filters": [{"operatorType": "StringIn", "key": "subject", "values": ["x"]}],
    });
    let read = with(json!({"filtersConfiguration": filters})).unwrap();
    assert_eq!(read.filter.included_event_types, ["a", "b"]);
    let answered = read.to_json(&SubscriptionFacts {
        name: "work",
        topic_resource_id: ID,
        topic_schema: InputSchema::CloudEvents,
        provisioning: &Provisioning::Succeeded,
    });
    assert_eq!(answered["properties"]["filtersConfiguration"], filters);
    // What was answered can be sent back.
    let again = SubscriptionDefinition::from_json(&answered, InputSchema::CloudEvents).unwrap();
    assert_eq!(again.filter, read.filter);
    let grid = json!({"subjectBeginsWith": "x"});
    let begins = with(json!({"filter": grid})).unwrap();
    let answered = begins.to_json(&SubscriptionFacts {
        name: "work",
        topic_resource_id: ID,
        topic_schema: InputSchema::CloudEvents,
        provisioning: &Provisioning::Succeeded,
    });
    assert!(answered["properties"].get("filtersConfiguration").is_none());
    for (wrong, message) in [
        (
            json!({"filter": grid, "filtersConfiguration": filters}),
            "differ",
        ),
        (
            json!({"filtersConfiguration": {"advancedFilters": []}}),
            "properties.filtersConfiguration.advancedFilters",
        ),
        (
            json!({"filtersConfiguration": {"filters": [{"operatorType": "Like", "key": "a"}]}}),
            "properties.filtersConfiguration.filters[0].operatorType",
        ),
    ] {
        let error = with(wrong).unwrap_err();
        assert!(error.message().contains(message), "{error}");
    }
}
