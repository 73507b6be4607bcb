//! Structured arguments and results: leaves, the paths to them, and rebuilding. Knows of arrays
//! only that they are the leaves.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write};
use std::hash::BuildHasher;

use crate::error::{Error, Result};
use crate::trace::Array;

/// A structured argument or result: its leaves are arrays (JAX: pytree).
///
/// Trees are [`Array`], `()`, tuples of up to eight, arrays, `Vec`, `Option`, `Box`, maps with
/// `String` keys (in the order of the keys), and structs with `#[derive(Tree)]`. A field that holds
/// no arrays is marked `#[tree(fixed)]`: it is cloned where a tree is rebuilt, and counts as part
/// of the structure.
///
/// # Examples
/// ```
/// use rondeau::{Array, Tree, tree};
///
/// #[derive(Clone, Tree)]
/// struct Dense {
///     weight: Array,
///     bias: Option<Array>,
///     #[tree(fixed)]
///     name: String,
/// }
///
/// let weight = Array::zeros([3, 2]);
/// let layers = vec![Dense { weight, bias: None, name: "top".to_string() }];
/// assert_eq!(tree::leaves_with_paths(&layers)[0].0, "0.weight");
/// assert_eq!(
///     tree::structure_of(&layers),
///     r#"[Dense { weight: *, bias: None, name: "top" }]"#,
/// );
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a tree of arrays",
    label = "not a tree",
    note = "trees are `Array`, `()`, tuples, arrays, `Vec`, `Option`, `Box`, maps with `String` keys, \
            and structs with `#[derive(Clone, Tree)]`",
    note = "a field that holds no arrays is marked `#[tree(fixed)]`"
)]
pub trait Tree: Clone {
    /// Calls `visit` with the path and value of each leaf, in order.
    fn visit<'a>(&'a self, path: &mut Path, visit: &mut dyn FnMut(&Path, &'a Array));

    /// The same structure with every leaf replaced, in the same order as `visit`.
    fn map(&self, path: &mut Path, f: &mut dyn FnMut(&Path, &Array) -> Array) -> Self;

    /// Writes what tells this structure from others of the type: lengths, `None`s, keys, static
    /// fields; leaves as `*`.
    fn structure(&self, out: &mut dyn Write) -> fmt::Result;

    /// Calls `visit` with each leaf, in the order of [`visit`](Tree::visit) but without paths, which
    /// is quicker.
    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a Array)) {
        self.visit(&mut Path::new(), &mut |_, leaf| visit(leaf));
    }

    /// Calls `f` with each leaf, in order, to be changed where it is.
    fn each_mut(&mut self, f: &mut dyn FnMut(&mut Array)) {
        *self = self.map(&mut Path::new(), &mut |_, leaf| {
            let mut leaf = leaf.clone();
            f(&mut leaf);
            leaf
        });
    }

    /// Writes the part of the [`structure`](Tree::structure) in which values of this very type can
    /// differ: nothing if they cannot. Compiled functions compare it at every call.
    fn variant(&self, out: &mut dyn Write) -> fmt::Result {
        self.structure(out)
    }
}

/// The way to a leaf: a stack of segments. Prints as `gru.wz` or `1.0`; the path to a tree that is
/// itself a leaf prints as nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Path(Vec<Segment>);

/// One step into a tree.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// A field of a struct.
    Field(&'static str),
    /// A position in a tuple, array or vector.
    Index(usize),
    /// A key of a map.
    Key(String),
}

impl Path {
    /// The path to the whole tree.
    pub fn new() -> Path {
        Path::default()
    }

    /// The path to a tree that has a name, such as `carry`.
    pub fn named(root: impl Into<Segment>) -> Path {
        Path(vec![root.into()])
    }

    /// Goes one step down.
    pub fn push(&mut self, segment: impl Into<Segment>) {
        self.0.push(segment.into());
    }

    /// Goes one step up.
    pub fn pop(&mut self) {
        self.0.pop();
    }

    /// The steps from the root.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// What `inside` returns for the path one step down.
    fn within<R>(&mut self, segment: impl Into<Segment>, inside: impl FnOnce(&mut Path) -> R) -> R {
        self.push(segment);
        let result = inside(self);
        self.pop();
        result
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, segment) in self.0.iter().enumerate() {
            if depth > 0 {
                f.write_char('.')?;
            }
            write!(f, "{segment}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Segment::Field(name) => f.write_str(name),
            Segment::Index(index) => write!(f, "{index}"),
            Segment::Key(key) => f.write_str(key),
        }
    }
}

