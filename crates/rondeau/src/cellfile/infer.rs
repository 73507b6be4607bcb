//! Which names are parameters, and the sizes of everything.

use std::collections::{BTreeMap, BTreeSet};

use super::functions::{FUNCTIONS, Function, Kind};
use super::lex::Span;
use super::mistakes::{Fault, nearest, slipped};
use super::sizes::{Complex, Dim, Equal, Known, Shape, Solver};
use super::syntax::{Expr, ExprKind, Ident, Initial, Item, Level, Op, Size, Sizes, Syntax, Way};

/// The most equations between sizes that wait for others.
const MOST_WAITING: usize = 256;
/// The names of sizes that need no declaration.
const COMMON: [&str; 3] = ["input", "hidden", "output"];

/// What is known of a file.
#[derive(Debug)]
pub(super) struct Inferred {
    /// The names of the sizes.
    pub(super) sizes: Vec<String>,
    pub(super) input: Vec<Known>,
    pub(super) output: Vec<Known>,
    /// In the order in which they are first named.
    pub(super) params: Vec<Variable>,
    pub(super) carries: Vec<Variable>,
    pub(super) checks: Vec<Check>,
}

/// A parameter or a carry.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) axes: Vec<Known>,
    pub(super) initial: Initial,
    pub(super) span: Span,
}

/// What must hold of sizes once they are numbers.
#[derive(Debug)]
pub(super) enum Check {
    /// Values of these sizes are made.
    Made(Span, Vec<Known>),
    /// A range of an axis: from, to, the size of the axis.
    Range(Span, [Known; 3]),
}

/// The sizes of a value, and whether it is a truth value.
#[derive(Clone, Debug)]
struct Type {
    shape: Shape,
    is_truth: bool,
}

/// A value that has a name.
#[derive(Debug)]
struct Entry {
    ty: Type,
    /// Where it is defined or, of a parameter, first used.
    origin: Span,
}

/// A parameter as it is met.
#[derive(Debug)]
struct Param {
    name: Ident,
    initial: Option<Initial>,
    is_declared: bool,
    n_uses: usize,
    /// Whether it is a factor, and whether it is a summand.
    is_factor: bool,
    is_summand: bool,
}

struct Infer<'a> {
    solver: Solver,
    values: BTreeMap<String, Entry>,
    /// Where each equation is.
    equations: BTreeMap<&'a str, Span>,
    declared_sizes: Vec<String>,
    carries: Vec<String>,
    params: Vec<Param>,
    param_places: BTreeMap<String, usize>,
    waiting: Vec<(Dim, Dim, Span)>,
    made: Vec<(Span, Vec<Dim>)>,
    ranges: Vec<(Span, [Dim; 3])>,
}

/// Infers all of a file.
pub(super) fn infer(syntax: &Syntax) -> Result<Inferred, Fault> {
    let mut infer = Infer {
        solver: Solver::default(),
        values: BTreeMap::new(),
        equations: BTreeMap::new(),
        declared_sizes: COMMON.iter().map(|name| (*name).to_owned()).collect(),
        carries: syntax.arguments.iter().skip(1).map(|(name, _)| name.text.clone()).collect(),
        params: Vec::new(),
        param_places: BTreeMap::new(),
        waiting: Vec::new(),
        made: Vec::new(),
        ranges: Vec::new(),
    };
    infer.declare(syntax)?;
    for item in &syntax.items {
        if let Item::Equation { name, value } = item {
            infer.equation(name, value)?;
        }
    }
    infer.finish(syntax)
}

fn complex(span: Span) -> impl Fn(Complex) -> Fault {
    move |Complex| Fault::complex(span)
}

fn scalar() -> Shape {
    Shape::Known(vec![])
}

fn number(shape: Shape) -> Type {
    Type { shape, is_truth: false }
}

