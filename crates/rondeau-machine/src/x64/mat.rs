//! Products with weights as machine code.

use super::Generator;
use crate::code::Mat;

impl Generator<'_> {
    pub(super) fn mat(&mut self, _: &Mat) -> Result<(), String> {
        Err("not yet".into())
    }
}