impl From<&'static str> for Segment {
    fn from(name: &'static str) -> Segment {
        Segment::Field(name)
    }
}

impl From<usize> for Segment {
    fn from(index: usize) -> Segment {
        Segment::Index(index)
    }
}

impl From<String> for Segment {
    fn from(key: String) -> Segment {
        Segment::Key(key)
    }
}

/// The leaves, in order.
pub fn leaves<T: Tree>(tree: &T) -> Vec<&Array> {
    let mut leaves = Vec::new();
    tree.each(&mut |leaf| leaves.push(leaf));
    leaves
}

/// The leaves with their paths, in order.
pub fn leaves_with_paths<T: Tree>(tree: &T) -> Vec<(String, &Array)> {
    let mut leaves = Vec::new();
    tree.visit(&mut Path::new(), &mut |path, leaf| leaves.push((path.to_string(), leaf)));
    leaves
}

/// The number of leaves.
pub fn count<T: Tree>(tree: &T) -> usize {
    let mut count = 0;
    tree.each(&mut |_| count += 1);
    count
}

/// The same structure with `f` of every leaf, called in order.
pub fn map<T: Tree>(tree: &T, mut f: impl FnMut(&Array) -> Array) -> T {
    tree.map(&mut Path::new(), &mut |_, leaf| f(leaf))
}

/// The same structure with `f` of each pair of leaves, called in order.
///
/// # Errors
/// [`Error`] if the structures differ; the message shows both.
pub fn map2<T: Tree>(left: &T, right: &T, mut f: impl FnMut(&Array, &Array) -> Array) -> Result<T> {
    let (need, got) = (structure_of(left), structure_of(right));
    if need != got {
        return Err(Error::trees_differ(
            "map2",
            "the left and the right tree",
            &[("the left is", need), ("the right is", got)],
        ));
    }
    let mut others = leaves(right).into_iter();
    let mut next = || others.next().expect("internal: trees of one structure differ in leaves");
    Ok(map(left, |leaf| f(leaf, next())))
}

/// What tells this structure from others of the type, as text: lengths, `None`s, keys, static
/// fields; leaves as `*`.
pub fn structure_of<T: Tree>(tree: &T) -> String {
    let mut text = String::new();
    tree.structure(&mut text).expect("internal: a string takes all text");
    text
}

/// The structure of `template` with other leaves, taken in order.
///
/// # Panics
/// If there are fewer or more leaves than `template` has.
pub fn rebuild<T: Tree>(template: &T, leaves: impl IntoIterator<Item = Array>) -> T {
    let mut leaves = leaves.into_iter();
    let mut used = 0;
    let tree = map(template, |_| {
        used += 1;
        leaves.next().unwrap_or_else(|| wrong_count(template, used - 1))
    });
    match leaves.count() {
        0 => tree,
        left => wrong_count(template, used + left),
    }
}

fn wrong_count<T: Tree>(template: &T, given: usize) -> ! {
    panic!(
        "internal: a tree of {} leaves is rebuilt from {given}\n  {}",
        count(template),
        structure_of(template)
    )
}

/// Prints one line a leaf: its path, then the array in its short form (`{:?}`).
pub fn display<T: Tree>(tree: &T) -> impl fmt::Display {
    let lines: Vec<(String, String)> = leaves_with_paths(tree)
        .into_iter()
        .map(|(path, leaf)| (path, format!("{leaf:?}")))
        .collect();
    fmt::from_fn(move |f| {
        let width = lines.iter().map(|(path, _)| path.chars().count()).max().unwrap_or(0);
        for (line, (path, leaf)) in lines.iter().enumerate() {
            let end = if line > 0 { "\n" } else { "" };
            let gap = if width > 0 { "  " } else { "" };
            write!(f, "{end}{path:width$}{gap}{leaf}")?;
        }
        Ok(())
    })
}

impl Tree for Array {
    fn visit<'a>(&'a self, path: &mut Path, visit: &mut dyn FnMut(&Path, &'a Array)) {
        visit(path, self);
    }

