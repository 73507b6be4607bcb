//! Files of NumPy, safetensors and TensorBoard: theirs read here, ours read there.

use std::collections::BTreeMap;
use std::path::Path;

use rondeau::io::{Record, npy, npz, safetensors};
use rondeau::train::{EventWriter, Rows, Trainer};
use rondeau::{Array, DType};

/// The types that are written, and what `files.py` calls them.
const TYPES: [(&str, DType); 5] = [
    ("f4", DType::F32),
    ("f8", DType::F64),
    ("i4", DType::I32),
    ("u4", DType::U32),
    ("b1", DType::Bool),
];

const SHAPES: [&[usize]; 9] =
    [&[], &[0], &[1], &[7], &[2, 3], &[3, 0, 2], &[4, 1, 5], &[2, 3, 4, 2], &[31, 33]];

/// A text that needs quoting.
const TOLD: &str = "a text, ünïcode \"quoted\"";

/// Element `k` as `files.py` has it, for each type; f16 is read as f32.
fn wanted(kind: &str, shape: &[usize]) -> Array {
    let n = shape.iter().product::<usize>() as i64;
    let float = |k: i64| match k % 11 {
        3 => f64::NAN,
        4 => f64::INFINITY,
        5 => f64::NEG_INFINITY,
        6 => -0.0,
        _ => k as f64 * 0.25 - 1.5,
    };
    let i32_of = |k: i64| if k % 5 == 4 { i32::MIN + k as i32 } else { 7 * k as i32 - 11 };
    match kind {
        "f2" | "f4" => Array::new(shape, (0..n).map(|k| float(k) as f32).collect::<Vec<f32>>()),
        "f8" => Array::new(shape, (0..n).map(float).collect::<Vec<f64>>()),
        "i4" => Array::new(shape, (0..n).map(i32_of).collect::<Vec<i32>>()),
        "u4" => Array::new(shape, (0..n).map(|k| u32::MAX - 3 * k as u32).collect::<Vec<u32>>()),
        "b1" => Array::new(shape, (0..n).map(|k| k % 3 == 0).collect::<Vec<bool>>()),
        other => panic!("no test knows {other}"),
    }
}

/// Compares an array with what its name says is in it, bit by bit but for what a NaN carries.
fn check(name: &str, got: &Array) {
    let mut parts = name.split('-');
    let (kind, sizes) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let shape = sizes.split('x').filter(|size| !size.is_empty());
    let shape: Vec<usize> = shape.map(|size| size.parse().expect("a size")).collect();
    let want = wanted(kind, &shape);
    assert_eq!((got.dtype(), got.shape()), (want.dtype(), want.shape()), "{name}");
    macro_rules! numbers {
        ($type:ty, $bits:expr) => {{
            let bits = |array: &Array| -> Vec<_> {
                let numbers = array.to_vec::<$type>().unwrap_or_else(|e| panic!("{name}: {e}"));
                numbers.into_iter().map($bits).collect()
            };
            assert_eq!(bits(got), bits(&want), "{name}");
        }};
    }
    match want.dtype() {
        DType::F32 => {
            numbers!(f32, |x: f32| (x.is_nan(), if x.is_nan() { 0 } else { x.to_bits() }))
        }
        DType::F64 => {
            numbers!(f64, |x: f64| (x.is_nan(), if x.is_nan() { 0 } else { x.to_bits() }))
        }
        DType::I32 => numbers!(i32, |x| x),
        DType::U32 => numbers!(u32, |x| x),
        DType::Bool => numbers!(bool, |x| x),
        other => panic!("no test knows {other}"),
    }
}

fn named(kind: &str, shape: &[usize], what: &str) -> String {
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!("{kind}-{}-{what}", sizes.join("x"))
}

/// The arrays of all types and sizes; what was turned around and back is a view in another order.
fn ours() -> Vec<(String, Array)> {
    let mut arrays = Vec::new();
    for (kind, dtype) in TYPES {
        for shape in SHAPES {
            let array = wanted(kind, shape);
            assert_eq!(array.dtype(), dtype);
            let axes: Vec<usize> = (0..shape.len()).rev().collect();
            // Contiguous in the order of the turned axes, so its turning is in Fortran's order.
            let turned = npy::encode(&array.transpose(&axes)).expect("it is encoded");
            let turned = npy::decode(&turned).expect("it is decoded").transpose(&axes);
            arrays.push((named(kind, shape, "plain"), array));
            arrays.push((named(kind, shape, "turned"), turned));
        }
    }
    arrays
}

fn dirs(at: &Path) -> [std::path::PathBuf; 2] {
    ["theirs", "ours"].map(|name| {
        let dir = at.join(name);
        std::fs::create_dir(&dir).expect("the directory is made");
        dir
    })
}

fn told(path: &Path) -> &str {
    path.to_str().expect("names of temporary directories are UTF-8")
}

fn stem(path: &Path) -> &str {
    path.file_stem().and_then(|stem| stem.to_str()).expect("names are UTF-8")
}

