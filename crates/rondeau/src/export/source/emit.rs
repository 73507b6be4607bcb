//! Programs as statements.

use super::scalar::{expression, literal, type_name};
use super::view::{Value, View, dense_strides};
use super::{Lang, Writer, bare};
use crate::buffer::{DType, Scalar};
use crate::error::{Error, Result};
use crate::ir::{Atom, Aval, Eqn, Program};
use crate::prim::*;

/// Longer expressions get a name of their own.
const LONG: usize = 60;

/// Elementwise equations that wait for their loop.
#[derive(Default)]
struct Group {
    eqns: Vec<usize>,
    shape: Vec<usize>,
}

/// Writes a program whose inputs are these values; its outputs.
pub(super) fn walk(w: &mut Writer, program: &Program, inputs: &[Value]) -> Result<Vec<Value>> {
    let mut walk = Walk { program, env: vec![None; program.n_vars()], uses: uses(program) };
    for (&var, value) in program.inputs().iter().zip(inputs) {
        walk.env[var.index()] = Some(value.clone());
    }
    let mut group = Group::default();
    for (i, eqn) in program.eqns().iter().enumerate() {
        let shape: Vec<usize> = match eqn.outputs.first() {
            Some(&var) => program.var_aval(var).shape.to_vec(),
            None => vec![],
        };
        if is_elementwise(&eqn.prim) {
            if !group.eqns.is_empty() && group.shape != shape {
                walk.flush(w, &mut group);
            }
            group.shape = shape;
            group.eqns.push(i);
            continue;
        }
        let waits = |&atom: &Atom| atom.var().is_some_and(|var| walk.env[var.index()].is_none());
        if eqn.inputs.iter().any(waits) {
            walk.flush(w, &mut group);
        }
        let values: Vec<Value> = eqn.inputs.iter().map(|&atom| walk.value(atom)).collect();
        let results = equation(w, program, eqn, &values)?;
        for (&var, value) in eqn.outputs.iter().zip(results) {
            walk.env[var.index()] = Some(value);
        }
    }
    walk.flush(w, &mut group);
    Ok(program.outputs().iter().map(|&atom| walk.value(atom)).collect())
}

/// How often each variable is read.
fn uses(program: &Program) -> Vec<usize> {
    let mut uses = vec![0; program.n_vars()];
    let atoms = program.eqns().iter().flat_map(|eqn| &eqn.inputs).chain(program.outputs());
    for var in atoms.filter_map(|atom| atom.var()) {
        uses[var.index()] += 1;
    }
    uses
}

fn is_elementwise(prim: &Prim) -> bool {
    matches!(
        prim,
        Prim::Unary(_) | Prim::Binary(_) | Prim::Select(_) | Prim::Convert(_) | Prim::Bitcast(_)
    )
}

struct Walk<'a> {
    program: &'a Program,
    env: Vec<Option<Value>>,
    uses: Vec<usize>,
}

