use serde::{Deserialize, Serialize};

use super::{
    Approximate, Average, Count, Decayed, Deviation, Distinct, Folded, Frame, Function, Kept,
    Ordered, Sum, Window,
};
use crate::Scalar;

/// What one aggregate keeps of the events of one key. Times are nanoseconds since the epoch; they
/// never decrease from one lift to the next.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Slot {
    body: Body,
    /// Values lifted, of this session if there are sessions.
    seen: u64,
    /// The time of the last one.
    last: i64,
    /// Values that had to be numbers and were none: they count as null.
    pub not_numbers: u64,
}

/// The large ones lie apart, so that the small ones stay small: there is one for each aggregate of
/// each key.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Body {
    Count(Frame<Count>),
    Sum(Box<Frame<Sum>>),
    Average(Box<Frame<Average>>),
    Deviation(Box<Frame<Deviation>>),
    Distinct(Box<Frame<Distinct>>),
    Approximate(Approximate),
    Ordered(Ordered),
    Decayed(Decayed),
    Folded(Folded),
}

impl Body {
    fn new(function: &Function) -> Body {
        match function {
            Function::Count => Body::Count(Frame::default()),
            Function::Sum => Body::Sum(Box::default()),
            Function::Average => Body::Average(Box::default()),
            Function::Deviation => Body::Deviation(Box::default()),
            Function::CountDistinct | Function::Mode => Body::Distinct(Box::default()),
            Function::ApproximateDistinct => Body::Approximate(Approximate::default()),
            Function::DecayedSum(_) | Function::DecayedCount(_) => {
                Body::Decayed(Decayed::default())
            }
            Function::Fold(_) => Body::Folded(Folded::default()),
            _ => Body::Ordered(Ordered::default()),
        }
    }
}

impl Slot {
    pub fn new(function: &Function) -> Slot {
        Slot {
            body: Body::new(function),
            seen: 0,
            last: 0,
            not_numbers: 0,
        }
    }

    /// Takes in the value that the aggregate's argument has in an event that passes its filter.
    /// Nulls are ignored; without an argument the value is anything but null.
    pub fn lift(&mut self, function: &Function, window: Window, at: i64, value: &Scalar<'_>) {
        if value.is_null() {
            return;
        }
        let number = function.is_numeric().then(|| value.as_number());
        if number == Some(None) {
            self.not_numbers += 1;
            return;
        }
        let number = number.flatten();
        self.enter(function, window, at);
        let mark = match window {
            Window::Rows(_) => self.seen as i64,
            _ => at,
        };
        match (&mut self.body, number) {
            (Body::Count(frame), _) => frame.lift(window, mark, ()),
            (Body::Sum(frame), Some(number)) => frame.lift(window, mark, number),
            (Body::Average(frame), Some(number)) => frame.lift(window, mark, number),
            (Body::Deviation(frame), Some(number)) => frame.lift(window, mark, number),
            (Body::Distinct(frame), _) => match window {
                Window::All | Window::Session(_) => frame.whole_mut().count(value),
                Window::Range(_) | Window::Rows(_) => {
                    frame.lift(window, mark, value.clone().into_owned());
                }
            },
            (Body::Approximate(registers), _) => registers.lift(value),
            (Body::Decayed(decayed), number) => {
                let (Function::DecayedSum(half_life) | Function::DecayedCount(half_life)) =
                    function
                else {
                    return;
                };
                decayed.lift(*half_life, at, number.map_or(1.0, crate::Number::as_f64));
            }
            (Body::Ordered(ordered), _) => {
                let time = Scalar::Time(at);
                let (kept, value) = match function {
                    Function::Min => (Kept::Min, value),
                    Function::Max => (Kept::Max, value),
                    Function::First => (Kept::First, value),
                    Function::SinceFirst(_) => (Kept::First, &time),
                    Function::SinceLast(_) => (Kept::Last(1), &time),
                    Function::NthLast(after) => (Kept::Last(*after + 1), value),
                    Function::Collect(count) => (Kept::Last(*count), value),
                    _ => (Kept::Last(1), value),
                };
                ordered.lift(kept, window, mark, value);
            }
            (Body::Folded(folded), _) => {
                if let (Function::Fold(program), Scalar::Json(event)) = (function, value) {
                    folded.lift(program, event);
                }
            }
            _ => {}
        }
        self.slide_to(window, at);
    }

    /// An event comes: its session is this one, or a new one.
    fn enter(&mut self, function: &Function, window: Window, at: i64) {
        if let Window::Session(gap) = window
            && self.seen > 0
            && at.saturating_sub(self.last) >= gap
        {
            self.body = Body::new(function);
            self.seen = 0;
        }
        self.seen += 1;
        self.last = at;
    }

