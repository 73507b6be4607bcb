//! All unsafe code of rondeau.
