//! Followers: what a reader has read and what it is told of meet without a seam.

use foretell_log::{Append, Environment, EventLog, MemoryJournal, ReadOptions};
use foretell_types::{Data, NewEvent, Position};
use tokio::task::{JoinSet, LocalSet};

const FOLLOWERS: usize = 2_000;
const EVENTS: u64 = 200;

fn event(n: u64) -> NewEvent {
    NewEvent {
        id: n.to_string(),
        source: "/test".into(),
        event_type: "told".into(),
        subject: Some(format!("subject/{}", n % 7)),
        data: Data::json(n.to_string()),
        ..NewEvent::default()
    }
}

/// Reads all that there is, then waits to be told of more.
async fn follow(log: EventLog) {
    let mut told = log.watch("shop").unwrap();
    let mut seen = None;
    while seen.map_or(0, Position::get) < EVENTS {
        let read = log.read("shop", ReadOptions::after(seen)).unwrap();
        for found in read.collect().unwrap() {
            assert_eq!(found.position, seen.map_or(Position::FIRST, Position::next));
            assert_eq!(found.event, event(found.position.get()));
            seen = Some(found.position);
        }
        if seen.map_or(0, Position::get) < EVENTS {
            told.changed().await.unwrap();
        }
    }
}

/// Thousands follow a topic on one thread while another appends to it; some begin later.
#[test]
fn thousands_see_each_event_once_and_in_order() {
    let journal = Box::new(MemoryJournal::new());
    let log = EventLog::open(journal, &Environment::real(), &mut |_, _| {}).unwrap();
    let shop = Append::new().create_topic("shop".parse().unwrap(), uuid::Uuid::from_u128(7), false);
    log.append_and_wait(shop).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..=EVENTS {
                let append = Append::new().events("shop", [event(n)]);
                log.append_and_wait(append).unwrap();
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        LocalSet::new().block_on(&runtime, async {
            let mut followers = JoinSet::new();
            for n in 0..FOLLOWERS {
                followers.spawn_local(follow(log.clone()));
                if n % 100 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            while let Some(ended) = followers.join_next().await {
                ended.unwrap();
            }
        });
    });
}
