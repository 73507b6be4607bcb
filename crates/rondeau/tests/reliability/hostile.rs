//! Files of arrays that somebody made up to break the reader, one for each number and rule of a
//! format. What is said of each is pinned.

use rondeau::io::{checkpoint, npy, npz, safetensors};
use rondeau::{Array, Result};

use crate::harness::{Case, Tally, told};
use crate::mutate::{MOST_UNPACKED, crc32, seal};

/// What is said of each file, all of which are refused.
fn refusals<T>(tally: &mut Tally, cases: &[Case], read: fn(&[u8]) -> Result<T>) -> String {
    let told = told(tally, cases, |bytes| read(bytes).map(drop));
    assert!(!told.contains(": (read)"), "{told}");
    told
}

/// A safetensors file of that header and so much data.
fn tensors(header: &str, n_data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    bytes.resize(bytes.len() + n_data, 0);
    bytes
}

fn entry(name: &str, dtype: &str, shape: &str, start: &str, end: &str) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{end}]}}"#)
}

fn one(dtype: &str, shape: &str, start: &str, end: &str, n_data: usize) -> Vec<u8> {
    tensors(&format!("{{{}}}", entry("a", dtype, shape, start, end)), n_data)
}

/// The header with text of one's own for the entry of `a`.
fn raw(entry: &str, n_data: usize) -> Vec<u8> {
    tensors(&format!(r#"{{"a":{entry}}}"#), n_data)
}

fn with_length(length: u64, rest: &[u8]) -> Vec<u8> {
    [&length.to_le_bytes()[..], rest].concat()
}

fn tensor_cases() -> Vec<Case> {
    let good = r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
    let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
    let many = |n: usize, entry: &dyn Fn(usize) -> String| {
        tensors(&format!("{{{}}}", (0..n).map(entry).collect::<Vec<_>>().join(",")), 0)
    };
    vec![
        ("empty", vec![]),
        ("one byte", vec![1]),
        ("seven bytes", vec![0; 7]),
        ("no header", vec![0; 8]),
        ("header of 2^64 - 1 bytes", with_length(u64::MAX, &[b' '; 64])),
        ("header of 2^63 bytes", with_length(1 << 63, &[b' '; 64])),
        ("header one byte too long", with_length(65, &[b' '; 64])),
        ("header of 17 MiB", tensors(&" ".repeat(17 << 20), 0)),
        ("header of spaces", tensors(&" ".repeat(64), 0)),
        ("header not UTF-8", with_length(4, b"{\"\xff\"")),
        ("half a character", with_length(4, b"{\"\xc3\"")),
        ("header an array", tensors("[]", 0)),
        ("header a number", tensors("1", 0)),
        ("header null", tensors("null", 0)),
        ("header not closed", tensors("{", 0)),
        ("header closed twice", tensors("{}}", 0)),
        ("two headers", tensors("{}{}", 0)),
        ("byte order mark", tensors("\u{feff}{}", 0)),
        ("name not closed", tensors("{\"a", 0)),
        ("name with a newline", tensors("{\"a\n\":1}", 0)),
        ("name with half an escape", tensors(r#"{"\u12"#, 0)),
        ("name with half a character", tensors(r#"{"\ud800":1}"#, 0)),
        ("name a number", tensors("{1:2}", 0)),
        ("no colon", tensors(r#"{"a" 1}"#, 0)),
        ("comma at the end", raw(&format!("{good},"), 4)),
        ("name twice", {
            let a = entry("a", "F32", "[1]", "0", "4");
            tensors(&format!("{{{a},{a}}}"), 4)
        }),
        ("name twice, once escaped", {
            let [a, b] = ["a", "\\u0061"].map(|name| entry(name, "F32", "[1]", "0", "4"));
            tensors(&format!("{{{a},{b}}}"), 4)
        }),
        ("metadata twice", tensors(r#"{"__metadata__":{},"__metadata__":{}}"#, 0)),
        ("metadata key twice", tensors(r#"{"__metadata__":{"a":"1","a":"2"}}"#, 0)),
        ("metadata a number", tensors(r#"{"__metadata__":{"a":1}}"#, 0)),
        ("metadata a list", tensors(r#"{"__metadata__":[]}"#, 0)),
        ("metadata nested", tensors(r#"{"__metadata__":{"a":{}}}"#, 0)),
        ("entry a number", raw("1", 0)),
        ("entry a list", raw("[]", 0)),
        ("entry empty", raw("{}", 0)),
        ("no dtype", raw(r#"{"shape":[1],"data_offsets":[0,4]}"#, 4)),
        ("no shape", raw(r#"{"dtype":"F32","data_offsets":[0,4]}"#, 4)),
        ("no offsets", raw(r#"{"dtype":"F32","shape":[1]}"#, 4)),
        ("dtype twice", raw(&good.replace("\"shape\"", "\"dtype\":\"F64\",\"shape\""), 4)),
        ("unknown field", raw(&good.replace("\"shape\"", "\"x\":1,\"shape\""), 4)),
        ("unknown field, nested deep", {
            raw(&good.replace("\"shape\":[1]", &format!("\"shape\":{}", nested(100_000))), 4)
        }),
        ("dtype a number", raw(&good.replace("\"F32\"", "1"), 4)),
        ("dtype unknown", one("F33", "[1]", "0", "4", 4)),
        ("dtype of 8 bits", one("F8_E4M3", "[4]", "0", "4", 4)),
        ("dtype I64", one("I64", "[1]", "0", "8", 8)),
        ("dtype endless", one(&"F".repeat(100_000), "[1]", "0", "4", 4)),
        ("shape a number", one("F32", "1", "0", "4", 4)),
        ("shape negative", one("F32", "[-1]", "0", "4", 4)),
        ("shape a fraction", one("F32", "[1.0]", "0", "4", 4)),
        ("shape with an exponent", one("F32", "[1e0]", "0", "4", 4)),
        ("shape with a leading zero", one("F32", "[01]", "0", "4", 4)),
        ("shape of 2^64", one("F32", "[18446744073709551616]", "0", "4", 4)),
        ("shape of 2^64 - 1", one("F32", "[18446744073709551615]", "0", "4", 4)),
        ("shape whose product is 2^64", one("F32", "[4294967296,4294967296]", "0", "0", 0)),
        ("shape whose bytes are 2^64", one("F32", "[4611686018427387904]", "0", "0", 0)),
        ("shape of nothing, and of 2^62", one("F32", "[0,4611686018427387904]", "0", "0", 0)),
        (
            "shape of a million axes",
            one("F32", &format!("[{}1]", "1,".repeat(1_000_000)), "0", "4", 4),
        ),
        ("shape too small", one("F32", "[1]", "0", "8", 8)),
        ("shape too large", one("F32", "[3]", "0", "8", 8)),
        ("terabytes", one("F32", "[1099511627776]", "0", "4398046511104", 4)),
        ("end before start", one("F32", "[1]", "4", "0", 4)),
        ("offset of 2^64 - 1", one("F32", "[1]", "18446744073709551615", "3", 4)),
        ("offset negative", one("F32", "[1]", "-4", "0", 4)),
        ("one offset", raw(&good.replace("[0,4]", "[0]"), 4)),
        ("three offsets", raw(&good.replace("[0,4]", "[0,4,8]"), 4)),
        ("a hole at the start", one("F32", "[1]", "4", "8", 8)),
        ("a hole between", {
            let [a, b] = [entry("a", "F32", "[1]", "0", "4"), entry("b", "F32", "[1]", "8", "12")];
            tensors(&format!("{{{a},{b}}}"), 12)
        }),
        ("overlap", {
            let [a, b] = [entry("a", "F32", "[2]", "0", "8"), entry("b", "F32", "[1]", "4", "8")];
            tensors(&format!("{{{a},{b}}}"), 8)
        }),
        ("the same bytes twice", {
            let [a, b] = ["a", "b"].map(|name| entry(name, "F32", "[1]", "0", "4"));
            tensors(&format!("{{{a},{b}}}"), 4)
        }),
        ("data one byte short", one("F32", "[1]", "0", "4", 3)),
        ("data one byte long", one("F32", "[1]", "0", "4", 5)),
        ("data without arrays", tensors("{}", 1)),
        (
            "eight arrays whose sizes add up to 2^64",
            many(8, &|i| {
                let size = "2305843009213693951";
                let (start, end) = (i as u128 * ((1 << 61) - 1), (i as u128 + 1) * ((1 << 61) - 1));
                entry(
                    &format!("t{i}"),
                    "BOOL",
                    &format!("[{size}]"),
                    &start.to_string(),
                    &end.to_string(),
                )
            }),
        ),
        (
            "30,000 arrays of nothing",
            many(30_000, &|i| entry(&format!("{i}"), "F32", "[0]", "0", "0")),
        ),
        ("30,000 texts", {
            let texts: Vec<String> = (0..30_000).map(|i| format!("\"{i}\":\"\"")).collect();
            tensors(&format!(r#"{{"__metadata__":{{{}}}}}"#, texts.join(",")), 0)
        }),
        ("a truth value of 2", {
            let mut bytes = one("BOOL", "[1]", "0", "1", 1);
            *bytes.last_mut().unwrap() = 2;
            bytes
        }),
        (
            "a polyglot with a zip archive before it",
            [b"PK\x03\x04", &tensors("{}", 0)[..]].concat(),
        ),
    ]
}

#[test]
fn safetensors_files() {
    let cases = tensor_cases();
    let mut tally = Tally::new("safetensors, made by hand", cases.len() as u64);
    insta::assert_snapshot!(refusals(&mut tally, &cases, safetensors::decode));
    tally.done("each refused with its reason");
}

/// A `.npy` file of a version, a header and so much data.
fn array(version: [u8; 2], header: &str, n_data: usize) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend(version);
    match version[0] {
        1 => bytes.extend((header.len() as u16).to_le_bytes()),
        _ => bytes.extend((header.len() as u32).to_le_bytes()),
    }
    bytes.extend(header.bytes());
    bytes.resize(bytes.len() + n_data, 0);
    bytes
}

fn header(descr: &str, order: &str, shape: &str) -> String {
    format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n")
}

fn shaped(shape: &str, n_data: usize) -> Vec<u8> {
    array([1, 0], &header("<f4", "False", shape), n_data)
}

fn array_cases() -> Vec<Case> {
    let plain = header("<f4", "False", "(1,)");
    let text = |text: &str| array([1, 0], text, 4);
    let lying = |length: [u8; 4]| {
        let mut bytes = array([2, 0], &plain, 4);
        bytes[8..12].copy_from_slice(&length);
        bytes
    };
    vec![
        ("empty", vec![]),
        ("magic alone", b"\x93NUMPY".to_vec()),
        ("magic cut off", b"\x93NUM".to_vec()),
        ("another magic", b"\x93NUMPX\x01\x00\x00\x00".to_vec()),
        ("version 0.0", array([0, 0], &plain, 4)),
        ("version 1.1", array([1, 1], &plain, 4)),
        ("version 4.0", array([4, 0], &plain, 4)),
        ("header length cut off", b"\x93NUMPY\x01\x00\x10".to_vec()),
        ("header of 2^32 - 1 bytes", lying([0xff; 4])),
        ("header one byte too long", lying(((plain.len() + 5) as u32).to_le_bytes())),
        ("header of 100 KB", array([2, 0], &" ".repeat(100_000), 0)),
        ("header empty", text("")),
        ("header not UTF-8", [&b"\x93NUMPY\x01\x00\x02\x00"[..], b"\xff\xff"].concat()),
        ("header a list", text("[]")),
        ("header not closed", text("{'descr': '<f4'")),
        ("behind the header", text(&format!("{} 1", plain.trim_end()))),
        ("code", text("{'descr': __import__('os').system('true')}")),
        ("a name with an escape", text("{'d\\x65scr': '<f4'}")),
        ("a name not closed", text("{'descr")),
        ("an unknown key", text("{'x': 1}")),
        ("descr twice", text("{'descr': '<f4', 'descr': '<f8'}")),
        ("no descr", text("{'fortran_order': False, 'shape': (1,)}")),
        ("no shape", text("{'descr': '<f4', 'fortran_order': False}")),
        ("no order", text("{'descr': '<f4', 'shape': (1,)}")),
        ("no comma", text("{'descr': '<f4' 'fortran_order': False, 'shape': (1,)}")),
        ("order 1", array([1, 0], &header("<f4", "1", "(1,)"), 4)),
        ("objects", array([1, 0], &header("|O", "False", "(1,)"), 8)),
        ("fields", text("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}")),
        ("texts", array([1, 0], &header("<U8", "False", "(1,)"), 32)),
        ("complex numbers", array([1, 0], &header("<c8", "False", "(1,)"), 8)),
        ("the most significant byte first", array([1, 0], &header(">f4", "False", "(1,)"), 4)),
        ("64 bits", array([1, 0], &header("<i8", "False", "(1,)"), 8)),
        ("descr with an escape sequence", array([1, 0], &header("\u{1b}[2J", "False", "(1,)"), 4)),
        ("shape a number", shaped("1", 4)),
        ("shape a list", shaped("[1]", 4)),
        ("shape in parentheses", shaped("(1)", 4)),
        ("shape negative", shaped("(-1,)", 4)),
        ("shape a fraction", shaped("(1.0,)", 4)),
        ("shape of commas", shaped("(,,)", 4)),
        ("shape not closed", shaped("(1,", 4)),
        ("shape of 2^64", shaped("(18446744073709551616,)", 4)),
        ("shape of 2^64 - 1", shaped("(18446744073709551615,)", 4)),
        ("shape whose product is 2^64", shaped("(4294967296, 4294967296)", 0)),
        ("shape of nothing, and of 2^62", shaped("(0, 4611686018427387904)", 0)),
        ("shape of 2^40", shaped("(1099511627776,)", 152)),
        ("shape of 10,000 axes", shaped(&format!("({})", "1, ".repeat(10_000)), 4)),
        ("data one byte short", shaped("(1,)", 3)),
        ("data one byte long", shaped("(1,)", 5)),
        ("no data", shaped("(1,)", 0)),
        ("a truth value of 255", {
            let mut bytes = array([1, 0], &header("|b1", "False", "(1,)"), 1);
            *bytes.last_mut().unwrap() = 255;
            bytes
        }),
        ("version 255.255", array([255, 255], &plain, 4)),
        ("version 3.0 with a header that is not UTF-8", {
            [&b"\x93NUMPY\x03\x00\x02\x00\x00\x00"[..], b"{\xff"].concat()
        }),
        ("the magic twice", [b"\x93NUMPY", &array([1, 0], &plain, 4)[..]].concat()),
        ("two arrays", shaped("(1,)", 4).repeat(2)),
        ("header of zeros", text(&"\0".repeat(118))),
        ("a key of another", text("{'descr': 'shape', 'fortran_order': False, 'shape': (4,)}")),
        ("a name with no end but a brace", text("{'descr}: '<f4'")),
        ("quotes that differ", text("{'descr\": '<f4', 'fortran_order': False, 'shape': (1,)}")),
        ("shape of a name", shaped("('a',)", 4)),
        ("shape in a shape", shaped("((1,),)", 4)),
        ("shape with a plus", shaped("(+1,)", 4)),
        ("shape in hexadecimal", shaped("(0x1,)", 4)),
        ("shape with an underscore", shaped("(1_0,)", 40)),
        ("shape with Arabic digits", shaped("(\u{661},)", 4)),
        ("shape of 33 ones", shaped(&format!("({})", "1, ".repeat(33)), 4)),
        ("half precision, one byte short", array([1, 0], &header("<f2", "False", "(2,)"), 3)),
        ("Fortran order, terabytes", {
            array([1, 0], &header("<f8", "True", "(1099511627776, 0, 4)"), 8)
        }),
        ("elements of 0 bytes", array([1, 0], &header("|V0", "False", "(4294967296,)"), 0)),
        ("a pickle", b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00.".to_vec()),
    ]
}

/// An entry of an archive, each of its numbers as one likes.
#[derive(Clone)]
struct Zipped {
    name: Vec<u8>,
    packed: Vec<u8>,
    flags: u16,
    method: u16,
    crc: u32,
    n_packed: u32,
    n_bytes: u32,
    start: Option<u32>,
    local_name: u16,
}

impl Zipped {
    fn stored(name: &str, bytes: Vec<u8>) -> Zipped {
        Zipped {
            name: name.as_bytes().to_vec(),
            flags: 0,
            method: 0,
            crc: crc32(&bytes),
            n_packed: bytes.len() as u32,
            n_bytes: bytes.len() as u32,
            start: None,
            local_name: name.len() as u16,
            packed: bytes,
        }
    }

    fn deflated(name: &str, bytes: &[u8]) -> Zipped {
        let packed = miniz_oxide::deflate::compress_to_vec(bytes, 6);
        let (crc, n_bytes) = (crc32(bytes), bytes.len() as u32);
        let n_packed = packed.len() as u32;
        Zipped { method: 8, crc, n_packed, n_bytes, ..Zipped::stored(name, packed) }
    }

    fn with(mut self, change: impl FnOnce(&mut Zipped)) -> Zipped {
        change(&mut self);
        self
    }
}

/// The numbers at the end of an archive.
struct End {
    disk: u16,
    n_here: u16,
    n_entries: u16,
    n_directory: u32,
    start: u32,
    n_comment: u16,
}

fn archive_with(entries: &[Zipped], change: impl FnOnce(&mut End)) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let start = entry.start.unwrap_or(bytes.len() as u32);
        let mut common = Vec::new();
        for number in [20, entry.flags, entry.method, 0, 0x21] {
            common.extend(number.to_le_bytes());
        }
        for number in [entry.crc, entry.n_packed, entry.n_bytes] {
            common.extend(number.to_le_bytes());
        }
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&common);
        bytes.extend(entry.local_name.to_le_bytes());
        bytes.extend([0; 2]);
        bytes.extend(&entry.name);
        bytes.extend(&entry.packed);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(common);
        directory.extend((entry.name.len() as u16).to_le_bytes());
        directory.extend([0; 12]);
        directory.extend(start.to_le_bytes());
        directory.extend(&entry.name);
    }
    let n = entries.len() as u16;
    let mut end = End {
        disk: 0,
        n_here: n,
        n_entries: n,
        n_directory: directory.len() as u32,
        start: bytes.len() as u32,
        n_comment: 0,
    };
    change(&mut end);
    bytes.extend(directory);
    bytes.extend(b"PK\x05\x06");
    bytes.extend(end.disk.to_le_bytes());
    bytes.extend([0; 2]);
    bytes.extend(end.n_here.to_le_bytes());
    bytes.extend(end.n_entries.to_le_bytes());
    bytes.extend(end.n_directory.to_le_bytes());
    bytes.extend(end.start.to_le_bytes());
    bytes.extend(end.n_comment.to_le_bytes());
    bytes
}

fn archive(entries: &[Zipped]) -> Vec<u8> {
    archive_with(entries, |_| {})
}

fn archive_cases() -> Vec<Case> {
    let good = || npy::encode(&Array::from([1.0_f32, 2.0])).unwrap();
    let stored = || Zipped::stored("a.npy", good());
    let deflated = || Zipped::deflated("a.npy", &good());
    let zeros = || npy::encode(&Array::zeros([1 << 20])).unwrap();
    let cut = |mut bytes: Vec<u8>, n: usize| {
        bytes.truncate(bytes.len() - n);
        bytes
    };
    assert!(
        npz::decode(&archive(&[stored(), deflated().with(|e| e.name[0] = b'b')]), MOST_UNPACKED)
            .is_ok()
    );
    vec![
        ("empty", vec![]),
        ("no archive", vec![b'x'; 100]),
        ("an end of nothing but its mark", b"PK\x05\x06".to_vec()),
        ("end cut off", cut(archive(&[stored()]), 1)),
        ("end with a comment that is missing", archive_with(&[stored()], |end| end.n_comment = 9)),
        ("another volume", archive_with(&[stored()], |end| end.disk = 1)),
        ("entries elsewhere", archive_with(&[stored()], |end| end.n_here = 0)),
        ("65,535 entries", archive_with(&[stored()], |end| (end.n_here, end.n_entries) = (!0, !0))),
        (
            "one entry too many",
            archive_with(&[stored()], |end| (end.n_here, end.n_entries) = (2, 2)),
        ),
        (
            "one entry too few",
            archive_with(&[stored(), stored().with(|e| e.name[0] = b'b')], |end| {
                (end.n_here, end.n_entries) = (1, 1);
            }),
        ),
        ("directory beyond the end", archive_with(&[stored()], |end| end.start += 1)),
        ("directory before its start", archive_with(&[stored()], |end| end.start -= 1)),
        ("directory of 2^32 - 1 bytes", archive_with(&[stored()], |end| end.n_directory = !0)),
        ("directory of 2^32 - 2 bytes", archive_with(&[stored()], |end| end.n_directory = !1)),
        ("directory at 2^32 - 1", archive_with(&[stored()], |end| end.start = !0)),
        ("name twice", archive(&[stored(), stored()])),
        ("name twice, once without .npy", archive(&[stored(), Zipped::stored("a", good())])),
        ("name not UTF-8", archive(&[stored().with(|e| e.name[0] = 0xff)])),
        ("name with an escape sequence", { archive(&[Zipped::stored("\u{1b}[2J.npy", vec![])]) }),
        ("local header elsewhere", archive(&[stored().with(|e| e.start = Some(1))])),
        ("local header at the end", archive(&[stored().with(|e| e.start = Some(!1))])),
        ("local name longer than the file", archive(&[stored().with(|e| e.local_name = !0)])),
        ("local name one byte longer", archive(&[stored().with(|e| e.local_name += 1)])),
        ("packed of 2^32 - 1 bytes", archive(&[stored().with(|e| e.n_packed = !0)])),
        ("packed of 2^32 - 2 bytes", archive(&[stored().with(|e| e.n_packed = !1)])),
        ("stored, of two sizes", archive(&[stored().with(|e| e.n_bytes -= 1)])),
        ("stored, larger than packed", archive(&[stored().with(|e| e.n_bytes = 1 << 30)])),
        ("deflated to 4 GiB", archive(&[deflated().with(|e| e.n_bytes = !1)])),
        ("deflated to one byte less", archive(&[deflated().with(|e| e.n_bytes -= 1)])),
        ("deflated to one byte more", archive(&[deflated().with(|e| e.n_bytes += 1)])),
        ("deflated to nothing", archive(&[deflated().with(|e| e.n_bytes = 0)])),
        (
            "deflated, cut off",
            archive(&[deflated().with(|e| {
                e.packed.pop();
                e.n_packed -= 1;
            })]),
        ),
        ("deflated, of noise", archive(&[deflated().with(|e| e.packed.fill(0xa5))])),
        ("a checksum of something else", archive(&[stored().with(|e| e.crc ^= 1)])),
        ("a checksum of something else, deflated", archive(&[deflated().with(|e| e.crc ^= 1)])),
        ("encrypted", archive(&[stored().with(|e| e.flags = 1)])),
        ("packed by bzip2", archive(&[stored().with(|e| e.method = 12)])),
        ("overlapping entries", {
            let other = stored().with(|e| (e.name[0], e.start) = (b'b', Some(0)));
            archive(&[stored(), other])
        }),
        ("a bomb", archive(&[Zipped::deflated("a.npy", &zeros())])),
        ("two that together are too large", {
            let half = npy::encode(&Array::zeros([600_000])).unwrap();
            archive(&["a.npy", "b.npy"].map(|name| Zipped::deflated(name, &half)))
        }),
        ("an archive in an archive", archive(&[Zipped::stored("a.npy", archive(&[stored()]))])),
        ("zeros", vec![0; 22]),
        ("an end and nothing else, of one entry", {
            archive_with(&[], |end| (end.n_here, end.n_entries) = (1, 1))
        }),
        ("an end that begins before the file", archive_with(&[stored()], |end| end.start = !1)),
        ("two ends", [archive(&[stored()]), archive(&[])].concat()),
        ("two archives", archive(&[stored()]).repeat(2)),
        ("bytes behind the end", [archive(&[stored()]), vec![0; 9]].concat()),
        ("bytes before the first entry", [b"xyz", &archive(&[stored()])[..]].concat()),
        ("the directory of another archive", {
            let (one, other) = (archive(&[stored()]), archive(&[deflated()]));
            let at = |bytes: &[u8]| bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
            [&one[..at(&one)], &other[at(&other)..]].concat()
        }),
        ("a mark of the directory that is wrong", {
            let mut bytes = archive(&[stored()]);
            let at = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
            bytes[at] = b'p';
            bytes
        }),
        ("a mark of an entry that is wrong", {
            let mut bytes = archive(&[stored()]);
            bytes[0] = b'p';
            bytes
        }),
        ("stored, says deflated", archive(&[stored().with(|e| e.method = 8)])),
        ("deflated, says stored", archive(&[deflated().with(|e| e.method = 0)])),
        ("deflated of nothing", {
            archive(&[deflated().with(|e| {
                e.packed.clear();
                e.n_packed = 0;
            })])
        }),
        ("a stored block that ends before it begins", {
            archive(&[deflated().with(|e| {
                e.packed = vec![1, 0xff, 0xff, 0, 0];
                e.n_packed = 5;
            })])
        }),
        ("a block of a type that there is not", {
            archive(&[deflated().with(|e| {
                e.packed = vec![7];
                e.n_packed = 1;
            })])
        }),
        ("an entry that is no array", archive(&[Zipped::stored("a.npy", b"hello".to_vec())])),
        ("an entry of nothing", archive(&[Zipped::stored("a.npy", vec![])])),
        ("an array and a text", {
            archive(&[stored(), Zipped::stored("readme.txt", b"hello".to_vec())])
        }),
        ("a name of 60,000 bytes for no array", {
            archive(&[Zipped::stored(&"a".repeat(60_000), vec![1])])
        }),
        ("a directory as an entry", archive(&[Zipped::stored("a/", vec![])])),
        ("20,001 entries of nothing", { archive(&vec![Zipped::stored("a", vec![]); 20_001]) }),
        (
            "terabytes in a small array",
            archive(&[Zipped::stored("a.npy", shaped("(1099511627776,)", 8))]),
        ),
        ("terabytes in a small array, deflated", {
            archive(&[Zipped::deflated("a.npy", &shaped("(1099511627776,)", 8))])
        }),
    ]
}

#[test]
fn npy_files() {
    let cases = array_cases();
    let mut tally = Tally::new("npy, made by hand", cases.len() as u64);
    insta::assert_snapshot!("npy", refusals(&mut tally, &cases, npy::decode));
    tally.done("each refused with its reason");
}

#[test]
fn npz_files() {
    let cases = archive_cases();
    let mut tally = Tally::new("npz, made by hand", cases.len() as u64);
    let told = refusals(&mut tally, &cases, |bytes| npz::decode(bytes, MOST_UNPACKED));
    insta::assert_snapshot!("npz", told);
    tally.done("each refused with its reason");
}

#[test]
fn checkpoint_files() {
    let body = tensors("{}", 0);
    let good = seal(&body);
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = good.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let mut cases: Vec<Case> = vec![
        ("empty", vec![]),
        ("magic alone", good[..8].to_vec()),
        ("magic cut off", good[..7].to_vec()),
        ("another magic", with(0, b"Rondeau")),
        ("version 0", with(8, &[0])),
        ("version 2", with(8, &[2])),
        ("version 2^32 - 1", with(8, &[0xff; 4])),
        ("header cut off", good[..23].to_vec()),
        ("body of 2^64 - 1 bytes", with(16, &[0xff; 8])),
        ("body of 2^63 bytes", with(23, &[0x80])),
        ("body one byte too long", with(16, &[body.len() as u8 + 1])),
        ("body one byte too short", with(16, &[body.len() as u8 - 1])),
        ("body of nothing", seal(&[])),
        ("body missing", good[..24].to_vec()),
        ("another checksum", with(12, &[0; 4])),
        ("a body of something else", with(30, b"x")),
        ("a checkpoint in a checkpoint", seal(&good)),
        ("a bare safetensors file", body.clone()),
        ("a byte behind", [&good[..], b"x"].concat()),
        ("two checkpoints", good.repeat(2)),
    ];
    // With the right seal, a body can be anything.
    cases.extend(tensor_cases().into_iter().map(|(name, bytes)| (name, seal(&bytes))));
    // The seal does not change what is said of the body.
    let mut tally = Tally::new("checkpoint, made by hand", cases.len() as u64);
    let told = refusals(&mut tally, &cases, checkpoint::decode);
    insta::assert_snapshot!("checkpoint", told.lines().take(20).collect::<Vec<_>>().join("\n"));
    let bare = |bytes: &Case| safetensors::decode(&bytes.1).unwrap_err().to_string();
    for (case, line) in tensor_cases().iter().zip(told.lines().skip(20)) {
        let fault = line.split_once(": ").map_or(line, |(_, fault)| fault);
        assert!(bare(case).contains(fault), "{line}");
    }
    tally.done("each refused with its reason");
}