impl<'a> Infer<'a> {
    /// Enters all that is said apart from equations, and where those are.
    fn declare(&mut self, syntax: &'a Syntax) -> Result<(), Fault> {
        let mut declared: BTreeMap<&str, Span> = BTreeMap::new();
        for item in &syntax.items {
            let Item::Size(names) = item else { continue };
            for name in names {
                if let Some(first) = declared.insert(&name.text, name.span) {
                    return Err(Fault::twice(name, first));
                }
                if !self.declared_sizes.contains(&name.text) {
                    self.declared_sizes.push(name.text.clone());
                }
                self.solver.named(&name.text);
            }
        }
        let mut carry_items = BTreeMap::new();
        for item in &syntax.items {
            let Item::Carry { name, sizes, .. } = item else { continue };
            if !self.carries.contains(&name.text) {
                return Err(Fault::not_a_carry(name, &self.carries));
            }
            if let Some((_, first)) = carry_items.insert(name.text.as_str(), (sizes, name.span)) {
                return Err(Fault::twice(name, first));
            }
        }
        for (i, (name, sizes)) in syntax.arguments.iter().enumerate() {
            if name.text == "y" {
                return Err(Fault::output_is_argument(name));
            }
            let item = carry_items.get(name.text.as_str()).and_then(|(sizes, _)| sizes.as_ref());
            if let (Some(first), Some(again)) = (sizes, item) {
                return Err(Fault::sizes_twice(&name.text, again.span, first.span));
            }
            let axes = match (sizes.as_ref().or(item), i) {
                (Some(sizes), _) => self.axes(sizes)?,
                (None, 0) => vec![self.solver.named("input")],
                (None, _) => vec![self.solver.fresh()],
            };
            self.define(name, number(Shape::Known(axes)))?;
        }
        for item in &syntax.items {
            match item {
                Item::Size(_) | Item::Carry { .. } => {}
                Item::Const { name, .. } => self.define(name, number(scalar()))?,
                Item::Param { name, sizes, initial } => {
                    let shape = match sizes {
                        Some(sizes) => Shape::Known(self.axes(sizes)?),
                        None => self.solver.fresh_shape(),
                    };
                    self.define(name, number(shape))?;
                    self.param(name, initial.clone(), true);
                }
                Item::Equation { name, .. } => {
                    if let Some(&first) = self.equations.get(name.text.as_str()) {
                        return Err(Fault::twice(name, first));
                    }
                    self.equations.insert(&name.text, name.span);
                }
            }
        }
        self.bind_equations(syntax)
    }

    /// Holds the names that equations bind against all others.
    fn bind_equations(&self, syntax: &Syntax) -> Result<(), Fault> {
        for item in &syntax.items {
            let Item::Equation { name, .. } = item else { continue };
            let place = syntax.arguments.iter().position(|(known, _)| known.text == name.text);
            if let Some(i) = place {
                return Err(Fault::argument(name, i == 0, syntax.arguments[i].0.span));
            }
            if let Some(entry) = self.values.get(&name.text) {
                return Err(Fault::twice(name, entry.origin));
            }
            if let Some(plain) = name.text.strip_suffix('\'')
                && !self.carries.iter().any(|carry| carry == plain)
            {
                return Err(Fault::not_a_carry(name, &self.carries));
            }
        }
        let bound = |name: &str| self.equations.contains_key(name);
        for (carry, _) in syntax.arguments.iter().skip(1) {
            if !bound(&format!("{}'", carry.text)) {
                return Err(Fault::no_equation(carry));
            }
        }
        match bound("y") {
            true => Ok(()),
            false => {
                Err(Fault::no_output(&syntax.name, syntax.arguments.get(1).map(|(name, _)| name)))
            }
        }
    }

    fn define(&mut self, name: &Ident, ty: Type) -> Result<(), Fault> {
        let entry = Entry { ty, origin: name.span };
        match self.values.insert(name.text.clone(), entry) {
            Some(first) => Err(Fault::twice(name, first.origin)),
            None => Ok(()),
        }
    }

    fn param(&mut self, name: &Ident, initial: Option<Initial>, is_declared: bool) {
        self.param_places.insert(name.text.clone(), self.params.len());
        self.params.push(Param {
            name: name.clone(),
            initial,
            is_declared,
            n_uses: usize::from(!is_declared),
            is_factor: false,
            is_summand: false,
        });
    }

    fn axes(&mut self, sizes: &Sizes) -> Result<Vec<Dim>, Fault> {
        sizes.axes.iter().map(|size| self.dim(size)).collect()
    }

    fn dim(&mut self, size: &Size) -> Result<Dim, Fault> {
        let mut sum = Dim::default();
        for (count, name) in &size.terms {
            let term = match name {
                None => Dim::constant(1),
                Some(name) if self.declared_sizes.contains(&name.text) => {
                    self.solver.named(&name.text)
                }
                Some(name) => return Err(Fault::unknown_size(name, &self.declared_sizes)),
            };
            sum = sum.plus(*count, &term).map_err(complex(size.span))?;
        }
        Ok(sum)
    }

