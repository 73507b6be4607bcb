//! Whether parts that run at the same time can meet.
//!
//! Each part goes through its loops at its own pace, so the question is about all bytes that a view touches in
//! all steps. (Loops around the parts keep them in one step, and are taken as if they did not.) Two answers are
//! "no": the bytes lie in ranges that do not overlap; or there is a modulus `M` for which their residues lie in
//! ranges that do not overlap. The second is for rows of a batch in a layout `[time, batch, hidden]`: with `M` the
//! bytes of a step, time disappears, and a row has its own residues.

use super::{Access, CheckError, Checker, Space, Walk, advance_of, at, extent};
use crate::code::{MAX_PARTS, Stmt};
use std::collections::HashSet;

/// All bytes that a view touches: `start + Σ stride·x + y` for `x` in `0..=last` of each term, `y` in `0..bytes`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Footprint {
    space: Space,
    access: Access,
    start: i128,
    bytes: i128,
    /// Strides, above 0 and in bytes, and the last multiple of each, above 0.
    terms: Vec<(i128, i128)>,
}

impl Footprint {
    /// From the first byte to beyond the last.
    fn range(&self) -> (i128, i128) {
        (self.start, self.start + self.reach(|_| true) + self.bytes)
    }

    fn reach(&self, of: impl Fn(i128) -> bool) -> i128 {
        self.terms.iter().filter(|t| of(t.0)).map(|t| t.0 * t.1).sum()
    }

    /// Whether no byte is in both. "No" may be said where it is.
    fn apart(&self, other: &Footprint) -> bool {
        if self.space != other.space {
            return true;
        }
        let (a, b) = (self.range(), other.range());
        if a.1 <= b.0 || b.1 <= a.0 {
            return true;
        }
        let moduli = self.terms.iter().chain(&other.terms).map(|t| t.0);
        moduli.into_iter().any(|modulus| {
            // Multiples of the modulus leave residues alone; what is left is a range of residues each.
            let residues = |f: &Footprint| f.reach(|stride| stride % modulus != 0) + f.bytes;
            let distance = (other.start - self.start).rem_euclid(modulus);
            residues(self) <= distance && residues(other) <= modulus - distance
        })
    }
}

impl<'a> Checker<'a> {
    /// Checks parts one by one, and that what one writes no other touches.
    pub(super) fn parallel(
        &mut self,
        parts: &'a [Vec<Stmt>],
        path: &str,
    ) -> Result<(), CheckError> {
        if parts.is_empty() || parts.len() > MAX_PARTS {
            let what = format!("{} parts, not 1 to {MAX_PARTS}", parts.len());
            return Err(at(path.to_string(), what));
        }
        let mut all: Vec<Vec<Footprint>> = vec![];
        for (i, part) in parts.iter().enumerate() {
            self.footprints = Some(HashSet::new());
            let checked = self.body(part, &format!("{path}.parts[{i}]"));
            let footprints = self.footprints.take().unwrap_or_default();
            checked?;
            for (j, earlier) in all.iter().enumerate() {
                if !footprints.iter().all(|f| earlier.iter().all(|e| harmless(f, e))) {
                    let what = format!("parts {j} and {i} may meet where one of them writes");
                    return Err(at(path.to_string(), what));
                }
            }
            all.push(footprints.into_iter().collect());
        }
        Ok(())
    }

    /// Notes what a view touches, if a part is being checked.
    pub(super) fn leave_footprint(&mut self, walk: &Walk<'_>, access: Access) {
        let dims = walk.dims.iter().zip(&walk.strides);
        let dims = dims.map(|(&n, &stride)| (stride as i128, n as i128 - 1));
        self.leave(walk, access, 0, walk.view.dtype.size() as i128, &dims.collect::<Vec<_>>());
    }

    /// Notes all bytes from the first to the last of what is read in one step: for a kernel that sees them as
    /// one slice, with the gaps.
    pub(super) fn leave_hull(&mut self, walk: &Walk<'_>) {
        if walk.dims.contains(&0) || self.levels.contains(&0) {
            return;
        }
        let (low, high) = extent(walk);
        self.leave(walk, Access::Read, low, high - low, &[]);
    }

    /// Adds the footprint of `bytes` from `shift` bytes behind the walk's start on, along `dims` (strides in
    /// elements) and the loops.
    fn leave(
        &mut self,
        walk: &Walk<'_>,
        access: Access,
        shift: i128,
        bytes: i128,
        dims: &[(i128, i128)],
    ) {
        if self.footprints.is_none() {
            return;
        }
        let size = walk.view.dtype.size() as i128;
        let (space, origin) = self.origin(walk.view);
        let mut footprint =
            Footprint { space, access, start: origin + shift, bytes, terms: vec![] };
        let mut term = |stride: i128, last: i128| {
            let stride = stride * size;
            footprint.start += (stride * last).min(0);
            if stride != 0 && last > 0 {
                footprint.terms.push((stride.abs(), last));
            }
        };
        dims.iter().for_each(|&(stride, last)| term(stride, last));
        for (level, &n) in self.levels.iter().enumerate() {
            let advance = advance_of(walk.view, level);
            term(advance.stride as i128, n as i128 - 1);
            // Odd steps are taken as if they could be combined with any other: more than what happens.
            term(advance.parity as i128, (n as i128 - 1).min(1));
        }
        footprint.terms.sort_unstable();
        if let Some(footprints) = &mut self.footprints {
            footprints.insert(footprint);
        }
    }
}

/// Whether two accesses of different parts do not disturb each other.
fn harmless(a: &Footprint, b: &Footprint) -> bool {
    (a.access, b.access) == (Access::Read, Access::Read) || a.apart(b)
}