impl Walk<'_> {
    fn value(&self, atom: Atom) -> Value {
        match atom {
            Atom::Lit(value) => Value::One(value),
            Atom::Var(var) => {
                self.env[var.index()].clone().expect("internal: it is bound before it is read")
            }
        }
    }

    /// Writes the loop of the equations that wait.
    fn flush(&mut self, w: &mut Writer, group: &mut Group) {
        let Group { eqns, shape } = std::mem::take(group);
        if eqns.is_empty() {
            return;
        }
        let all = self.program.eqns();
        let mut inside = vec![0; self.program.n_vars()];
        for var in eqns.iter().flat_map(|&i| &all[i].inputs).filter_map(|atom| atom.var()) {
            inside[var.index()] += 1;
        }
        let names: Vec<&str> = eqns.iter().map(|&i| all[i].prim.name()).collect();
        let aval = self.program.var_aval(all[eqns[eqns.len() - 1]].outputs[0]).clone();
        w.comment(&format!("{aval}, index by index: {}", names.join(", ")));
        // One loop is enough if all that is read lies in order.
        let dense = |&atom: &Atom| match atom.var().map(|var| &self.env[var.index()]) {
            Some(Some(Value::Many(view))) => view.shape.is_empty() || view.is_dense(),
            _ => true,
        };
        let flat = eqns.iter().flat_map(|&i| &all[i].inputs).all(dense);
        let over = if flat { vec![shape.iter().product()] } else { shape.clone() };
        let results: Vec<Option<View>> = (eqns.iter())
            .map(|&i| {
                let var = all[i].outputs[0];
                let kept = self.uses[var.index()] > inside[var.index()];
                kept.then(|| w.array(self.program.var_aval(var).dtype, &shape))
            })
            .collect();
        w.nest(&over, |w, index| {
            let mut locals: Vec<Option<String>> = vec![None; self.program.n_vars()];
            for (&i, result) in eqns.iter().zip(&results) {
                let eqn = &all[i];
                let operand = |atom: &Atom| match atom.var().and_then(|v| locals[v.index()].clone())
                {
                    Some(local) => local,
                    None => match self.value(*atom) {
                        Value::Many(view) if flat && !view.shape.is_empty() => w.read(
                            &Value::Many(View {
                                shape: over.clone(),
                                strides: dense_strides(&over),
                                ..view
                            }),
                            index,
                        ),
                        value => w.read(&value, index),
                    },
                };
                let operands: Vec<String> = eqn.inputs.iter().map(operand).collect();
                let dtypes: Vec<DType> =
                    eqn.inputs.iter().map(|&atom| self.program.aval(atom).dtype).collect();
                let text = expression(w.lang, &eqn.prim, &dtypes, &operands)
                    .expect("internal: the group is elementwise");
                let var = eqn.outputs[0];
                let once = inside[var.index()] <= 1;
                let local = match result.is_none() && once && text.len() < LONG {
                    true => text,
                    false if inside[var.index()] == 0 => text,
                    false => {
                        let name = w.name("v");
                        w.declare(&name, self.program.var_aval(var).dtype, &text, false);
                        name
                    }
                };
                if let Some(view) = result {
                    let place = match flat {
                        true => View { shape: over.clone(), strides: vec![1], ..view.clone() },
                        false => view.clone(),
                    };
                    w.set(&place.at(index), &local);
                }
                locals[var.index()] = Some(local);
            }
        });
        for (&i, result) in eqns.iter().zip(results) {
            let var = all[i].outputs[0];
            if let Some(view) = result {
                self.env[var.index()] = Some(Value::Many(view));
            }
        }
    }
}

/// Copies a value into an array.
pub(super) fn copy(w: &mut Writer, to: &View, from: &Value) {
    let flat = to.is_dense() && matches!(from, Value::Many(view) if view.is_dense());
    let from = match from {
        Value::Many(view) if flat => {
            Value::Many(view.reshaped(&[view.count()]).expect("internal: it is dense"))
        }
        value => value.clone(),
    };
    let to = match flat {
        true => to.reshaped(&[to.count()]).expect("internal: it is dense"),
        false => to.clone(),
    };
    w.nest(&to.shape.clone(), |w, index| {
        let value = w.read(&from, index);
        w.set(&to.at(index), &value);
    });
}

/// The value as an array: a number becomes one of one element.
fn as_view(w: &mut Writer, value: &Value) -> View {
    match value {
        Value::Many(view) => view.clone(),
        Value::One(number) => {
            let view = w.array(number.dtype(), &[]);
            w.set(&view.at(&[]), &literal(w.lang, *number));
            view
        }
    }
}

/// The value as an array whose elements lie in order.
fn as_dense(w: &mut Writer, value: &Value) -> View {
    let view = as_view(w, value);
    if view.is_dense() {
        return view;
    }
    let copied = w.array(view.dtype, &view.shape);
    copy(w, &copied, &Value::Many(view));
    copied
}

/// An index of C's or Rust's kind from an element of type i32.
fn signed(lang: Lang, text: &str) -> String {
    match lang {
        Lang::Rust => format!("({text} as i64)"),
        Lang::C => format!("((int64_t){text})"),
    }
}

fn unsigned(lang: Lang, text: &str) -> String {
    match lang {
        Lang::Rust => format!("({text} as usize)"),
        Lang::C => format!("((size_t){text})"),
    }
}

/// Declares an index, `text` clamped to `0..=most`.
fn clamped(w: &mut Writer, text: &str, most: usize) -> String {
    let (name, i) = (w.name("k"), signed(w.lang, text));
    w.line(match w.lang {
        Lang::Rust => format!("let {name} = {i}.max(0).min({most}) as usize;"),
        Lang::C => {
            format!("const size_t {name} = {i} < 0 ? 0 : {i} > {most} ? {most} : (size_t){i};")
        }
    });
    name
}

