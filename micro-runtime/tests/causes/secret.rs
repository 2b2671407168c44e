//! Why a call went where it went is of the process that made it.
