use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Kernel, Window};
use crate::Scalar;

/// A kernel behind a window that slides: it keeps what must be removed one day.
///
/// Each value bears a mark, which never decreases: its time, or its number. Sliding to a floor
/// removes the values whose marks are at most that.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Frame<K: Kernel> {
    whole: K,
    kept: VecDeque<(i64, K::Value)>,
}

impl<K: Kernel> Default for Frame<K> {
    fn default() -> Frame<K> {
        Frame {
            whole: K::default(),
            kept: VecDeque::new(),
        }
    }
}

impl<K: Kernel> Frame<K> {
    pub fn lift(&mut self, window: Window, mark: i64, value: K::Value) {
        self.whole.lift(&value);
        if matches!(window, Window::Range(_) | Window::Rows(_)) {
            self.kept.push_back((mark, value));
        }
    }

    pub fn slide(&mut self, floor: i64) {
        while let Some((mark, value)) = self.kept.front()
            && *mark <= floor
        {
            self.whole.remove(value);
            self.kept.pop_front();
        }
    }

    /// The kernel, to lift a value into that no window will remove.
    pub(super) fn whole_mut(&mut self) -> &mut K {
        &mut self.whole
    }

    pub fn whole(&self) -> &K {
        &self.whole
    }

    pub fn finish(&self) -> Scalar<'static> {
        self.whole.finish()
    }

    pub(super) fn near(&self) -> u64 {
        let mark = |kept: Option<&(i64, K::Value)>| kept.map_or(0, |(mark, _)| *mark as u64);
        mark(self.kept.front()) ^ mark(self.kept.back()) ^ self.whole.near()
    }

    pub(super) fn kept_bytes(&self) -> usize {
        self.kept.capacity() * size_of::<(i64, K::Value)>()
    }
}