#[test]
fn numpy() {
    let dir = tempfile::tempdir().expect("there is a directory for temporary files");
    let [theirs, ours_dir] = dirs(dir.path());
    let Some(made) = crate::python("numpy", "files.py", &["write", "numpy", told(&theirs)]) else {
        return;
    };
    for path in crate::files_in(&theirs, "npy") {
        check(stem(&path), &npy::read(&path).unwrap_or_else(|e| panic!("{}: {e}", stem(&path))));
    }
    for path in crate::files_in(&theirs, "npz") {
        let record = npz::read(&path).unwrap_or_else(|e| panic!("{}: {e}", stem(&path)));
        assert!(!record.arrays().is_empty());
        record.arrays().iter().for_each(|(name, array)| check(name, array));
    }
    let mut record = Record::new();
    for (name, array) in ours() {
        npy::write(ours_dir.join(format!("{name}.npy")), &array).expect("the file is written");
        record.insert(name, array).expect("names differ");
    }
    for packing in [npz::Packing::Stored, npz::Packing::Deflated] {
        let path = ours_dir.join(format!("{packing:?}.npz"));
        npz::write(path, &record, packing).expect("the archive is written");
    }
    let read = crate::python("numpy", "files.py", &["read", "numpy", told(&ours_dir)]);
    crate::tell(&format!("peers rondeau reads NumPy {made}"));
    crate::tell(&format!("peers NumPy reads rondeau: {}", read.unwrap_or_default()));
}

#[test]
fn safetensors_package() {
    let dir = tempfile::tempdir().expect("there is a directory for temporary files");
    let [theirs, ours_dir] = dirs(dir.path());
    let args = ["write", "safetensors", told(&theirs)];
    let Some(made) = crate::python("safetensors", "files.py", &args) else { return };
    for path in crate::files_in(&theirs, "safetensors") {
        let record = safetensors::read(&path).expect("the file can be read");
        assert_eq!(record.texts()["told"], TOLD);
        record.arrays().iter().for_each(|(name, array)| check(name, array));
    }
    let mut record = Record::new().with_text("told", TOLD);
    for (name, array) in ours() {
        record.insert(name, array).expect("names differ");
    }
    safetensors::write(ours_dir.join("ours.safetensors"), &record).expect("the file is written");
    let read = crate::python("safetensors", "files.py", &["read", "safetensors", told(&ours_dir)]);
    crate::tell(&format!("peers rondeau reads safetensors {made}"));
    crate::tell(&format!("peers safetensors reads rondeau: {}", read.unwrap_or_default()));
}

/// The points of a tag.
type Points = Vec<(u64, f64)>;

#[test]
fn tensorboard() {
    let dir = tempfile::tempdir().expect("there is a directory for temporary files");
    let events = dir.path().join("events");
    let mut want = BTreeMap::<&str, Points>::new();
    {
        let mut writer = EventWriter::in_dir(&events).expect("the file is made");
        let mut scalar = |tag: &'static str, step: u64, value: f64, stays: bool| {
            writer.scalar(tag, step, value).expect("the event is written");
            if stays {
                want.entry(tag).or_default().push((step, value));
            }
        };
        for step in 0..300 {
            scalar("numbers/sine", step, (step as f64).sin(), true);
        }
        let corners = [0.0, -0.0, 1e-45, f64::from(f32::MAX), f64::INFINITY, f64::NEG_INFINITY];
        for (i, value) in corners.into_iter().enumerate() {
            scalar("numbers/corners", 10 * i as u64, value, true);
        }
        // A long name, and steps beyond 32 bits.
        scalar(
            "ünïcode with spaces/and a name that takes more than one byte to tell the length of: \
                0123456789 0123456789 0123456789 0123456789 0123456789",
            1 << 40,
            0.1,
            true,
        );
        writer.flush().expect("the file is written");
    }
    // A run of a trainer, with what it logs itself.
    let data: Vec<Array> = (0..6).map(|i| Array::from(i as f32)).collect();
    let data = rondeau::stack(&data.iter().collect::<Vec<_>>(), 0);
    let data = Rows::of(data).expect("there are rows");
    let update = |params: &Array, (): &(), batch: &Array, _: &Array| {
        (params + 1.0, (), batch.mean() + params)
    };
    let trained = Trainer::new(update)
        .epochs(3)
        .batch_size(6)
        .validate(|params: &Array| Ok(f64::from(params.item::<f32>()?) / 8.0))
        .tensorboard(&events)
        .run(Array::from(0.0_f32), (), &data)
        .expect("the run goes well");
    assert_eq!(trained.steps, 3);
    want.insert("epoch/loss", vec![(1, 2.5), (2, 3.5), (3, 4.5)]);
    want.insert("epoch/validation", vec![(1, 0.125), (2, 0.25), (3, 0.375)]);
    want.insert("train/loss", vec![(1, 2.5), (2, 3.5), (3, 4.5)]);
    let json = |points: &Points| {
        let point = |(step, value): &(u64, f64)| match value.is_finite() {
            true => format!("[{step}, {value:?}]"),
            // Python reads these.
            false if *value > 0.0 => format!("[{step}, Infinity]"),
            false => format!("[{step}, -Infinity]"),
        };
        points.iter().map(point).collect::<Vec<_>>().join(", ")
    };
    let tags: Vec<String> =
        want.iter().map(|(tag, points)| format!("\"{tag}\": [{}]", json(points))).collect();
    std::fs::write(dir.path().join("want.json"), format!("{{{}}}", tags.join(",\n")))
        .expect("the file is written");
    let args = ["read", "tensorboard", told(dir.path())];
    if let Some(read) = crate::python("tensorboard", "files.py", &args) {
        crate::tell(&format!("peers TensorBoard reads rondeau: {read}"));
    }
}