    fn map(&self, path: &mut Path, f: &mut dyn FnMut(&Path, &Array) -> Array) -> Self {
        f(path, self)
    }

    fn structure(&self, out: &mut dyn Write) -> fmt::Result {
        out.write_char('*')
    }

    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a Array)) {
        visit(self);
    }

    fn each_mut(&mut self, f: &mut dyn FnMut(&mut Array)) {
        f(self);
    }

    fn variant(&self, _: &mut dyn Write) -> fmt::Result {
        Ok(())
    }
}

impl Tree for () {
    fn visit<'a>(&'a self, _: &mut Path, _: &mut dyn FnMut(&Path, &'a Array)) {}

    fn map(&self, _: &mut Path, _: &mut dyn FnMut(&Path, &Array) -> Array) -> Self {}

    fn structure(&self, out: &mut dyn Write) -> fmt::Result {
        out.write_str("()")
    }

    fn variant(&self, _: &mut dyn Write) -> fmt::Result {
        Ok(())
    }
}

impl<T: Tree> Tree for Box<T> {
    fn visit<'a>(&'a self, path: &mut Path, visit: &mut dyn FnMut(&Path, &'a Array)) {
        T::visit(self, path, visit);
    }

    fn map(&self, path: &mut Path, f: &mut dyn FnMut(&Path, &Array) -> Array) -> Self {
        Box::new(T::map(self, path, f))
    }

    fn structure(&self, out: &mut dyn Write) -> fmt::Result {
        T::structure(self, out)
    }

    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a Array)) {
        T::each(self, visit);
    }

    fn each_mut(&mut self, f: &mut dyn FnMut(&mut Array)) {
        T::each_mut(self, f);
    }

    fn variant(&self, out: &mut dyn Write) -> fmt::Result {
        T::variant(self, out)
    }
}

impl<T: Tree> Tree for Option<T> {
    fn visit<'a>(&'a self, path: &mut Path, visit: &mut dyn FnMut(&Path, &'a Array)) {
        if let Some(tree) = self {
            tree.visit(path, visit);
        }
    }

    fn map(&self, path: &mut Path, f: &mut dyn FnMut(&Path, &Array) -> Array) -> Self {
        self.as_ref().map(|tree| tree.map(path, f))
    }

    fn structure(&self, out: &mut dyn Write) -> fmt::Result {
        match self {
            None => out.write_str("None"),
            Some(tree) => {
                out.write_str("Some(")?;
                tree.structure(out)?;
                out.write_char(')')
            }
        }
    }

    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a Array)) {
        if let Some(tree) = self {
            tree.each(visit);
        }
    }

    fn each_mut(&mut self, f: &mut dyn FnMut(&mut Array)) {
        if let Some(tree) = self {
            tree.each_mut(f);
        }
    }

    fn variant(&self, out: &mut dyn Write) -> fmt::Result {
        match self {
            None => out.write_char('0'),
            Some(tree) => {
                out.write_char('1')?;
                tree.variant(out)
            }
        }
    }
}

impl<T: Tree> Tree for Vec<T> {
    fn visit<'a>(&'a self, path: &mut Path, visit: &mut dyn FnMut(&Path, &'a Array)) {
        visit_slice(self, path, visit);
    }

    fn map(&self, path: &mut Path, f: &mut dyn FnMut(&Path, &Array) -> Array) -> Self {
        let mapped = |(i, tree): (usize, &T)| path.within(i, |path| tree.map(path, f));
        self.iter().enumerate().map(mapped).collect()
    }

    fn structure(&self, out: &mut dyn Write) -> fmt::Result {
        structure_slice(self, out)
    }

    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a Array)) {
        self.iter().for_each(|tree| tree.each(visit));
    }

    fn each_mut(&mut self, f: &mut dyn FnMut(&mut Array)) {
        self.iter_mut().for_each(|tree| tree.each_mut(f));
    }

    fn variant(&self, out: &mut dyn Write) -> fmt::Result {
        write!(out, "{},", self.len())?;
        self.iter().try_for_each(|tree| tree.variant(out))
    }
}

impl<T: Tree, const N: usize> Tree for [T; N] {
    fn visit<'a>(&'a self, path: &mut Path, visit: &mut dyn FnMut(&Path, &'a Array)) {
        visit_slice(self, path, visit);
    }

