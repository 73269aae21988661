//! `foretell demo`: the main job on real input, in one command.

mod events;
mod files;
mod steps;

use std::path::PathBuf;

use clap::Args;
use foretell_server::{Application, Node, NodeOptions};
use foretell_types::Error;

use crate::Globals;
use crate::cmd::serve::stop_signal;
use crate::output::{Failure, line, note};

#[derive(Args, Debug)]
pub struct Demo {
    /// Leave the server up, and the data where it is.
    #[arg(long)]
    keep: bool,
    /// Where to listen; any free port by default.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen: String,
}

impl Demo {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let folder = tempfile::Builder::new()
            .prefix("foretell-demo-")
            .tempdir()
            .map_err(|error| Error::io("can't make a temporary folder", error))?;
        let app = folder.path().join("app");
        files::write(&app)?;
        let mut application = Application::read(&app)?;
        application.venv_cache = Some(venv_cache());
        let data = folder.path().join("data");
        let options = NodeOptions {
            data: data.clone(),
            application,
            deliver: true,
        };
        let node = Node::open(options).await?;
        let listening = foretell_server::listen(&node, self.listen.as_str()).await?;
        let url = listening.url();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(foretell_server::serve(node.clone(), listening, async {
            let _ = stopped.await;
        }));
        let interrupted = stop_signal()?;
        tokio::pin!(interrupted);
        let shown = tokio::select! {
            shown = steps::run(&node, &url, &data, self.keep, globals.json) => shown,
            () = &mut interrupted => Err(Error::unavailable("the demo was interrupted").into()),
        };
        if shown.is_ok() && self.keep {
            if !globals.json {
                line(&format!(
                    "\nThe server stays up at {url}: stop it with Ctrl-C."
                ))?;
            }
            interrupted.await;
            let kept = folder.keep();
            if !globals.json {
                line(&format!("The data stays in {}.", kept.display()))?;
            }
        }
        if !self.keep && !globals.json {
            note("(removing the temporary data; --keep leaves it)");
        }
        let _ = stop.send(());
        serving
            .await
            .map_err(|error| Error::unavailable(error.to_string()))??;
        shown
    }
}

/// Virtual environments outlive the demo, so that the next one begins at once.
fn venv_cache() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    cache
        .or_else(home)
        .unwrap_or_else(std::env::temp_dir)
        .join("foretell")
        .join("venvs")
}
