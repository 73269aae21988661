//! The app of `examples/shop`.

use crate::support::start;
use serde_json::Value;

const SEGMENTS: &str = "../../../../examples/shop/functions/segments";

#[tokio::test]
async fn customers_are_classified_in_any_order_of_their_purchases() {
    let test = start(SEGMENTS);
    let handler = test.app.handler("classify");
    let purchases = [
        ("1997-03-01", 20.5),
        ("1997-01-12", 77.0),
        ("1998-02-03", 500.0),
    ];
    let segments = ["new", "repeat", "champion"];
    for (number, ((date, dollars), segment)) in (0..).zip(purchases.iter().zip(segments)) {
        let data = format!(
            r#"{{"customer_id":"00002","date":"{date}","order":"{number}","cds":2,"dollars":{dollars},"x":1}}"#
        );
        // Delivered twice, counted once.
        for again in [false, true] {
            let outcome = handler
                .handle(crate::support::invocation(number, &data))
                .await
                .unwrap();
            assert_eq!(outcome.blobs.is_empty(), again);
            test.apply(&outcome).await;
        }
        let blob = test
            .storage
            .get("segments", "00002.json")
            .await
            .unwrap()
            .unwrap();
        let profile: Value = serde_json::from_slice(&blob).unwrap();
        assert_eq!(profile["segment"], segment);
        assert_eq!(profile["orders"], number + 1);
    }
    let blob = test
        .storage
        .get("segments", "00002.json")
        .await
        .unwrap()
        .unwrap();
    let profile: Value = serde_json::from_slice(&blob).unwrap();
    assert_eq!(profile["first_purchase"], "1997-01-12");
    assert_eq!(profile["last_purchase"], "1998-02-03");
    assert_eq!(profile["dollars"], 597.5);
}
