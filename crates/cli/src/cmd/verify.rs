use std::path::PathBuf;

use clap::Args;
use foretell_types::{Error, ErrorKind};

use crate::Globals;
use crate::client::{Client, Request};
use crate::output::{Failure, count, line, note};
use crate::root;

#[derive(Args, Debug)]
pub struct Verify {
    /// Write the root, signed, to this file: `--root` can go by it later, here and for `prove`.
    #[arg(long, value_name = "FILE")]
    signed_root: Option<PathBuf>,
    /// Check that the log still holds what it held when the root in this file was signed.
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// The public key that this root must be signed with.
    #[arg(long, value_name = "KEY", requires = "root")]
    public_key: Option<String>,
}

impl Verify {
    pub async fn run(self, globals: &Globals) -> Result<(), Failure> {
        let earlier = self.root.as_deref();
        let earlier = earlier.map(|file| root::signed(file, self.public_key.as_deref()));
        let earlier = earlier.transpose()?;
        let since = earlier.as_ref().map_or(String::new(), root::parameters);
        let client = Client::connect(globals, false).await?;
        let path = format!("/verify{since}");
        let found = client.follow(Request::post(path)).await;
        client.close().await;
        let found = found?;
        if let Some(earlier) = &earlier
            && found["held"] != earlier.leaves
        {
            let message = "the server is older and doesn't check roots: use a newer one";
            return Err(Error::new(ErrorKind::NewerFormat, message).into());
        }
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
        if let Some(earlier) = earlier {
            line(&format!(
                "holds what it held at {}: {} frames",
                earlier.time,
                count(earlier.leaves)
            ))?;
        }
        line(&format!("root {}", found["root"].as_str().unwrap_or("")))?;
        let cut = found["cut"].as_array().into_iter().flatten();
        for file in cut.filter_map(|file| file.as_str()) {
            note(&format!(
                "an end of the journal was cut off, and is kept in {file}: it was never acknowledged, unless the disk lost some of it"
            ));
        }
        Ok(())
    }
}
