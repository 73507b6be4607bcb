//! What a cell is, and cells made of cells: a tuple or a vector of them is a stack.

use crate::{Array, Tree};

/// One step of a recurrent model: the carry and an input -> the next carry and an output.
///
/// A cell is a tree: its leaves are its parameters, so that gradients, optimizers and files go
/// through it as through any other tree. A cell of your own needs nothing more than this trait;
/// [`run`](crate::nn::run) and all else here treats it as the ones of the library.
///
/// A tuple of cells, or a `Vec` of cells of one type, is a stack: each sees the output of the one
/// before.
///
/// # Examples
/// ```
/// use rondeau::{Array, Tree, nn, nn::Cell};
///
/// /// An exponential average with a rate that is learned.
/// #[derive(Clone, Tree)]
/// struct Average {
///     rate: Array,
/// }
///
/// impl Cell for Average {
///     type Carry = Array;
///
///     fn initial_carry(&self) -> Array {
///         self.rate.zeros_like()
///     }
///
///     fn step(&self, average: &Array, x: &Array) -> (Array, Array) {
///         let average = average + &self.rate * (x - average);
///         (average.clone(), average)
///     }
/// }
///
/// let cell = Average { rate: Array::from([0.5_f32]) };
/// let xs = Array::from([[8.0_f32], [0.0], [4.0]]);
/// let (last, averages) = nn::run(&cell, &cell.initial_carry(), &xs);
/// assert_eq!(averages.to_vec::<f32>()?, [4.0, 2.0, 3.0]);
/// assert_eq!(last.to_vec::<f32>()?, [3.0]);
/// # Ok::<(), rondeau::Error>(())
/// ```
pub trait Cell: Tree {
    /// What goes from step to step.
    type Carry: Tree;

    /// The carry before the first step of one sequence, of the parameters' element type.
    fn initial_carry(&self) -> Self::Carry;

    /// One step: `x: [input]` -> the next carry and the output.
    fn step(&self, carry: &Self::Carry, x: &Array) -> (Self::Carry, Array);

    /// The length of the inputs, if the parameters say it. Only messages depend on it.
    fn input_size(&self) -> Option<usize> {
        None
    }
}

impl<C: Cell> Cell for Vec<C> {
    type Carry = Vec<C::Carry>;

    fn initial_carry(&self) -> Self::Carry {
        self.iter().map(C::initial_carry).collect()
    }

    fn step(&self, carry: &Self::Carry, x: &Array) -> (Self::Carry, Array) {
        let mut x = x.clone();
        let layers = self.iter().zip(carry);
        let next = layers.map(|(cell, carry)| {
            let (next, y) = cell.step(carry, &x);
            x = y;
            next
        });
        (next.collect(), x)
    }

    fn input_size(&self) -> Option<usize> {
        self.first()?.input_size()
    }
}

macro_rules! stack {
    ($first:ident $($rest:ident)* : $($i:tt)*) => {
        impl<$first: Cell, $($rest: Cell),*> Cell for ($first, $($rest,)*) {
            type Carry = ($first::Carry, $($rest::Carry,)*);

            fn initial_carry(&self) -> Self::Carry {
                ($(self.$i.initial_carry(),)*)
            }

            fn step(&self, carry: &Self::Carry, x: &Array) -> (Self::Carry, Array) {
                let mut x = x.clone();
                let next = ($({
                    let (next, y) = self.$i.step(&carry.$i, &x);
                    x = y;
                    next
                },)*);
                (next, x)
            }

            fn input_size(&self) -> Option<usize> {
                self.0.input_size()
            }
        }
    };
}
stack!(A: 0);
stack!(A B: 0 1);
stack!(A B C: 0 1 2);
stack!(A B C D: 0 1 2 3);
stack!(A B C D E: 0 1 2 3 4);
stack!(A B C D E F: 0 1 2 3 4 5);
