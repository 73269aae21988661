use clap::Args;

use crate::Globals;
use crate::client::Client;
use crate::output::Failure;
use crate::provision::{Program, Run, Running, run};

#[derive(Args, Debug)]
pub struct Down {
    #[command(flatten)]
    program: Program,
    #[command(flatten)]
    running: Running,
    /// Delete the events of topics and the stack's configuration too, for good.
    #[arg(long, requires = "yes")]
    purge: bool,
    /// Don't ask: needed with --purge alone.
    #[arg(long, short)]
    yes: bool,
}

impl Down {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        self.program.find()?;
        let client = Client::connect(globals, false).await?;
        let what = Run::Down { purge: self.purge };
        run(&self.program, &self.running, what, client, globals).await
    }
}