/// What folds join from, and how.
fn fold(lang: Lang, fold: Fold, dtype: DType, x: &str, y: &str) -> (String, String) {
    let (least, greatest) = match dtype {
        DType::F32 => (Scalar::F32(f32::NEG_INFINITY), Scalar::F32(f32::INFINITY)),
        DType::F64 => (Scalar::F64(f64::NEG_INFINITY), Scalar::F64(f64::INFINITY)),
        DType::I32 => (Scalar::I32(i32::MIN), Scalar::I32(i32::MAX)),
        DType::U32 => (Scalar::U32(0), Scalar::U32(u32::MAX)),
        DType::Bool => (Scalar::Bool(false), Scalar::Bool(true)),
    };
    let (first, binary) = match fold {
        Fold::Sum => (Scalar::of(0.0, dtype), Binary::Add),
        Fold::Prod => (Scalar::of(1.0, dtype), Binary::Mul),
        Fold::Max => (least, Binary::Max),
        Fold::Min => (greatest, Binary::Min),
        Fold::And => (Scalar::Bool(true), Binary::And),
        Fold::Or => (Scalar::Bool(false), Binary::Or),
    };
    let operands = [x.to_owned(), y.to_owned()];
    let joined = expression(lang, &Prim::Binary(binary), &[dtype, dtype], &operands);
    (literal(lang, first), joined.expect("internal: it is elementwise"))
}

