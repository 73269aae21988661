//! Reads the values that a projection needs out of an event, in one pass over its JSON and
//! without building a tree of it.

use memchr::memchr2;

use crate::input::Source;
use crate::{Input, Scalar, Step};

/// The inputs of a projection, arranged for reading.
#[derive(Clone, Debug, Default)]
pub struct Extractor {
    plain: Vec<(usize, Input)>,
    root: Node,
    inputs: usize,
}

/// The steps that lead on from one place of the JSON.
#[derive(Clone, Debug, Default)]
struct Node {
    /// The inputs that are this place.
    inputs: Vec<usize>,
    members: Vec<(String, Node)>,
    elements: Vec<(usize, Node)>,
}

impl Node {
    fn child(&mut self, step: &Step) -> &mut Node {
        match step {
            Step::Member(name) => child(&mut self.members, name),
            Step::Element(index) => child(&mut self.elements, index),
        }
    }

    fn is_leaf(&self) -> bool {
        self.members.is_empty() && self.elements.is_empty()
    }

    /// All inputs at and below.
    fn visit(&self, visit: &mut dyn FnMut(usize)) {
        self.inputs.iter().for_each(|input| visit(*input));
        self.members.iter().for_each(|(_, node)| node.visit(visit));
        self.elements.iter().for_each(|(_, node)| node.visit(visit));
    }
}

fn child<'n, K: PartialEq + Clone>(children: &'n mut Vec<(K, Node)>, key: &K) -> &'n mut Node {
    let index = match children.iter().position(|(there, _)| there == key) {
        Some(index) => index,
        None => {
            children.push((key.clone(), Node::default()));
            children.len() - 1
        }
    };
    &mut children[index].1
}

impl Extractor {
    pub fn new(inputs: &[Input]) -> Extractor {
        let mut extractor = Extractor {
            inputs: inputs.len(),
            ..Extractor::default()
        };
        for (index, input) in inputs.iter().enumerate() {
            match input {
                Input::Data(steps) => steps
                    .iter()
                    .fold(&mut extractor.root, |node, step| node.child(step))
                    .inputs
                    .push(index),
                plain => extractor.plain.push((index, plain.clone())),
            }
        }
        extractor
    }

    /// Reads the inputs of an event into `values`, which then has one for each; what isn't there
    /// is null.
    pub fn read<'e>(&self, event: &'e (impl Source + ?Sized), values: &mut Vec<Scalar<'e>>) {
        values.clear();
        values.resize(self.inputs, Scalar::Null);
        for (index, input) in &self.plain {
            values[*index] = match input {
                Input::Time => Scalar::Time(event.time()),
                Input::Attribute(name) => event.attribute(name),
                Input::Event => event
                    .event()
                    .map_or(Scalar::Null, |text| Scalar::Json(text.into())),
                Input::Data(_) => Scalar::Null,
            };
        }
        let wanted = !(self.root.is_leaf() && self.root.inputs.is_empty());
        if let Some(text) = event.json().filter(|_| wanted) {
            read_json(&self.root, text, values);
        }
    }
}

/// The value at the end of some steps into JSON text.
pub fn at_steps<'e>(text: &'e str, steps: &[Step]) -> Scalar<'e> {
    let mut root = Node::default();
    let node = steps.iter().fold(&mut root, |node, step| node.child(step));
    node.inputs.push(0);
    let mut values = vec![Scalar::Null];
    read_json(&root, text, &mut values);
    values.pop().unwrap_or_default()
}

fn read_json<'e>(root: &Node, text: &'e str, values: &mut [Scalar<'e>]) {
    let mut scanner = Scanner { text, at: 0 };
    scanner.read(root, values);
}

struct Scanner<'e> {
    text: &'e str,
    at: usize,
}

