use clap::Args;
use foretell_server::{Application, ListenOptions, Node, NodeOptions};

use super::serve::stop_signal;
use crate::Globals;
use crate::client::Client;
use crate::output::{Failure, note};
use crate::provision::{Program, Run, Running, run};

#[derive(Args, Debug)]
pub struct Up {
    #[command(flatten)]
    program: Program,
    #[command(flatten)]
    running: Running,
    /// Don't run the program in a preview first.
    #[arg(long, short = 'f')]
    skip_preview: bool,
    /// Don't ask: nothing is asked in any case.
    #[arg(long, short)]
    yes: bool,
    /// Start a server on the data directory first, and stay with it.
    #[arg(long)]
    serve: bool,
    /// With --serve: where to listen. Port 0 takes any free one.
    #[arg(
        long,
        default_value = "127.0.0.1:4077",
        value_name = "ADDRESS",
        requires = "serve"
    )]
    listen: String,
}

impl Up {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        // Whatever is wrong with the folder, no data directory is made for it.
        self.program.find()?;
        if self.serve {
            return self.serve(globals).await;
        }
        let client = Client::connect(globals, true).await?;
        if client.url().is_none() && !globals.json {
            note(
                "no server holds the data directory: what is made runs once `foretell serve` does\n",
            );
        }
        self.up(client, globals).await
    }

    async fn up(&self, client: Client, globals: &Globals) -> Result<(), Failure> {
        let what = Run::Up {
            skip_preview: self.skip_preview,
        };
        run(&self.program, &self.running, what, client, globals).await
    }

    async fn serve(&self, globals: &Globals) -> Result<(), Failure> {
        if globals.server.is_some() {
            let message = "--serve starts a server on --data: --server names another".to_owned();
            return Err(Failure::Usage(message));
        }
        let node = Node::open(NodeOptions {
            data: globals.data.clone(),
            application: Application::none(),
            deliver: true,
        })
        .await?;
        let options = ListenOptions {
            address: self.listen.clone(),
            tls: false,
        };
        let listening = match foretell_server::listen(&node, options).await {
            Ok(listening) => listening,
            Err(error) => {
                node.close().await;
                return Err(error.into());
            }
        };
        let url = listening.url().to_string();
        let key = node.admin_key().as_str().to_owned();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let signal = stop_signal()?;
        let until = async move {
            tokio::select! {
                () = signal => {}
                // The sender is dropped where there is nothing to stay for.
                _ = stopped => {}
            }
        };
        let serving = tokio::spawn(foretell_server::serve(node, listening, until));
        let done = self.up(Client::remote(&url, Some(key))?, globals).await;
        match &done {
            Ok(()) => {
                if !globals.json {
                    note(&format!(
                        "\nforetell serves {} at {url}; stop it with Ctrl-C",
                        globals.data.display()
                    ));
                }
            }
            Err(_) => drop(stop.send(())),
        }
        let served = serving.await;
        served.map_err(|error| {
            foretell_types::Error::unavailable(format!("the server ended: {error}"))
        })??;
        done
    }
}