fn equation(w: &mut Writer, program: &Program, eqn: &Eqn, x: &[Value]) -> Result<Vec<Value>> {
    let out = |i: usize| program.var_aval(eqn.outputs[i]);
    let is_view = matches!(
        eqn.prim,
        Prim::Broadcast(_) | Prim::Transpose(_) | Prim::Slice(_) | Prim::Reverse(_)
    );
    if !is_view && !eqn.outputs.is_empty() && !matches!(eqn.prim, Prim::Reshape(_) | Prim::Call(_))
    {
        let outs: Vec<String> = (0..eqn.outputs.len()).map(|i| out(i).to_string()).collect();
        let ins: Vec<String> =
            eqn.inputs.iter().map(|&atom| program.aval(atom).to_string()).collect();
        w.comment(&format!("{} = {} of {}", outs.join(", "), eqn.prim.name(), ins.join(", ")));
    }
    let one = |view: View| Ok(vec![Value::Many(view)]);
    match &eqn.prim {
        Prim::Unary(_)
        | Prim::Binary(_)
        | Prim::Select(_)
        | Prim::Convert(_)
        | Prim::Bitcast(_) => unreachable!("internal: elementwise equations wait in a group"),
        Prim::Broadcast(b) => {
            let view = as_view(w, &x[0]);
            let mut strides = vec![0; b.shape.rank()];
            for (from, &to) in b.axes.iter().enumerate() {
                if view.shape[from] == b.shape[to] {
                    strides[to] = view.strides[from];
                }
            }
            one(View { shape: b.shape.to_vec(), strides, ..view })
        }
        Prim::Reshape(r) => {
            let view = as_dense(w, &x[0]);
            one(view.reshaped(&r.shape).expect("internal: it is dense"))
        }
        Prim::Transpose(t) => {
            let view = as_view(w, &x[0]);
            let shape = t.permutation.iter().map(|&axis| view.shape[axis]).collect();
            let strides = t.permutation.iter().map(|&axis| view.strides[axis]).collect();
            one(View { shape, strides, ..view })
        }
        Prim::Slice(s) => one(slice(&as_positive(w, &x[0]), s)),
        Prim::Reverse(r) => {
            let mut view = as_positive(w, &x[0]);
            for &axis in &r.axes {
                let last = view.shape[axis].saturating_sub(1);
                view.offset += last * view.strides[axis] as usize;
                view.strides[axis] = -view.strides[axis];
            }
            one(view)
        }
        Prim::Pad(p) => one(pad(w, p, out(0), x)),
        Prim::Concat(c) => {
            let result = w.array(out(0).dtype, &out(0).shape);
            let mut at = 0;
            for value in x {
                let view = as_view(w, value);
                let mut part = View { shape: view.shape.clone(), ..result.clone() };
                part.offset = at * result.strides[c.axis] as usize;
                copy(w, &part, &Value::Many(view.clone()));
                at += view.shape[c.axis];
            }
            one(result)
        }
        Prim::Iota(i) => {
            let result = w.array(i.dtype, &i.shape);
            let ty = type_name(w.lang, i.dtype);
            w.nest(&i.shape, |w, index| {
                let value = match w.lang {
                    Lang::Rust if index[i.axis] == "0" => format!("0_usize as {ty}"),
                    Lang::Rust => format!("{} as {ty}", index[i.axis]),
                    Lang::C => format!("({ty}){}", index[i.axis]),
                };
                w.set(&result.at(index), &value);
            });
            one(result)
        }
        Prim::Reduce(r) => one(reduce(w, r, out(0), &x[0])),
        Prim::ArgReduce(a) => one(arg_reduce(w, a, out(0), &x[0])),
        Prim::Cumulative(c) => one(cumulative(w, c, out(0), &x[0])),
        Prim::Sort(s) => Ok(sort(w, s, x)),
        Prim::DotGeneral(d) => one(dot(w, d, out(0), x)),
        Prim::DynamicSlice(d) => {
            let view = as_positive(w, &x[0]);
            let part = ranged(w, view, &d.sizes, &x[1..]);
            let result = w.array(out(0).dtype, &out(0).shape);
            copy(w, &result, &Value::Many(part));
            one(result)
        }
        Prim::DynamicUpdate(DynamicUpdate) => {
            let result = w.array(out(0).dtype, &out(0).shape);
            copy(w, &result, &x[0]);
            let update = as_view(w, &x[1]);
            let part = ranged(w, result.clone(), &update.shape, &x[2..]);
            copy(w, &part, &Value::Many(update));
            one(result)
        }
        Prim::Gather(g) => one(gather(w, *g, out(0), x)),
        Prim::Scatter(s) => one(scatter(w, *s, out(0), x)),
        Prim::Threefry(Threefry) => {
            let results = [0, 1].map(|i| w.array(DType::U32, &out(i).shape));
            w.nest(&out(0).shape, |w, index| {
                let args: Vec<String> = x.iter().map(|x| w.read(x, index)).collect();
                let (pair, args) = (w.name("v"), args.join(", "));
                w.line(match w.lang {
                    Lang::Rust => format!("let {pair} = threefry_u32({args});"),
                    Lang::C => format!("uint32_t {pair}[2]; threefry_u32({args}, {pair});"),
                });
                for (i, result) in results.iter().enumerate() {
                    w.set(
                        &result.at(index),
                        &match w.lang {
                            Lang::Rust => format!("{pair}.{i}"),
                            Lang::C => format!("{pair}[{i}]"),
                        },
                    );
                }
            });
            Ok(results.map(Value::Many).to_vec())
        }
        Prim::Tap(_) => {
            w.comment("debug_print is left out");
            Ok(vec![])
        }
        Prim::Scan(s) => scan(w, s, x),
        Prim::While(s) => while_(w, s, x),
        Prim::Cond(c) => cond(w, c, x),
        Prim::Call(c) => walk(w, &c.body, x),
        Prim::CustomLinear(_) => Err(Error::not_exported("source code", eqn.prim.name())),
    }
}

/// The value as an array without negative strides.
fn as_positive(w: &mut Writer, value: &Value) -> View {
    let view = as_view(w, value);
    if view.strides.iter().all(|&stride| stride >= 0) {
        return view;
    }
    let copied = w.array(view.dtype, &view.shape);
    copy(w, &copied, &Value::Many(view));
    copied
}

fn slice(view: &View, s: &Slice) -> View {
    let starts = s.starts.iter().zip(&view.strides);
    let offset = view.offset + starts.map(|(&i, &stride)| i * stride as usize).sum::<usize>();
    let strides = s.steps.iter().zip(&view.strides).map(|(&n, &stride)| n as isize * stride);
    View { shape: s.sizes.clone(), strides: strides.collect(), offset, ..view.clone() }
}

