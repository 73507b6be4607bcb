//! The cells, one in each file. Each is a struct of its parameters, with `init` and a step that
//! reads like its source.

mod gru;
mod gru_reset_after;
mod indrnn;
mod layer_norm_gru;
mod layer_norm_lstm;
mod lru;
mod lstm;
mod mgu;
mod mgu_reset_after;
mod min_gru;
mod min_lstm;
mod peephole_lstm;
mod projected_lstm;
mod rnn;
mod s5;
mod selective_ssm;
mod slstm;

pub use gru::Gru;
pub use gru_reset_after::GruResetAfter;
pub use indrnn::IndRnn;
pub use layer_norm_gru::LayerNormGru;
pub use layer_norm_lstm::LayerNormLstm;
pub use lru::Lru;
pub use lstm::{Lstm, LstmCarry};
pub use mgu::Mgu;
pub use mgu_reset_after::MguResetAfter;
pub use min_gru::MinGru;
pub use min_lstm::MinLstm;
pub use peephole_lstm::PeepholeLstm;
pub use projected_lstm::ProjectedLstm;
pub use rnn::Rnn;
pub use s5::S5;
pub use selective_ssm::SelectiveSsm;
pub use slstm::{SLstm, SLstmCarry};

use crate::{Array, random};

/// Keys, one for each part of a cell.
fn keys<const N: usize>(key: &Array) -> [Array; N] {
    let keys = random::split(key, N);
    std::array::from_fn(|i| keys.at(i))
}
