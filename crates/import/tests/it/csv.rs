//! CSV files, good and bad.

use crate::support::{data, error, events, import, strings};
use foretell_import::{Delimiter, Empty, Mapping, OnBadRow};
use foretell_types::{KNOWN_TIME, TAGS};
use proptest::prelude::*;

fn mapping() -> Mapping {
    Mapping {
        type_value: Some("t".into()),
        ..Mapping::default()
    }
}

fn timed() -> Mapping {
    Mapping {
        time: Some("at".into()),
        ..mapping()
    }
}

#[test]
fn values_are_typed() {
    let text = "a,b,c,d,e\n00001,1.50,true,,\"x,\"\"y\"\"\"\n";
    for (change, expected) in [
        (
            mapping(),
            r#"{"a":"00001","b":1.50,"c":true,"e":"x,\"y\""}"#,
        ),
        (
            Mapping {
                empty: Empty::Null,
                ..mapping()
            },
            r#"{"a":"00001","b":1.50,"c":true,"d":null,"e":"x,\"y\""}"#,
        ),
        (
            Mapping {
                strings: true,
                ..mapping()
            },
            r#"{"a":"00001","b":"1.50","c":"true","e":"x,\"y\""}"#,
        ),
        (
            Mapping {
                data: strings(&["b", "a"]),
                ..mapping()
            },
            r#"{"b":1.50,"a":"00001"}"#,
        ),
        (
            Mapping {
                subject: strings(&["a"]),
                ..mapping()
            },
            r#"{"b":1.50,"c":true,"e":"x,\"y\""}"#,
        ),
    ] {
        assert_eq!(data(&events("a.csv", text, &change)[0]), expected);
    }
}

#[test]
fn columns_make_attributes() {
    let text = "\u{feff}id;store;till;kind;step;at;seen;region\r\n7;s 1;2;sale;done;2024-01-02;2024-01-03;north\r\n";
    let mapping = Mapping {
        delimiter: Some(Delimiter::Char(b';')),
        id: Some("id".into()),
        source: Some("/shop".into()),
        subject: strings(&["store", "{till}-x"]),
        subject_prefix: Some("till/".into()),
        event_type: strings(&["kind", "step"]),
        time: Some("at".into()),
        known_time: Some("seen".into()),
        tags: strings(&["region", "region:{region}", "region"]),
        ..Mapping::default()
    };
    let event = &events("a.csv", text, &mapping)[0];
    assert_eq!((event.id.as_str(), event.source.as_str()), ("7", "/shop"));
    assert_eq!(event.subject.as_deref(), Some("till/s 1/2-x"));
    assert_eq!(event.event_type, "sale+done");
    assert_eq!(event.extension_str(TAGS), Some("north region:north"));
    assert_eq!(
        event.extension_str(KNOWN_TIME),
        Some("2024-01-03T00:00:00Z")
    );
    assert_eq!(data(event), "{}");
}

#[test]
fn order_is_known_time_then_event_time_then_row() {
    let text = "n,at,seen\n1,2024-01-05,2024-01-09\n2,2024-01-04,\n3,2024-01-03,2024-01-09\n4,2024-01-04,\n";
    let known = Mapping {
        known_time: Some("seen".into()),
        ..timed()
    };
    for (mapping, expected) in [(known, "2431"), (timed(), "3241")] {
        let order: String = events("a.csv", text, &mapping)
            .iter()
            .map(|event| data(event).chars().find(char::is_ascii_digit).unwrap())
            .collect();
        assert_eq!(order, expected);
    }
}

#[test]
fn events_without_a_time_stay_after_the_row_before() {
    let text = "n,at\n1,\n2,2024-01-02\n3,\n4,2024-01-01\n5,\n";
    let mapping = Mapping {
        allow_missing_time: true,
        ..timed()
    };
    let events = events("a.csv", text, &mapping);
    let order: Vec<_> = events.iter().map(data).collect();
    assert_eq!(
        order,
        [
            r#"{"n":1}"#,
            r#"{"n":4}"#,
            r#"{"n":5}"#,
            r#"{"n":2}"#,
            r#"{"n":3}"#
        ]
    );
    assert_eq!(
        (events[2].time, events[2].extension_str(KNOWN_TIME)),
        (None, None)
    );
    assert!(error("a.csv", text, &timed()).contains("line 2: column \"at\" is empty"));
}