/// The range that begins at clamped starts.
fn ranged(w: &mut Writer, mut view: View, sizes: &[usize], starts: &[Value]) -> View {
    for (axis, start) in starts.iter().enumerate() {
        let text = w.read(start, &[]);
        let start = clamped(w, &text, view.shape[axis] - sizes[axis]);
        view.terms.push((start, view.strides[axis] as usize));
    }
    view.shape = sizes.to_vec();
    view
}

fn pad(w: &mut Writer, p: &Pad, aval: &Aval, x: &[Value]) -> View {
    let (operand, result) = (as_positive(w, &x[0]), w.array(aval.dtype, &aval.shape));
    let fill = match &x[1] {
        Value::Many(view) => Value::Many(View {
            shape: aval.shape.to_vec(),
            strides: vec![0; aval.rank()],
            ..view.clone()
        }),
        one => one.clone(),
    };
    copy(w, &result, &fill);
    // The elements that are not cropped, and where the first of them goes.
    let (mut part, mut from) = (result.clone(), operand.clone());
    for axis in 0..aval.rank() {
        let step = p.interior[axis] as i64 + 1;
        let place = |i: usize| p.low[axis] + i as i64 * step;
        let inside = |&i: &usize| (0..aval.shape[axis] as i64).contains(&place(i));
        let kept: Vec<usize> = (0..operand.shape[axis]).filter(inside).collect();
        let first = kept.first().copied().unwrap_or(0);
        if kept.is_empty() {
            return result;
        }
        from.offset += first * from.strides[axis] as usize;
        part.offset += place(first) as usize * result.strides[axis] as usize;
        part.strides[axis] = result.strides[axis] * step as isize;
        (from.shape[axis], part.shape[axis]) = (kept.len(), kept.len());
    }
    copy(w, &part, &Value::Many(from));
    result
}

fn reduce(w: &mut Writer, r: &Reduce, aval: &Aval, x: &Value) -> View {
    let (x, result) = (as_view(w, x), w.array(aval.dtype, &aval.shape));
    let kept: Vec<usize> = (0..x.shape.len()).filter(|axis| !r.axes.contains(axis)).collect();
    let sizes: Vec<usize> = r.axes.iter().map(|&axis| x.shape[axis]).collect();
    w.nest(&aval.shape, |w, outer| {
        let acc = w.name("acc");
        let (first, _) = fold(w.lang, r.fold, aval.dtype, &acc, &acc);
        w.declare(&acc, aval.dtype, &first, true);
        w.nest(&sizes, |w, inner| {
            let mut index = vec![String::new(); x.shape.len()];
            kept.iter().zip(outer).for_each(|(&axis, i)| index[axis].clone_from(i));
            r.axes.iter().zip(inner).for_each(|(&axis, i)| index[axis].clone_from(i));
            let (_, joined) = fold(w.lang, r.fold, aval.dtype, &acc, &x.at(&index));
            w.set(&acc, &joined);
        });
        w.set(&result.at(outer), &acc);
    });
    result
}

/// The index of a result with an axis put back in.
fn with_axis(outer: &[String], axis: usize, i: &str) -> Vec<String> {
    let mut index = outer.to_vec();
    index.insert(axis, i.to_owned());
    index
}

fn if_(lang: Lang, condition: &str) -> String {
    let condition = bare(condition);
    match lang {
        Lang::Rust => format!("if {condition}"),
        Lang::C => format!("if ({condition})"),
    }
}

fn arg_reduce(w: &mut Writer, a: &ArgReduce, aval: &Aval, x: &Value) -> View {
    let (x, result) = (as_view(w, x), w.array(aval.dtype, &aval.shape));
    let n = x.shape[a.axis];
    w.nest(&aval.shape, |w, outer| {
        let (best, i) = (w.name("k"), w.name("i"));
        w.line(match w.lang {
            Lang::Rust => format!("let mut {best} = 0_usize;"),
            Lang::C => format!("size_t {best} = 0;"),
        });
        w.count(&i, "1", &n.to_string(), |w| {
            let [new, old] = [&i, &best].map(|i| x.at(&with_axis(outer, a.axis, i)));
            let better = if a.greatest { ">" } else { "<" };
            // NaN comes before every other value.
            let test = match x.dtype.is_float() {
                true => format!("{new} {better} {old} || ({new} != {new} && {old} == {old})"),
                false => format!("{new} {better} {old}"),
            };
            let head = if_(w.lang, &test);
            w.block(&head, |w| w.set(&best, &i));
        });
        let value = match w.lang {
            Lang::Rust => format!("{best} as i32"),
            Lang::C => format!("(int32_t){best}"),
        };
        w.set(&result.at(outer), &value);
    });
    result
}