    fn map(&self, path: &mut Path, f: &mut dyn FnMut(&Path, &Array) -> Array) -> Self {
        std::array::from_fn(|i| path.within(i, |path| self[i].map(path, f)))
    }

    fn structure(&self, out: &mut dyn Write) -> fmt::Result {
        structure_slice(self, out)
    }

    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a Array)) {
        self.iter().for_each(|tree| tree.each(visit));
    }

    fn each_mut(&mut self, f: &mut dyn FnMut(&mut Array)) {
        self.iter_mut().for_each(|tree| tree.each_mut(f));
    }

    fn variant(&self, out: &mut dyn Write) -> fmt::Result {
        self.iter().try_for_each(|tree| tree.variant(out))
    }
}

fn visit_slice<'a, T: Tree>(
    trees: &'a [T],
    path: &mut Path,
    visit: &mut dyn FnMut(&Path, &'a Array),
) {
    for (i, tree) in trees.iter().enumerate() {
        path.within(i, |path| tree.visit(path, visit));
    }
}

fn structure_slice<T: Tree>(trees: &[T], out: &mut dyn Write) -> fmt::Result {
    out.write_char('[')?;
    for (i, tree) in trees.iter().enumerate() {
        if i > 0 {
            out.write_str(", ")?;
        }
        tree.structure(out)?;
    }
    out.write_char(']')
}

impl<T: Tree> Tree for BTreeMap<String, T> {
    fn visit<'a>(&'a self, path: &mut Path, visit: &mut dyn FnMut(&Path, &'a Array)) {
        for (key, tree) in self {
            path.within(key.clone(), |path| tree.visit(path, visit));
        }
    }

    fn map(&self, path: &mut Path, f: &mut dyn FnMut(&Path, &Array) -> Array) -> Self {
        let mapped = |(key, tree): (&String, &T)| {
            (key.clone(), path.within(key.clone(), |path| tree.map(path, f)))
        };
        self.iter().map(mapped).collect()
    }

    fn structure(&self, out: &mut dyn Write) -> fmt::Result {
        structure_entries(self.iter(), out)
    }
}

impl<T: Tree, S: BuildHasher + Clone> Tree for HashMap<String, T, S> {
    fn visit<'a>(&'a self, path: &mut Path, visit: &mut dyn FnMut(&Path, &'a Array)) {
        for (key, tree) in sorted(self) {
            path.within(key.clone(), |path| tree.visit(path, visit));
        }
    }

    fn map(&self, path: &mut Path, f: &mut dyn FnMut(&Path, &Array) -> Array) -> Self {
        let mut mapped = HashMap::with_capacity_and_hasher(self.len(), self.hasher().clone());
        for (key, tree) in sorted(self) {
            let tree = path.within(key.clone(), |path| tree.map(path, f));
            mapped.insert(key.clone(), tree);
        }
        mapped
    }

    fn structure(&self, out: &mut dyn Write) -> fmt::Result {
        structure_entries(sorted(self).into_iter(), out)
    }
}

/// The entries in the order of their keys, since a hash map has no order of its own.
fn sorted<T, S>(map: &HashMap<String, T, S>) -> Vec<(&String, &T)> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|&(key, _)| key);
    entries
}

fn structure_entries<'a, T: Tree + 'a>(
    entries: impl Iterator<Item = (&'a String, &'a T)>,
    out: &mut dyn Write,
) -> fmt::Result {
    out.write_char('{')?;
    for (i, (key, tree)) in entries.enumerate() {
        let separator = if i > 0 { ", " } else { "" };
        write!(out, "{separator}{key:?}: ")?;
        tree.structure(out)?;
    }
    out.write_char('}')
}

