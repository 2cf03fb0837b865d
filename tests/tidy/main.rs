//! What the tree looks like: rules that a compiler does not hold, each a test of its own.

mod arrows;
mod markdown;
mod pages;
mod shape;
mod tree;
mod words;
mod wounds;
