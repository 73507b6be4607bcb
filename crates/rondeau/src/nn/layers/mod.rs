//! Layers without a state of their own, most of which are cells without a carry.

mod attention;
mod embedding;
mod linear;
mod norm;

pub use attention::Attention;
pub use embedding::Embedding;
pub use linear::Linear;
pub use norm::{LayerNorm, RmsNorm};
