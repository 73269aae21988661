use foretell_types::{
    Data, Error, ErrorKind, ExtensionValue, Instant, NewEvent, Position, RecordedEvent, Result,
    Revision, TAGS, Timestamp,
    cloudevents::{self, DataView, ExtensionView, View},
};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::frame::{FRAME_HEADER, Frame, FrameKind, open_frame};

const FIXED: usize = 24;
const TIME_BYTES: usize = 16;
/// A run of so many zeros is masked, so that no sector of a group is all zero.
const ZERO_RUN: usize = 256;

const HAS_TIME: u8 = 1;
const HAS_SUBJECT: u8 = 2;
const HAS_CONTENT_TYPE: u8 = 4;
const HAS_SCHEMA: u8 = 8;
const TIME_FILLED: u8 = 16;
/// The data is encrypted; the generation of its key follows the extensions.
const ERASABLE: u8 = 32;

/// Data that is encrypted under a key of the event's subject.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SealedData<'a> {
    /// Of the key.
    pub generation: u32,
    /// Of the data: JSON, text or binary.
    pub form: u8,
    pub bytes: &'a [u8],
}

/// The form of data, as it is stored, and its bytes.
pub(crate) fn data_parts(data: &Data) -> (u8, &[u8]) {
    match data {
        Data::None => (0, &[]),
        Data::Json(text) => (1, text.as_bytes()),
        Data::Text(text) => (2, text.as_bytes()),
        Data::Binary(bytes) => (3, bytes),
    }
}

