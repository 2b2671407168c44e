//! What the live tests share: the generated services, and the programs they start.
