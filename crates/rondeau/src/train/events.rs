//! TensorBoard's event files: records with checksums, of protocol buffers, both written here.
//!
//! # Source
//! TFRecord: `tensorflow/core/lib/io/record_writer.h`; the messages: `event.proto`, `summary.proto`
//! of TensorBoard.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::io::crc32c;
use crate::{Error, Result};

/// Writes numbers for TensorBoard, into a new file of a directory.
///
/// # Examples
/// ```
/// use rondeau::train::EventWriter;
///
/// let dir = std::env::temp_dir().join(format!("rondeau-tb-{}", std::process::id()));
/// let mut events = EventWriter::in_dir(&dir)?;
/// events.scalar("loss", 1, 0.5)?;
/// events.flush()?;
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: BufWriter<File>,
}

impl EventWriter {
    /// Starts a file of its own in a directory, which is made if there is none.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn in_dir(dir: impl AsRef<Path>) -> Result<EventWriter> {
        let dir = dir.as_ref();
        let make = |error| Error::file("make the directory", &dir.display(), &error);
        fs::create_dir_all(dir).map_err(make)?;
        let unique = RandomState::new().build_hasher().finish();
        // TensorBoard reads the files of a directory in the order of their names.
        let name = format!("events.out.tfevents.{:010}.{unique:016x}", wall_time() as u64);
        let path = dir.join(name);
        let open = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = open.map_err(|error| Error::file("write", &path.display(), &error))?;
        let mut writer = EventWriter { path, file: BufWriter::new(file) };
        let mut version = Message::default();
        version.bytes(3, b"brain.Event:2");
        writer.event(0, version)?;
        Ok(writer)
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A number at a step. Tags with a slash are grouped by what is before it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f64) -> Result<()> {
        let mut scalar = Message::default();
        scalar.bytes(1, tag.as_bytes());
        scalar.fixed32(2, (value as f32).to_bits());
        let mut summary = Message::default();
        summary.bytes(1, &scalar.0);
        let mut event = Message::default();
        event.bytes(5, &summary.0);
        self.event(step, event)
    }

    /// Says that what other files have of later steps is void: the run went on from this step.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn restart(&mut self, step: u64) -> Result<()> {
        const START: u64 = 1;
        let mut session = Message::default();
        session.varint(1, START);
        let mut event = Message::default();
        event.bytes(7, &session.0);
        self.event(step, event)
    }

    /// Hands all that was written to the system.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(|error| Error::file("write", &self.path.display(), &error))
    }

    fn event(&mut self, step: u64, content: Message) -> Result<()> {
        let mut event = Message::default();
        event.fixed64(1, wall_time().to_bits());
        event.varint(2, step);
        event.0.extend(content.0);
        let written = record(&event.0, &mut self.file);
        written.map_err(|error| Error::file("write", &self.path.display(), &error))
    }
}

/// Seconds since 1970.
fn wall_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// Writes a TFRecord: the length and the bytes, each with its checksum.
fn record(bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    /// A checksum of data that holds checksums is weak, so they are turned and moved.
    fn masked(bytes: &[u8]) -> [u8; 4] {
        crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
    }
    let length = (bytes.len() as u64).to_le_bytes();
    out.write_all(&length)?;
    out.write_all(&masked(&length))?;
    out.write_all(bytes)?;
    out.write_all(&masked(bytes))
}

/// The fields of a protocol buffer.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn tag(&mut self, field: u64, wire_type: u64) {
        self.base128(field << 3 | wire_type);
    }

    /// Seven bits a byte, the least significant first; the eighth says that more follow.
    fn base128(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn varint(&mut self, field: u64, value: u64) {
        self.tag(field, 0);
        self.base128(value);
    }

    fn fixed64(&mut self, field: u64, bits: u64) {
        self.tag(field, 1);
        self.0.extend(bits.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.tag(field, 2);
        self.base128(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn fixed32(&mut self, field: u64, bits: u32) {
        self.tag(field, 5);
        self.0.extend(bits.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_protocol_buffers() {
        // The examples of the encoding's documentation: a = 150 is 08 96 01, b = "testing".
        let mut message = Message::default();
        message.varint(1, 150);
        message.bytes(2, b"testing");
        assert_eq!(message.0, b"\x08\x96\x01\x12\x07testing");
    }

    #[test]
    fn records_are_those_of_tensorflow() {
        // What tf.io.TFRecordWriter makes of "abc".
        let mut bytes = Vec::new();
        record(b"abc", &mut bytes).unwrap();
        let length = [3, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(bytes[..8], length);
        assert_eq!(bytes[12..15], *b"abc");
        let unmask = |bytes: &[u8]| {
            let masked = u32::from_le_bytes(bytes.try_into().unwrap());
            masked.wrapping_sub(0xa282_ead8).rotate_left(15)
        };
        assert_eq!(unmask(&bytes[8..12]), crc32c(&length));
        assert_eq!(unmask(&bytes[15..]), 0x364b_3fb7);
    }
}
