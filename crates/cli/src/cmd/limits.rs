use clap::Args;
use foretell_types::limits::ALL;
use serde_json::json;

use crate::Globals;
use crate::output::{Failure, count, line, table};

#[derive(Args, Debug)]
pub struct Limits {}

impl Limits {
    pub fn run(self, globals: &Globals) -> Result<(), Failure> {
        if globals.json {
            let limits: Vec<_> = ALL
                .iter()
                .map(|limit| json!({ "name": limit.name, "value": limit.value, "unit": limit.unit, "about": limit.about.trim(), "service": limit.service }))
                .collect();
            return line(&json!(limits).to_string());
        }
        let rows: Vec<_> = ALL
            .iter()
            .map(|limit| {
                let value = format!("{} {}", count(limit.value), limit.unit);
                vec![
                    limit.name.to_lowercase(),
                    value,
                    limit.service.map_or_else(String::new, count),
                    limit.about.trim().to_owned(),
                ]
            })
            .collect();
        table(&["NAME", "LIMIT", "SERVICE", "ABOUT"], &rows)
    }
}
