//! The interop program: serves and calls what `tests/peers` does in Go, with the same flags (two
//! dashes) and the same lines on the standard output. See `micro_tests::interop`.

fn main() -> std::process::ExitCode {
    micro_tests::interop::main()
}
