//! States of many keys as a stream of Arrow.

use std::sync::Arc;

use arrow_array::{ArrayRef, LargeStringArray, RecordBatch};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, Field, Schema};
use foretell_state::{Definition, Scalar};
use foretell_types::{Error, Result};

use crate::extract::KEY;
use crate::output::array;

/// The keys, then the columns of the definition, typed as those of a dataset; null where nothing
/// was known. One record batch in the streaming format of Arrow's IPC.
pub fn states_to_arrow(
    definition: &Definition,
    rows: &[(String, Option<Vec<Scalar<'static>>>)],
) -> Result<Vec<u8>> {
    let keys: ArrayRef = Arc::new(LargeStringArray::from_iter_values(
        rows.iter().map(|(key, _)| key),
    ));
    let mut fields = vec![Field::new(KEY, keys.data_type().clone(), false)];
    let mut columns = vec![keys];
    let outputs = definition.outputs.iter().zip(definition.types());
    for (index, (output, value_type)) in outputs.enumerate() {
        let name = &output.name;
        if name == KEY {
            return Err(Error::invalid(format!(
                "there is a column {name:?} already: give the projection's another name with AS"
            )));
        }
        let value = |values: &Option<Vec<Scalar<'static>>>| {
            let value = values.as_ref().and_then(|values| values.get(index));
            value.cloned().unwrap_or_default()
        };
        let values: Vec<Scalar<'_>> = rows.iter().map(|(_, values)| value(values)).collect();
        let column = array(&values, value_type)
            .map_err(|error| error.context(format_args!("column {name:?}")))?;
        fields.push(Field::new(name, column.data_type().clone(), true));
        columns.push(column);
    }
    let written = || -> Result<Vec<u8>, ArrowError> {
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(schema.clone(), columns)?;
        let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
        writer.write(&batch)?;
        writer.into_inner()
    };
    written().map_err(|error| Error::invalid(format!("the states as Arrow: {error}")))
}
