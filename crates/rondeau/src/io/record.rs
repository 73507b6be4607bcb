//! `Record`: arrays by name, and texts by key. It is what files hold, whatever their format.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Display;

use crate::{Array, Error, Result, Tree, tree};

/// The name of the leaf of a tree that is itself a leaf.
const ROOT: &str = "value";

/// Arrays by name, in an order, and texts by key: what a file holds.
///
/// The arrays of a tree are named by their paths, such as `gru.wz` or `layers.0.weight`; that of a
/// tree which is itself an array is named `value`.
///
/// # Examples
/// ```
/// use rondeau::Array;
/// use rondeau::io::Record;
///
/// let layers = vec![(Array::ones([2]), Array::zeros([3]))];
/// let record = Record::of(&layers)?.with_text("written by", "an example");
/// assert_eq!(record.names().collect::<Vec<_>>(), ["0.0", "0.1"]);
/// let again = record.fill(&layers)?;
/// assert_eq!(again[0].1.shape(), [3]);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// All names differ, as [`Record::insert`] sees to.
    arrays: Vec<(String, Array)>,
    names: HashSet<String>,
    texts: BTreeMap<String, String>,
}

impl Record {
    /// An empty record.
    pub fn new() -> Record {
        Record::default()
    }

    /// The leaves of a tree, by their paths.
    ///
    /// # Errors
    /// If two paths are equal, as with the key `a.b` beside a tree `a` with a leaf `b`.
    pub fn of<T: Tree>(tree: &T) -> Result<Record> {
        let mut record = Record::new();
        for (path, leaf) in tree::leaves_with_paths(tree) {
            record.insert(name_of("", &path), leaf.clone())?;
        }
        Ok(record)
    }

    /// This record and the leaves of a tree, by their paths behind `prefix` and a dot.
    ///
    /// # Errors
    /// If two names are equal.
    pub fn with<T: Tree>(mut self, prefix: &str, tree: &T) -> Result<Record> {
        for (path, leaf) in tree::leaves_with_paths(tree) {
            self.insert(name_of(prefix, &path), leaf.clone())?;
        }
        Ok(self)
    }

    /// This record and a text.
    pub fn with_text(mut self, key: &str, text: impl Into<String>) -> Record {
        self.texts.insert(key.to_owned(), text.into());
        self
    }

    /// Adds an array.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn insert(&mut self, name: impl Into<String>, array: Array) -> Result<()> {
        let name = name.into();
        if !self.names.insert(name.clone()) {
            return Err(Error::same_name(&name));
        }
        self.arrays.push((name, array));
        Ok(())
    }

    /// The arrays with their names, in order.
    pub fn arrays(&self) -> &[(String, Array)] {
        &self.arrays
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.arrays.iter().map(|(name, _)| name.as_str())
    }

    /// The array of a name.
    pub fn get(&self, name: &str) -> Option<&Array> {
        self.arrays.iter().find(|(other, _)| other == name).map(|(_, array)| array)
    }

    /// The texts by key.
    pub fn texts(&self) -> &BTreeMap<String, String> {
        &self.texts
    }

    /// The structure of `like` with the arrays of this record, which must be exactly those.
    ///
    /// # Errors
    /// If arrays are missing, not expected, or of another type than the leaves of `like`. All are
    /// named at once.
    pub fn fill<T: Tree>(&self, like: &T) -> Result<T> {
        self.fill_part("", like)
    }

    /// The structure of `like` with the arrays whose names start with `prefix` and a dot, which must
    /// be exactly those; the inverse of [`Record::with`].
    ///
    /// # Errors
    /// If arrays are missing, not expected, or of another type than the leaves of `like`. All are
    /// named at once.
    pub fn fill_part<T: Tree>(&self, prefix: &str, like: &T) -> Result<T> {
        let is_part = |name: &str| {
            prefix.is_empty() || name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'))
        };
        let part = self.arrays.iter().filter(|(name, _)| is_part(name));
        let mut given: HashMap<&str, &Array> =
            part.clone().map(|(name, array)| (name.as_str(), array)).collect();
        let mut wrong = Vec::new();
        let mut leaves = Vec::new();
        for (path, leaf) in tree::leaves_with_paths(like) {
            let name = name_of(prefix, &path);
            let need = leaf.aval()?;
            match given.remove(name.as_str()) {
                None => wrong.push(format!("`{name}` is missing: {need}")),
                Some(array) => match array.aval()? {
                    got if got == need => leaves.push(array.clone()),
                    got => wrong.push(misfit(&name, &got, &need)),
                },
            }
        }
        let unexpected = part.filter(|(name, _)| given.contains_key(name.as_str()));
        wrong.extend(unexpected.map(|(name, _)| format!("`{name}` is not expected")));
        if !wrong.is_empty() {
            return Err(Error::arrays_differ(&wrong, leaves.len()));
        }
        Ok(tree::rebuild(like, leaves))
    }
}

fn misfit(name: &str, got: &dyn Display, need: &dyn Display) -> String {
    format!("`{name}` is stored as {got} and should be {need}")
}

fn name_of(prefix: &str, path: &str) -> String {
    match (prefix, path) {
        ("", "") => ROOT.to_owned(),
        ("", path) => path.to_owned(),
        (prefix, "") => format!("{prefix}.{ROOT}"),
        (prefix, path) => format!("{prefix}.{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_mistakes_are_told_at_once() {
        let stored = (Array::ones([2]), vec![Array::from([1, 2]), Array::zeros([1])]);
        let record = Record::of(&stored).unwrap();
        let like = (Array::ones([3]), vec![Array::from([1.0, 2.0_f32])], Array::ones(()));
        let error = record.fill(&like).err().unwrap();
        insta::assert_snapshot!(error, @"
        the stored arrays do not fit the tree: 0 fit, and 4 are wrong
          `0` is stored as f32[2] and should be f32[3]
          `1.0` is stored as i32[2] and should be f32[2]
          `2` is missing: f32[]
          `1.1` is not expected
        help: build the tree as it was when it was stored, or rename what is stored
        ");
    }

    #[test]
    fn parts_do_not_see_each_other() {
        let (a, ab) = (Array::ones([1]), vec![Array::ones([2])]);
        let record = Record::new().with("a", &a).unwrap().with("ab", &ab).unwrap();
        assert_eq!(record.names().collect::<Vec<_>>(), ["a.value", "ab.0"]);
        assert_eq!(record.fill_part("a", &a).unwrap().shape(), [1]);
        assert_eq!(record.fill_part("ab", &ab).unwrap()[0].shape(), [2]);
        assert!(record.fill_part("b", &a).is_err());
    }

    #[test]
    fn equal_names_are_refused() {
        let inner = BTreeMap::from([("b".to_owned(), Array::ones([1]))]);
        let tree = BTreeMap::from([("a.b".to_owned(), inner.clone()), ("a".to_owned(), inner)]);
        assert_eq!(Record::of(&tree).unwrap().names().collect::<Vec<_>>(), ["a.b", "a.b.b"]);
        let mut record = Record::of(&tree).unwrap();
        assert!(record.insert("a.b", Array::ones([1])).is_err());
        assert_eq!(record.arrays().len(), 2);
    }
}
