use serde::{Deserialize, Serialize};

use crate::{Program, Scalar};

/// The state of a function, as JSON text, or why there is none any more.
///
/// A call that fails leaves no state: what a fold has to say of all events it can't say of some of
/// them. So it stays failed, whatever comes; what was before the event is still to be had.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Folded {
    state: Option<Box<str>>,
    failed: Option<Box<str>>,
}

impl Folded {
    /// Takes an event in, as JSON text.
    pub fn lift(&mut self, program: &Program, event: &str) {
        if self.failed.is_some() {
            return;
        }
        match program.fold(self.state.as_deref(), event) {
            Ok(state) => self.state = state.map(String::into_boxed_str),
            Err(why) => {
                *self = Folded {
                    state: None,
                    failed: Some(why.into()),
                }
            }
        }
    }

    pub fn finish(&self) -> Scalar<'static> {
        match &self.state {
            Some(state) => Scalar::from_json(state).into_owned(),
            None => Scalar::Null,
        }
    }

    pub fn failure(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    pub(super) fn bytes(&self) -> usize {
        let texts = self.state.iter().chain(&self.failed);
        texts.map(|text| text.len()).sum()
    }
}
