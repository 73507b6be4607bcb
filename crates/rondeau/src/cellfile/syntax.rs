//! What a file says, as a tree, and the tree as text again.

use std::fmt;

use super::functions::Function;
use super::lex::Span;

/// A name and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ident {
    pub(super) text: String,
    pub(super) span: Span,
}

/// A whole file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Syntax {
    pub(super) name: Ident,
    /// The input, then the carries, each with its sizes if they are said.
    pub(super) arguments: Vec<(Ident, Option<Sizes>)>,
    pub(super) items: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    Size(Vec<Ident>),
    Const { name: Ident, value: f64 },
    Param { name: Ident, sizes: Option<Sizes>, initial: Option<Initial> },
    Carry { name: Ident, sizes: Option<Sizes>, initial: Option<Initial> },
    Equation { name: Ident, value: Expr },
}

/// `[hidden, input]`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sizes {
    pub(super) axes: Vec<Size>,
    pub(super) span: Span,
}

/// A sum of numbers and of multiples of named sizes, such as `4*hidden - 1`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Size {
    pub(super) terms: Vec<(i64, Option<Ident>)>,
    pub(super) span: Span,
}

/// A way to draw first values, with its number if it has one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Initial {
    pub(super) way: Way,
    pub(super) number: f64,
}

macro_rules! ways {
    ($($way:ident $name:literal $takes:literal,)*) => {
        /// How first values are made.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Way { $($way,)* }

        impl Way {
            /// All of them: the name, and whether a number in parentheses follows.
            pub(super) const ALL: &[(&str, Way, bool)] = &[$(($name, Way::$way, $takes),)*];
        }
    };
}
ways! {
    Zeros "zeros" false,
    Ones "ones" false,
    Constant "constant" true,
    Normal "normal" true,
    TruncatedNormal "truncated_normal" true,
    Uniform "uniform" true,
    Glorot "glorot" false,
    GlorotNormal "glorot_normal" false,
    He "he" false,
    HeUniform "he_uniform" false,
    Lecun "lecun" false,
    LecunUniform "lecun_uniform" false,
    Orthogonal "orthogonal" false,
}

/// An expression; `depth` is that of its tree, which bounds every recursion over it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expr {
    pub(super) kind: ExprKind,
    pub(super) span: Span,
    pub(super) depth: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum ExprKind {
    Number(f64),
    /// A name; that of a next carry ends with a prime.
    Name(String),
    Neg(Box<Expr>),
    Binary(Op, Box<Expr>, Box<Expr>),
    /// `W x`: the product of a matrix and a vector.
    Product(Box<Expr>, Box<Expr>),
    Call(&'static Function, Vec<Expr>),
    /// `x[from..to]`.
    Slice(Box<Expr>, Option<Size>, Option<Size>),
}

macro_rules! ops {
    ($($op:ident $symbol:literal $level:ident,)*) => {
        /// An operator between two expressions.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Op { $($op,)* }

        impl Op {
            pub(super) fn symbol(self) -> &'static str {
                match self { $(Op::$op => $symbol,)* }
            }

            /// How tightly it binds.
            pub(super) fn level(self) -> Level {
                match self { $(Op::$op => Level::$level,)* }
            }

            /// The operator of a level with this symbol.
            pub(super) fn find(level: Level, symbol: &str) -> Option<Op> {
                [$(Op::$op,)*].into_iter().find(|op| op.level() == level && op.symbol() == symbol)
            }
        }
    };
}
ops! {
    Add "+" Sum,
    Sub "-" Sum,
    Mul "*" Term,
    Div "/" Term,
    Pow "^" Power,
    Lt "<" Comparison,
    Le "<=" Comparison,
    Gt ">" Comparison,
    Ge ">=" Comparison,
    Eq "==" Comparison,
    Ne "!=" Comparison,
}

/// Levels of the grammar, from what binds loosest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum Level {
    Comparison,
    Sum,
    Term,
    Sign,
    Product,
    Power,
    Slice,
}

impl Expr {
    fn level(&self) -> Level {
        match &self.kind {
            ExprKind::Number(_) | ExprKind::Name(_) | ExprKind::Call(..) | ExprKind::Slice(..) => {
                Level::Slice
            }
            ExprKind::Neg(_) => Level::Sign,
            ExprKind::Product(..) => Level::Product,
            ExprKind::Binary(op, ..) => op.level(),
        }
    }