/// Appends an unfinished event frame, with the encrypted data if there is any. The event is valid:
/// its strings fit their length fields.
pub(crate) fn encode_event(out: &mut Vec<u8>, event: &NewEvent, sealed: Option<SealedData<'_>>) {
    open_frame(out, FrameKind::Event);
    let subject = event.subject.as_deref();
    let content_type = event.datacontenttype.as_deref();
    let schema = event.dataschema.as_deref();
    let flag = |on: bool, bit: u8| if on { bit } else { 0 };
    let (form, data) = data_parts(&event.data);
    let form = sealed.map_or(form, |sealed| sealed.form);
    out.push(form);
    out.push(
        flag(event.time.is_some(), HAS_TIME)
            | flag(subject.is_some(), HAS_SUBJECT)
            | flag(content_type.is_some(), HAS_CONTENT_TYPE)
            | flag(schema.is_some(), HAS_SCHEMA)
            | flag(event.time_filled, TIME_FILLED)
            | flag(sealed.is_some(), ERASABLE),
    );
    let extension_bytes: usize = event
        .extensions
        .iter()
        .map(|(name, value)| 4 + name.len() + extension_bytes(value))
        .sum();
    out.extend_from_slice(&(event.extensions.len() as u16).to_le_bytes());
    let length = |text: Option<&str>| (text.map_or(0, str::len) as u16).to_le_bytes();
    for text in [
        Some(&*event.id),
        Some(&event.source),
        Some(&event.event_type),
        subject,
        content_type,
        schema,
    ] {
        out.extend_from_slice(&length(text));
    }
    out.extend_from_slice(&(extension_bytes as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    if let Some(time) = event.time {
        let (seconds, nanos, offset, form) = time.to_raw();
        out.extend_from_slice(&seconds.to_le_bytes());
        out.extend_from_slice(&nanos.to_le_bytes());
        out.extend_from_slice(&offset.to_le_bytes());
        out.extend_from_slice(&[form, 0]);
    }
    for text in [&*event.id, &event.source, &event.event_type] {
        out.extend_from_slice(text.as_bytes());
    }
    for text in [subject, content_type, schema].into_iter().flatten() {
        out.extend_from_slice(text.as_bytes());
    }
    for (name, value) in &event.extensions {
        encode_extension(out, name, value);
    }
    if let Some(sealed) = sealed {
        out.extend_from_slice(&sealed.generation.to_le_bytes());
        put_masked(out, sealed.bytes);
        return;
    }
    match form {
        // JSON text holds no zero byte.
        0 | 1 => {
            out.extend_from_slice(&(data.len() as u32).to_le_bytes());
            out.extend_from_slice(&[0; 4]);
            out.extend_from_slice(data);
        }
        _ => put_masked(out, data),
    }
}

fn extension_bytes(value: &ExtensionValue) -> usize {
    match value {
        ExtensionValue::Boolean(_) => 1,
        ExtensionValue::Integer(_) => 4,
        ExtensionValue::String(text) => text.len(),
    }
}

fn encode_extension(out: &mut Vec<u8>, name: &str, value: &ExtensionValue) {
    let (kind, bytes): (u8, &[u8]) = match value {
        ExtensionValue::Boolean(value) => (0, &[u8::from(*value)]),
        ExtensionValue::Integer(value) => (1, &value.to_le_bytes()),
        ExtensionValue::String(text) => (2, text.as_bytes()),
    };
    out.push(name.len() as u8);
    out.push(kind);
    out.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(bytes);
}

/// Appends length, mask and bytes. Bytes with a long run of zeros are combined (exclusive or)
/// with a repeated mask that leaves none. The mask is a hash of the bytes, so that equal content
/// is encoded equally and none can be made that withstands the masks.
pub(super) fn put_masked(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    if !has_zero_run(bytes) {
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(bytes);
        return;
    }
    let mut attempt = 0;
    loop {
        let candidate = xxh3_64_with_seed(bytes, attempt) as u32 | 1;
        let start = out.len();
        out.extend_from_slice(&candidate.to_le_bytes());
        out.extend(apply_mask(bytes, candidate));
        if !has_zero_run(&out[start + 4..]) {
            return;
        }
        out.truncate(start);
        attempt += 1;
    }
}

fn apply_mask(bytes: &[u8], mask: u32) -> impl Iterator<Item = u8> {
    let mask = mask.to_le_bytes();
    bytes
        .iter()
        .enumerate()
        .map(move |(index, byte)| byte ^ mask[index % 4])
}

/// Whether `ZERO_RUN` zeros follow each other; looks at one byte of each such stretch first.
fn has_zero_run(bytes: &[u8]) -> bool {
    let mut at = ZERO_RUN - 1;
    while at < bytes.len() {
        if bytes[at] != 0 {
            at += ZERO_RUN;
            continue;
        }
        let begin = bytes[..at]
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |found| found + 1);
        let end = bytes[at..]
            .iter()
            .position(|byte| *byte != 0)
            .map_or(bytes.len(), |n| at + n);
        if end - begin >= ZERO_RUN {
            return true;
        }
        at = end + ZERO_RUN;
    }
    false
}

/// The bytes that [`put_masked`] appended, which must be all of `bytes`.
pub(super) fn take_masked(bytes: &[u8]) -> Option<Vec<u8>> {
    let length = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    let mask = u32::from_le_bytes(*bytes.get(4..8)?.first_chunk()?);
    let bytes = bytes.get(8..).filter(|bytes| bytes.len() == length)?;
    Some(if mask == 0 {
        bytes.to_vec()
    } else {
        apply_mask(bytes, mask).collect()
    })
}

/// A recorded event that borrows from the bytes it was read into.
#[derive(Clone, Copy, Debug)]
pub struct EventRef<'a> {
    pub position: Position,
    pub revision: Option<Revision>,
    /// Nanoseconds since the epoch.
    pub(crate) recorded: i64,
    pub id: &'a str,
    pub source: &'a str,
    pub event_type: &'a str,
    pub subject: Option<&'a str>,
    pub time: Option<Timestamp>,
    pub datacontenttype: Option<&'a str>,
    pub dataschema: Option<&'a str>,
    time_filled: bool,
    extension_count: u16,
    extensions: &'a [u8],
    form: u8,
    mask: u32,
    data: &'a [u8],
    /// The generation of the key that the data is encrypted under, and was not decrypted yet.
    sealed: Option<u32>,
    /// The data is gone: its key is destroyed.
    pub erased: bool,
}

/// Whether the data of the event whose frame this is, is encrypted.
pub(crate) fn is_sealed(frame: &[u8]) -> bool {
    let flags = frame.get(FRAME_HEADER + 1);
    flags.is_some_and(|flags| flags & ERASABLE != 0)
}

fn damaged() -> Error {
    Error::new(
        ErrorKind::Damaged,
        "an event's fields don't fit into its frame",
    )
}

