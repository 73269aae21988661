use foretell_log::Append;
use foretell_types::{Error, ErrorKind, NewEvent, Result};

use super::Node;

impl Node {
    /// How many rows of an import are in the topic.
    pub fn imported_rows(&self, topic: &str, import: &str) -> Result<u64> {
        check_import_id(import)?;
        let Some(value) = self.log.register(&register(topic, import)) else {
            return Ok(0);
        };
        std::str::from_utf8(&value)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Damaged,
                    format!("the progress of import {import} is malformed"),
                )
            })
    }

    /// Appends the next rows of an import, in one commit with its progress: an import that is
    /// repeated or goes on after a crash doubles nothing, however old its rows are. Gives the
    /// number of rows that are in the topic then.
    pub async fn import(
        &self,
        topic: &str,
        import: &str,
        first_row: u64,
        events: Vec<NewEvent>,
    ) -> Result<u64> {
        let _one_at_a_time = self.change().await?;
        let done = self.imported_rows(topic, import)?;
        if first_row > done {
            return Err(Error::invalid(format!(
                "the import has {done} rows: row {first_row} can't be the next"
            )));
        }
        let total = first_row + events.len() as u64;
        let new: Vec<NewEvent> = events
            .into_iter()
            .skip((done - first_row) as usize)
            .collect();
        if new.is_empty() {
            return Ok(done);
        }
        let progress = total.to_string().into_bytes();
        let append = Append::new()
            .events(topic, new)
            .register(register(topic, import), Some(progress));
        self.log.append(append)?.await?;
        Ok(total)
    }
}

fn register(topic: &str, import: &str) -> String {
    format!("import/{topic}/{}", import.to_ascii_lowercase())
}

fn check_import_id(import: &str) -> Result<()> {
    if import.len() == 64 && import.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{import:?} is not the id of an import: 64 hexadecimal digits are expected"
    )))
}