#[test]
fn ids_are_made_of_file_and_row() {
    let text = "at\n2024-01-02\n2024-01-01\n";
    let found = events("a.csv", text, &timed());
    let hash = blake3::hash(text.as_bytes()).to_hex();
    assert_eq!(found[0].id, format!("{}-2", &hash[..16]));
    assert_eq!(found[1].id, format!("{}-1", &hash[..16]));
}

#[test]
fn import_ids_tell_files_and_mappings_apart() {
    let id = |name: &str, text: &str, mapping: &Mapping| {
        import(name, text.as_bytes(), mapping).unwrap().import_id
    };
    let base = id("a.csv", "at\n2024-01-01\n", &timed());
    let resolved = timed().resolve(std::path::Path::new("a.csv")).unwrap();
    let named = format!(
        "at\n2024-01-01\n{}",
        serde_json::to_string(&resolved).unwrap()
    );
    assert_eq!(base, blake3::hash(named.as_bytes()).to_hex().as_str());
    assert_eq!(base, id("a.csv", "at\n2024-01-01\n", &timed()));
    assert_ne!(base, id("a.csv", "at\n2024-01-02\n", &timed()));
    assert_ne!(base, id("b.csv", "at\n2024-01-01\n", &timed()));
    assert_ne!(
        base,
        id(
            "a.csv",
            "at\n2024-01-01\n",
            &Mapping {
                strings: true,
                ..timed()
            }
        )
    );
}

#[test]
fn errors_name_line_column_and_value() {
    for (text, mapping, expected) in [
        (
            "n,at\n1,2024-01-01\n\"a\nb\",2024-01-01\n3,2024-13-01\n",
            timed(),
            "a.csv: line 5: column \"at\": \"2024-13-01\" is no time: expected a time such as",
        ),
        (
            "at\r\n2024-01-01\r\n\r\nx\r\n",
            timed(),
            "line 4: column \"at\": \"x\"",
        ),
        (
            "a,b\n1\n",
            mapping(),
            "line 2: the row has 1 fields: expected 2",
        ),
        (
            "a,b\n1,2\n3,4,5\n",
            mapping(),
            "line 3: the row has 3 fields: expected 2",
        ),
        (
            "a\n\"1\n2\n",
            mapping(),
            "line 2: a quoted field is not closed",
        ),
        (
            "a,b\n\"1\"x,2\n",
            mapping(),
            "line 2: field 1: text after the closing quote",
        ),
        ("a,a\n", mapping(), "the column \"a\" is there twice"),
        ("", mapping(), "line 1: the file is empty"),
        (
            "a;at\n",
            timed(),
            "no column \"at\": the file has \"a;at\" (is the delimiter another one?)",
        ),
        (
            "a,at\n,\n",
            Mapping {
                subject: strings(&["a"]),
                ..mapping()
            },
            "line 2: column \"a\" is empty: expected the event's subject",
        ),
        (
            "a\n\u{1}\n",
            Mapping {
                subject: strings(&["a"]),
                ..mapping()
            },
            "line 2: subject \"\\u{1}\" holds a control character",
        ),
        ("a\n", Mapping::default(), "no type"),
        (
            "a\n",
            Mapping {
                header: false,
                ..mapping()
            },
            "needs 'columns'",
        ),
        (
            "a\n",
            Mapping {
                time_zone: Some("Nowhere".into()),
                ..mapping()
            },
            "not a time zone",
        ),
    ] {
        let message = error("a.csv", text, &mapping);
        assert!(message.contains(expected), "{text:?}: {message}");
    }
}

