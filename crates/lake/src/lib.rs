//! Columns: training sets that are correct at every instant, out of Parquet files or of the
//! log's own columns. The kernels are those that serve a projection's state.

mod asks;
mod batch;
mod describe;
mod files;
mod fold;
mod group;
mod key;
mod labels;
mod output;
mod piece;
mod plan;
mod source;
mod sweep;
mod table;
mod threads;
mod time;
mod values;
mod write;

pub use describe::{ColumnDescription, Description, Distribution, Leak};
pub use files::{Built, Files};
pub use fold::Progress;
