use std::fmt;

use serde::Serialize;

/// What an app is doing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Status {
    /// The virtual environment is being made, or the worker imports the app.
    Starting,
    Ready,
    /// The app can't be run: a requirement that can't be installed, an exception on import. It
    /// is tried again on the next invocation, after a waiting time.
    Failed {
        reason: String,
    },
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Status::Starting => f.write_str("starting"),
            Status::Ready => f.write_str("ready"),
            Status::Failed { reason } => write!(f, "failed: {reason}"),
            Status::Stopped => f.write_str("stopped"),
        }
    }
}

/// A function as `foretell function list` shows it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FunctionInfo {
    pub app: String,
    pub name: String,
    /// The type of its trigger: `eventGridTrigger`, `httpTrigger`, …
    pub trigger: String,
    /// As in `function.json`: direction, type, name, path, connection, …
    pub bindings: Vec<serde_json::Value>,
    pub script: String,
    pub is_async: bool,
    #[serde(flatten)]
    pub status: FunctionStatus,
}

/// Whether a function can be invoked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum FunctionStatus {
    Ready,
    /// Its invocations fail with this reason; other functions of the app are served.
    Failed {
        reason: String,
    },
}
