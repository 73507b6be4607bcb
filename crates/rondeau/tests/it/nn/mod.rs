//! What holds for every cell of the library, and single facts of what is made of cells.

mod cells;
mod facts;
mod optimizers;
mod sequences;