impl<'a> EventRef<'a> {
    #[inline(always)]
    pub(crate) fn read(frame: &Frame<'a>) -> Result<EventRef<'a>> {
        EventRef::decode(frame).ok_or_else(damaged)
    }

    #[inline(always)]
    fn decode(frame: &Frame<'a>) -> Option<EventRef<'a>> {
        let body = frame.body;
        let fixed: &[u8; FIXED] = body.first_chunk()?;
        let (form, flags) = (fixed[0], fixed[1]);
        let u16_at = |at: usize| u16::from_le_bytes([fixed[at], fixed[at + 1]]);
        let mut rest = &body[FIXED..];
        let mut take = |length: usize| {
            let (taken, after) = rest.split_at_checked(length)?;
            rest = after;
            Some(taken)
        };
        let time = match flags & HAS_TIME {
            0 => None,
            _ => Some(decode_time(take(TIME_BYTES)?)?),
        };
        // All texts at once: one pass over their bytes.
        let length = |at: usize| usize::from(u16_at(at));
        // Not mapped: that becomes a call.
        let lengths = [
            length(4),
            length(6),
            length(8),
            length(10),
            length(12),
            length(14),
        ];
        let mut texts = std::str::from_utf8(take(lengths.iter().sum())?).ok()?;
        let mut text = |length: usize| {
            let (text, rest) = texts.split_at_checked(length)?;
            texts = rest;
            Some(text)
        };
        let (id, source, event_type) = (text(lengths[0])?, text(lengths[1])?, text(lengths[2])?);
        let (subject, content_type, schema) =
            (text(lengths[3])?, text(lengths[4])?, text(lengths[5])?);
        let extension_bytes = u32::from_le_bytes(*fixed[16..20].first_chunk()?) as usize;
        let extensions = take(extension_bytes)?;
        let sealed = match flags & ERASABLE {
            0 => None,
            _ => Some(u32::from_le_bytes(*take(4)?.first_chunk()?)),
        };
        let data_bytes = u32::from_le_bytes(*take(4)?.first_chunk()?) as usize;
        let mask = u32::from_le_bytes(*take(4)?.first_chunk()?);
        let data = take(data_bytes)?;
        if !rest.is_empty() || form > 3 || (form < 2 && sealed.is_none() && mask != 0) {
            return None;
        }
        let present = |bit: u8, text: &'a str| (flags & bit != 0).then_some(text);
        Some(EventRef {
            position: Position::new(frame.position)?,
            revision: frame.revision.map(Revision::new),
            recorded: frame.recorded,
            id,
            source,
            event_type,
            subject: present(HAS_SUBJECT, subject),
            time,
            datacontenttype: present(HAS_CONTENT_TYPE, content_type),
            dataschema: present(HAS_SCHEMA, schema),
            time_filled: flags & TIME_FILLED != 0,
            extension_count: u16_at(2),
            extensions,
            form,
            mask,
            data,
            sealed,
            erased: false,
        })
    }

    /// When the log recorded it.
    pub fn recorded_time(&self) -> Instant {
        Instant::from_nanos(self.recorded)
    }

    /// When it happened: `time`, or the recorded time of an event without one.
    pub fn event_time(&self) -> Instant {
        self.time
            .map_or_else(|| self.recorded_time(), |time| time.instant())
    }

    /// The generation of the key that the data is encrypted under.
    pub(crate) fn sealed(&self) -> Option<u32> {
        self.sealed
    }

    /// The form of the data.
    pub(crate) fn form(&self) -> u8 {
        self.form
    }

    /// The encrypted data.
    pub(crate) fn stored_data(&self) -> Vec<u8> {
        match self.mask {
            0 => self.data.to_vec(),
            mask => apply_mask(self.data, mask).collect(),
        }
    }

    /// The event with its data decrypted; with none if it is erased.
    pub(crate) fn with_data(self, data: Option<&'a [u8]>) -> EventRef<'a> {
        EventRef {
            form: if data.is_some() { self.form } else { 0 },
            mask: 0,
            data: data.unwrap_or(&[]),
            sealed: None,
            erased: data.is_none(),
            ..self
        }
    }

    /// JSON data as text; `None` if the data isn't JSON, or is encrypted.
    pub fn json(&self) -> Option<&'a str> {
        (self.form == 1 && self.sealed.is_none())
            .then(|| std::str::from_utf8(self.data).ok())
            .flatten()
    }

    /// The payload's size in bytes.
    pub fn data_bytes(&self) -> usize {
        self.data.len()
    }

    /// The tags as on the wire: separated by single spaces; empty without tags.
    pub fn tags(&self) -> &'a str {
        self.raw_extensions()
            .find(|(name, ..)| *name == TAGS.as_bytes())
            .and_then(|(_, _, value)| std::str::from_utf8(value).ok())
            .unwrap_or("")
    }

    /// An extension attribute.
    pub fn extension(&self, name: &str) -> Option<ExtensionView<'a>> {
        self.raw_extensions()
            .find(|(known, ..)| *known == name.as_bytes())
            .and_then(|(_, kind, value)| view_extension(kind, value))
    }

