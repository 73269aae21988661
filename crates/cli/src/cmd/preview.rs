use std::sync::Arc;

use clap::Args;

use crate::Globals;
use crate::client::Client;
use crate::output::Failure;
use crate::provision::{Program, Run, Running, Server, run};

#[derive(Args, Debug)]
pub struct Preview {
    #[command(flatten)]
    program: Program,
    #[command(flatten)]
    running: Running,
}

impl Preview {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        self.program.find()?;
        let client = Client::connect(globals, true).await?;
        let server = Arc::new(Server::new(client));
        let done = run(
            &self.program,
            &self.running,
            Run::Preview,
            server.clone(),
            globals,
        )
        .await;
        if let Some(server) = Arc::into_inner(server) {
            server.close().await;
        }
        done
    }
}
