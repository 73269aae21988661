//! Many short texts hashed at once by BLAKE3, side by side in the lanes of the processor's vector
//! unit. The public functions of the crate do that only within one text of several kilobytes; the
//! module used here is outside its promise of stability, so its version is pinned exactly, and the
//! tests compare every result with the public functions.
//! Source: BLAKE3 (O'Connor, Aumasson, Neves, Wilcox-O'Hearn, 2020), section 2.

use std::sync::LazyLock;

use blake3::IncrementCounter;
use blake3::platform::{
    MAX_SIMD_DEGREE_OR_2, Platform, le_bytes_from_words_32, words_from_le_bytes_32,
};

pub(crate) type Digest = [u8; 32];

const BLOCK: usize = 64;
const CHUNK: usize = 1024;
const CHUNK_START: u8 = 1;
const CHUNK_END: u8 = 2;
const ROOT: u8 = 8;
const KEYED_HASH: u8 = 16;
const IV: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

static PLATFORM: LazyLock<Platform> = LazyLock::new(Platform::detect);

/// The hashes of texts of one block each, under a key.
pub(crate) fn of_blocks(key: &[u8; 32], texts: &[[u8; BLOCK]]) -> Vec<Digest> {
    let key = words_from_le_bytes_32(key);
    let mut out = vec![[0; 32]; texts.len()];
    let lanes = texts.chunks(MAX_SIMD_DEGREE_OR_2);
    for (texts, out) in lanes.zip(out.chunks_mut(MAX_SIMD_DEGREE_OR_2)) {
        let mut inputs = [&[0; BLOCK]; MAX_SIMD_DEGREE_OR_2];
        for (input, text) in inputs.iter_mut().zip(texts) {
            *input = text;
        }
        let ends = (CHUNK_START, CHUNK_END | ROOT);
        many(&inputs[..texts.len()], &key, KEYED_HASH, ends, out);
    }
    out
}

/// The hash of one text.
pub(crate) fn of_text(text: &[u8]) -> Digest {
    *blake3::hash(text).as_bytes()
}

/// The hashes of texts of any length.
pub(crate) fn of_texts(texts: &[&[u8]]) -> Vec<Digest> {
    if let [text] = texts {
        return vec![of_text(text)];
    }
    let mut out = vec![[0; 32]; texts.len()];
    // By the number of blocks before the last.
    let mut short: [Vec<usize>; CHUNK / BLOCK] = Default::default();
    for (index, text) in texts.iter().enumerate() {
        if text.len() <= CHUNK {
            short[text.len().saturating_sub(1) / BLOCK].push(index);
        } else {
            out[index] = of_text(text);
        }
    }
    for (blocks, indices) in short.iter().enumerate() {
        for indices in indices.chunks(MAX_SIMD_DEGREE_OR_2) {
            begin(blocks, indices, texts, &mut out);
            for index in indices {
                let mut state = match blocks {
                    0 => IV,
                    _ => words_from_le_bytes_32(&out[*index]),
                };
                let rest = &texts[*index][blocks * BLOCK..];
                let mut block = [0; BLOCK];
                block[..rest.len()].copy_from_slice(rest);
                let begins = if blocks == 0 { CHUNK_START } else { 0 };
                let flags = begins | CHUNK_END | ROOT;
                PLATFORM.compress_in_place(&mut state, &block, rest.len() as u8, 0, flags);
                out[*index] = le_bytes_from_words_32(&state);
            }
        }
    }
    out
}

/// The state after so many whole blocks of each text.
fn begin(blocks: usize, indices: &[usize], texts: &[&[u8]], out: &mut [Digest]) {
    fn of<const N: usize>(indices: &[usize], texts: &[&[u8]], out: &mut [Digest]) {
        let mut inputs = [&[0; N]; MAX_SIMD_DEGREE_OR_2];
        let mut states = [[0; 32]; MAX_SIMD_DEGREE_OR_2];
        for (input, index) in inputs.iter_mut().zip(indices) {
            *input = texts[*index].first_chunk().unwrap_or(&[0; N]);
        }
        let count = indices.len();
        many(
            &inputs[..count],
            &IV,
            0,
            (CHUNK_START, 0),
            &mut states[..count],
        );
        for (state, index) in states.iter().zip(indices) {
            out[*index] = *state;
        }
    }
    let of = match blocks {
        0 => return,
        1 => of::<{ BLOCK }>,
        2 => of::<{ 2 * BLOCK }>,
        3 => of::<{ 3 * BLOCK }>,
        4 => of::<{ 4 * BLOCK }>,
        5 => of::<{ 5 * BLOCK }>,
        6 => of::<{ 6 * BLOCK }>,
        7 => of::<{ 7 * BLOCK }>,
        8 => of::<{ 8 * BLOCK }>,
        9 => of::<{ 9 * BLOCK }>,
        10 => of::<{ 10 * BLOCK }>,
        11 => of::<{ 11 * BLOCK }>,
        12 => of::<{ 12 * BLOCK }>,
        13 => of::<{ 13 * BLOCK }>,
        14 => of::<{ 14 * BLOCK }>,
        _ => of::<{ 15 * BLOCK }>,
    };
    of(indices, texts, out);
}

fn many<const N: usize>(
    inputs: &[&[u8; N]],
    key: &[u32; 8],
    flags: u8,
    (start, end): (u8, u8),
    out: &mut [Digest],
) {
    let out = out.as_flattened_mut();
    PLATFORM.hash_many(inputs, key, 0, IncrementCounter::No, flags, start, end, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(length: usize, salt: usize) -> Vec<u8> {
        (0..length)
            .map(|i| (i * 7 + salt * 13 + length) as u8)
            .collect()
    }

    #[test]
    fn equal_those_of_the_public_functions() {
        for count in [0, 1, 2, 3, 4, 15, 16, 17, 40] {
            let blocks: Vec<[u8; BLOCK]> = (0..count)
                .map(|n| *bytes(BLOCK, n).first_chunk().unwrap())
                .collect();
            let key = [count as u8; 32];
            let expected = blocks.iter().map(|block| blake3::keyed_hash(&key, block));
            let expected: Vec<_> = expected.map(|hash| *hash.as_bytes()).collect();
            assert_eq!(of_blocks(&key, &blocks), expected);
        }
        // Every length up to beyond a chunk, many of each number of blocks, in no order.
        let texts: Vec<Vec<u8>> = (0..2_400).map(|n| bytes(n * 37 % 1_200, n)).collect();
        let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        let expected = texts.iter().map(|text| *blake3::hash(text).as_bytes());
        assert_eq!(of_texts(&texts), expected.collect::<Vec<_>>());
        assert_eq!(of_texts(&[b"", b""]), [of_text(b""); 2]);
    }
}
