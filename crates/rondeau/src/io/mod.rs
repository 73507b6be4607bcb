//! Files: arrays in the safetensors and NumPy formats, checkpoints, and writing that never leaves
//! half a file.
//!
//! What is read is not trusted. Every size is held against the bytes that are there before any
//! memory is taken, so no file makes a reader take more than its own size, a few megabytes for
//! its names, and what a compressed archive may unpack to ([`npz::MOST_UNPACKED`]). A file that
//! breaks a rule is an [`Error`](crate::Error) that says which and what to do.
//!
//! What is written is written beside its place and moved there when it is safe on the disk
//! ([`atomic`]). Equal arrays give equal bytes.
//!
//! | To keep | use |
//! |---|---|
//! | weights, for any tool | [`safetensors::save`], [`safetensors::load`] |
//! | arrays, for NumPy | [`npz::save`], [`npz::load`], [`npy::write`], [`npy::read`] |
//! | a run, to go on from | [`Checkpoints`], or all of [`train`](crate::train) |
//!
//! Written with the public operations alone; *must not know* how anything is trained.
//!
//! # Examples
//! ```
//! use rondeau::{Array, Tree, io};
//!
//! #[derive(Clone, Tree)]
//! struct Dense {
//!     weight: Array,
//!     bias: Array,
//! }
//!
//! let dir = std::env::temp_dir().join(format!("rondeau-doc-{}", std::process::id()));
//! std::fs::create_dir_all(&dir)?;
//! let dense = Dense { weight: Array::ones([3, 2]), bias: Array::zeros([3]) };
//! io::safetensors::save(dir.join("dense.safetensors"), &dense)?;
//! let again = io::safetensors::load(dir.join("dense.safetensors"), &dense)?;
//! assert_eq!(again.weight.to_vec::<f32>()?, [1.0; 6]);
//! # std::fs::remove_dir_all(&dir)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod atomic;
pub mod checkpoint;
mod checksum;
mod elements;
mod json;
pub mod npy;
pub mod npz;
mod record;
pub mod safetensors;
mod source;
mod zip;

pub use checkpoint::Checkpoints;
pub(crate) use checksum::crc32c;
pub use record::Record;
use source::Source;
