//! The dimensions of statements: as few as their views allow, and loops for those beyond the most
//! that a kernel has.

use rondeau_machine::code::{MAX_DIMS, Map, Node, Reduce, Stmt, View};

use super::Lowerer;
use crate::buffer::Shape;

/// The points of a kernel: those of a shape, whose axes are its dimensions in some order.
pub(super) struct Space {
    pub(super) shape: Shape,
    /// The axis that a dimension is; none for a dimension of one point.
    axes: Vec<Option<usize>>,
}

impl Space {
    /// The dimensions are the axes.
    pub(super) fn of(shape: &Shape) -> Space {
        Space::permuted(shape, &(0..shape.rank()).collect::<Vec<_>>())
    }

    /// Dimension `i` is axis `order[i]`.
    pub(super) fn permuted(shape: &Shape, order: &[usize]) -> Space {
        Space { shape: shape.clone(), axes: order.iter().copied().map(Some).collect() }
    }

    /// A vector is the one row of a matrix.
    pub(super) fn of_row(n: usize) -> Space {
        Space { shape: [n].into(), axes: vec![None, Some(0)] }
    }

    /// A view of the shape with the strides of the kernel.
    pub(super) fn arrange(&self, view: &View) -> View {
        let stride = |axis: &Option<usize>| axis.map_or(0, |axis| view.strides[axis]);
        view.clone().strides(self.axes.iter().map(stride).collect::<Vec<_>>())
    }

    /// What counts along an axis counts along its dimension.
    pub(super) fn count_by_dims(&self, nodes: &mut [Node]) {
        for node in nodes {
            if let Node::Iota { dim, .. } = node {
                let at = self.axes.iter().position(|&axis| axis == Some(*dim as usize));
                *dim = at.expect("internal: an axis of the shape") as u32;
            }
        }
    }
}

impl Lowerer {
    /// Appends a statement along a last dimension; leading dimensions beyond the most that a
    /// kernel has become loops.
    pub(super) fn emit_rows(&mut self, mut stmt: Stmt) {
        let level = self.level();
        let (dims, views): (&mut Vec<usize>, Vec<&mut View>) = match &mut stmt {
            Stmt::Cumulative(c) => (&mut c.dims, vec![&mut c.from, &mut c.to]),
            Stmt::Sort(s) => {
                let views = [Some(&mut s.from), s.to.as_mut(), s.to_indices.as_mut()];
                (&mut s.dims, views.into_iter().flatten().collect())
            }
            Stmt::Gather(g) => {
                let indices = g.indices.iter_mut().map(|index| &mut index.view);
                (&mut g.dims, indices.chain([&mut g.from, &mut g.to]).collect())
            }
            Stmt::Scatter(s) => {
                let indices = s.indices.iter_mut().map(|index| &mut index.view);
                (&mut s.dims, indices.chain([&mut s.from, &mut s.to]).collect())
            }
            _ => panic!("internal: not a statement along rows"),
        };
        let n_loops = dims.len().saturating_sub(MAX_DIMS);
        let outer: Vec<usize> = dims.drain(..n_loops).collect();
        for view in views {
            step_by_loops(view, n_loops, level);
        }
        self.emit(stmt.in_loops(&outer));
    }
}

/// Merges neighbouring dimensions over which every view steps evenly.
pub(super) fn collapse(map: &mut Map) {
    if map.dag.iter().any(|node| matches!(node, Node::Iota { .. })) {
        return;
    }
    let mut views: Vec<&mut View> =
        map.loads.iter_mut().chain(map.stores.iter_mut().map(|store| &mut store.to)).collect();
    merge_dims(&mut map.dims, &mut views, 0);
}

/// The same for a fold, where what stays and what goes merge by themselves.
pub(super) fn collapse_reduce(reduce: &mut Reduce) {
    if reduce.dag.iter().any(|node| matches!(node, Node::Iota { .. })) {
        return;
    }
    let n_kept = reduce.dims.len();
    let mut loads: Vec<&mut View> = reduce.loads.iter_mut().collect();
    merge_dims(&mut reduce.reduced, &mut loads, n_kept);
    let mut all: Vec<&mut View> = reduce
        .loads
        .iter_mut()
        .chain(reduce.outputs.iter_mut().map(|output| &mut output.to))
        .collect();
    merge_dims(&mut reduce.dims, &mut all, 0);
}

/// Merges the dimensions `dims`, which are those of the views from `first` on.
fn merge_dims(dims: &mut Vec<usize>, views: &mut [&mut View], first: usize) {
    let mut d = 0;
    while d < dims.len() {
        if dims[d] == 1 {
            dims.remove(d);
            views.iter_mut().for_each(|view| {
                view.strides.remove(first + d);
            });
            continue;
        }
        let even = |view: &&mut View| {
            d > 0 && view.strides[first + d - 1] == view.strides[first + d] * dims[d] as i64
        };
        if d > 0 && views.iter().all(even) {
            dims[d - 1] *= dims[d];
            dims.remove(d);
            views.iter_mut().for_each(|view| {
                view.strides.remove(first + d - 1);
            });
            continue;
        }
        d += 1;
    }
}

/// The first `n_loops` dimensions of a view become steps of the loops from `level` on.
pub(super) fn step_by_loops(view: &mut View, n_loops: usize, level: usize) {
    let strides: Vec<i64> = view.strides.drain(..n_loops).collect();
    for (i, stride) in strides.into_iter().enumerate() {
        *view = view.clone().advance(level + i, stride);
    }
}

/// The same for what counts along a dimension.
pub(super) fn count_by_loops(node: &mut Node, n_loops: usize, level: usize) {
    if let Node::Iota { dim, dtype } = *node {
        *node = match (dim as usize).checked_sub(n_loops) {
            Some(dim) => Node::Iota { dim: dim as u32, dtype },
            None => Node::Step { level: level as u32 + dim, dtype },
        };
    }
}

/// The order of axes that puts one last.
pub(super) fn move_last(rank: usize, axis: usize) -> Vec<usize> {
    (0..rank).filter(|&other| other != axis).chain([axis]).collect()
}
