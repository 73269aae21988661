use std::path::{self, Path, PathBuf};

use clap::Args;
use foretell_server::{Application, ListenOptions, Node, NodeOptions};
use foretell_types::{Error, ErrorKind, Result};
use serde_json::json;

use crate::Globals;
use crate::output::{Failure, line, note};

#[derive(Args, Debug)]
pub struct Serve {
    /// The application directory: foretell.toml, functions/NAME. Without it, the current
    /// directory if it has a foretell.toml.
    app_dir: Option<PathBuf>,
    /// Where to listen. Port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:4077", value_name = "ADDRESS")]
    listen: String,
    /// Speak https in place of http: with the certificate that `tls` below [access] in
    /// foretell.toml names, or else with a development certificate for localhost, 127.0.0.1 and
    /// ::1. It is signed by an authority that the first run makes in the data directory.
    #[arg(long)]
    tls: bool,
}

impl Serve {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        if globals.server.is_some() {
            return Err(Failure::Usage(
                "--server is for clients: a server takes --data".to_owned(),
            ));
        }
        raise_file_limit();
        let mut application = match &self.app_dir {
            Some(folder) => Application::read(folder)?,
            None if Path::new("foretell.toml").exists() => Application::read(Path::new("."))?,
            None => Application::none(),
        };
        let endpoint = std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT").ok();
        application.otlp_endpoint = endpoint.filter(|endpoint| !endpoint.is_empty());
        let options = NodeOptions {
            data: globals.data.clone(),
            application,
            deliver: true,
        };
        let node = Node::open(options)
            .await
            .map_err(|error| match error.kind() {
                ErrorKind::Fenced => Error::new(
                    ErrorKind::Fenced,
                    format!("{error}: stop that one, or serve another directory with --data"),
                ),
                _ => error,
            })?;
        let options = ListenOptions {
            address: self.listen,
            tls: self.tls,
        };
        let listening = match foretell_server::listen(&node, options).await {
            Ok(listening) => listening,
            Err(error) => {
                node.close().await;
                return Err(error.into());
            }
        };
        let url = listening.url();
        let authority = listening.authority().map(path::absolute).transpose();
        let authority = authority.map_err(|error| Error::io("where this folder is", error))?;
        // Who reads where it listens may stop it at once.
        let stop = stop_signal()?;
        if globals.json {
            let mut told =
                json!({ "url": url, "data": globals.data, "process": std::process::id() });
            if let Some(ca) = &authority {
                told["ca"] = json!(ca);
            }
            line(&told.to_string())?;
        } else {
            line(&format!(
                "foretell serves {} at {url}",
                globals.data.display()
            ))?;
            if let Some(ca) = &authority {
                note(&format!(
                    "with a development certificate: let clients trust {}",
                    ca.display()
                ));
            }
            note("stop it with Ctrl-C");
        }
        foretell_server::serve(node, listening, stop).await?;
        if !globals.json {
            note("stopped; everything accepted is durable");
        }
        Ok(())
    }
}

/// Takes as many open files as the system lets this process have: each segment and each
/// connection is one.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files can't be raised");
    }
}

/// Ready at the first SIGINT or SIGTERM.
pub fn stop_signal() -> Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error| Error::io("can't wait for signals", error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
