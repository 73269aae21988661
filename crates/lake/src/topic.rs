use foretell_state::Source;
use foretell_types::Result;

/// A topic of a log, as far as columns are made of it.
///
/// **What it gives at a position never changes while its identity stays the same.** So columns of
/// a range of positions are made once.
pub trait Topic: Sync {
    fn name(&self) -> &str;

    /// A name for a folder: another one if the topic was made anew, or some of it was erased.
    fn identity(&self) -> String;

    /// Gives the events at these positions, both inclusive, in their order.
    fn read(
        &self,
        from: u64,
        until: u64,
        take: &mut dyn FnMut(&LogRow<'_>) -> Result<()>,
    ) -> Result<()>;
}

/// An event of a topic on its way into columns. Times are nanoseconds since the epoch.
#[derive(Clone, Copy)]
pub struct LogRow<'a> {
    pub position: u64,
    /// When the log recorded it.
    pub recorded: i64,
    /// When it became known, where the import of it said so.
    pub declared: Option<i64>,
    /// Its data is gone.
    pub erased: bool,
    pub event: &'a dyn Source,
}

impl std::fmt::Debug for LogRow<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogRow({})", self.position)
    }
}
