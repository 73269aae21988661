use clap::Args;

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
        let client = Client::connect(globals, true).await?;
        run(&self.program, &self.running, Run::Preview, client, globals).await
    }
}
