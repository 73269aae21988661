//! Which keys a run surely doesn't hold: a split block Bloom filter, as in Apache Parquet
//! (<https://parquet.apache.org/docs/file-format/bloomfilter/>). A key sets one bit in each of the
//! eight words of one block of 32 bytes. Blocks lie in chunks, so that a question costs one piece
//! of the cache however large the filter is.

use super::run::Key;

const WORDS: usize = 8;
const BLOCK_BYTES: usize = WORDS * 4;
/// About one key of 250 that isn't there seems to be.
const BITS_PER_KEY: usize = 12;
/// Bytes of one chunk, of the last at most.
pub(super) const CHUNK_BYTES: usize = 512 * BLOCK_BYTES;
const SALT: [u32; WORDS] = [
    0x47b6_137b,
    0x4497_4d91,
    0x8824_ad5b,
    0xa2b7_289d,
    0x7054_95c7,
    0x2df1_424b,
    0x9efc_4947,
    0x5c6b_fb31,
];

/// The filter of so many keys, by chunks.
pub(super) fn build<'a>(keys: impl ExactSizeIterator<Item = &'a Key>) -> Vec<u8> {
    let blocks = (keys.len() * BITS_PER_KEY).div_ceil(BLOCK_BYTES * 8);
    let mut bytes = vec![0; blocks * BLOCK_BYTES];
    for key in keys {
        let at = block(key, blocks) * BLOCK_BYTES;
        for (word, bit) in bytes[at..].as_chunks_mut().0.iter_mut().zip(bits(key)) {
            *word = (u32::from_le_bytes(*word) | bit).to_le_bytes();
        }
    }
    bytes
}

/// The block of a key, among so many.
fn block(key: &Key, blocks: usize) -> usize {
    let hash = u32::from_be_bytes([key[4], key[5], key[6], key[7]]);
    ((u64::from(hash) * blocks as u64) >> 32) as usize
}

fn bits(key: &Key) -> impl Iterator<Item = u32> {
    let hash = u32::from_be_bytes([key[8], key[9], key[10], key[11]]);
    SALT.iter()
        .map(move |salt| 1 << (hash.wrapping_mul(*salt) >> 27))
}

/// The chunk that tells of a key, in a filter of so many bytes, and where in it.
pub(super) fn place(key: &Key, bytes: u64) -> (usize, usize) {
    let at = block(key, bytes as usize / BLOCK_BYTES) * BLOCK_BYTES;
    (at / CHUNK_BYTES, at % CHUNK_BYTES)
}

/// Whether the key can be there; `None` if the chunk is too short.
pub(super) fn may_hold(key: &Key, chunk: &[u8], at: usize) -> Option<bool> {
    let words = chunk.get(at..at + BLOCK_BYTES)?.as_chunks().0;
    let mut all = words.iter().zip(bits(key));
    Some(all.all(|(word, bit)| u32::from_le_bytes(*word) & bit != 0))
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_128;

    use super::*;

    fn keys(from: u64, count: u64) -> Vec<Key> {
        let key = |n: u64| {
            *xxh3_128(&n.to_le_bytes())
                .to_be_bytes()
                .first_chunk()
                .unwrap()
        };
        (from..from + count).map(key).collect()
    }

    #[test]
    fn every_key_is_found_and_few_others() {
        for count in [1, 2, 20, 100, 50_000] {
            let filter = build(keys(0, count).iter());
            let asks = |key: &Key| {
                let (chunk, at) = place(key, filter.len() as u64);
                may_hold(key, filter.chunks(CHUNK_BYTES).nth(chunk).unwrap(), at).unwrap()
            };
            assert!(keys(0, count).iter().all(asks));
            let wrong = keys(1_000_000, 10_000)
                .iter()
                .filter(|key| asks(key))
                .count();
            assert!(
                count < 100 || wrong < 100,
                "{wrong} of 10,000, with {count}"
            );
        }
    }
}
