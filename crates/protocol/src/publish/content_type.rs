use foretell_types::{Error, Result};
use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// A `Content-Type` header, taken apart. Source: RFC 9110, section 8.3.1.
#[derive(Debug)]
pub(super) struct ContentType {
    text: String,
    media: String,
    charset: Option<String>,
}

impl ContentType {
    /// `None` if there is no such header, or an empty one.
    pub fn of(headers: &HeaderMap) -> Result<Option<ContentType>> {
        let mut values = headers.get_all(CONTENT_TYPE).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(Error::invalid("header 'content-type' is there twice"));
        }
        let text = value
            .to_str()
            .map_err(|_| Error::invalid("header 'content-type' is not plain text"))?
            .trim();
        if text.is_empty() {
            return Ok(None);
        }
        let mut parts = text.split(';');
        let media = parts.next().unwrap_or("").trim().to_ascii_lowercase();
        let charset = parts
            .filter_map(|part| part.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
            .map(|(_, value)| value.trim().trim_matches('"').to_ascii_lowercase());
        Ok(Some(ContentType {
            text: text.to_owned(),
            media,
            charset,
        }))
    }

    /// As it was sent, with its parameters.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Type and subtype in lower case.
    pub fn media(&self) -> &str {
        &self.media
    }

    /// A charset that UTF-8 text isn't in.
    pub fn foreign_charset(&self) -> Option<&str> {
        self.charset
            .as_deref()
            .filter(|name| !matches!(*name, "utf-8" | "utf8" | "us-ascii" | "ascii"))
    }
}
