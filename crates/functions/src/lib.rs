//! Functions: an unmodified Azure Functions app (Python, v2 programming model) becomes
//! [`Handler`](foretell_delivery::Handler)s.
//!
//! An [`App`] is a folder with `function_app.py`. It gets a virtual environment of its own, a
//! worker process that speaks a small protocol over pipes, and the bindings of Azure Functions:
//! an Event Grid trigger, blob inputs, and blobs and events as outputs. Nothing here writes to the
//! log or to storage: what a function returned is the [`Outcome`](foretell_delivery::Outcome)
//! that the dispatcher applies.
//!
//! Code of the user never fails [`App::start`]: an app that can't be run is in the state
//! [`Status::Failed`], says why, and is tried again.
//!
//! ```no_run
//! # async fn example(event: &[u8], now: foretell_types::Instant) -> foretell_types::Result<()> {
//! use foretell_functions::{App, AppOptions};
//!
//! let storage = foretell_storage::Account::local("data/storage".as_ref())?;
//! let app = App::start(AppOptions::new("shop", "functions/shop", "data/functions/shop", storage));
//! println!("{:?}", app.started().await);
//! println!("{:?}", app.invoke("classify", event, now).await);
//! app.stop().await;
//! # Ok(())
//! # }
//! ```

mod app;
mod backoff;
mod bindings;
mod calls;
mod datetime;
mod expression;
mod handler;
mod info;
mod interpreter;
mod limits;
mod logs;
mod logs_file;
mod options;
mod outputs;
mod pipes;
mod plan;
mod process;
mod requirements;
mod runtime;
mod settings;
mod slot;
mod venv;
mod wire;
mod worker;

pub use app::App;
pub use info::{FunctionInfo, FunctionStatus, Status};
pub use logs::{Level, LogLine};
pub use logs_file::read_logs;
pub use options::AppOptions;
pub use venv::environment;
