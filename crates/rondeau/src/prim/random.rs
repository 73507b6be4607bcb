//! The block cipher of the random numbers.

use super::elementwise::{Lane, arity, batch_elementwise, common_shape, lane};
use super::*;
use crate::buffer::{DType, Shape};

/// Threefry-2x32 with 20 rounds: a key and a counter, two words each, to two random words.
///
/// Elementwise over its four inputs `k0, k1, x0, x1`, which have one shape or no axes.
///
/// Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Threefry;

/// The block function.
fn threefry2x32([k0, k1]: [u32; 2], [x0, x1]: [u32; 2]) -> [u32; 2] {
    const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
    // The parity constant of Skein, with the key words, gives the third word.
    let keys = [k0, k1, k0 ^ k1 ^ 0x1BD1_1BDA];
    let (mut x0, mut x1) = (x0.wrapping_add(k0), x1.wrapping_add(k1));
    for group in 0..5 {
        for rotation in ROTATIONS[group % 2] {
            x0 = x0.wrapping_add(x1);
            x1 = x1.rotate_left(rotation) ^ x0;
        }
        x0 = x0.wrapping_add(keys[(group + 1) % 3]);
        x1 = x1.wrapping_add(keys[(group + 2) % 3]).wrapping_add(group as u32 + 1);
    }
    [x0, x1]
}

impl Rules for Threefry {
    fn name(&self) -> &'static str {
        "threefry2x32"
    }

    fn params(&self) -> Params {
        Params::new()
    }

    fn from_params(name: &str, _params: &Params) -> Option<Self> {
        (name == "threefry2x32").then_some(Threefry)
    }

    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        arity::<4>(inputs)?;
        if let Some(other) = inputs.iter().find(|aval| aval.dtype != DType::U32) {
            return Err(Misfit::new(format!("takes words of type u32, not {}", other.dtype)));
        }
        let aval = Aval::new(DType::U32, common_shape(inputs)?);
        Ok(vec![aval.clone(), aval])
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        let full = inputs.iter().find(|x| x.shape().rank() > 0);
        let shape = full.map_or_else(Shape::scalar, |x| x.shape().clone());
        let lanes: Vec<Lane<'_, u32>> = inputs.iter().map(lane).collect();
        let word = |input: usize, i: usize| match &lanes[input] {
            Lane::One(word) => *word,
            Lane::Each(words) => words[i],
        };
        let block = |i| threefry2x32([word(0, i), word(1, i)], [word(2, i), word(3, i)]);
        let (first, second) = (0..shape.count()).map(block).map(|[x0, x1]| (x0, x1)).unzip();
        vec![Buffer::new(shape.clone(), first), Buffer::new(shape, second)]
    }

    fn jvp(
        &self,
        b: &mut Builder,
        primals: &[Atom],
        _tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>) {
        (b.bind(*self, primals), vec![Tangent::Zero; 2])
    }

    fn transpose(
        &self,
        _b: &mut Builder,
        _cts: &[Cotangent],
        _inputs: &[Operand],
    ) -> Result<Vec<Cotangent>> {
        panic!("internal: threefry2x32 is not linear")
    }

    fn batch(&self, b: &mut Builder, size: usize, inputs: &[Batched]) -> Vec<Batched> {
        batch_elementwise(b, (*self).into(), size, inputs)
    }

    fn examples() -> Vec<Example<Self>> {
        let (scalar, full) = (Aval::scalar(DType::U32), Aval::new(DType::U32, [2, 3]));
        let empty = Aval::new(DType::U32, [0]);
        vec![
            (Threefry, vec![scalar.clone(); 4]),
            (Threefry, vec![full.clone(); 4]),
            (Threefry, vec![scalar.clone(), scalar.clone(), full.clone(), full.clone()]),
            (Threefry, vec![full.clone(), full, scalar.clone(), scalar.clone()]),
            (Threefry, vec![scalar.clone(), scalar, empty.clone(), empty]),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers of the authors' library, Random123.
    #[test]
    fn blocks_are_those_of_the_authors() {
        let known = [
            ([0, 0], [0, 0], [0x6b20_0159, 0x99ba_4efe]),
            ([u32::MAX; 2], [u32::MAX; 2], [0x1cb9_96fc, 0xbb00_2be7]),
            ([0x1319_8a2e, 0x0370_7344], [0x243f_6a88, 0x85a3_08d3], [0xc492_3a9c, 0x483d_f7a0]),
        ];
        for (key, counter, block) in known {
            assert_eq!(threefry2x32(key, counter), block);
            let inputs = [key, counter].concat();
            let inputs: Vec<Buffer> =
                inputs.into_iter().map(|word| Buffer::new((), vec![word])).collect();
            let outputs = Threefry.eval(&inputs);
            assert_eq!([0, 1].map(|i| outputs[i].values::<u32>()[0]), block);
        }
    }

    #[test]
    fn a_scalar_key_encrypts_each_counter() {
        let key = [7, 11].map(|word| Buffer::new((), vec![word]));
        let counters = [[0, 1, 2], [5, 5, 9]];
        let [low, high] = counters.map(|words| Buffer::new([3], words.to_vec()));
        let outputs = Threefry.eval(&[key[0].clone(), key[1].clone(), low, high]);
        let [first, second] = [0, 1].map(|word| outputs[word].values::<u32>());
        for (i, (&low, &high)) in counters[0].iter().zip(&counters[1]).enumerate() {
            assert_eq!(threefry2x32([7, 11], [low, high]), [first[i], second[i]]);
        }
    }
}