    /// The known time that an import declared.
    pub fn declared_known_time(&self) -> Option<Instant> {
        let Some(ExtensionView::String(text)) = self.extension(foretell_types::KNOWN_TIME) else {
            return None;
        };
        text.parse::<Timestamp>().ok().map(|time| time.instant())
    }

    fn raw_extensions(&self) -> impl Iterator<Item = RawExtension<'a>> + use<'a> {
        let mut rest = self.extensions;
        std::iter::from_fn(move || take_extension(&mut rest))
    }

    /// All extension attributes, checked.
    #[inline(always)]
    fn extensions(&self) -> Result<Extensions<'a>> {
        let mut count = 0;
        for extension in self.raw_extensions() {
            read_extension(extension).ok_or_else(damaged)?;
            count += 1;
        }
        match count == usize::from(self.extension_count) {
            true => Ok(Extensions(self.extensions)),
            false => Err(damaged()),
        }
    }

    /// Appends the event as [`cloudevents::recorded_to_json`] writes it.
    pub fn write_json(&self, out: &mut Vec<u8>) -> Result<()> {
        self.view(|view, extensions, place| {
            cloudevents::write_placed(out, view, extensions, place);
        })
    }

    /// The event taken apart, for who writes it in some form: what it was published with, its
    /// extension attributes, and what recording added.
    pub fn view<T>(
        &self,
        write: impl FnOnce(&View<'_>, Extensions<'_>, cloudevents::Place) -> T,
    ) -> Result<T> {
        // Bytes that are masked are the exception.
        let unmasked = (self.mask != 0).then(|| self.stored_data());
        let bytes = unmasked.as_deref().unwrap_or(self.data);
        let text = || std::str::from_utf8(bytes).map_err(|_| damaged());
        let data = match self.form {
            _ if self.sealed.is_some() => DataView::None,
            0 => DataView::None,
            1 => DataView::Json(text()?),
            2 => DataView::Text(text()?),
            _ => DataView::Binary(bytes),
        };
        let view = View {
            id: self.id,
            source: self.source,
            event_type: self.event_type,
            subject: self.subject,
            time: self.time,
            datacontenttype: self.datacontenttype,
            dataschema: self.dataschema,
            data,
        };
        let extensions = self.extensions()?;
        let place = cloudevents::Place {
            position: self.position,
            revision: self.revision,
            recorded_time: self.recorded_time(),
            erased: self.erased,
        };
        Ok(write(&view, extensions, place))
    }

    /// The event with its own memory; without data that is encrypted.
    pub fn to_recorded(&self) -> Result<RecordedEvent> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let extensions = self.extensions()?.map(|(name, value)| {
            let value = match value {
                ExtensionView::Boolean(value) => ExtensionValue::Boolean(value),
                ExtensionView::Integer(value) => ExtensionValue::Integer(value),
                ExtensionView::String(value) => ExtensionValue::String(value.to_owned()),
            };
            (name.to_owned(), value)
        });
        let event = NewEvent {
            id: self.id.to_owned(),
            source: self.source.to_owned(),
            event_type: self.event_type.to_owned(),
            subject: owned(self.subject),
            time: self.time,
            datacontenttype: owned(self.datacontenttype),
            dataschema: owned(self.dataschema),
            extensions: extensions.collect(),
            data: self.data().ok_or_else(damaged)?,
            time_filled: self.time_filled,
        };
        Ok(RecordedEvent {
            event,
            position: self.position,
            revision: self.revision,
            recorded_time: self.recorded_time(),
            erased: self.erased,
        })
    }

    fn data(&self) -> Option<Data> {
        if self.sealed.is_some() {
            return Some(Data::None);
        }
        let bytes = self.stored_data();
        Some(match self.form {
            0 => Data::None,
            1 => Data::Json(String::from_utf8(bytes).ok()?),
            2 => Data::Text(String::from_utf8(bytes).ok()?),
            _ => Data::Binary(bytes),
        })
    }
}

