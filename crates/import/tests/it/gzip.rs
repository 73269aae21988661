//! Compressed files, whole and damaged.

use std::io::Write;

use crate::support::import;
use flate2::Compression;
use flate2::write::GzEncoder;
use foretell_import::{Mapping, OnBadRow};
use foretell_types::ErrorKind;

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn mapping() -> Mapping {
    Mapping {
        type_value: Some("t".into()),
        ..Mapping::default()
    }
}

#[test]
fn is_told_by_its_first_bytes() {
    let members = [gzip(b"a\n1\n"), gzip(b"2\n")].concat();
    for name in ["a.csv", "a.csv.gz", "a.CSV.GZ"] {
        assert_eq!(import(name, &members, &mapping()).unwrap().events.len(), 2);
    }
}

#[test]
fn damage_is_refused() {
    let whole = gzip("a\n1\n".repeat(1000).as_bytes());
    let cut = &whole[..whole.len() - 9];
    let mut flipped = whole.clone();
    let at = flipped.len() - 6;
    flipped[at] ^= 0xff;
    for bytes in [cut, &flipped, &whole[..3], b"\x1f\x8b"] {
        let error = import("a.csv.gz", bytes, &mapping()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}

#[test]
fn what_unpacks_to_one_huge_line_takes_little_memory() {
    let bomb = gzip(&vec![b'x'; 64 << 20]);
    for name in ["a.csv", "a.jsonl", "a.xes"] {
        let error = import(
            name,
            &bomb,
            &Mapping {
                type_value: (name != "a.xes").then(|| "t".into()),
                ..Mapping::default()
            },
        );
        assert_eq!(error.unwrap_err().kind(), ErrorKind::TooLarge, "{name}");
    }
    let skip = Mapping {
        on_bad_row: OnBadRow::Skip,
        ..mapping()
    };
    let bomb = gzip(&[b"a\n".to_vec(), vec![b'x'; 16 << 20], b"\n7\n".to_vec()].concat());
    let import = import("a.csv", &bomb, &skip).unwrap();
    assert_eq!(
        (import.skipped, import.bad_rows[0].line, import.events.len()),
        (1, 2, 1)
    );
}
