//! Products that share an operand become one product, of their other operands joined: `Uz·h` and
//! `Ur·h` are parts of `[Uz; Ur]·h`. In a loop, constants are joined before it.
//!
//! Products are merged only where the [`cost`](super::cost()) falls: where the operands to join
//! are small beside the one that is read once instead of several times, or are joined once for all
//! steps. Two products that are added, `A·x + B·y`, are left alone: as `[A B]·[x; y]` they would
//! have to join `x` and `y` at every step, which moves as many bytes as the addition that is saved.

use super::cost::{assumed_steps, cost};
use super::draft::{Draft, with_bodies};
use super::loops::{Loop, LoopDraft, Source};
use crate::ir::{Atom, Aval, Builder, Eqn, Program};
use crate::prim::{Batched, Concat, DotGeneral, Prim, Slice};

/// The program with products that share an operand merged.
pub(super) fn merge(program: &Program) -> Program {
    let groups = groups(program, &|_| true);
    let groups: Vec<Group> = groups.into_iter().filter(|group| group.pays(program, 1, 1)).collect();
    let mut draft = Draft::new(&[]);
    let mut env: Vec<Option<Atom>> = vec![None; program.n_vars()];
    for (var, atom) in program.inputs().iter().zip(draft.inputs_of(program)) {
        env[var.index()] = Some(atom);
    }
    for (i, eqn) in program.eqns().iter().enumerate() {
        if let Some(group) = groups.iter().find(|group| group.first() == i) {
            let parts: Vec<Atom> = group.joined(program).map(|atom| read(&env, atom)).collect();
            let joined = draft.bind1(Concat { axis: group.axis }, &parts);
            let shared = read(&env, group.shared(program));
            let products = draft.with_builder(|b| group.products(program, b, joined, shared));
            group.set(program, &mut env, products);
        }
        if groups.iter().all(|group| !group.members.contains(&i)) {
            let inputs: Vec<Atom> = eqn.inputs.iter().map(|&atom| read(&env, atom)).collect();
            let outputs = match &eqn.prim {
                Prim::Scan(scan) => merge_loop(&mut draft, Loop { scan, inputs: &inputs }),
                prim => draft.bind(with_bodies(prim, &mut merge), &inputs),
            };
            eqn.outputs.iter().zip(outputs).for_each(|(var, atom)| env[var.index()] = Some(atom));
        }
    }
    let outputs = program.outputs().iter().map(|&atom| read(&env, atom)).collect();
    draft.finish(outputs)
}

/// Appends a loop with products of constants merged, and then those of other values; its outputs.
fn merge_loop(draft: &mut Draft, it: Loop<'_>) -> Vec<Atom> {
    let body = it.body();
    let sources = it.sources();
    let outer = |atom: Atom| match sources[atom.var()?.index()] {
        Some(Source::Given(Batched::Shared(outer))) => Some(outer),
        _ => None,
    };
    let groups = groups(body, &|atom| outer(atom).is_some());
    let pays = |group: &Group| group.pays(body, 1, assumed_steps(it.scan.length));
    let groups: Vec<Group> = groups.into_iter().filter(pays).collect();
    let mut new = LoopDraft::default();
    let mut env: Vec<Option<Atom>> = vec![None; body.n_vars()];
    for &var in body.inputs() {
        let aval = body.var_aval(var).clone();
        env[var.index()] = Some(match sources[var.index()] {
            Some(Source::Carry(i)) => new.carry(it.init()[i], aval),
            Some(Source::Given(value)) => new.given(value, aval),
            None => unreachable!("internal: an input has a source"),
        });
    }
    for (i, eqn) in body.eqns().iter().enumerate() {
        if let Some(group) = groups.iter().find(|group| group.first() == i) {
            let parts: Option<Vec<Atom>> = group.joined(body).map(outer).collect();
            let parts = parts.expect("internal: a constant comes from outside");
            let joined = draft.bind1(Concat { axis: group.axis }, &parts);
            let aval = draft.aval(joined);
            let joined = new.given(Batched::Shared(joined), aval);
            let shared = read(&env, group.shared(body));
            let products = group.products(body, new.step(), joined, shared);
            group.set(body, &mut env, products);
        }
        if groups.iter().all(|group| !group.members.contains(&i)) {
            let inputs: Vec<Atom> = eqn.inputs.iter().map(|&atom| read(&env, atom)).collect();
            let outputs = new.bind(&eqn.prim, &inputs);
            eqn.outputs.iter().zip(outputs).for_each(|(var, atom)| env[var.index()] = Some(atom));
        }
    }
    let outputs: Vec<Atom> = body.outputs().iter().map(|&atom| read(&env, atom)).collect();
    let (next, rows) = outputs.split_at(it.scan.n_carry);
    let rows: Vec<usize> = rows.iter().map(|&atom| new.y(atom)).collect();
    let (scan, inputs) = new.finish(it.scan, next);
    let outputs = draft.bind(with_bodies(&scan.into(), &mut merge), &inputs);
    let (last, ys) = outputs.split_at(next.len());
    last.iter().copied().chain(rows.into_iter().map(|i| ys[i])).collect()
}

