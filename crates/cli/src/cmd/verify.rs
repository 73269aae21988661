use std::path::PathBuf;

use clap::Args;
use foretell_types::Error;

use crate::Globals;
use crate::client::{Client, Request};
use crate::output::{Failure, count, line};

#[derive(Args, Debug)]
pub struct Verify {
    /// Write the root, signed, to this file: `foretell prove --check` can go by it later.
    #[arg(long, value_name = "FILE")]
    signed_root: Option<PathBuf>,
}

impl Verify {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let client = Client::connect(globals, false).await?;
        let found = client.follow(Request::post("/verify")).await;
        client.close().await;
        let found = found?;
        if let Some(file) = &self.signed_root {
            std::fs::write(file, format!("{:#}\n", found["signed"])).map_err(|error| {
                Error::io(format_args!("can't write {}", file.display()), error)
            })?;
        }
        if globals.json {
            return line(&found.to_string());
        }
        let number = |name: &str| count(found[name].as_u64().unwrap_or(0));
        line(&format!(
            "sound: {} events of {} topics (the product's own included) in {} commits, {} frames",
            number("events"),
            number("topics"),
            number("commits"),
            number("frames")
        ))?;
        line(&format!("root {}", found["root"].as_str().unwrap_or("")))
    }
}
