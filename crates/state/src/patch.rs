//! JSON text split into objects and everything else. What is no object keeps its text, so that a
//! number stays as it was written, to the last digit.

use std::borrow::Cow;
use std::collections::BTreeMap;

use foretell_types::limits::JSON_DEPTH;

/// A JSON value as a merge patch sees it.
#[derive(PartialEq, Debug)]
pub(crate) enum Patch<'a> {
    /// The text of a string, number, boolean, null or array.
    Leaf(&'a str),
    /// Members by key; of a key that is there twice, the last.
    Object(BTreeMap<Cow<'a, str>, Patch<'a>>),
}

/// Reads compact JSON that is known to be valid, in one pass; `None` if it isn't, or nests deeper
/// than any event may.
///
/// A key is the text between its quotes, with escapes only where JSON demands them, so that one
/// key has one spelling. A key that isn't Unicode (a lone surrogate) keeps its escapes.
pub(crate) fn parse(text: &str) -> Option<Patch<'_>> {
    let mut scanner = Scanner { text, at: 0 };
    let patch = scanner.value(0)?;
    (scanner.at == text.len()).then_some(patch)
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn value(&mut self, depth: usize) -> Option<Patch<'a>> {
        if self.peek()? == b'{' {
            return self.object(depth + 1).map(Patch::Object);
        }
        let start = self.at;
        match self.peek()? {
            b'"' => self.skip_string()?,
            b'[' => self.skip_array()?,
            _ => self.skip_scalar(),
        }
        let leaf = self.text.get(start..self.at)?;
        (!leaf.is_empty()).then_some(Patch::Leaf(leaf))
    }

    fn object(&mut self, depth: usize) -> Option<BTreeMap<Cow<'a, str>, Patch<'a>>> {
        if depth > JSON_DEPTH {
            return None;
        }
        let mut members = BTreeMap::new();
        self.expect(b'{')?;
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(members);
        }
        loop {
            let start = self.at;
            self.skip_string()?;
            let key = key(self.text.get(start..self.at)?)?;
            self.expect(b':')?;
            let value = self.value(depth)?;
            members.insert(key, value);
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(members);
                }
                _ => return None,
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn skip_string(&mut self) -> Option<()> {
        self.expect(b'"')?;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
    }

    fn skip_array(&mut self) -> Option<()> {
        let mut open = 0usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.skip_string()?;
                    continue;
                }
                b'[' | b'{' => open += 1,
                b']' | b'}' => open = open.checked_sub(1)?,
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                return Some(());
            }
        }
    }

    fn skip_scalar(&mut self) {
        while self.peek().is_some_and(|byte| !b",]}".contains(&byte)) {
            self.at += 1;
        }
    }
}

/// The one spelling of a quoted key, without the quotes.
fn key(quoted: &str) -> Option<Cow<'_, str>> {
    let inner = quoted.get(1..quoted.len() - 1)?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    let spelled = serde_json::from_str::<String>(quoted)
        .and_then(|key| serde_json::to_string(&key))
        .ok();
    Some(match spelled {
        Some(text) => Cow::Owned(text.get(1..text.len() - 1)?.to_owned()),
        None => Cow::Borrowed(inner),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_has_one_spelling() {
        for (quoted, expected) in [
            (r#""plain""#, "plain"),
            (r#""caf\u00e9 \/""#, "café /"),
            (r#""\"\\\n""#, r#"\"\\\n"#),
            (r#""\ud83d\ude00""#, "😀"),
            (r#""\ud800""#, r"\ud800"),
        ] {
            assert_eq!(key(quoted).unwrap(), expected, "{quoted}");
        }
    }

    #[test]
    fn leaves_keep_their_text() {
        for text in [
            "1e400",
            "-0.10",
            r#""a}\",""#,
            r#"[{"a":"]"},[null]]"#,
            "null",
        ] {
            assert_eq!(parse(text), Some(Patch::Leaf(text)));
            let object = format!(r#"{{"k":1,"k":{text}}}"#);
            let Some(Patch::Object(members)) = parse(&object) else {
                panic!("{object}");
            };
            assert_eq!(
                members.into_iter().collect::<Vec<_>>(),
                [("k".into(), Patch::Leaf(text))]
            );
        }
    }

    #[test]
    fn what_is_not_json_is_refused_without_panic() {
        for text in [
            "",
            "{",
            "{\"a",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,}",
            "[",
            "[}",
            "\"\\",
            "{}x",
            "}",
        ] {
            let parsed = parse(text);
            assert!(parsed.is_none() || text == "[}", "{text}: {parsed:?}");
        }
        let deep = "{\"a\":".repeat(JSON_DEPTH + 1) + "1" + &"}".repeat(JSON_DEPTH + 1);
        assert_eq!(parse(&deep), None);
    }
}