fn read(env: &[Option<Atom>], atom: Atom) -> Atom {
    match atom {
        Atom::Lit(_) => atom,
        Atom::Var(var) => env[var.index()].expect("internal: bound before use"),
    }
}

/// Which operand of a product: 0 is the left one.
type Side = usize;

/// Products of one program that can be merged.
#[derive(Clone, Debug)]
struct Group {
    /// The positions of their equations.
    members: Vec<usize>,
    /// The side of the operands that are joined.
    side: Side,
    /// The axis along which they are joined: free in the product.
    axis: usize,
    prim: DotGeneral,
}

/// The largest groups of products of which `may_join` lets the operands be joined.
fn groups(program: &Program, may_join: &dyn Fn(Atom) -> bool) -> Vec<Group> {
    let mut bound_at = vec![None; program.n_vars()];
    for (i, eqn) in program.eqns().iter().enumerate() {
        eqn.outputs.iter().for_each(|var| bound_at[var.index()] = Some(i));
    }
    let mut groups: Vec<Group> = Vec::new();
    for (i, eqn) in program.eqns().iter().enumerate() {
        let Prim::DotGeneral(dot) = &eqn.prim else { continue };
        let alone = |side: Side| Group::of_one(program, dot, i, side);
        for one in [0, 1].into_iter().filter_map(alone) {
            let operand = eqn.inputs[one.side];
            if !may_join(operand) {
                continue;
            }
            let fits = |group: &&mut Group| {
                let is_bound = operand
                    .var()
                    .and_then(|var| bound_at[var.index()])
                    .is_none_or(|at| at < group.first());
                is_bound && group.takes(program, &one)
            };
            match groups.iter_mut().find(fits) {
                Some(group) => group.members.push(i),
                None => groups.push(one),
            }
        }
    }
    // Largest first, each product in one group only.
    groups.sort_by_key(|group| std::cmp::Reverse(group.members.len()));
    let mut taken: Vec<usize> = Vec::new();
    groups.retain(|group| {
        let is_free = group.members.len() > 1 && !group.members.iter().any(|i| taken.contains(i));
        if is_free {
            taken.extend(&group.members);
        }
        is_free
    });
    groups
}

impl Group {
    /// A product, to be joined along the first free axis of the operand on `side`, if it has one.
    fn of_one(program: &Program, dot: &DotGeneral, at: usize, side: Side) -> Option<Group> {
        let contract = [&dot.lhs_contract, &dot.rhs_contract][side];
        let rank = program.aval(program.eqns()[at].inputs[side]).rank();
        let axis = (0..rank).find(|axis| !contract.contains(axis))?;
        let has_batch = !dot.lhs_batch.is_empty();
        (!has_batch).then(|| Group { members: vec![at], side, axis, prim: dot.clone() })
    }