    fn slide_to(&mut self, window: Window, at: i64) {
        let floor = match window {
            Window::Range(width) => at.saturating_sub(width),
            Window::Rows(count) => self.seen as i64 - count as i64,
            Window::All | Window::Session(_) => return,
        };
        match &mut self.body {
            Body::Count(frame) => frame.slide(floor),
            Body::Sum(frame) => frame.slide(floor),
            Body::Average(frame) => frame.slide(floor),
            Body::Deviation(frame) => frame.slide(floor),
            Body::Distinct(frame) => frame.slide(floor),
            Body::Ordered(ordered) => ordered.slide(floor),
            Body::Approximate(_) | Body::Decayed(_) | Body::Folded(_) => {}
        }
    }

    /// Why a function has no state any more.
    pub fn failure(&self) -> Option<&str> {
        match &self.body {
            Body::Folded(folded) => folded.failure(),
            _ => None,
        }
    }

    /// The aggregate's value at an instant. Moves the window there: what is lifted later must not
    /// be earlier.
    pub fn finish(&mut self, function: &Function, window: Window, at: i64) -> Scalar<'static> {
        if let Window::Session(gap) = window
            && self.seen > 0
            && at.saturating_sub(self.last) >= gap
        {
            self.body = Body::new(function);
            self.seen = 0;
        }
        self.slide_to(window, at);
        match &self.body {
            Body::Count(frame) => frame.finish(),
            Body::Sum(frame) => frame.finish(),
            Body::Average(frame) => frame.finish(),
            Body::Deviation(frame) => frame.finish(),
            Body::Distinct(frame) if *function == Function::Mode => frame.whole().mode(),
            Body::Distinct(frame) => frame.finish(),
            Body::Approximate(registers) => registers.finish(),
            Body::Decayed(decayed) => match function {
                Function::DecayedSum(half_life) | Function::DecayedCount(half_life) => {
                    decayed.finish(*half_life, at)
                }
                _ => Scalar::Null,
            },
            Body::Ordered(ordered) => finish_ordered(ordered, function, at),
            Body::Folded(folded) => folded.finish(),
        }
    }

    /// Reads something of its cache line.
    pub(crate) fn near(&self) -> u64 {
        self.seen
    }

    /// Reads something of each cache line that a lift writes beside its own.
    pub(crate) fn near_below(&self) -> u64 {
        match &self.body {
            Body::Count(frame) => frame.near(),
            Body::Sum(frame) => frame.near(),
            Body::Average(frame) => frame.near(),
            Body::Deviation(frame) => frame.near(),
            Body::Distinct(frame) => frame.near(),
            Body::Ordered(ordered) => ordered.near(),
            // Where it writes, the value's hash tells.
            Body::Approximate(_) | Body::Decayed(_) | Body::Folded(_) => 0,
        }
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        let kept = match &self.body {
            Body::Count(frame) => frame.kept_bytes(),
            Body::Sum(frame) => size_of_val(&**frame) + frame.kept_bytes(),
            Body::Average(frame) => size_of_val(&**frame) + frame.kept_bytes(),
            Body::Deviation(frame) => size_of_val(&**frame) + frame.kept_bytes(),
            Body::Distinct(frame) => {
                size_of_val(&**frame) + frame.kept_bytes() + frame.whole().bytes()
            }
            Body::Ordered(ordered) => ordered.kept_bytes(),
            Body::Approximate(registers) => registers.bytes(),
            Body::Decayed(_) => 0,
            Body::Folded(folded) => folded.bytes(),
        };
        size_of::<Slot>() + kept
    }
}

fn finish_ordered(ordered: &Ordered, function: &Function, at: i64) -> Scalar<'static> {
    let since = |time: Option<&Scalar<'_>>, unit: &super::TimeUnit| match time {
        Some(Scalar::Time(time)) => {
            let nanos = at.saturating_sub(*time);
            if unit.is_counted_whole() {
                Scalar::Int(i128::from(nanos.div_euclid(unit.nanos())))
            } else {
                Scalar::float(unit.of_nanos(nanos))
            }
        }
        _ => Scalar::Null,
    };
    match function {
        Function::SinceLast(unit) => since(ordered.nth_last(0), unit),
        Function::SinceFirst(unit) => since(ordered.front(), unit),
        Function::NthLast(after) => ordered.nth_last(*after).cloned().unwrap_or_default(),
        Function::Collect(_) => {
            let mut values = ordered.iter().peekable();
            if values.peek().is_none() {
                return Scalar::Null;
            }
            let mut out = String::from("[");
            for (index, value) in values.enumerate() {
                if index > 0 {
                    out.push(',');
                }
                value.write_json(&mut out);
            }
            out.push(']');
            Scalar::Json(out.into())
        }
        Function::Last => ordered.nth_last(0).cloned().unwrap_or_default(),
        _ => ordered.front().cloned().unwrap_or_default(),
    }
}
