//! Files with accidents: bits that flip, parts that are lost, doubled, moved, numbers that grow.

use rondeau::io::npz::Packing;
use rondeau::io::{Record, checkpoint, npy, npz, safetensors};
use rondeau::{Array, Result};
use rondeau_machine::count::peak_bytes;

use crate::{Rng, count, tell};

/// Beyond the size of the file, a reader may take so much.
pub(crate) const MOST_BYTES: usize = 16 << 20;
/// The archives in these tests unpack to no more.
pub(crate) const MOST_UNPACKED: u64 = 4 << 20;

fn record() -> Record {
    let tree = (
        vec![Array::from([[1.0_f32, -2.0], [0.5, f32::NAN]]), Array::from([1.0_f64, 2.0])],
        Array::from([1, 2, 3]),
        (Array::from([true, false, true]), Array::zeros([0, 3]), Array::from([7_u32])),
    );
    Record::of(&tree).unwrap().with_text("made by", "a \"test\"").with_text("step", "12")
}

/// Texts that mean something in one of the formats.
const WORDS: [&[u8]; 16] = [
    b"18446744073709551615",
    b"2305843009213693951",
    b"4294967296",
    b"0",
    b"-1",
    b"BF16",
    b"F64",
    b"\"shape\":[",
    b"__metadata__",
    b"{\"",
    b"]]",
    b"\\ud800",
    b"PK\x05\x06",
    b"PK\x01\x02",
    b"(1, 1099511627776)",
    b"True",
];

/// A few accidents in a file, some of which put in a word of the format.
pub(crate) fn mutate(bytes: &mut Vec<u8>, words: &[&[u8]], rng: &mut Rng) {
    for _ in 0..1 + rng.below(4) {
        if bytes.is_empty() {
            bytes.push(0);
        }
        let at = rng.below(bytes.len());
        let end = at + rng.below(bytes.len() - at + 1).min(1 + rng.below(40));
        match rng.below(10) {
            0 | 1 => bytes[at] ^= 1 << rng.below(8),
            2 => bytes[at] = rng.next() as u8,
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(at..end)),
            5 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            6 => drop(bytes.splice(at..end, words[rng.below(words.len())].iter().copied())),
            7 => {
                // A number written in digits becomes another.
                let digit = |byte: &u8| byte.is_ascii_digit();
                if let Some(at) = bytes[at..].iter().position(digit).map(|i| i + at) {
                    bytes[at] = b'0' + rng.below(10) as u8;
                }
            }
            8 => {
                let boundary = [0, 1, 0x7f, 0x80, 0xff][rng.below(5)];
                let n = [1, 2, 4, 8][rng.below(4)];
                bytes.iter_mut().skip(at).take(n).for_each(|byte| *byte = boundary);
            }
            _ => {
                let to = rng.below(bytes.len());
                bytes.swap(at, to);
            }
        }
    }
}

/// Runs a reader on a file within the bound on memory; a panic says which file it was.
#[track_caller]
pub(crate) fn bounded<T>(bytes: &[u8], read: impl FnOnce(&[u8]) -> Result<T>) -> Result<T> {
    let (result, peak) = peak_bytes(|| read(bytes));
    assert!(
        peak <= bytes.len() + MOST_BYTES,
        "{peak} bytes of memory for a file of {}: {:02x?}",
        bytes.len(),
        &bytes[..bytes.len().min(400)]
    );
    result
}

/// Mutates the seeds and reads them; returns how many were read in spite of it.
fn survive(
    what: &str,
    n: u64,
    seeds: &[Vec<u8>],
    repair: fn(&mut Vec<u8>, &mut Rng),
    read: fn(&[u8]) -> Result<()>,
) {
    let mut rng = Rng::new(what);
    let mut n_read = 0;
    for seed in seeds {
        bounded(seed, read).unwrap();
    }
    for case in 0..n {
        let start = rng.0;
        let mut bytes = seeds[case as usize % seeds.len()].clone();
        mutate(&mut bytes, &WORDS, &mut rng);
        repair(&mut bytes, &mut rng);
        let result = std::panic::catch_unwind(|| bounded(&bytes, read));
        match result {
            Ok(result) => n_read += u64::from(result.is_ok()),
            Err(_) => panic!("{what}: case {case}, state {start:#x}: {bytes:02x?}"),
        }
    }
    tell(what, n, &format!("0 panics, memory within size + 16 MiB ({n_read} still read)"));
}

fn leave(_: &mut Vec<u8>, _: &mut Rng) {}

#[test]
fn safetensors_files() {
    let seeds =
        [safetensors::encode(&record()).unwrap(), safetensors::encode(&Record::new()).unwrap()];
    let n = count(1_000_000, 20_000);
    // Every second file gets the length of a header that ends where one seems to end.
    let repair = |bytes: &mut Vec<u8>, rng: &mut Rng| {
        let end = bytes.windows(2).rposition(|pair| pair == b"}}");
        if let (0, Some(end)) = (rng.below(2), end) {
            let length = (end as u64 + 2).saturating_sub(8).to_le_bytes();
            bytes.iter_mut().zip(length).for_each(|(byte, new)| *byte = new);
        }
    };
    survive("safetensors, mutated", n, &seeds, repair, |bytes| {
        let record = safetensors::decode(bytes)?;
        // What can be read can be written and read again.
        let again = safetensors::decode(&safetensors::encode(&record)?)?;
        assert_eq!(again.arrays().len(), record.arrays().len());
        Ok(())
    });
}

#[test]
fn numpy_files() {
    let n = count(1_000_000, 20_000);
    let arrays: Vec<Vec<u8>> =
        record().arrays().iter().map(|(_, array)| npy::encode(array).unwrap()).collect();
    survive("npy, mutated", n / 2, &arrays, leave, |bytes| npy::decode(bytes).map(drop));
    let archives = [Packing::Stored, Packing::Deflated].map(|p| npz::encode(&record(), p).unwrap());
    survive("npz, mutated", n / 2, &archives, leave, |bytes| {
        npz::decode(bytes, MOST_UNPACKED).map(drop)
    });
}

/// The header of a checkpoint around a body.
pub(crate) fn seal(body: &[u8]) -> Vec<u8> {
    let mut bytes = b"rondeauC\x01\x00\x00\x00".to_vec();
    bytes.extend(crc32(body).to_le_bytes());
    bytes.extend((body.len() as u64).to_le_bytes());
    bytes.extend(body);
    bytes
}

/// CRC-32, bit by bit.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 }
        })
    };
    !bytes.iter().fold(!0, step)
}

#[test]
fn checkpoint_files() {
    let seeds = [checkpoint::encode(&record()).unwrap()];
    assert_eq!(seeds[0], seal(&safetensors::encode(&record()).unwrap()));
    // Every second file gets the length and checksum of what it holds: mistakes with a seal.
    let repair = |bytes: &mut Vec<u8>, rng: &mut Rng| {
        if rng.below(2) == 0 && bytes.len() > 24 {
            *bytes = seal(&bytes[24..]);
        }
    };
    let n = count(1_000_000, 20_000);
    survive("checkpoint, mutated", n, &seeds, repair, |bytes| checkpoint::decode(bytes).map(drop));
}
