//! Files of arrays with accidents: bits that flip, parts that are lost, doubled, moved, numbers that
//! grow.

use rondeau::io::npz::Packing;
use rondeau::io::{Record, checkpoint, npy, npz, safetensors};
use rondeau::{Array, Result};

use crate::harness::{Mutation, Rng, count, leave};

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

/// Mutates the seeds and reads them.
fn survive(
    what: &'static str,
    seeds: &[Vec<u8>],
    repair: fn(&mut Vec<u8>, &mut Rng),
    read: fn(&[u8]) -> Result<()>,
) {
    let mutation = Mutation { seeds, words: &WORDS, repair };
    mutation.survive(what, count(1_000_000, 20_000), |bytes| read(bytes).is_ok());
}

#[test]
fn safetensors_files() {
    let seeds =
        [safetensors::encode(&record()).unwrap(), safetensors::encode(&Record::new()).unwrap()];
    // Every second file gets the length of a header that ends where one seems to end.
    let repair = |bytes: &mut Vec<u8>, rng: &mut Rng| {
        let end = bytes.windows(2).rposition(|pair| pair == b"}}");
        if let (0, Some(end)) = (rng.below(2), end) {
            let length = (end as u64 + 2).saturating_sub(8).to_le_bytes();
            bytes.iter_mut().zip(length).for_each(|(byte, new)| *byte = new);
        }
    };
    survive("safetensors, mutated", &seeds, repair, |bytes| {
        let record = safetensors::decode(bytes)?;
        // What can be read can be written and read again.
        let again = safetensors::decode(&safetensors::encode(&record)?)?;
        assert_eq!(again.arrays().len(), record.arrays().len());
        Ok(())
    });
}

#[test]
fn npy_files() {
    let arrays: Vec<Vec<u8>> =
        record().arrays().iter().map(|(_, array)| npy::encode(array).unwrap()).collect();
    survive("npy, mutated", &arrays, leave, |bytes| npy::decode(bytes).map(drop));
}

#[test]
fn npz_files() {
    let archives = [Packing::Stored, Packing::Deflated].map(|p| npz::encode(&record(), p).unwrap());
    survive("npz, mutated", &archives, leave, |bytes| npz::decode(bytes, MOST_UNPACKED).map(drop));
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
    survive("checkpoint, mutated", &seeds, repair, |bytes| checkpoint::decode(bytes).map(drop));
}
