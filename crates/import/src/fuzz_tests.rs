//! Any bytes are read or refused; no reader panics.

use foretell_types::{ErrorKind, Result};
use proptest::prelude::*;

use crate::collect::Collector;
use crate::limits::{XML_DEPTH, XML_TOKEN_BYTES};
use crate::mapping::{Delimiter, Empty, Format, Mapping, OnBadRow, TraceData};
use crate::{csv, jsonl, xes};

/// Reads bytes and checks what came out.
fn feed(bytes: &[u8], mapping: &Mapping) -> Result<Collector> {
    let mapping = mapping.resolve(std::path::Path::new("fuzz"))?;
    let mut collector = Collector::new(&mapping);
    let mut reader = std::io::BufReader::with_capacity(7, bytes);
    match mapping.format {
        Some(Format::Jsonl) => jsonl::read(&mut reader, &mapping, &mut collector)?,
        Some(Format::Xes) => xes::read(&mut reader, &mapping, &mut collector)?,
        _ => csv::read(&mut reader, &mapping, &mut collector)?,
    }
    collector.finish()?;
    for held in &collector.held {
        if let crate::held::Body::Row(row) = &held.body {
            let data: serde_json::Value = serde_json::from_str(&row.data).unwrap();
            assert!(data.is_object());
        }
    }
    assert_eq!(
        collector.held.len() as u64 + collector.skipped + collector.duplicates,
        collector.rows
    );
    Ok(collector)
}

fn csv_mapping(delimiter: Delimiter, header: bool) -> Mapping {
    Mapping {
        format: Some(Format::Csv),
        type_value: Some("t".into()),
        delimiter: Some(delimiter),
        header,
        columns: if header {
            vec![]
        } else {
            vec!["a".into(), "b".into()]
        },
        id: (!header).then(|| "a".into()),
        empty: Empty::Null,
        on_bad_row: OnBadRow::Skip,
        ..Mapping::default()
    }
}

fn jsonl_mapping(mapped: bool) -> Mapping {
    Mapping {
        format: Some(Format::Jsonl),
        type_value: mapped.then(|| "t".into()),
        tags: if mapped { vec!["a.b".into()] } else { vec![] },
        on_bad_row: OnBadRow::Skip,
        ..Mapping::default()
    }
}

fn xes_mapping() -> Mapping {
    Mapping {
        format: Some(Format::Xes),
        allow_missing_time: true,
        trace_data: TraceData::All,
        lifecycle: true,
        on_bad_row: OnBadRow::Skip,
        ..Mapping::default()
    }
}

/// Bytes that look a little like a document: pieces of one, and noise.
fn pieces(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => (0..words.len()).prop_map(|index| words[index].as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

const CSV: &[&str] = &[
    "a", "b", ",", "\"", "\"\"", "\n", "\r\n", " ", "\t", "1.5", "é", "\r",
];
const JSON: &[&str] = &[
    "{",
    "}",
    "\"a\":",
    "\"b\":1",
    ",",
    "\n",
    "[",
    "]",
    "null",
    "{\"a\":{\"b\":\"x\"}}\n",
    "{\"specversion\":\"1.0\",\"id\":\"",
    "1",
    "\",\"source\":\"/s\",\"type\":\"t\"}\n",
    "\\u00e9",
];
const XES: &[&str] = &[
    "<log>",
    "</log>",
    "<trace>",
    "</trace>",
    "<event>",
    "</event>",
    "<values>",
    "</values>",
    "<string key=\"concept:name\" value=\"x\"/>",
    "<int key=\"n\" value=\"7\">",
    "</int>",
    "<list key=\"l\">",
    "</list>",
    "<container key=\"c\">",
    "</container>",
    "<float key='f' value='x'/>",
    "<date key=\"time:timestamp\" value=\"2024-01-01T00:00:00Z\"/>",
    "<!--",
    "-->",
    "&amp;",
    "&x;",
    "<?xml version='1.0' encoding='",
    "UTF-16",
    "ISO-8859-1",
    "'?>",
    "<!DOCTYPE x [",
    "]>",
    "\n",
    "<global scope=\"event\">",
    "</global>",
    "<x:event>",
    "</x:event>",
    "<boolean key=\"b\"/>",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn csv_never_panics(bytes in prop_oneof![pieces(CSV), prop::collection::vec(any::<u8>(), 0..200)],
                        blanks: bool, header: bool) {
        let delimiter = if blanks { Delimiter::Whitespace } else { Delimiter::Char(b',') };
        let _ = feed(&bytes, &csv_mapping(delimiter, header));
    }

    #[test]
    fn jsonl_never_panics(bytes in prop_oneof![pieces(JSON), prop::collection::vec(any::<u8>(), 0..200)],
                          mapped: bool) {
        let _ = feed(&bytes, &jsonl_mapping(mapped));
    }

    #[test]
    fn xes_never_panics(bytes in prop_oneof![pieces(XES), prop::collection::vec(any::<u8>(), 0..200)]) {
        let _ = feed(&bytes, &xes_mapping());
    }

    #[test]
    fn damaged_xes_never_panics(cut in 0usize..400, at in 0usize..400, byte: u8) {
        let mut bytes = b"<log><trace><string key='concept:name' value='c'/><event><string key='concept:name' value='a'/><date key='time:timestamp' value='2024-01-01T00:00:00Z'/><list key='l'><values><int key='i' value='1'/></values></list></event></trace></log>".to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(bytes.len().saturating_sub(cut.saturating_sub(200)));
        let _ = feed(&bytes, &xes_mapping());
    }
}

#[test]
fn deep_xml_is_refused() {
    let nested = |depth: usize| {
        let open = "<container key='c'>".repeat(depth);
        let close = "</container>".repeat(depth);
        format!(
            "<log><trace><string key='concept:name' value='c'/><event><string key='concept:name' value='a'/>{open}{close}</event></trace></log>"
        )
    };
    assert_eq!(
        feed(nested(XML_DEPTH - 3).as_bytes(), &xes_mapping())
            .unwrap()
            .held
            .len(),
        1
    );
    assert!(feed(nested(XML_DEPTH - 2).as_bytes(), &xes_mapping()).is_err());
    // Also without an end, and where attributes are passed over.
    assert!(feed("<log>".repeat(100_000).as_bytes(), &xes_mapping()).is_err());
}

#[test]
fn huge_xml_tokens_are_refused() {
    for document in [
        format!("<log {}", "a".repeat(XML_TOKEN_BYTES + 100)),
        format!("<log><!-- {}", "a".repeat(XML_TOKEN_BYTES + 100)),
        format!("<log>{}", " ".repeat(XML_TOKEN_BYTES + 100)),
    ] {
        let error = feed(document.as_bytes(), &xes_mapping()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
    }
}

#[test]
fn deep_json_is_a_bad_row() {
    let deep = format!(
        "{{\"a\":{}1{}}}\n",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert_eq!(
        feed(deep.as_bytes(), &jsonl_mapping(true)).unwrap().skipped,
        1
    );
}