macro_rules! tuples {
    ($(($first:ident $zero:tt $(, $rest:ident $i:tt)*))*) => {$(
        impl<$first: Tree $(, $rest: Tree)*> Tree for ($first, $($rest,)*) {
            fn visit<'a>(&'a self, path: &mut Path, visit: &mut dyn FnMut(&Path, &'a Array)) {
                path.within($zero, |path| self.$zero.visit(path, visit));
                $(path.within($i, |path| self.$i.visit(path, visit));)*
            }

            fn map(&self, path: &mut Path, f: &mut dyn FnMut(&Path, &Array) -> Array) -> Self {
                (
                    path.within($zero, |path| self.$zero.map(path, f)),
                    $(path.within($i, |path| self.$i.map(path, f)),)*
                )
            }

            fn structure(&self, out: &mut dyn Write) -> fmt::Result {
                out.write_char('(')?;
                self.$zero.structure(out)?;
                $(
                    out.write_str(", ")?;
                    self.$i.structure(out)?;
                )*
                out.write_char(')')
            }

            fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a Array)) {
                self.$zero.each(visit);
                $(self.$i.each(visit);)*
            }

            fn each_mut(&mut self, f: &mut dyn FnMut(&mut Array)) {
                self.$zero.each_mut(f);
                $(self.$i.each_mut(f);)*
            }

            fn variant(&self, out: &mut dyn Write) -> fmt::Result {
                self.$zero.variant(out)?;
                $(self.$i.variant(out)?;)*
                Ok(())
            }
        }
    )*};
}

tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
}

#[cfg(test)]
mod tests {
    use std::marker::PhantomData;

    // The trait comes with `super`; this is the derive of the same name.
    use rondeau_derive::Tree;

    use super::*;

    #[derive(Clone, Tree)]
    struct Cell {
        wz: Array,
        bias: Option<Array>,
        #[tree(fixed)]
        width: usize,
        r#type: Array,
    }

