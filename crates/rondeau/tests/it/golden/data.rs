//! Reading the files: the manifest as it is, and tensors as arrays.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use rondeau::Array;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

/// A file of `tests/golden`.
fn file(name: &str) -> Vec<u8> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "golden", name].iter().collect();
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What the cases are.
pub(super) fn manifest() -> serde_json::Value {
    serde_json::from_slice(&file("manifest.json")).expect("the manifest is JSON")
}

/// A tensor as an array. Types that arrays do not have become the nearest one that holds the
/// values: i64 becomes i32; u8 and u16 become u32.
#[derive(Clone)]
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) stored: Dtype,
    pub(super) array: Array,
}

/// The cases and tensors of one section.
pub(super) struct Section {
    pub(super) x64: bool,
    pub(super) cases: Vec<serde_json::Value>,
    /// By name in lower case.
    tensors: BTreeMap<String, Tensor>,
}

impl Section {
    pub(super) fn read(manifest: &serde_json::Value, name: &str) -> Section {
        let sections = manifest["sections"].as_array().expect("a list of sections");
        let about = sections.iter().find(|section| section["section"] == name);
        let about = about.unwrap_or_else(|| panic!("the manifest has no section {name}"));
        let bytes = file(about["file"].as_str().expect("a section has a file"));
        let views = SafeTensors::deserialize(&bytes).expect("a safetensors file");
        let mut tensors = BTreeMap::new();
        for (name, view) in views.tensors() {
            let tensor = Tensor { stored: view.dtype(), array: array(&view), name };
            let same = tensors.insert(tensor.name.to_lowercase(), tensor);
            assert!(same.is_none(), "two tensors have one name but for case");
        }
        Section {
            x64: about["x64"].as_bool().expect("a section says whether it is 64-bit"),
            cases: about["cases"].as_array().expect("a section has cases").clone(),
            tensors,
        }
    }

    /// The tensor of this name, whose letters may be upper or lower case.
    pub(super) fn find(&self, name: &str) -> Option<Tensor> {
        self.tensors.get(&name.to_lowercase()).cloned()
    }

    /// The names of the tensors at a name or below it.
    pub(super) fn names_below<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a String> {
        let name = name.to_lowercase();
        let inside = move |key: &str| {
            key.strip_prefix(&name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '.']))
        };
        self.tensors.iter().filter(move |(key, _)| inside(key)).map(|(_, tensor)| &tensor.name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names_below(name).next().is_some()
    }
}

fn array(view: &TensorView<'_>) -> Array {
    let bytes = view.data();
    macro_rules! values {
        ($from:ty) => {
            bytes.chunks_exact(size_of::<$from>()).map(|chunk| {
                <$from>::from_le_bytes(chunk.try_into().expect("a chunk has the size"))
            })
        };
    }
    let shape = view.shape();
    match view.dtype() {
        Dtype::F32 => Array::new(shape, values!(f32).collect::<Vec<f32>>()),
        Dtype::F64 => Array::new(shape, values!(f64).collect::<Vec<f64>>()),
        Dtype::I32 => Array::new(shape, values!(i32).collect::<Vec<i32>>()),
        Dtype::U32 => Array::new(shape, values!(u32).collect::<Vec<u32>>()),
        Dtype::BOOL => Array::new(shape, bytes.iter().map(|&b| b != 0).collect::<Vec<bool>>()),
        Dtype::U8 => Array::new(shape, values!(u8).map(u32::from).collect::<Vec<u32>>()),
        Dtype::U16 => Array::new(shape, values!(u16).map(u32::from).collect::<Vec<u32>>()),
        Dtype::I64 => {
            let narrow = |x: i64| i32::try_from(x).expect("integers fit 32 bits");
            Array::new(shape, values!(i64).map(narrow).collect::<Vec<i32>>())
        }
        other => panic!("a tensor of type {other:?}"),
    }
}