    /// Writes the expression where only expressions of a level and above may stand.
    fn write(&self, f: &mut fmt::Formatter<'_>, least: Level) -> fmt::Result {
        if self.level() < least {
            f.write_str("(")?;
            self.write(f, Level::Comparison)?;
            return f.write_str(")");
        }
        match &self.kind {
            ExprKind::Number(value) => write_number(f, *value),
            ExprKind::Name(name) => f.write_str(name),
            ExprKind::Neg(x) => {
                f.write_str("-")?;
                x.write(f, Level::Sign)
            }
            ExprKind::Binary(Op::Pow, x, y) => {
                x.write(f, Level::Slice)?;
                f.write_str("^")?;
                y.write_exponent(f)
            }
            ExprKind::Binary(op, x, y) => {
                let (left, right) = match op.level() {
                    Level::Comparison => (Level::Sum, Level::Sum),
                    Level::Sum => (Level::Sum, Level::Term),
                    _ => (Level::Term, Level::Sign),
                };
                x.write(f, left)?;
                write!(f, " {} ", op.symbol())?;
                y.write(f, right)
            }
            ExprKind::Product(w, x) => {
                w.write(f, Level::Power)?;
                f.write_str(" ")?;
                x.write(f, Level::Product)
            }
            ExprKind::Call(function, arguments) => {
                write!(f, "{}(", function.name)?;
                for (i, argument) in arguments.iter().enumerate() {
                    f.write_str(if i == 0 { "" } else { ", " })?;
                    argument.write(f, Level::Comparison)?;
                }
                f.write_str(")")
            }
            ExprKind::Slice(x, from, to) => {
                x.write(f, Level::Slice)?;
                f.write_str("[")?;
                from.iter().try_for_each(|from| write!(f, "{from}"))?;
                f.write_str("..")?;
                to.iter().try_for_each(|to| write!(f, "{to}"))?;
                f.write_str("]")
            }
        }
    }

    /// An exponent may have signs without parentheses.
    fn write_exponent(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Neg(x) => {
                f.write_str("-")?;
                x.write_exponent(f)
            }
            _ => self.write(f, Level::Power),
        }
    }
}

/// The shortest text that reads as the same number.
fn write_number(f: &mut fmt::Formatter<'_>, value: f64) -> fmt::Result {
    match value.fract() == 0.0 && value.abs() < 1e15 {
        true => write!(f, "{value}"),
        false => write!(f, "{value:?}"),
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, Level::Comparison)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (count, name)) in self.terms.iter().enumerate() {
            let sign = match (i, *count < 0) {
                (0, false) => "",
                (0, true) => "-",
                (_, false) => " + ",
                (_, true) => " - ",
            };
            f.write_str(sign)?;
            match (count.unsigned_abs(), name) {
                (1, Some(name)) => f.write_str(&name.text)?,
                (count, Some(name)) => write!(f, "{count}*{}", name.text)?,
                (count, None) => write!(f, "{count}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let axes: Vec<String> = self.axes.iter().map(Size::to_string).collect();
        write!(f, "[{}]", axes.join(", "))
    }
}

impl fmt::Display for Initial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ways = Way::ALL.iter().filter(|(_, way, _)| *way == self.way);
        for (name, _, takes_number) in ways {
            f.write_str(name)?;
            if *takes_number {
                f.write_str("(")?;
                write_number(f, self.number)?;
                f.write_str(")")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, sizes, sign, initial) = match self {
            Item::Size(names) => {
                let names: Vec<&str> = names.iter().map(|name| name.text.as_str()).collect();
                return write!(f, "size {}", names.join(", "));
            }
            Item::Const { name, value } => {
                write!(f, "const {} = ", name.text)?;
                return write_number(f, *value);
            }
            Item::Equation { name, value } => return write!(f, "{} = {value}", name.text),
            Item::Param { name, sizes, initial } => {
                f.write_str("param ")?;
                (name, sizes, "~", initial)
            }
            Item::Carry { name, sizes, initial } => {
                f.write_str("carry ")?;
                (name, sizes, "=", initial)
            }
        };
        f.write_str(&name.text)?;
        sizes.iter().try_for_each(|sizes| write!(f, " {sizes}"))?;
        initial.iter().try_for_each(|initial| write!(f, " {sign} {initial}"))
    }
}

impl Syntax {
    /// Writes the file with something between its lines.
    pub(super) fn write(&self, f: &mut dyn fmt::Write, between: &str) -> fmt::Result {
        write!(f, "cell {}(", self.name.text)?;
        for (i, (name, sizes)) in self.arguments.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            f.write_str(&name.text)?;
            sizes.iter().try_for_each(|sizes| write!(f, " {sizes}"))?;
        }
        f.write_str(")")?;
        self.items.iter().try_for_each(|item| write!(f, "{between}{item}"))
    }
}