    #[derive(Clone, Tree)]
    struct Pair<T, const N: usize>([T; N], #[tree(fixed)] &'static str, Box<T>)
    where
        T: Clone;

    #[derive(Clone, Tree)]
    struct Wrapped<'a, A, B: ?Sized + 'a> {
        inner: (A,),
        #[tree(fixed)]
        tag: PhantomData<&'a B>,
    }

    #[derive(Clone, Tree)]
    struct List {
        head: Array,
        tail: Option<Box<List>>,
    }

    #[derive(Clone, Tree)]
    struct Nothing;

    /// A leaf that can be told from others.
    fn leaf(size: usize) -> Array {
        Array::zeros([size])
    }

    fn size(leaf: &Array) -> usize {
        leaf.shape()[0]
    }

    fn cell(first: usize) -> Cell {
        Cell { wz: leaf(first), bias: Some(leaf(first + 1)), width: 4, r#type: leaf(first + 2) }
    }

    /// Checks that `map` goes the way of `visit`, keeps the structure, and that the leaves of
    /// `tree`, of sizes 1, 2, .. in order, have these paths.
    fn check<T: Tree>(tree: &T, structure: &str, paths: &[&str]) {
        assert_eq!(structure_of(tree), structure);
        let found = leaves_with_paths(tree);
        assert_eq!(found.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), paths);
        let sizes: Vec<usize> = leaves(tree).into_iter().map(size).collect();
        assert_eq!(sizes, (1..=paths.len()).collect::<Vec<_>>());
        assert_eq!(count(tree), paths.len());

        let mut mapped_paths = Vec::new();
        let mut path = Path::named("root");
        let mapped = tree.map(&mut path, &mut |path, leaf| {
            mapped_paths.push(path.to_string());
            Array::zeros([size(leaf) + 10])
        });
        assert_eq!(path, Path::named("root"), "every push is popped");
        let rooted = |path: &&str| {
            if path.is_empty() { "root".into() } else { format!("root.{path}") }
        };
        assert_eq!(mapped_paths, paths.iter().map(rooted).collect::<Vec<String>>());
        assert_eq!(structure_of(&mapped), structure);
        let sizes: Vec<usize> = leaves(&mapped).into_iter().map(size).collect();
        assert_eq!(sizes, (11..11 + paths.len()).collect::<Vec<_>>());

        let rebuilt = rebuild(&mapped, leaves(tree).into_iter().cloned());
        let sizes: Vec<usize> = leaves(&rebuilt).into_iter().map(size).collect();
        assert_eq!(sizes, (1..=paths.len()).collect::<Vec<_>>());
    }

    #[test]
    fn containers() {
        check(&leaf(1), "*", &[""]);
        check(&(), "()", &[]);
        check(&(leaf(1), ((), leaf(2))), "(*, ((), *))", &["0", "1.1"]);
        check(&[leaf(1), leaf(2)], "[*, *]", &["0", "1"]);
        check(&vec![Some(leaf(1)), None], "[Some(*), None]", &["0"]);
        check(&Vec::<Array>::new(), "[]", &[]);
        check(&Box::new((leaf(1),)), "(*)", &["0"]);
        let eight = (leaf(1), leaf(2), leaf(3), leaf(4), leaf(5), leaf(6), leaf(7), leaf(8));
        let paths = ["0", "1", "2", "3", "4", "5", "6", "7"];
        check(&eight, "(*, *, *, *, *, *, *, *)", &paths);
    }

    #[test]
    fn maps_go_by_their_keys() {
        let keys = ["a", "b.c", "d\"", "e", "f"];
        let entries =
            || keys.iter().rev().enumerate().map(|(i, key)| (key.to_string(), leaf(5 - i)));
        let structure = r#"{"a": *, "b.c": *, "d\"": *, "e": *, "f": *}"#;
        check(&entries().collect::<BTreeMap<_, _>>(), structure, &keys);
        check(&entries().collect::<HashMap<_, _>>(), structure, &keys);
    }

    #[test]
    fn derived_structs() {
        let structure = "Cell { wz: *, bias: Some(*), width: 4, type: * }";
        check(&cell(1), structure, &["wz", "bias", "type"]);
        let pair = Pair([leaf(1), leaf(2)], "tag", Box::new(leaf(3)));
        check(&pair, r#"Pair([*, *], "tag", *)"#, &["0.0", "0.1", "2"]);
        let wrapped: Wrapped<'_, Array, u8> = Wrapped { inner: (leaf(1),), tag: PhantomData };
        check(&wrapped, "Wrapped { inner: (*), tag: PhantomData<&u8> }", &["inner.0"]);
        let list = List { head: leaf(2), tail: None };
        let list = List { head: leaf(1), tail: Some(Box::new(list)) };
        let structure = "List { head: *, tail: Some(List { head: *, tail: None }) }";
        check(&list, structure, &["head", "tail.head"]);
        check(&(Nothing, leaf(1)), "(Nothing, *)", &["1"]);
    }

    #[test]
    fn map2_pairs_leaves() {
        let sum = map2(&cell(1), &cell(10), |a, b| leaf(size(a) + size(b))).unwrap();
        assert_eq!(leaves(&sum).into_iter().map(size).collect::<Vec<_>>(), [11, 13, 15]);
    }

    #[test]
    fn map2_shows_both_structures() {
        let other = Cell { bias: None, ..cell(1) };
        let Err(error) = map2(&cell(1), &other, |a, _| a.clone()) else { panic!("they differ") };
        assert_eq!(
            error.to_string(),
            "`map2`: the left and the right tree must have one structure\n  \
             the left is Cell { wz: *, bias: Some(*), width: 4, type: * }\n  \
             the right is Cell { wz: *, bias: None, width: 4, type: * }\n\
             help: give both the same fields, lengths and options"
        );
    }

    #[test]
    fn rebuild_needs_as_many_leaves() {
        let template = (leaf(1), leaf(2));
        for given in [0, 1, 3] {
            let rebuilt = std::panic::catch_unwind(|| {
                rebuild(&template, (0..given).map(leaf));
            });
            let panic = rebuilt.expect_err("the count differs");
            let message = panic.downcast_ref::<String>().unwrap();
            let start = format!("internal: a tree of 2 leaves is rebuilt from {given}");
            assert!(message.starts_with(&start), "{message}");
        }
    }

    #[test]
    fn display_has_a_line_for_each_leaf() {
        let (short, long) = (leaf(1), leaf(2));
        let tree = BTreeMap::from([("a".to_string(), vec![]), ("long".to_string(), vec![long])]);
        assert_eq!(display(&tree).to_string(), format!("long.0  {:?}", tree["long"][0]));
        assert_eq!(display(&short).to_string(), format!("{short:?}"));
        assert_eq!(display(&()).to_string(), "");
        let lines = display(&cell(1)).to_string();
        assert_eq!(
            lines.lines().map(|line| &line[..6]).collect::<Vec<_>>(),
            ["wz    ", "bias  ", "type  "]
        );
    }
}
