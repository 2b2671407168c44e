//! Tests of the three dialects on a message written by hand.