fn decode_time(bytes: &[u8]) -> Option<Timestamp> {
    Timestamp::from_raw((
        i64::from_le_bytes(*bytes.first_chunk()?),
        u32::from_le_bytes(*bytes[8..].first_chunk()?),
        i16::from_le_bytes(*bytes[12..].first_chunk()?),
        bytes[14],
    ))
}

/// The extension attributes of an event.
#[derive(Clone, Debug)]
pub struct Extensions<'a>(&'a [u8]);

impl<'a> Iterator for Extensions<'a> {
    type Item = (&'a str, ExtensionView<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        // All of them could be read before.
        read_extension(take_extension(&mut self.0)?)
    }
}

/// Name, kind and value.
type RawExtension<'a> = (&'a [u8], u8, &'a [u8]);

fn take_extension<'a>(rest: &mut &'a [u8]) -> Option<RawExtension<'a>> {
    let head: &[u8; 4] = rest.first_chunk()?;
    let name_bytes = usize::from(head[0]);
    let value_bytes = usize::from(u16::from_le_bytes([head[2], head[3]]));
    let name = rest.get(4..4 + name_bytes)?;
    let value = rest.get(4 + name_bytes..4 + name_bytes + value_bytes)?;
    *rest = &rest[4 + name_bytes + value_bytes..];
    Some((name, head[1], value))
}

fn read_extension<'a>(
    (name, kind, value): RawExtension<'a>,
) -> Option<(&'a str, ExtensionView<'a>)> {
    Some((
        std::str::from_utf8(name).ok()?,
        view_extension(kind, value)?,
    ))
}

fn view_extension(kind: u8, value: &[u8]) -> Option<ExtensionView<'_>> {
    Some(match kind {
        0 => ExtensionView::Boolean(*value.first()? != 0),
        1 => ExtensionView::Integer(i32::from_le_bytes(*value.first_chunk()?)),
        2 => ExtensionView::String(std::str::from_utf8(value).ok()?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::frame::{close_frame, fill_frame};
    use super::*;

    #[test]
    fn written_from_the_frame_it_is_the_same_text() {
        let texts = ["{\"a\":1}", "\"ü\"", ""];
        let data = texts.iter().flat_map(|text| {
            let bytes = [text.as_bytes(), &[0; 700]].concat();
            [
                Data::None,
                Data::json(*text),
                Data::Text(format!("{text}\n\"")),
                Data::Text(String::from_utf8_lossy(&bytes).into_owned()),
                Data::Binary(bytes),
            ]
        });
        for (n, data) in data.enumerate() {
            let mut event = NewEvent {
                id: format!("id \"{n}\""),
                source: "/s".into(),
                event_type: "t".into(),
                subject: (n % 2 == 0).then(|| "a/ü".into()),
                time: "2024-05-01T12:30:00.5+02:00"
                    .parse()
                    .ok()
                    .filter(|_| n % 3 > 0),
                dataschema: (n % 4 == 0).then(|| "urn:x".into()),
                data,
                ..NewEvent::default()
            };
            event.set_extension("flag", ExtensionValue::Boolean(n % 2 == 1));
            event.set_extension("count", ExtensionValue::Integer(-7));
            event.set_extension("tags", ExtensionValue::String("a b".into()));
            let mut bytes = Vec::new();
            encode_event(&mut bytes, &event, None);
            fill_frame(
                &mut bytes,
                0,
                7,
                (n % 2 == 0).then_some(3),
                1_714_560_000_000_000_001,
            );
            close_frame(&mut bytes, true);
            let read = EventRef::read(&Frame::read(&bytes).unwrap()).unwrap();
            let recorded = read.to_recorded().unwrap();
            assert_eq!(recorded.event, event);
            let mut json = Vec::new();
            read.write_json(&mut json).unwrap();
            let expected = cloudevents::recorded_to_json(&recorded);
            assert_eq!(String::from_utf8(json).unwrap(), expected);
        }
    }
}
