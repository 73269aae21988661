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
use multiversion::multiversion;

pub(crate) type Digest = [u8; 32];

const BLOCK: usize = 64;
const CHUNK: usize = 1024;
const CHUNK_START: u8 = 1;
const CHUNK_END: u8 = 2;
const ROOT: u8 = 8;
const KEYED_HASH: u8 = 16;
/// Last blocks that are hashed side by side, and how many are done sooner one after the other.
const LANES: usize = 16;
const FEW: usize = 6;
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
    if cfg!(feature = "unhashed") {
        return out;
    }
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
    let mut out = vec![[0; 32]; texts.len()];
    if cfg!(feature = "unhashed") {
        return out;
    }
    if let [text] = texts {
        return vec![of_text(text)];
    }
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
        }
        for indices in indices.chunks(LANES) {
            end(blocks, indices, texts, &mut out);
        }
    }
    out
}

/// The hashes, from the states after so many whole blocks: the last block of each text, which may
/// not be whole, is what the crate does one after the other only.
fn end(blocks: usize, indices: &[usize], texts: &[&[u8]], out: &mut [Digest]) {
    let begins = if blocks == 0 { CHUNK_START } else { 0 };
    let flags = begins | CHUNK_END | ROOT;
    let lasts = indices.iter().map(|index| {
        let state = match blocks {
            0 => IV,
            _ => words_from_le_bytes_32(&out[*index]),
        };
        let rest = &texts[*index][blocks * BLOCK..];
        let mut block = [0; BLOCK];
        block[..rest.len()].copy_from_slice(rest);
        (*index, state, block, rest.len() as u8)
    });
    if indices.len() < FEW {
        let lasts: Vec<_> = lasts.collect();
        for (index, mut state, block, length) in lasts {
            PLATFORM.compress_in_place(&mut state, &block, length, 0, flags);
            out[index] = le_bytes_from_words_32(&state);
        }
        return;
    }
    let (mut states, mut words, mut lengths) = ([[0; LANES]; 8], [[0; LANES]; 16], [0; LANES]);
    for (lane, (_, state, block, length)) in lasts.enumerate() {
        for (lanes, word) in states.iter_mut().zip(state) {
            lanes[lane] = word;
        }
        for (lanes, word) in words.iter_mut().zip(block.as_chunks().0) {
            lanes[lane] = u32::from_le_bytes(*word);
        }
        lengths[lane] = u32::from(length);
    }
    compress(&mut states, &words, &lengths, u32::from(flags));
    for (lane, index) in indices.iter().enumerate() {
        out[*index] = le_bytes_from_words_32(&states.map(|lanes| lanes[lane]));
    }
}

/// One word of each text.
type Lanes = [u32; LANES];

/// The compression function, of a block each for all lanes.
/// Source: BLAKE3, section 2.2.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn compress(states: &mut [Lanes; 8], words: &[Lanes; 16], lengths: &Lanes, flags: u32) {
    let mut v = [[0; LANES]; 16];
    v[..8].copy_from_slice(states);
    for (lanes, word) in v[8..12].iter_mut().zip(IV) {
        *lanes = [word; LANES];
    }
    (v[14], v[15]) = (*lengths, [flags; LANES]);
    for w in &ORDER {
        mix(&mut v, [0, 4, 8, 12], &words[w[0]], &words[w[1]]);
        mix(&mut v, [1, 5, 9, 13], &words[w[2]], &words[w[3]]);
        mix(&mut v, [2, 6, 10, 14], &words[w[4]], &words[w[5]]);
        mix(&mut v, [3, 7, 11, 15], &words[w[6]], &words[w[7]]);
        mix(&mut v, [0, 5, 10, 15], &words[w[8]], &words[w[9]]);
        mix(&mut v, [1, 6, 11, 12], &words[w[10]], &words[w[11]]);
        mix(&mut v, [2, 7, 8, 13], &words[w[12]], &words[w[13]]);
        mix(&mut v, [3, 4, 9, 14], &words[w[14]], &words[w[15]]);
    }
    for (at, lanes) in states.iter_mut().enumerate() {
        *lanes = each(|lane| v[at][lane] ^ v[at + 8][lane]);
    }
}

#[inline(always)]
fn mix(v: &mut [Lanes; 16], [a, b, c, d]: [usize; 4], x: &Lanes, y: &Lanes) {
    v[a] = each(|lane| v[a][lane].wrapping_add(v[b][lane]).wrapping_add(x[lane]));
    v[d] = each(|lane| (v[d][lane] ^ v[a][lane]).rotate_right(16));
    v[c] = each(|lane| v[c][lane].wrapping_add(v[d][lane]));
    v[b] = each(|lane| (v[b][lane] ^ v[c][lane]).rotate_right(12));
    v[a] = each(|lane| v[a][lane].wrapping_add(v[b][lane]).wrapping_add(y[lane]));
    v[d] = each(|lane| (v[d][lane] ^ v[a][lane]).rotate_right(8));
    v[c] = each(|lane| v[c][lane].wrapping_add(v[d][lane]));
    v[b] = each(|lane| (v[b][lane] ^ v[c][lane]).rotate_right(7));
}

/// Unlike `from_fn` it becomes one instruction of the vector unit.
#[inline(always)]
fn each(word: impl Fn(usize) -> u32) -> Lanes {
    let mut lanes = [0; LANES];
    for (lane, at) in lanes.iter_mut().enumerate() {
        *at = word(lane);
    }
    lanes
}

/// The order of the block's words in each round.
const ORDER: [[usize; 16]; 7] = {
    let step = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
    let mut all = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]; 7];
    let mut at = 16;
    while at < 7 * 16 {
        all[at / 16][at % 16] = all[at / 16 - 1][step[at % 16]];
        at += 1;
    }
    all
};

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
