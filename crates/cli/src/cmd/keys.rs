use clap::Args;
use foretell_types::Error;
use serde_json::json;

use crate::Globals;
use crate::output::{Failure, line};

#[derive(Args, Debug)]
pub struct Keys {}

impl Keys {
    pub fn run(self, globals: &Globals) -> Result<(), Failure> {
        let key = foretell_server::admin_key(&globals.data)?.ok_or_else(|| {
            Error::not_found(format!(
                "data directory {} has no keys yet: they are made on the first start",
                globals.data.display()
            ))
        })?;
        if globals.json {
            return line(&json!({ "admin": key.as_str() }).to_string());
        }
        line(key.as_str())
    }
}