#[test]
fn text_that_is_not_utf8_is_named() {
    for (bytes, expected) in [
        (
            &b"name,x\nanna,1\nren\xe9,2\n"[..],
            "line 3: column \"name\": \"ren\u{fffd}\" is not UTF-8",
        ),
        (b"nam\xe9\nx\n", "line 1, the header: column 1"),
        (b"\xff\xfea\0\n\0", "line 1: the text is UTF-16"),
    ] {
        let message = error("a.csv", bytes, &mapping());
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn bad_rows_can_be_skipped() {
    let text = "n,at\n1,2024-01-01\n2,never\n3\n4,2024-01-01\n";
    let mapping = Mapping {
        on_bad_row: OnBadRow::Skip,
        ..timed()
    };
    let import = import("a.csv", text.as_bytes(), &mapping).unwrap();
    assert_eq!(
        (import.rows, import.skipped, import.events.len()),
        (4, 2, 2)
    );
    let lines: Vec<_> = import.bad_rows.iter().map(|bad| bad.line).collect();
    assert_eq!(lines, [3, 4]);
    // The row number counts the skipped ones.
    let last = import.events.last().unwrap();
    assert!(last.id.ends_with("-4"));
}

#[test]
fn ids_that_occur_twice() {
    let text = "id,n\na,1\nb,2\na,1\nb,3\n";
    let mapping = Mapping {
        id: Some("id".into()),
        ..mapping()
    };
    let message = error("a.csv", text, &mapping);
    assert!(
        message.contains("line 5: the id \"b\" stands at line 3 too, with other content"),
        "{message}"
    );
    let skip = Mapping {
        on_bad_row: OnBadRow::Skip,
        ..mapping
    };
    let import = import("a.csv", text.as_bytes(), &skip).unwrap();
    assert_eq!((import.rows, import.skipped, import.duplicates), (4, 1, 1));
    let kept: Vec<_> = import.events.map(|event| data(&event).to_owned()).collect();
    assert_eq!(kept, [r#"{"n":1}"#, r#"{"n":2}"#]);
}

#[test]
fn without_a_header() {
    let mapping = Mapping {
        header: false,
        columns: strings(&["customer", "day", "cds"]),
        delimiter: Some(Delimiter::Whitespace),
        subject: strings(&["customer"]),
        time: Some("day".into()),
        time_format: Some("%Y%m%d".into()),
        ..mapping()
    };
    let found = events(
        "a.txt",
        "  00001 19970101  1\n\n 00002 19970112  12 \r\n",
        &mapping,
    );
    assert_eq!(found[1].subject.as_deref(), Some("00002"));
    assert_eq!(data(&found[1]), r#"{"cds":12}"#);
    let pandas = events("a.csv", ",x\n0,a\n", &self::mapping());
    assert_eq!(data(&pandas[0]), r#"{"column_1":0,"x":"a"}"#);
}

#[test]
fn files_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str| {
        foretell_import::read(folder.path().join(name), &mapping(), &mut |_, _| {}).unwrap_err()
    };
    assert_eq!(read("none.csv").kind(), foretell_types::ErrorKind::NotFound);
    std::fs::create_dir(folder.path().join("dir.csv")).unwrap();
    assert!(read("dir.csv").message().contains("is a directory"));
    assert!(error("a.csv.gz", "a\n1\n", &mapping()).contains("isn't gzip"));
    assert!(error("a.parquet", "a\n1\n", &mapping()).contains("doesn't tell the format"));
}

#[test]
fn mappings_are_data() {
    let text = r#"{"type_value":"t","delimiter":"tab","on_bad_row":"skip","subject":["a"]}"#;
    let mapping: Mapping = serde_json::from_str(text).unwrap();
    assert_eq!(mapping.delimiter, Some(Delimiter::Char(b'\t')));
    let back: Mapping = serde_json::from_str(&serde_json::to_string(&mapping).unwrap()).unwrap();
    assert_eq!(back, mapping);
    assert!(serde_json::from_str::<Mapping>(r#"{"subjects":[]}"#).is_err());
    for (text, ok) in [
        (";", true),
        ("whitespace", true),
        ("\"", false),
        ("ab", false),
        ("é", false),
    ] {
        assert_eq!(text.parse::<Delimiter>().is_ok(), ok, "{text}");
    }
}

proptest! {
    #[test]
    fn what_another_writer_wrote_is_read(
        rows in prop::collection::vec(prop::collection::vec("[a-z0-9,;\"\r\n \té]{0,8}", 3), 1..20),
        crlf: bool, bom: bool, delimiter in prop::sample::select(vec![b',', b';', b'\t'])
    ) {
        let terminator = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut writer = csv::WriterBuilder::new()
            .delimiter(delimiter).terminator(terminator).from_writer(Vec::new());
        writer.write_record(["a", "b", "c"]).unwrap();
        for row in &rows {
            writer.write_record(row).unwrap();
        }
        let mut bytes = if bom { b"\xef\xbb\xbf".to_vec() } else { Vec::new() };
        bytes.extend(writer.into_inner().unwrap());
        let mapping = Mapping {
            strings: true, empty: Empty::Null, delimiter: Some(Delimiter::Char(delimiter)), ..mapping()
        };
        let found = events("a.csv", bytes, &mapping);
        prop_assert_eq!(found.len(), rows.len());
        for (event, row) in found.iter().zip(&rows) {
            let value: serde_json::Value = serde_json::from_str(data(event)).unwrap();
            for (name, field) in ["a", "b", "c"].iter().zip(row) {
                prop_assert_eq!(value[name].as_str().unwrap_or(""), field);
            }
        }
    }
}
