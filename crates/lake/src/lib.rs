//! Columns: training sets that are correct at every instant, out of Parquet files or of the
//! columns of a log. The kernels are those that serve a projection's state.

mod asks;
mod batch;
mod build;
mod cache;
mod dataset;
mod describe;
mod events;
mod extract;
mod files;
mod fold;
mod group;
mod key;
mod labels;
mod manifest;
mod output;
mod partial;
mod partition;
mod piece;
mod plan;
mod rows;
mod source;
mod states;
mod sweep;
mod table;
mod threads;
mod time;
mod topic;
mod typed;
mod values;
mod write;

pub use cache::ColumnCache;
pub use dataset::{LogBuild, LogColumns, SchemaColumn};
pub use describe::{ColumnDescription, Description, Distribution, Leak};
pub use events::EventsToArrow;
pub use files::{Built, Files};
pub use fold::Progress;
pub use manifest::{
    Chain, Counts, Manifest, Origin, TableCounts, TableFile, TablesManifest, Text, TopicHead,
};
pub use output::arrow_type;
pub use partial::Partial;
pub use partition::{check_columns, check_place, place};
pub use states::states_to_arrow;
pub use topic::{LogRow, Topic};