impl<'e> Scanner<'e> {
    /// Reads the value that begins here. Ends after it; at the end of the text if that is cut
    /// short, which the text of an event never is.
    fn read(&mut self, node: &Node, values: &mut [Scalar<'e>]) {
        let start = self.at;
        match self.peek() {
            b'{' if !node.is_leaf() => self.read_object(node, values),
            b'[' if !node.is_leaf() => self.read_array(node, values),
            _ => self.skip(),
        }
        for input in &node.inputs {
            let text = self.text.get(start..self.at).unwrap_or("");
            values[*input] = Scalar::from_json(text);
        }
    }

    fn read_object(&mut self, node: &Node, values: &mut [Scalar<'e>]) {
        self.at += 1;
        while self.peek() == b'"' {
            let start = self.at;
            self.skip_string();
            let quoted = self.text.get(start..self.at).unwrap_or("");
            // The colon.
            self.at += 1;
            match member(node, quoted) {
                Some(next) => {
                    // Of a key that is there twice, the last counts, and nothing of the first.
                    next.visit(&mut |input| values[input] = Scalar::Null);
                    self.read(next, values);
                }
                None => self.skip(),
            }
            if self.peek() == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
    }

    fn read_array(&mut self, node: &Node, values: &mut [Scalar<'e>]) {
        self.at += 1;
        let mut index = 0;
        while self.peek() != b']' {
            let start = self.at;
            match node.elements.iter().find(|(at, _)| *at == index) {
                Some((_, next)) => self.read(next, values),
                None => self.skip(),
            }
            if self.at == start {
                // No value: this is no JSON.
                return;
            }
            index += 1;
            if self.peek() == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
    }

    /// The byte here; zero at the end.
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn skip(&mut self) {
        match self.peek() {
            b'"' => self.skip_string(),
            b'{' | b'[' => self.skip_nested(),
            _ => {
                let rest = &self.text.as_bytes()[self.at.min(self.text.len())..];
                let length = rest
                    .iter()
                    .position(|byte| matches!(byte, b',' | b'}' | b']'));
                self.at += length.unwrap_or(rest.len());
            }
        }
    }

    fn skip_string(&mut self) {
        self.at += 1;
        let bytes = self.text.as_bytes();
        while self.at < bytes.len() {
            match memchr2(b'"', b'\\', &bytes[self.at..]) {
                Some(found) if bytes[self.at + found] == b'"' => {
                    self.at += found + 1;
                    return;
                }
                Some(found) => self.at += found + 2,
                None => self.at = bytes.len(),
            }
        }
    }

    fn skip_nested(&mut self) {
        let mut open = 0usize;
        while self.at < self.text.len() {
            match self.peek() {
                b'"' => {
                    self.skip_string();
                    continue;
                }
                b'{' | b'[' => open += 1,
                b'}' | b']' => open = open.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                return;
            }
        }
    }
}

/// Where a quoted key leads.
fn member<'n>(node: &'n Node, quoted: &str) -> Option<&'n Node> {
    let inner = quoted.get(1..quoted.len().saturating_sub(1))?;
    let unescaped;
    let key = if inner.contains('\\') {
        unescaped = serde_json::from_str::<String>(quoted).ok()?;
        &unescaped
    } else {
        inner
    };
    node.members
        .iter()
        .find(|(name, _)| name == key)
        .map(|(_, next)| next)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn member(name: &str) -> Step {
        Step::Member(name.to_owned())
    }

    #[test]
    fn finds_what_is_there() {
        let text = r#"{"a":{"b":[1,{"c":"x"},[]],"a":{}},"é\n":true,"z":"}\"","n":-1.5e3}"#;
        for (steps, expected) in [
            (vec![member("a"), member("b"), Step::Element(0)], "1"),
            (
                vec![member("a"), member("b"), Step::Element(1), member("c")],
                "\"x\"",
            ),
            (vec![member("a"), member("b"), Step::Element(2)], "[]"),
            (vec![member("a"), member("b"), Step::Element(3)], "null"),
            (vec![member("a"), member("a")], "{}"),
            (vec![member("é\n")], "true"),
            (vec![member("z")], r#""}\"""#),
            (vec![member("n")], "-1500.0"),
            (vec![member("a"), Step::Element(0)], "null"),
            (vec![], text),
        ] {
            assert_eq!(at_steps(text, &steps).to_json(), expected, "{steps:?}");
        }
        // The last of two, and nothing of the first.
        assert_eq!(
            at_steps(r#"{"a":{"b":1},"a":{"c":2}}"#, &[member("a"), member("b")]),
            Scalar::Null
        );
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[\\PC\"\\\\{}\\[\\],:]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c\"\\\\]{1,2}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        prop::collection::vec(
            prop_oneof![
                "[a-c\"\\\\]{1,2}".prop_map(Step::Member),
                (0usize..3).prop_map(Step::Element)
            ],
            0..4,
        )
    }

    proptest! {
        #[test]
        fn several_paths_in_one_pass_are_as_in_the_tree(value in json(), paths in prop::collection::vec(steps(), 1..4)) {
            let text = value.to_string();
            let inputs: Vec<Input> = paths.iter().cloned().map(Input::Data).collect();
            let event = foretell_types::RecordedEvent {
                event: foretell_types::NewEvent { data: foretell_types::Data::json(text), ..Default::default() },
                position: foretell_types::Position::FIRST,
                revision: None,
                recorded_time: foretell_types::Instant::from_nanos(0),
                erased: false,
            };
            let mut values = Vec::new();
            Extractor::new(&inputs).read(&event, &mut values);
            for (steps, found) in paths.iter().zip(values) {
                let expected = steps.iter().try_fold(&value, |value, step| match step {
                    Step::Member(name) => value.as_object()?.get(name),
                    Step::Element(index) => value.as_array()?.get(*index),
                });
                let expected = expected.cloned().unwrap_or_default();
                prop_assert_eq!(serde_json::from_str::<Value>(&found.to_json()).unwrap(), expected);
            }
        }

        #[test]
        fn any_text_is_read_without_panic(text in "[{}\\[\\]\",:a1\\\\é]{0,20}", steps in steps()) {
            let _ = at_steps(&text, &steps);
        }
    }
}
