//! Cells made of cells. A stack is a tuple or a vector of cells; see [`Cell`](crate::nn::Cell).

mod bidirectional;
mod dropout;
mod projection;
mod residual;
mod zoneout;

pub use bidirectional::Bidirectional;
pub use dropout::{Dropout, DropoutCarry, VariationalCarry, VariationalDropout, dropout};
pub use projection::Projection;
pub use residual::Residual;
pub use zoneout::{Zoneout, ZoneoutCarry};