    fn equation(&mut self, name: &Ident, value: &Expr) -> Result<(), Fault> {
        let ty = self.value(value)?;
        let what = match name.text.strip_suffix('\'') {
            Some(_) => "a carry",
            None if name.text == "y" => "the output",
            None => "",
        };
        if ty.is_truth && !what.is_empty() {
            return Err(Fault::truth(what, value.span));
        }
        if let Some(carry) = name.text.strip_suffix('\'')
            && let Some(entry) = self.values.get(carry)
        {
            let (own, origin) = (entry.ty.shape.clone(), entry.origin);
            if !self.same(&own, &ty.shape, value.span)? {
                let what = format!("`{}` must be of the sizes of `{carry}`", name.text);
                let sides =
                    [(value.span, self.solver.text(&ty.shape)), (origin, self.solver.text(&own))];
                let fault = Fault::disagree(&what, sides);
                return Err(self.because(fault, &[value]));
            }
        }
        self.define(name, ty)
    }

    /// Makes two shapes equal, axis by axis; whether they can be.
    fn same(&mut self, a: &Shape, b: &Shape, span: Span) -> Result<bool, Fault> {
        match (self.solver.shape(a), self.solver.shape(b)) {
            (Shape::Unknown(a), Shape::Unknown(b)) if a == b => Ok(true),
            (Shape::Unknown(unknown), known) | (known, Shape::Unknown(unknown)) => {
                self.solver.set_shape(unknown, known);
                Ok(true)
            }
            (Shape::Known(a), Shape::Known(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (a, b) in a.iter().zip(&b) {
                    if !self.equate(a, b, span)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }

    fn equate(&mut self, a: &Dim, b: &Dim, span: Span) -> Result<bool, Fault> {
        let equal = self.solver.equate(a, b).map_err(complex(span))?;
        if equal == Equal::Later {
            if self.waiting.len() == MOST_WAITING {
                return Err(Fault::complex(span));
            }
            self.waiting.push((a.clone(), b.clone(), span));
        }
        Ok(equal != Equal::No)
    }

    /// The sizes of two operands at each index: those of one of them if the other is a scalar.
    fn join(
        &mut self,
        what: &str,
        left: (&Expr, Shape),
        right: (&Expr, Shape),
    ) -> Result<Shape, Fault> {
        let (a, b) = (self.solver.shape(&left.1), self.solver.shape(&right.1));
        match (&a, &b) {
            (Shape::Known(axes), _) if axes.is_empty() => return Ok(b),
            (_, Shape::Known(axes)) if axes.is_empty() => return Ok(a),
            _ => {}
        }
        match self.same(&a, &b, left.0.span.to(right.0.span))? {
            true => Ok(a),
            false => {
                let sides =
                    [(left.0.span, self.solver.text(&a)), (right.0.span, self.solver.text(&b))];
                let what = format!("`{what}` needs both sides of one size");
                Err(self.because(Fault::disagree(&what, sides), &[left.0, right.0]))
            }
        }
    }

    /// The fault, with where the names among these expressions come from.
    fn because(&mut self, mut fault: Fault, exprs: &[&Expr]) -> Fault {
        for expr in exprs {
            let ExprKind::Name(name) = &expr.kind else { continue };
            let Some(entry) = self.values.get(name) else { continue };
            if !entry.origin.is_at(expr.span) {
                let (origin, shape) = (entry.origin, entry.ty.shape.clone());
                let label = format!("`{name}` is {} from here on", self.solver.text(&shape));
                fault = fault.because(origin, label);
            }
        }
        fault
    }

    /// The type of a number, not of a truth value.
    fn number(&mut self, what: &str, expr: &Expr) -> Result<Shape, Fault> {
        let ty = self.value(expr)?;
        match ty.is_truth {
            true => Err(Fault::truth(what, expr.span)),
            false => Ok(ty.shape),
        }
    }

    fn value(&mut self, expr: &Expr) -> Result<Type, Fault> {
        match &expr.kind {
            ExprKind::Number(_) => Ok(number(scalar())),
            ExprKind::Name(name) => self.name(name, expr.span),
            ExprKind::Neg(x) => Ok(number(self.number("what `-` takes", x)?)),
            ExprKind::Binary(op, left, right) => self.binary(*op, left, right),
            ExprKind::Product(w, x) => Ok(number(self.product(w, x)?)),
            ExprKind::Call(function, arguments) => {
                self.call(function, arguments, expr.span).map(number)
            }
            ExprKind::Slice(x, from, to) => {
                self.slice(x, from.as_ref(), to.as_ref(), expr.span).map(number)
            }
        }
    }

    fn name(&mut self, name: &str, span: Span) -> Result<Type, Fault> {
        if let Some(&i) = self.param_places.get(name) {
            self.params[i].n_uses += 1;
        }
        if let Some(entry) = self.values.get(name) {
            return Ok(entry.ty.clone());
        }
        if let Some(&equation) = self.equations.get(name) {
            return Err(Fault::used_before(name, span, equation));
        }
        let ident = Ident { text: name.to_owned(), span };
        if name.ends_with('\'') {
            return Err(Fault::not_a_carry(&ident, &self.carries));
        }
        let ty = number(self.solver.fresh_shape());
        self.define(&ident, ty.clone())?;
        self.param(&ident, None, false);
        Ok(ty)
    }

    fn binary(&mut self, op: Op, left: &Expr, right: &Expr) -> Result<Type, Fault> {
        let what = format!("what `{}` takes", op.symbol());
        let a = self.number(&what, left)?;
        let b = self.number(&what, right)?;
        for side in [left, right] {
            let ExprKind::Name(name) = &side.kind else { continue };
            let Some(&i) = self.param_places.get(name) else { continue };
            self.params[i].is_factor |= op == Op::Mul;
            self.params[i].is_summand |= op != Op::Mul;
        }
        let shape = self.join(op.symbol(), (left, a), (right, b))?;
        Ok(Type { shape, is_truth: op.level() == Level::Comparison })
    }

    /// `W x`.
    fn product(&mut self, w: &Expr, x: &Expr) -> Result<Shape, Fault> {
        if let ExprKind::Name(name) = &w.kind
            && !self.values.contains_key(name)
            && !self.equations.contains_key(name.as_str())
            && name.chars().count() >= 4
            && let Some(function) = nearest(name, FUNCTIONS.iter().map(|function| function.name))
        {
            return Err(Fault::almost_function(name, function, w.span));
        }
        let what = "what is multiplied";
        let left = self.number(what, w)?;
        let right = self.number(what, x)?;
        let (left, right) = (self.solver.shape(&left), self.solver.shape(&right));
        let [rows, columns] = match left {
            Shape::Unknown(unknown) => {
                let axes = [self.solver.fresh(), self.solver.fresh()];
                self.solver.set_shape(unknown, Shape::Known(axes.to_vec()));
                axes
            }
            Shape::Known(axes) => match <[Dim; 2]>::try_from(axes) {
                Ok(axes) => axes,
                Err(axes) => {
                    let sizes = self.solver.text(&Shape::Known(axes));
                    let fault = Fault::not_a_matrix(w.span, &sizes, x.span);
                    return Err(self.because(fault, &[w]));
                }
            },
        };
        let axes = match right {
            Shape::Unknown(unknown) => {
                let axes = vec![columns.clone()];
                self.solver.set_shape(unknown, Shape::Known(axes.clone()));
                axes
            }
            Shape::Known(axes) => axes,
        };
        let Some((summed, rest)) = axes.split_first() else {
            return Err(Fault::scalar_product(x.span, "a scalar"));
        };
        if !self.equate(&columns, summed, w.span.to(x.span))? {
            let matrix = Shape::Known(vec![rows, columns.clone()]);
            let sides = [
                (w.span, self.solver.text(&matrix)),
                (x.span, self.solver.text(&Shape::Known(axes.clone()))),
            ];
            let what = "a matrix has as many columns as the vector has numbers";
            return Err(self.because(Fault::disagree(what, sides), &[w, x]));
        }
        Ok(Shape::Known([&[rows], rest].concat()))
    }

    fn call(
        &mut self,
        function: &Function,
        arguments: &[Expr],
        span: Span,
    ) -> Result<Shape, Fault> {
        let name = function.name;
        if let Kind::Where = function.kind {
            return self.choice(arguments);
        }
        let what = format!("what `{name}` takes");
        let mut shapes = Vec::new();
        for argument in arguments {
            shapes.push(self.number(&what, argument)?);
        }
        match function.kind {
            Kind::Each(_) => Ok(shapes.remove(0)),
            Kind::Rows(_) => {
                let shape = self.solver.shape(&shapes[0]);
                match &shape {
                    Shape::Known(axes) if axes.is_empty() => {
                        Err(Fault::needs(name, "a vector", arguments[0].span, "a scalar"))
                    }
                    _ => Ok(shape),
                }
            }
            Kind::Fold(_) => Ok(scalar()),
            Kind::FoldOrPair(..) if arguments.len() == 1 => Ok(scalar()),
            Kind::FoldOrPair(..) | Kind::Pair(_) | Kind::Clip => {
                let mut joined = shapes[0].clone();
                for (argument, shape) in arguments.iter().zip(shapes).skip(1) {
                    joined = self.join(name, (&arguments[0], joined), (argument, shape))?;
                }
                Ok(joined)
            }
            Kind::Concat => self.concat(arguments, &shapes, span),
            Kind::Dot => {
                let [a, b] = [0, 1].map(|i| self.vector(name, &arguments[i], &shapes[i]));
                let (a, b) = (Shape::Known(vec![a?]), Shape::Known(vec![b?]));
                self.join(name, (&arguments[0], a), (&arguments[1], b))?;
                Ok(scalar())
            }
            Kind::Outer => {
                let [a, b] = [0, 1].map(|i| self.vector(name, &arguments[i], &shapes[i]));
                let axes = vec![a?, b?];
                self.made.push((span, axes.clone()));
                Ok(Shape::Known(axes))
            }
            Kind::Transpose => match self.solver.shape(&shapes[0]) {
                Shape::Known(axes) if axes.len() == 2 => {
                    Ok(Shape::Known(axes.into_iter().rev().collect()))
                }
                Shape::Known(axes) => {
                    let sizes = self.solver.text(&Shape::Known(axes));
                    Err(Fault::needs(name, "a matrix", arguments[0].span, &sizes))
                }
                Shape::Unknown(unknown) => {
                    let axes = [self.solver.fresh(), self.solver.fresh()];
                    self.solver.set_shape(unknown, Shape::Known(axes.to_vec()));
                    Ok(Shape::Known(axes.into_iter().rev().collect()))
                }
            },
            Kind::Where => unreachable!("internal: `where` is a choice"),
        }
    }

    fn choice(&mut self, arguments: &[Expr]) -> Result<Shape, Fault> {
        let [condition, yes, no] = arguments else {
            unreachable!("internal: `where` takes three arguments")
        };
        let which = self.value(condition)?;
        if !which.is_truth {
            return Err(Fault::no_truth(condition.span));
        }
        let what = "what `where` chooses";
        let a = self.number(what, yes)?;
        let b = self.number(what, no)?;
        let chosen = self.join("where", (yes, a), (no, b))?;
        self.join("where", (condition, which.shape), (yes, chosen))
    }

    /// The size of a vector.
    fn vector(&mut self, function: &str, expr: &Expr, shape: &Shape) -> Result<Dim, Fault> {
        match self.solver.shape(shape) {
            Shape::Known(axes) => match <[Dim; 1]>::try_from(axes) {
                Ok([size]) => Ok(size),
                Err(axes) => {
                    let sizes = self.solver.text(&Shape::Known(axes));
                    Err(Fault::needs(function, "vectors", expr.span, &sizes))
                }
            },
            Shape::Unknown(unknown) => {
                let size = self.solver.fresh();
                self.solver.set_shape(unknown, Shape::Known(vec![size.clone()]));
                Ok(size)
            }
        }
    }

    fn concat(&mut self, arguments: &[Expr], shapes: &[Shape], span: Span) -> Result<Shape, Fault> {
        let mut sum = Dim::default();
        for (argument, shape) in arguments.iter().zip(shapes) {
            let size = self.vector("concat", argument, shape)?;
            sum = sum.plus(1, &size).map_err(complex(span))?;
        }
        self.made.push((span, vec![sum.clone()]));
        Ok(Shape::Known(vec![sum]))
    }

    fn slice(
        &mut self,
        x: &Expr,
        from: Option<&Size>,
        to: Option<&Size>,
        span: Span,
    ) -> Result<Shape, Fault> {
        let shape = self.number("what a part is taken of", x)?;
        let Shape::Known(mut axes) = self.solver.shape(&shape) else {
            return Err(Fault::not_known_yet(x.span));
        };
        let Some(size) = axes.first().cloned() else {
            return Err(Fault::needs("[..]", "a vector", x.span, "a scalar"));
        };
        let from = from.map(|from| self.dim(from)).transpose()?.unwrap_or_default();
        let to = to.map(|to| self.dim(to)).transpose()?.unwrap_or_else(|| size.clone());
        axes[0] = to.plus(-1, &from).map_err(complex(span))?;
        self.ranges.push((span, [from, to, size]));
        Ok(Shape::Known(axes))
    }

    /// Solves what waits, until nothing changes any more.
    fn settle(&mut self) -> Result<(), Fault> {
        loop {
            let waiting = std::mem::take(&mut self.waiting);
            let before = waiting.len();
            for (a, b, span) in waiting {
                if !self.equate(&a, &b, span)? {
                    let sides = [a, b].map(|side| self.solver.text(&Shape::Known(vec![side])));
                    return Err(Fault::disagree(
                        "these must be equal",
                        sides.map(|side| (span, side)),
                    ));
                }
            }
            if self.waiting.len() == before {
                return Ok(());
            }
        }
    }

    /// Carries of one size that nothing else says are of the size `hidden`.
    fn default_hidden(&mut self, syntax: &Syntax) -> Result<(), Fault> {
        let mut free = BTreeSet::new();
        let mut first = None;
        for (carry, _) in syntax.arguments.iter().skip(1) {
            let Shape::Known(axes) = self.solver.shape(&self.values[&carry.text].ty.shape) else {
                continue;
            };
            for axis in axes {
                let axis = self.solver.resolve(&axis).map_err(complex(carry.span))?;
                if let Some(unknown) = self.solver.free(&axis) {
                    free.insert(unknown);
                    first = first.or(Some((axis, carry.span)));
                }
            }
        }
        if let (1, Some((axis, span))) = (free.len(), first) {
            let hidden = self.solver.named("hidden");
            self.equate(&axis, &hidden, span)?;
        }
        Ok(())
    }

    /// The sizes in names; or what to say to determine them.
    fn determined(
        &mut self,
        keyword: &str,
        name: &Ident,
        shape: &Shape,
    ) -> Result<Vec<Known>, Fault> {
        let axes = match self.solver.shape(shape) {
            Shape::Known(axes) => axes,
            // Nothing but scalars meets it.
            Shape::Unknown(_) => vec![],
        };
        let mut known = Vec::new();
        for axis in &axes {
            known.push(self.solver.known(axis).map_err(complex(name.span))?);
        }
        if known.iter().any(Option::is_none) {
            let show = |axis: &Option<Known>| {
                axis.as_ref().map_or_else(|| "output".to_owned(), Known::to_string)
            };
            let example: Vec<String> = known.iter().map(show).collect();
            let help = format!(
                "say them with named sizes or numbers: `{keyword} {} [{}]`",
                name.text,
                example
                    .join(", ")
                    .replace("output", if keyword == "carry" { "hidden" } else { "output" })
            );
            let sizes = self.solver.text(&Shape::Known(axes));
            return Err(Fault::undetermined(&name.text, &sizes, name.span, help));
        }
        Ok(known.into_iter().flatten().collect())
    }

    /// A parameter that is named once and not declared, by a name that is a slip of the hand away
    /// from that of a value, is taken to be that value.
    fn misspelled(&self) -> Result<(), Fault> {
        let is_param = |name: &String| self.param_places.contains_key(name);
        let values: Vec<_> = self.values.iter().filter(|(name, _)| !is_param(name)).collect();
        for param in self.params.iter().filter(|param| !param.is_declared && param.n_uses == 1) {
            let mut near = values.iter().filter(|(name, _)| slipped(name, &param.name.text));
            if let Some((value, entry)) = near.next() {
                return Err(Fault::almost_value(&param.name, value, entry.origin));
            }
        }
        Ok(())
    }

    fn finish(mut self, syntax: &Syntax) -> Result<Inferred, Fault> {
        self.misspelled()?;
        self.settle()?;
        self.default_hidden(syntax)?;
        self.settle()?;
        let (input, _) = &syntax.arguments[0];
        let input = self.determined("cell", input, &self.values[&input.text].ty.shape.clone())?;
        let mut carries = Vec::new();
        for (carry, _) in syntax.arguments.iter().skip(1) {
            let shape = self.values[&carry.text].ty.shape.clone();
            let axes = self.determined("carry", carry, &shape)?;
            let initial = carry_initial(syntax, carry)?;
            carries.push(Variable { name: carry.text.clone(), axes, initial, span: carry.span });
        }
        let mut params = Vec::new();
        for param in std::mem::take(&mut self.params) {
            if param.n_uses == 0 {
                let inferred = self.param_places.keys().map(String::as_str);
                let others = inferred.filter(|name| *name != param.name.text);
                return Err(Fault::unused(&param.name, nearest(&param.name.text, others)));
            }
            let shape = self.values[&param.name.text].ty.shape.clone();
            let axes = self.determined("param", &param.name, &shape)?;
            let initial = match &param.initial {
                Some(initial) if initial.way == Way::Orthogonal && axes.len() != 2 => {
                    return Err(Fault::orthogonal(&param.name));
                }
                Some(initial) => initial.clone(),
                None => Initial { way: usual(&param, &axes), number: 0.0 },
            };
            let name = param.name.text;
            params.push(Variable { name, axes, initial, span: param.name.span });
        }
        if let Some((.., span)) = self.waiting.first() {
            return Err(Fault::complex(*span));
        }
        let output = self.values["y"].ty.shape.clone();
        let y = Ident { text: "y".to_owned(), span: self.equations["y"] };
        let output = self.determined("param", &y, &output)?;
        let checks = self.checks()?;
        let sizes = self.named_sizes(syntax, &[&input, &output], &params, &carries, &checks);
        Ok(Inferred { sizes, input, output, params, carries, checks })
    }

    fn checks(&mut self) -> Result<Vec<Check>, Fault> {
        let mut checks = Vec::new();
        let mut known = |dims: &[Dim], span: Span| -> Result<Vec<Known>, Fault> {
            let find = |dim| match self.solver.known(dim) {
                Ok(Some(known)) => Ok(known),
                Ok(None) | Err(Complex) => Err(Fault::complex(span)),
            };
            dims.iter().map(find).collect()
        };
        for (span, dims) in &self.made {
            checks.push(Check::Made(*span, known(dims, *span)?));
        }
        for (span, dims) in &self.ranges {
            if let Ok(range) = known(dims, *span)?.try_into() {
                checks.push(Check::Range(*span, range));
            }
        }
        Ok(checks)
    }

    /// The names of all sizes that are declared or used, in that order.
    fn named_sizes(
        &self,
        syntax: &Syntax,
        ends: &[&Vec<Known>],
        params: &[Variable],
        carries: &[Variable],
        checks: &[Check],
    ) -> Vec<String> {
        let variables = carries.iter().chain(params).flat_map(|variable| &variable.axes);
        let checked = checks.iter().flat_map(|check| match check {
            Check::Made(_, axes) => axes.as_slice(),
            Check::Range(_, range) => range.as_slice(),
        });
        let used = ends[0].iter().chain(variables).chain(ends[1]).chain(checked);
        let declared = syntax.items.iter().flat_map(|item| match item {
            Item::Size(names) => names.as_slice(),
            _ => &[],
        });
        let mut sizes: Vec<String> = Vec::new();
        let mut seen = BTreeSet::new();
        let names = used.flat_map(Known::names);
        for name in names.chain(declared.map(|name| name.text.as_str())) {
            if seen.insert(name) {
                sizes.push(name.to_owned());
            }
        }
        sizes
    }
}

/// How a parameter begins if nothing is said: square matrices are orthogonal, others keep the
/// variance; factors are 1, all else is 0.
fn usual(param: &Param, axes: &[Known]) -> Way {
    match axes {
        [rows, columns] if rows == columns => Way::Orthogonal,
        [_, _] => Way::Lecun,
        _ if param.is_factor && !param.is_summand => Way::Ones,
        _ => Way::Zeros,
    }
}

/// How a carry begins.
fn carry_initial(syntax: &Syntax, carry: &Ident) -> Result<Initial, Fault> {
    for item in &syntax.items {
        let Item::Carry { name, initial: Some(initial), .. } = item else { continue };
        if name.text != carry.text {
            continue;
        }
        return match initial.way {
            Way::Zeros | Way::Ones | Way::Constant => Ok(initial.clone()),
            _ => Err(Fault::carry_way(&initial.to_string(), name.span)),
        };
    }
    Ok(Initial { way: Way::Zeros, number: 0.0 })
}
