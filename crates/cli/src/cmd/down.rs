use std::sync::Arc;

use clap::Args;

use crate::Globals;
use crate::client::Client;
use crate::output::Failure;
use crate::provision::{Program, Run, Running, Server, run};

#[derive(Args, Debug)]
pub struct Down {
    #[command(flatten)]
    program: Program,
    #[command(flatten)]
    running: Running,
    /// Delete the events of topics too, for good.
    #[arg(long, requires = "yes")]
    purge: bool,
    /// Don't ask: with --purge.
    #[arg(long)]
    yes: bool,
}

impl Down {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        self.program.find()?;
        let client = Client::connect(globals, false).await?;
        let server = Arc::new(Server::new(client));
        let what = Run::Down { purge: self.purge };
        let done = run(&self.program, &self.running, what, server.clone(), globals).await;
        if let Some(server) = Arc::into_inner(server) {
            server.close().await;
        }
        done
    }
}
