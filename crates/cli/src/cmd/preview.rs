use clap::Args;
use foretell_types::Error;

use crate::Globals;
use crate::client::Client;
use crate::output::Failure;
use crate::provision::{Program, Run, Running, run};

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
        let client = match Client::running(globals).await? {
            Some(client) => client,
            None if globals.data.exists() => Client::connect(globals, false).await?,
            None => return self.of_nothing(globals).await,
        };
        self.show(client, globals).await
    }

    /// What is previewed without a data directory isn't the beginning of one.
    async fn of_nothing(&self, globals: &Globals) -> Result<(), Failure> {
        let empty = tempfile::tempdir()
            .map_err(|error| Error::io("can't make a temporary directory", error))?;
        let data = empty.path().to_owned();
        let empty_globals = Globals {
            data,
            ..globals.clone()
        };
        let client = Client::connect(&empty_globals, true).await?;
        self.show(client, globals).await
    }

    async fn show(&self, client: Client, globals: &Globals) -> Result<(), Failure> {
        run(&self.program, &self.running, Run::Preview, client, globals).await
    }
}
