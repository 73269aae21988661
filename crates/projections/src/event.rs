use foretell_log::EventRef;
use foretell_state::{Scalar, Source};
use foretell_types::cloudevents::ExtensionView;

/// An event of the log, as a projection reads it.
#[derive(Clone, Copy, Debug)]
pub struct LogEvent<'a>(pub EventRef<'a>);

impl Source for LogEvent<'_> {
    fn time(&self) -> i64 {
        self.0.event_time().as_nanos()
    }

    fn attribute(&self, name: &str) -> Scalar<'_> {
        let optional = |text: Option<&'_ str>| {
            text.map_or(Scalar::Null, |text| Scalar::Text(text.to_owned().into()))
        };
        match name {
            "type" => Scalar::text(self.0.event_type),
            "subject" => self.0.subject.map_or(Scalar::Null, Scalar::text),
            "source" => Scalar::text(self.0.source),
            "id" => Scalar::text(self.0.id),
            "datacontenttype" => optional(self.0.datacontenttype),
            "dataschema" => optional(self.0.dataschema),
            _ => match self.0.extension(name) {
                None => Scalar::Null,
                Some(ExtensionView::Boolean(value)) => Scalar::Bool(value),
                Some(ExtensionView::Integer(value)) => Scalar::Int(value.into()),
                Some(ExtensionView::String(text)) => Scalar::text(text),
            },
        }
    }

    fn json(&self) -> Option<&str> {
        self.0.json()
    }

    fn event(&self) -> Option<String> {
        if self.0.erased {
            return None;
        }
        let mut out = Vec::with_capacity(512);
        // What can't be read is null to a function, which fails on it rather than leave it out.
        Some(
            match self.0.write_json(&mut out).map(|()| String::from_utf8(out)) {
                Ok(Ok(text)) => text,
                _ => "null".to_owned(),
            },
        )
    }
}
