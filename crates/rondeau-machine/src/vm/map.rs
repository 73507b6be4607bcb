//! Elementwise kernels.

use super::tile::{Job, Space, Tiles};
use super::{Frame, Planner};
use crate::code::Map;

/// A planned [`Map`].
#[derive(Debug)]
pub(crate) struct Kernel {
    tiles: Tiles,
}

impl Kernel {
    pub(super) fn new(planner: &mut Planner<'_>, k: &Map) -> Kernel {
        let dtypes = planner.infer(&k.dag, &k.loads, &[], k.dims.len());
        let views = k.loads.iter().chain(k.stores.iter().map(|s| &s.to));
        let space = Space::new(&k.dims, views, &k.dag, 0);
        let shape = space.tile();
        let job =
            Job { loads: &k.loads, dag: &k.dag, dtypes: &dtypes, stores: &k.stores, keep: &[] };
        let tiles = Tiles::compile(planner, space, shape, &job);
        planner.reserve(tiles.scratch_bytes());
        Kernel { tiles }
    }

    /// # Safety
    /// As [`super::run_step`].
    pub(super) unsafe fn run(&self, frame: &Frame<'_>) {
        let tiles = &self.tiles;
        // SAFETY: the planner has reserved the scratch; tiles cover the checked iteration space.
        unsafe {
            tiles.launch(frame, frame.scratch);
            tiles.space.for_each_tile(tiles.shape, |origin, shape| {
                tiles.run(frame, frame.scratch, origin, shape);
            });
        }
    }
}