fn cumulative(w: &mut Writer, c: &Cumulative, aval: &Aval, x: &Value) -> View {
    let (x, result) = (as_view(w, x), w.array(aval.dtype, &aval.shape));
    let n = aval.shape[c.axis];
    let mut outer_shape = aval.shape.to_vec();
    outer_shape.remove(c.axis);
    w.nest(&outer_shape, |w, outer| {
        let (acc, i) = (w.name("acc"), w.name("i"));
        let (mut first, _) = fold(w.lang, c.fold, aval.dtype, &acc, &acc);
        if c.fold == Fold::Sum && aval.dtype.is_float() {
            // The first element stays as it is, and 0 + -0 would be 0.
            first.insert(0, '-');
        }
        w.declare(&acc, aval.dtype, &first, true);
        w.count(&i, "0", &n.to_string(), |w| {
            let at = if c.reverse { format!("({} - {i})", n.saturating_sub(1)) } else { i.clone() };
            let index = with_axis(outer, c.axis, &at);
            let (_, joined) = fold(w.lang, c.fold, aval.dtype, &acc, &x.at(&index));
            w.set(&acc, &joined);
            w.set(&result.at(&index), &acc);
        });
    });
    result
}

/// Insertion sort, which is stable, of all arrays at once.
fn sort(w: &mut Writer, s: &Sort, x: &[Value]) -> Vec<Value> {
    let results: Vec<View> = (x.iter())
        .map(|x| {
            let view = as_view(w, x);
            let result = w.array(view.dtype, &view.shape);
            copy(w, &result, &Value::Many(view));
            result
        })
        .collect();
    let n = results[0].shape[s.axis];
    let mut outer_shape = results[0].shape.clone();
    outer_shape.remove(s.axis);
    w.nest(&outer_shape, |w, outer| {
        let (i, k) = (w.name("i"), w.name("k"));
        w.count(&i, "1", &n.to_string(), |w| {
            w.line(match w.lang {
                Lang::Rust => format!("let mut {k} = {i};"),
                Lang::C => format!("size_t {k} = {i};"),
            });
            // Later keys decide where all before them are equal; NaN comes last.
            let before = format!("({k} - 1)");
            let at = |result: &View, i: &str| result.at(&with_axis(outer, s.axis, i));
            let mut test = "false".to_owned();
            for key in results[..s.n_keys].iter().rev() {
                let (a, b) = (at(key, &k), at(key, &before));
                let nan = |of: &str| format!("{of} != {of}");
                let (less, same) = match key.dtype.is_float() {
                    true => (
                        format!("({a} < {b} || ({a} == {a} && {}))", nan(&b)),
                        format!("({a} == {b} || ({} && {}))", nan(&a), nan(&b)),
                    ),
                    false => (format!("{a} < {b}"), format!("{a} == {b}")),
                };
                test = format!("({less} || ({same} && {test}))");
            }
            let head = match w.lang {
                Lang::Rust => format!("while {k} > 0 && {test}"),
                Lang::C => format!("while ({k} > 0 && {test})"),
            };
            w.repeat(&head, |w| {
                for result in &results {
                    let v = w.name("v");
                    w.declare(&v, result.dtype, &at(result, &k), false);
                    w.set(&at(result, &k), &at(result, &before));
                    w.set(&at(result, &before), &v);
                }
                w.line(format!("{k} -= 1;"));
            });
        });
    });
    results.into_iter().map(Value::Many).collect()
}

