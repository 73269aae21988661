//! Bytes on disk beside the bytes of the events as CloudEvents JSON, appended in batches of 64.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use foretell_types::{NewEvent, cloudevents};

use super::lane::{Lane, Streams};
use super::ours::Ours;
use super::{FEW_STREAMS, Plan};
use crate::Result;
use crate::cdnow;
use crate::results::Goal::RatioAtMost;
use crate::results::Results;

const BATCH: usize = 64;
const SECTOR: u64 = 512;
const PAYLOAD: &str = "payload";

pub fn run(plan: Plan, results: &mut Results) -> Result<()> {
    eprintln!("bytes on disk");
    let purchases = cdnow::events()?;
    measure("CDNOW", purchases.chunks(BATCH).map(<[_]>::to_vec), results)?;
    let mut lanes = Lane::all(1, Streams::empty(FEW_STREAMS));
    let synthetic = (0..plan.disk_events / BATCH).filter_map(|_| {
        let (events, _) = lanes.first_mut()?.take(BATCH);
        let parsed = events
            .iter()
            .map(|event| cloudevents::from_json(&event.json()));
        parsed.collect::<Result<Vec<_>, _>>().ok()
    });
    measure("synthetic", synthetic, results)
}

fn measure(
    set: &str,
    batches: impl Iterator<Item = Vec<NewEvent>>,
    results: &mut Results,
) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut events, mut payload) = (0, 0);
    {
        let log = Ours::open(folder.path())?;
        for batch in batches {
            events += batch.len();
            let bytes = batch.iter().map(|event| cloudevents::to_json(event).len());
            payload += bytes.sum::<usize>();
            log.append_events(batch)?;
        }
    }
    let each = |bytes: u64| bytes as f64 / events as f64;
    let peer = Some((PAYLOAD, each(payload as u64)));
    let mut row = |sealed: &str, bytes: u64, goal: f64| {
        let what = format!("disk, {set}, batches of {BATCH}, {sealed} sealing");
        let goal = Some(RatioAtMost(goal));
        results.add(what, "bytes/event", each(bytes), peer, goal);
    };
    row("before", written_bytes(folder.path())?, 1.3);
    Ours::seal(folder.path())?;
    row("after", written_bytes(folder.path())?, 0.5);
    Ok(())
}

/// Bytes of the files of a folder, without the zeros at their ends that were only preallocated.
fn written_bytes(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sum += written_bytes(&entry.path())?;
            continue;
        }
        let mut file = File::open(entry.path())?;
        let mut buffer = vec![0; 1024 * 1024];
        let (mut at, mut end) = (0, 0);
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            if let Some(last) = buffer[..count].iter().rposition(|byte| *byte != 0) {
                end = (at + last as u64 + 1).next_multiple_of(SECTOR);
            }
            at += count as u64;
        }
        sum += end.min(at);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preallocation_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let within = folder.path().join("within");
        std::fs::create_dir(&within).unwrap();
        let mut bytes = vec![0; 3 * 1024 * 1024];
        std::fs::write(within.join("zeros"), &bytes).unwrap();
        assert_eq!(written_bytes(folder.path()).unwrap(), 0);
        bytes[1_500_000] = 1;
        std::fs::write(folder.path().join("some"), &bytes).unwrap();
        assert_eq!(
            written_bytes(folder.path()).unwrap(),
            1_500_001_u64.next_multiple_of(SECTOR)
        );
        std::fs::write(folder.path().join("short"), [7; 3]).unwrap();
        assert_eq!(
            written_bytes(folder.path()).unwrap(),
            1_500_001_u64.next_multiple_of(SECTOR) + 3
        );
    }
}
