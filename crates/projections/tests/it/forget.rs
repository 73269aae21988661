//! What was erased is dropped, wherever projections keep it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use foretell_log::{Append, Environment, EventLog};
use foretell_projections::{Ask, Projections};
use foretell_state::Definition;
use foretell_types::{Data, ErrorKind, NewEvent};

const EVENTS: u64 = 20_000;

fn sql(topic: &str, columns: &str) -> Definition {
    let text = format!("CREATE PROJECTION p_{topic} ON {topic} KEY data.k AS SELECT {columns}");
    Definition::parse(&text, "p.sql").unwrap()
}

async fn log(folder: &Path) -> EventLog {
    let log = EventLog::open_folder(&folder.join("journal"), &Environment::real()).unwrap();
    for (topic, id) in [("people", 1), ("shop", 2)] {
        let id = uuid::Uuid::from_u128(id);
        let append = Append::new().create_topic(topic.parse().unwrap(), id, false);
        log.append(append).unwrap().await.unwrap();
        for from in (0..EVENTS).step_by(1_000) {
            let events = (from..from + 1_000).map(|number| NewEvent {
                id: number.to_string(),
                source: "/test".into(),
                event_type: "changed".into(),
                data: Data::json(format!(r#"{{"k":"k{}","x":{number}}}"#, number % 100)),
                ..NewEvent::default()
            });
            let append = Append::new().events(topic, events.collect::<Vec<_>>());
            log.append(append).unwrap().await.unwrap();
        }
    }
    log
}

fn folders(derived: &Path, name: &str) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(derived.join(name)).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

async fn folded(projections: &Arc<Projections>, name: &str) {
    let (projection, _) = projections.get(name).unwrap();
    let patience = Duration::from_secs(60);
    projection.reached(&[EVENTS], patience).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_topic_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(folder.path()).await;
    let derived = folder.path().join("derived");
    let runtime = tokio::runtime::Handle::current();
    let projections = Projections::new(derived.clone(), log.clone(), runtime.clone());
    for topic in ["people", "shop"] {
        projections
            .define(sql(topic, "count(*) AS n"))
            .await
            .unwrap();
        folded(&projections, &format!("p_{topic}")).await;
    }
    // A former definition, of which a folder was left behind.
    let left = derived.join("p_people/0123456789abcdef.7");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(
        left.join("projection.sql"),
        &sql("people", "sum(data.x) AS x").text,
    )
    .unwrap();
    let unreadable = derived.join("p_gone/0123456789abcdef.0");
    std::fs::create_dir_all(&unreadable).unwrap();
    // Being built, beside the one that answers.
    let changed = sql("people", "max(data.x) AS most");
    projections.define(changed.clone()).await.unwrap();
    let (before, untouched) = (folders(&derived, "p_people"), folders(&derived, "p_shop"));
    projections.forget(&["PEOPLE".to_owned()]).await.unwrap();
    let after = folders(&derived, "p_people");
    assert!(after.is_disjoint(&before), "{before:?} {after:?}");
    assert!(!unreadable.exists());
    assert_eq!(folders(&derived, "p_shop"), untouched);
    // What is wanted in the end is what is built.
    folded(&projections, "p_people").await;
    let (projection, next) = projections.get("p_people").unwrap();
    assert_eq!(projection.definition().text, changed.text);
    assert!(next.is_none());
    // Before anything runs, too.
    projections.stop().await;
    let projections = Projections::new(derived.clone(), log, runtime);
    projections.forget(&["people".to_owned()]).await.unwrap();
    assert_eq!(folders(&derived, "p_people"), BTreeSet::new());
    assert_eq!(folders(&derived, "p_shop"), untouched);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_being_read_ends() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(folder.path()).await;
    let runtime = tokio::runtime::Handle::current();
    let projections = Projections::new(folder.path().join("derived"), log, runtime.clone());
    projections
        .define(sql("people", "count(*) AS n"))
        .await
        .unwrap();
    folded(&projections, "p_people").await;
    let (projection, _) = projections.get("p_people").unwrap();
    let mut seen = 0;
    let all = projections.clone();
    let listed = tokio::task::spawn_blocking(move || {
        projection.each(&Ask::default(), 0, &mut |_| {
            seen += 1;
            if seen == 3 {
                runtime
                    .block_on(all.forget(&["people".to_owned()]))
                    .unwrap();
            }
            assert!(seen <= 3, "a state out of what is dropped");
            Ok(true)
        })
    });
    let error = listed.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

/// Changes that come before the one before them is done: the last one is what answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_of_many_changes_answers() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(folder.path()).await;
    let derived = folder.path().join("derived");
    let runtime = tokio::runtime::Handle::current();
    let projections = Projections::new(derived.clone(), log, runtime);
    let columns = ["count(*) AS a", "sum(data.x) AS b", "max(data.x) AS c"];
    for columns in [columns[0], columns[1], columns[2], columns[0], columns[1]] {
        projections.define(sql("people", columns)).await.unwrap();
    }
    projections.rebuild("p_people").await.unwrap();
    loop {
        let (projection, next) = projections.get("p_people").unwrap();
        let patience = Duration::from_secs(60);
        if projection.reached(&[EVENTS], patience).await.is_ok() && next.is_none() {
            assert_eq!(projection.definition().outputs[0].name, "b");
            break;
        }
        tokio::task::yield_now().await;
    }
    // A former one may still be on its way out; then one is left.
    projections.stop().await;
    assert_eq!(folders(&derived, "p_people").len(), 1);
}
