//! Machine code for x86-64.

mod encode;
mod pages;