fn dot(w: &mut Writer, d: &DotGeneral, aval: &Aval, x: &[Value]) -> View {
    let (a, b) = (as_view(w, &x[0]), as_view(w, &x[1]));
    let result = w.array(aval.dtype, &aval.shape);
    let free = |rank: usize, contract: &[usize], batch: &[usize]| -> Vec<usize> {
        (0..rank).filter(|axis| !contract.contains(axis) && !batch.contains(axis)).collect()
    };
    let a_free = free(a.shape.len(), &d.lhs_contract, &d.lhs_batch);
    let b_free = free(b.shape.len(), &d.rhs_contract, &d.rhs_batch);
    let sizes: Vec<usize> = d.lhs_contract.iter().map(|&axis| a.shape[axis]).collect();
    let n_batch = d.lhs_batch.len();
    w.nest(&aval.shape, |w, outer| {
        let acc = w.name("acc");
        let (first, _) = fold(w.lang, Fold::Sum, aval.dtype, &acc, &acc);
        w.declare(&acc, aval.dtype, &first, true);
        w.nest(&sizes, |w, inner| {
            let index =
                |rank: usize, batch: &[usize], free: &[usize], skip: usize, contract: &[usize]| {
                    let mut index = vec![String::new(); rank];
                    batch.iter().zip(outer).for_each(|(&axis, i)| index[axis].clone_from(i));
                    let rest = &outer[n_batch + skip..];
                    free.iter().zip(rest).for_each(|(&axis, i)| index[axis].clone_from(i));
                    contract.iter().zip(inner).for_each(|(&axis, i)| index[axis].clone_from(i));
                    index
                };
            let left = a.at(&index(a.shape.len(), &d.lhs_batch, &a_free, 0, &d.lhs_contract));
            let right =
                b.at(&index(b.shape.len(), &d.rhs_batch, &b_free, a_free.len(), &d.rhs_contract));
            let product =
                expression(w.lang, &Prim::Binary(Binary::Mul), &[aval.dtype; 2], &[left, right]);
            let product = product.expect("internal: it is elementwise");
            let (_, joined) = fold(w.lang, Fold::Sum, aval.dtype, &acc, &product);
            w.set(&acc, &joined);
        });
        w.set(&result.at(outer), &acc);
    });
    result
}

fn gather(w: &mut Writer, g: Gather, aval: &Aval, x: &[Value]) -> View {
    let (operand, indices) = (as_positive(w, &x[0]), as_view(w, &x[1]));
    let result = w.array(aval.dtype, &aval.shape);
    let n = operand.shape[g.n_batch];
    let n_lead = indices.shape.len();
    w.nest(&aval.shape, |w, index| {
        let at = indices.at(&index[..n_lead]);
        let row = clamped(w, &at, n.saturating_sub(1));
        let mut from = index[..g.n_batch].to_vec();
        from.push(row);
        from.extend_from_slice(&index[n_lead..]);
        let value = operand.at(&from);
        let zero = literal(w.lang, Scalar::of(0.0, aval.dtype));
        let value = match (g.bounds, w.lang) {
            (Bounds::Clip, _) => value,
            (Bounds::Drop, Lang::Rust) => {
                format!("if {at} >= 0 && {at} < {n} {{ {value} }} else {{ {zero} }}")
            }
            (Bounds::Drop, Lang::C) => format!("{at} >= 0 && {at} < {n} ? {value} : {zero}"),
        };
        let value = if n == 0 { zero } else { value };
        w.set(&result.at(index), &value);
    });
    result
}

fn scatter(w: &mut Writer, s: Scatter, aval: &Aval, x: &[Value]) -> View {
    let result = w.array(aval.dtype, &aval.shape);
    copy(w, &result, &x[0]);
    let (indices, updates) = (as_view(w, &x[1]), as_view(w, &x[2]));
    let n = aval.shape[s.n_batch];
    let n_lead = indices.shape.len();
    w.nest(&updates.shape.clone(), |w, index| {
        let at = indices.at(&index[..n_lead]);
        let row = clamped(w, &at, n.saturating_sub(1));
        let mut to = index[..s.n_batch].to_vec();
        to.push(row);
        to.extend_from_slice(&index[n_lead..]);
        let (place, update) = (result.at(&to), updates.at(index));
        let value = match s.write {
            Write::Set => update,
            Write::Add => fold(w.lang, Fold::Sum, aval.dtype, &place, &update).1,
        };
        let head = match s.bounds {
            Bounds::Clip => (n == 0).then(|| if_(w.lang, "false")),
            Bounds::Drop => Some(if_(w.lang, &format!("{at} >= 0 && {at} < {n}"))),
        };
        match head {
            Some(head) => w.block(&head, |w| w.set(&place, &value)),
            None => w.set(&place, &value),
        }
    });
    result
}

