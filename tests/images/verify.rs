//! The check of layers: it accepts what is correct and finds each kind of error.

mod command;
mod comparison;
mod mutations;
mod specimen;
mod trees;
