//! What stands in tags and bodies.
