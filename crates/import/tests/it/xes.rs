//! XES documents, good and bad.

use crate::support::{data, error, events, import, strings};
use foretell_import::{Mapping, OnBadRow, TraceData};

const TIME: &str = r#"<date key="time:timestamp" value="2024-01-01T00:00:00.000+02:00"/>"#;
const NAME: &str = r#"<string key="concept:name" value="a"/>"#;
const CASE: &str = r#"<string key="concept:name" value="c"/>"#;

fn event(attributes: &str) -> String {
    format!("<log>\n<trace>{CASE}\n<event>{NAME}{TIME}\n{attributes}</event></trace></log>")
}

#[test]
fn a_whole_document() {
    let text = r#"<?xml version="1.0" encoding="UTF-8" ?>
<!-- a comment with <event> -->
<!DOCTYPE log [<!ENTITY x "y">]>
<x:log xes.version="1.0" xmlns:x="http://www.xes-standard.org/">
  <x:extension name="Concept" prefix="concept" uri="http://www.xes-standard.org/concept.xesext"/>
  <x:global scope="event"><x:string key="concept:name" value="UNKNOWN"/></x:global>
  <x:classifier name="c" keys="concept:name"/>
  <x:string key="concept:name" value="the log"/>
  <x:trace/>
  <x:trace>
    <x:string key="concept:name" value="case &lt;1&gt; &#233;"/>
    <x:int key="age" value="7"/>
    <x:event>
      <x:string key="concept:name" value="go"/>
      <x:string key="lifecycle:transition" value="start"/>
      <x:date key="time:timestamp" value="2024-01-02T00:00:00Z"/>
    </x:event>
    <x:event>
      <x:string key="concept:name" value="stop"/>
      <x:date key="time:timestamp" value="2024-01-01T00:00:00Z"/>
    </x:event>
  </x:trace>
  <x:event>
    <x:string key="concept:name" value="outside"/>
    <x:date key="time:timestamp" value="2024-01-03T00:00:00Z"/>
  </x:event>
</x:log>
"#;
    let mapping = Mapping {
        lifecycle: true,
        trace_data: TraceData::First,
        subject_prefix: Some("case/".into()),
        data: vec![],
        ..Mapping::default()
    };
    let found = events("a.xes", text, &mapping);
    let seen: Vec<_> = found
        .iter()
        .map(|event| (event.event_type.as_str(), event.subject.as_deref()))
        .collect();
    let case = Some("case/case <1> é");
    assert_eq!(
        seen,
        [("stop", case), ("go+start", case), ("outside", None)]
    );
    assert!(data(&found[1]).ends_with(r#""case:concept:name":"case <1> é","case:age":7}"#));
    assert_eq!(
        data(&found[0]),
        r#"{"concept:name":"stop","time:timestamp":"2024-01-01T00:00:00Z"}"#
    );
    let picked = Mapping {
        data: strings(&["case:age", "concept:name"]),
        subject: strings(&["case:age"]),
        ..Mapping::default()
    };
    let only_trace = text.replace("outside", "");
    let message = error("a.xes", only_trace, &picked);
    assert!(
        message.contains("line 23: column \"case:age\" is empty"),
        "{message}"
    );
}

#[test]
fn attributes_are_typed() {
    for (attributes, expected) in [
        (r#"<int key="k" value="-7"/>"#, "-7"),
        (r#"<int key="k" value="+007"/>"#, "7"),
        (r#"<float key="k" value="1.50"/>"#, "1.50"),
        (r#"<float key="k" value=".5"/>"#, "0.5"),
        (r#"<float key="k" value="NaN"/>"#, "\"NaN\""),
        (r#"<boolean key="k" value="TRUE"/>"#, "true"),
        (r#"<boolean key="k" value="0"/>"#, "false"),
        (r#"<id key="k" value="f81d"/>"#, "\"f81d\""),
        (
            r#"<date key="k" value="2024-01-01T00:00:00+01:00"/>"#,
            "\"2024-01-01T00:00:00+01:00\"",
        ),
        (r#"<string key="k" value=" &quot;x&#10;"/>"#, r#"" \"x\n""#),
        (
            r#"<string key="k" value="x"/><string key="k" value="x"/>"#,
            "\"x\"",
        ),
        (
            r#"<int key="k" value="1"><string key="u" value="cm"/></int>"#,
            r#"{"value":1,"attributes":{"u":"cm"}}"#,
        ),
        (
            r#"<list key="k"><values><int key="i" value="1"/><int key="i" value="2"/></values></list>"#,
            r#"[{"i":1},{"i":2}]"#,
        ),
        (
            r#"<list key="k"><int key="i" value="1"/></list>"#,
            r#"[{"i":1}]"#,
        ),
        (
            r#"<container key="k"><int key="i" value="1"/><container key="c"/></container>"#,
            r#"{"i":1,"c":{}}"#,
        ),
    ] {
        let found = events("a.xes", event(attributes), &Mapping::default());
        let text = data(&found[0]);
        assert!(
            text.ends_with(&format!(",\"k\":{expected}}}")),
            "{attributes}: {text}"
        );
    }
    let plain = Mapping {
        strings: true,
        ..Mapping::default()
    };
    let found = events("a.xes", event(r#"<int key="k" value="7"/>"#), &plain);
    assert!(data(&found[0]).ends_with(",\"k\":\"7\"}"));
}

#[test]
fn errors_name_the_line() {
    let document = |inner: &str| format!("<log>\n<trace>\n{inner}\n</trace>\n</log>");
    for (text, expected) in [
        (
            event("<int key='k' value='1,5'/>"),
            "line 3: the attribute \"k\" is \"1,5\": expected a whole number",
        ),
        (
            event("<int key='k'/>"),
            "line 3: at line 4: the attribute \"k\" has no value",
        ),
        (
            event("<int value='1'/>"),
            "line 3: at line 4: <int> has no key",
        ),
        (event("<foo key='k' value='1'/>"), "<foo> is not XES"),
        (
            event("<string key='k' value='&x;'/>"),
            "at line 4: the value \"&x;\"",
        ),
        (
            event("<int key='k' value='1'/><int key='k' value='2'/>"),
            "\"k\" is there twice",
        ),
        (
            document(&format!("{CASE}<event>{NAME}</event>")),
            "line 3: column \"time:timestamp\" is empty",
        ),
        (
            document(&format!("{CASE}<event>{TIME}</event>")),
            "line 3: column \"concept:name\" is empty",
        ),
        (
            document(&format!("<event>{NAME}{TIME}</event>")),
            "line 3: the event's trace has no concept:name",
        ),
        (
            document(&format!("{CASE}<event>{NAME}{TIME}</event>\n{CASE}")),
            "line 4: <string> of the trace comes after",
        ),
        (
            document("<int key='a'/>"),
            "line 2: at line 3: the attribute \"a\" has no value",
        ),
        (document("<event></evnt>"), "line 3: malformed XML"),
        (
            "<log>\n<trace>\n".to_owned(),
            "the file ends within the element that line 2 opens",
        ),
        ("<html/>".to_owned(), "line 1: <html> is not XES"),
        ("\n".to_owned(), "holds no <log>"),
        ("".to_owned(), "line 1: the file holds no <log>"),
    ] {
        let message = error("a.xes", &text, &Mapping::default());
        assert!(message.contains(expected), "{text}: {message}");
    }
}

#[test]
fn missing_times_can_be_allowed() {
    let text = format!(
        "<log><trace>{CASE}<event>{NAME}</event><event><string key='concept:name' value='b'/>{TIME}</event><event><string key='concept:name' value='d'/></event></trace></log>"
    );
    let mapping = Mapping {
        allow_missing_time: true,
        ..Mapping::default()
    };
    let types: String = events("a.xes", &text, &mapping)
        .into_iter()
        .map(|e| e.event_type)
        .collect();
    assert_eq!(types, "abd");
    let skip = Mapping {
        on_bad_row: OnBadRow::Skip,
        ..Mapping::default()
    };
    let import = import("a.xes", text.as_bytes(), &skip).unwrap();
    assert_eq!((import.rows, import.skipped), (3, 2));
}

#[test]
fn other_encodings() {
    let text = |encoding: &str| {
        format!(
            "<?xml version='1.0' encoding='{encoding}'?>\n{}",
            event("<string key='k' value='é'/>")
        )
    };
    let latin: Vec<u8> = text("ISO-8859-1").chars().map(|c| c as u8).collect();
    let mut utf16 = vec![0xff, 0xfe];
    utf16.extend(text("UTF-16").encode_utf16().flat_map(u16::to_le_bytes));
    let bom = format!("\u{feff}{}", text("utf-8")).into_bytes();
    for bytes in [latin, utf16, bom] {
        let found = events("a.xes", &bytes, &Mapping::default());
        assert!(data(&found[0]).ends_with(",\"k\":\"é\"}"));
    }
    let unknown = text("KLINGON-8");
    assert!(error("a.xes", unknown, &Mapping::default()).contains("\"KLINGON-8\" isn't known"));
    let lies: Vec<u8> = text("UTF-8").chars().map(|c| c as u8).collect();
    let message = error("a.xes", lies, &Mapping::default());
    assert!(
        message.contains("line 5: the text isn't in the encoding"),
        "{message}"
    );
}
