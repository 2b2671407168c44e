//! A program may leave generated code unused without a warning.
#![deny(warnings)]

micro_runtime::include_protos!();

fn main() {}
