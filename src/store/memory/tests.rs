//! Tests of records in memory that only tests read.

use jiff::Timestamp;

use super::MemoryStore;
use crate::store::{Called, Journal as _, Measure, Measured};

#[tokio::test]
async fn calls_are_kept_in_their_order() {
    let store = MemoryStore::default();
    let call = |hook: &str| Called {
        at: Timestamp::UNIX_EPOCH,
        project: "studio".into(),
        service: "a".into(),
        run: String::new(),
        hook: hook.to_owned(),
        call: "./warm.sh".to_owned(),
        took_ms: 7,
        error: None,
        output: String::new(),
    };
    store.record_call(&call("pre_start")).await.expect("kept");
    store.record_call(&call("post_start")).await.expect("kept");
    assert_eq!(store.calls(), [call("pre_start"), call("post_start")]);
}

#[tokio::test]
async fn the_newest_twenty_of_each_kind_and_service_are_kept() {
    let store = MemoryStore::default();
    let measure = |service: &str, what| Measure {
        at: Timestamp::UNIX_EPOCH,
        project: "studio".into(),
        service: service.into(),
        what,
    };
    store.record_measure(&measure("a", Measured::Evicted)).await.expect("kept");
    for took_ms in 1..=23 {
        store.record_measure(&measure("b", Measured::Ready { took_ms })).await.expect("kept");
    }
    let measures = store.measures();
    assert_eq!(measures.len(), 21);
    assert_eq!(measures[0].what, Measured::Evicted, "measures of another kind do not replace it");
    assert_eq!(measures[1].what, Measured::Ready { took_ms: 4 });
}
