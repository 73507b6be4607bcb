//! The messages of ONNX, in the wire format of protocol buffers. Field numbers are those of
//! `onnx.proto`.

use crate::buffer::{Buffer, DType};

/// A message that is being written.
#[derive(Clone, Debug, Default)]
pub(super) struct Message(pub(super) Vec<u8>);

impl Message {
    fn varint(&mut self, mut x: u64) {
        while x >= 0x80 {
            self.0.push(x as u8 | 0x80);
            x >>= 7;
        }
        self.0.push(x as u8);
    }

    pub(super) fn int(&mut self, field: u32, x: i64) -> &mut Message {
        self.varint(u64::from(field) << 3);
        self.varint(x as u64);
        self
    }

    pub(super) fn bytes(&mut self, field: u32, bytes: &[u8]) -> &mut Message {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn text(&mut self, field: u32, text: &str) -> &mut Message {
        self.bytes(field, text.as_bytes())
    }

    pub(super) fn message(&mut self, field: u32, message: &Message) -> &mut Message {
        self.bytes(field, &message.0)
    }
}

/// The number of an element type.
pub(super) fn element(dtype: DType) -> i64 {
    match dtype {
        DType::F32 => 1,
        DType::I32 => 6,
        DType::Bool => 9,
        DType::F64 => 11,
        DType::U32 => 12,
    }
}

/// The element type of indices and shapes.
const INT64: i64 = 7;

/// A size that is known, or the name of one that is not.
#[derive(Clone, Debug)]
pub(super) enum Dim {
    Size(usize),
    Any(&'static str),
}

/// The type of an input or output of a graph.
pub(super) fn value_info(name: &str, dtype: DType, dims: &[Dim]) -> Message {
    let mut shape = Message::default();
    for dim in dims {
        let mut one = Message::default();
        match dim {
            Dim::Size(n) => one.int(1, *n as i64),
            Dim::Any(name) => one.text(2, name),
        };
        shape.message(1, &one);
    }
    let (mut tensor, mut ty, mut info) = Default::default();
    Message::int(&mut tensor, 1, element(dtype)).message(2, &shape);
    Message::message(&mut ty, 1, &tensor);
    Message::text(&mut info, 1, name).message(2, &ty);
    info
}

/// A tensor with its numbers.
pub(super) fn tensor(name: &str, value: &Buffer) -> Message {
    let mut message = Message::default();
    for &n in value.shape().iter() {
        message.int(1, n as i64);
    }
    let mut raw = Vec::new();
    match value.dtype() {
        DType::F32 => value.values::<f32>().iter().for_each(|x| raw.extend(x.to_le_bytes())),
        DType::F64 => value.values::<f64>().iter().for_each(|x| raw.extend(x.to_le_bytes())),
        DType::I32 => value.values::<i32>().iter().for_each(|x| raw.extend(x.to_le_bytes())),
        DType::U32 => value.values::<u32>().iter().for_each(|x| raw.extend(x.to_le_bytes())),
        DType::Bool => value.values::<bool>().iter().for_each(|&x| raw.push(u8::from(x))),
    }
    message.int(2, element(value.dtype())).text(8, name).bytes(9, &raw);
    message
}

/// A list of whole numbers as a tensor.
pub(super) fn int64s(name: &str, dims: &[usize], values: &[i64]) -> Message {
    let mut message = Message::default();
    for &n in dims {
        message.int(1, n as i64);
    }
    let raw: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    message.int(2, INT64).text(8, name).bytes(9, &raw);
    message
}

/// The value of an attribute.
#[derive(Clone, Debug)]
pub(super) enum Attr {
    Int(i64),
    Text(&'static str),
    Ints(Vec<i64>),
    Texts(Vec<&'static str>),
    Equation(String),
    Graph(Message),
}

/// A node.
pub(super) fn node(
    op: &str,
    inputs: &[String],
    outputs: &[String],
    attrs: &[(&str, Attr)],
) -> Message {
    let mut message = Message::default();
    inputs.iter().for_each(|name| _ = message.text(1, name));
    outputs.iter().for_each(|name| _ = message.text(2, name));
    message.text(4, op);
    for (name, value) in attrs {
        let mut attr = Message::default();
        attr.text(1, name);
        match value {
            Attr::Int(x) => attr.int(3, *x).int(20, 2),
            Attr::Text(x) => attr.text(4, x).int(20, 3),
            Attr::Equation(x) => attr.text(4, x).int(20, 3),
            Attr::Graph(graph) => attr.message(6, graph).int(20, 5),
            Attr::Ints(xs) => {
                xs.iter().for_each(|&x| _ = attr.int(8, x));
                attr.int(20, 7)
            }
            Attr::Texts(xs) => {
                xs.iter().for_each(|x| _ = attr.text(9, x));
                attr.int(20, 8)
            }
        };
        message.message(5, &attr);
    }
    message
}

/// A graph.
pub(super) fn graph(
    name: &str,
    nodes: &[Message],
    constants: &[Message],
    inputs: &[Message],
    outputs: &[Message],
) -> Message {
    let mut message = Message::default();
    nodes.iter().for_each(|node| _ = message.message(1, node));
    message.text(2, name);
    constants.iter().for_each(|tensor| _ = message.message(5, tensor));
    inputs.iter().for_each(|info| _ = message.message(11, info));
    outputs.iter().for_each(|info| _ = message.message(12, info));
    message
}

/// The set of operators that the models use.
pub(super) const OPSET: i64 = 18;

/// The file.
pub(super) fn model(graph: &Message) -> Vec<u8> {
    let (mut opset, mut message) = (Message::default(), Message::default());
    opset.text(1, "").int(2, OPSET);
    message.int(1, 8).text(2, "rondeau").text(3, env!("CARGO_PKG_VERSION"));
    message.message(7, graph).message(8, &opset);
    message.0
}
