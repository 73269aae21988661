//! Apps of `tests/apps`, run with the real `azure-functions` library. The virtual environment is
//! made once and shared by all tests of all processes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use foretell_delivery::{Failure, Invocation, Outcome};
use foretell_functions::{App, AppOptions};
use foretell_storage::Account;
use foretell_types::{Instant, Position, RecordedEvent, Timestamp, cloudevents};
use tempfile::TempDir;

pub struct TestApp {
    pub app: App,
    pub storage: Account,
    /// Removed with the app.
    _dir: TempDir,
}

pub fn app_dir(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/apps")
        .join(name)
}

/// Starts an app of `tests/apps`, or any folder by its absolute path.
pub fn start(name: &str) -> TestApp {
    start_with(name, |_| {})
}

pub fn start_with(name: &str, change: impl FnOnce(&mut AppOptions)) -> TestApp {
    let dir = tempfile::tempdir().unwrap();
    let storage = Account::local(&dir.path().join("storage")).unwrap();
    let work_dir = dir.path().join("work");
    let mut options = AppOptions::new("test", app_dir(name), work_dir, storage.clone());
    options.venv_cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("venvs"));
    change(&mut options);
    TestApp {
        app: App::start(options),
        storage,
        _dir: dir,
    }
}

/// The n-th event, with this data.
pub fn invocation(number: u64, data: &str) -> Invocation {
    let json = format!(
        r#"{{"specversion":"1.0","id":"e-{number}","source":"/topics/shop","type":"purchase",
            "subject":"customer/{number}","time":"1997-01-12T00:00:00Z","data":{data}}}"#
    );
    let time = |text: &str| text.parse::<Timestamp>().unwrap().instant();
    Invocation {
        subscription: "shop/test".into(),
        topic: "shop".into(),
        event: Arc::new(RecordedEvent {
            event: cloudevents::from_json(json.as_bytes()).unwrap(),
            position: Position::new(number + 1).unwrap(),
            revision: None,
            recorded_time: Instant {
                seconds: 1_700_000_000,
                nanos: 0,
            },
            erased: false,
        }),
        id: uuid::Uuid::from_u128(u128::from(number)),
        attempts: 2,
        first_attempt: time("2024-02-03T04:05:06Z"),
        replayed: false,
    }
}

impl TestApp {
    pub async fn call(&self, function: &str, data: &str) -> Result<Outcome, Failure> {
        self.app.handler(function).handle(invocation(1, data)).await
    }

    /// Applies the blobs of an outcome, as the dispatcher does.
    pub async fn apply(&self, outcome: &Outcome) {
        for blob in &outcome.blobs {
            self.storage
                .put(&blob.container, &blob.name, blob.content.clone())
                .await
                .unwrap();
        }
    }

    /// All log messages about a function.
    pub fn messages(&self, function: &str) -> Vec<String> {
        let lines = self.app.logs(Some(function), 1_000);
        lines.into_iter().map(|line| line.message).collect()
    }
}