    /// Whether another product can join: the same product of the same shared operand.
    fn takes(&self, program: &Program, other: &Group) -> bool {
        let (mine, others) = (self.eqn(program, 0), other.eqn(program, 0));
        let shape = |eqn: &Eqn| program.aval(eqn.inputs[self.side]).shape.with(self.axis, 1);
        self.side == other.side
            && self.prim == other.prim
            && mine.inputs[1 - self.side] == others.inputs[1 - self.side]
            && program.aval(mine.inputs[self.side]).rank()
                == program.aval(others.inputs[self.side]).rank()
            && shape(mine) == shape(others)
    }

    fn first(&self) -> usize {
        self.members[0]
    }

    fn eqn<'a>(&self, program: &'a Program, member: usize) -> &'a Eqn {
        &program.eqns()[self.members[member]]
    }

    fn shared(&self, program: &Program) -> Atom {
        self.eqn(program, 0).inputs[1 - self.side]
    }

    fn joined<'a>(&'a self, program: &'a Program) -> impl Iterator<Item = Atom> + 'a {
        self.members.iter().map(|&i| program.eqns()[i].inputs[self.side])
    }

    /// Appends the one product of the `joined` operands, and its parts.
    fn products(
        &self,
        program: &Program,
        b: &mut Builder,
        joined: Atom,
        shared: Atom,
    ) -> Vec<Atom> {
        let operands = if self.side == 0 { [joined, shared] } else { [shared, joined] };
        let product = b.bind1(self.prim.clone(), &operands);
        // The axis along which operands were joined comes first among the free axes of its side.
        let n_left = b.aval(operands[0]).rank() - self.prim.lhs_contract.len();
        let axis = if self.side == 0 { 0 } else { n_left };
        let shape = b.aval(product).shape;
        let mut start = 0;
        let part = |atom: Atom| {
            let size = program.aval(atom).shape[self.axis];
            let mut starts = vec![0; shape.rank()];
            starts[axis] = start;
            start += size;
            let sizes = shape.with(axis, size).to_vec();
            b.bind1(Slice { starts, sizes, steps: vec![1; shape.rank()] }, &[product])
        };
        self.joined(program).map(part).collect()
    }

    /// Notes the products of the members.
    fn set(&self, program: &Program, env: &mut [Option<Atom>], products: Vec<Atom>) {
        for (i, atom) in (0..self.members.len()).zip(products) {
            env[self.eqn(program, i).outputs[0].index()] = Some(atom);
        }
    }

    /// Whether the cost falls, if operands are joined so many times and multiplied so many times.
    fn pays(&self, program: &Program, n_joins: usize, n_products: usize) -> bool {
        let fragment = |make: &dyn Fn(&mut Builder) -> Vec<Atom>| {
            let mut b = Builder::new();
            let outputs = make(&mut b);
            cost(&b.finish(outputs)).total()
        };
        let input = |b: &mut Builder, atom: Atom| b.input(program.aval(atom));
        let apart = fragment(&|b| {
            let shared = input(b, self.shared(program));
            let product = |atom: Atom| {
                let joined = input(b, atom);
                let operands = if self.side == 0 { [joined, shared] } else { [shared, joined] };
                b.bind1(self.prim.clone(), &operands)
            };
            self.joined(program).map(product).collect()
        });
        let join = fragment(&|b| {
            let parts: Vec<Atom> = self.joined(program).map(|atom| input(b, atom)).collect();
            vec![b.bind1(Concat { axis: self.axis }, &parts)]
        });
        let together = fragment(&|b| {
            let shared = input(b, self.shared(program));
            let sizes = self.joined(program).map(|atom| program.aval(atom).shape[self.axis]);
            let first = program.aval(self.eqn(program, 0).inputs[self.side]);
            let shape = first.shape.with(self.axis, sizes.sum());
            let joined = b.input(Aval::new(first.dtype, shape));
            self.products(program, b, joined, shared)
        });
        let n = n_products as f64;
        n_joins as f64 * join + n * together < n * apart
    }
}
