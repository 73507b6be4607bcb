//! A program whose first outputs are its next inputs, called again and again: a stream.

use rondeau_machine::as_bytes_mut;

use super::Executable;
use super::executable::{Memory, few, few_mut};
use crate::buffer::{Buffer, DType, Shape, dispatch};
use crate::ir::Aval;

/// A program of (parameters, carry, x) -> (carry, y) with its parameters and its carry.
///
/// A step allocates nothing, unless somebody else holds on to the carry or to the outputs.
pub struct Session {
    executable: Executable,
    params: Vec<Buffer>,
    carry: Vec<Buffer>,
    /// Where the next step writes: the carry, then the outputs.
    next: Vec<Buffer>,
    memory: Memory,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("carry", &self.carry).finish_non_exhaustive()
    }
}

impl Session {
    /// A session that starts with this carry. The program's inputs are parameters, carry, x.
    pub fn new(executable: Executable, params: Vec<Buffer>, carry: Vec<Buffer>) -> Session {
        let params = params.iter().map(Buffer::to_dense).collect();
        let next = executable.program().output_avals();
        let next = next.iter().map(|aval| zeros(aval.dtype, &aval.shape)).collect();
        Session { executable, params, carry, next, memory: Memory::default() }
    }

    /// The carry: what has been seen so far.
    pub fn carry(&self) -> &[Buffer] {
        &self.carry
    }

    /// Goes on from another carry, of the same types.
    pub fn set_carry(&mut self, carry: Vec<Buffer>) {
        debug_assert_eq!(carry.len(), self.carry.len());
        self.carry = carry;
    }

    /// The types of the outputs, without the carry.
    pub fn output_avals(&self) -> Vec<Aval> {
        self.executable.program().output_avals().split_off(self.carry.len())
    }

    /// Makes one step with these inputs of the program; the outputs. They may be exchanged for
    /// buffers whose memory the next step is to use.
    pub fn step(&mut self, xs: &[Option<&Buffer>]) -> &mut [Buffer] {
        let Session { executable, params, carry, next, memory } = self;
        let (n_params, n_carry) = (params.len(), carry.len());
        let input = |i: usize| match i.checked_sub(n_params) {
            None => &params[i],
            Some(i) if i < n_carry => &carry[i],
            Some(i) => xs[i - n_carry].expect("internal: an input is missing"),
        };
        few(n_params + n_carry + xs.len(), input, |inputs| match executable.machine() {
            None => *next = executable.call(inputs),
            Some(machine) => {
                for (buffer, (aval, layout)) in next.iter_mut().zip(machine.outputs()) {
                    let fits = buffer.dtype() == aval.dtype && buffer.has_layout(layout);
                    if !fits || bytes_mut(buffer).is_none() {
                        *buffer = zeros(aval.dtype, &aval.shape);
                    }
                }
                let fresh = "internal: nobody else sees it";
                let places = next.iter_mut().map(|buffer| bytes_mut(buffer).expect(fresh));
                few_mut(places, |places| machine.run(inputs, places, memory));
            }
        });
        carry.swap_with_slice(&mut next[..n_carry]);
        &mut self.next[n_carry..]
    }
}

/// Memory of a type for a session to write to.
fn zeros(dtype: DType, shape: &Shape) -> Buffer {
    dispatch!(all dtype, T => Buffer::new(shape.clone(), vec![T::default(); shape.count()]))
}

fn bytes_mut(buffer: &mut Buffer) -> Option<&mut [u8]> {
    match buffer.dtype() {
        DType::F32 => buffer.dense_mut().map(as_bytes_mut::<f32>),
        DType::F64 => buffer.dense_mut().map(as_bytes_mut::<f64>),
        DType::I32 => buffer.dense_mut().map(as_bytes_mut::<i32>),
        DType::U32 => buffer.dense_mut().map(as_bytes_mut::<u32>),
        DType::Bool => None,
    }
}