/// Arrays for a carry, with their first values.
fn carried(w: &mut Writer, avals: &[Aval], init: &[Value]) -> Vec<View> {
    let each = avals.iter().zip(init).map(|(aval, value)| {
        let view = w.array(aval.dtype, &aval.shape);
        copy(w, &view, value);
        view
    });
    each.collect()
}

/// Overwrites a carry, as if all at once.
fn overwrite(w: &mut Writer, carry: &[View], next: Vec<Value>) {
    let mut apart = Vec::new();
    for (i, value) in next.into_iter().enumerate() {
        let is_old = |view: &View| {
            view.base != carry[i].base && carry.iter().any(|old| old.base == view.base)
                || view.base == carry[i].base && !(view.offset == 0 && view.is_dense())
        };
        apart.push(match value {
            Value::Many(view) if is_old(&view) => {
                let copied = w.array(view.dtype, &view.shape);
                copy(w, &copied, &Value::Many(view));
                Value::Many(copied)
            }
            value => value,
        });
    }
    for (place, value) in carry.iter().zip(&apart) {
        if !matches!(value, Value::Many(view) if view.base == place.base) {
            copy(w, place, value);
        }
    }
}

fn scan(w: &mut Writer, s: &Scan, x: &[Value]) -> Result<Vec<Value>> {
    let (consts, rest) = x.split_at(s.n_consts);
    let (init, xs) = rest.split_at(s.n_carry);
    let avals = s.body.output_avals();
    let carry = carried(w, &avals[..s.n_carry], init);
    let xs: Vec<View> = xs.iter().map(|x| as_positive(w, x)).collect();
    let ys: Vec<View> = (avals[s.n_carry..].iter())
        .map(|aval| w.array(aval.dtype, &aval.prepend(s.length).shape))
        .collect();
    let i = w.name("t");
    w.count(&i, "0", &s.length.to_string(), |w| -> Result<()> {
        let t =
            if s.reverse { format!("({} - {i})", s.length.saturating_sub(1)) } else { i.clone() };
        let mut inputs = consts.to_vec();
        inputs.extend(carry.iter().cloned().map(Value::Many));
        inputs.extend(xs.iter().map(|x| Value::Many(x.row(&t))));
        let mut outputs = walk(w, &s.body, &inputs)?;
        for (y, value) in ys.iter().zip(outputs.drain(s.n_carry..)) {
            copy(w, &y.row(&t), &value);
        }
        overwrite(w, &carry, outputs);
        Ok(())
    })?;
    Ok(carry.into_iter().chain(ys).map(Value::Many).collect())
}

fn while_(w: &mut Writer, s: &While, x: &[Value]) -> Result<Vec<Value>> {
    let (cond_consts, rest) = x.split_at(s.n_cond_consts);
    let (body_consts, init) = rest.split_at(s.n_body_consts);
    let carry = carried(w, &s.body.output_avals(), init);
    let now: Vec<Value> = carry.iter().cloned().map(Value::Many).collect();
    let head = if w.lang == Lang::Rust { "loop" } else { "for (;;)" };
    w.repeat(head, |w| -> Result<()> {
        let goes_on = walk(w, &s.cond, &[cond_consts, &now].concat())?;
        let test = format!("!{}", w.read(&goes_on[0], &[]));
        let head = if_(w.lang, &test);
        w.block(&head, |w| w.line("break;"));
        let next = walk(w, &s.body, &[body_consts, &now].concat())?;
        overwrite(w, &carry, next);
        Ok(())
    })?;
    Ok(now)
}

fn cond(w: &mut Writer, c: &Cond, x: &[Value]) -> Result<Vec<Value>> {
    let avals = c.branches[0].output_avals();
    let results: Vec<View> = avals.iter().map(|aval| w.array(aval.dtype, &aval.shape)).collect();
    let index = w.read(&x[0], &[]);
    let chosen = clamped(w, &index, c.branches.len() - 1);
    for (i, branch) in c.branches.iter().enumerate() {
        let head = if_(w.lang, &format!("{} == {i}", bare(&unsigned(w.lang, &chosen))));
        w.block(&head, |w| -> Result<()> {
            let outputs = walk(w, branch, &x[1..])?;
            for (result, value) in results.iter().zip(&outputs) {
                copy(w, result, value);
            }
            Ok(())
        })?;
    }
    Ok(results.into_iter().map(Value::Many).collect())
}
