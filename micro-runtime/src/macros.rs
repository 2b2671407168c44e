/// Puts the generated packages here, as a tree of modules: `go.micro.srv.greeter` becomes
/// `go::micro::srv::greeter`. A file without a package has its items here itself.
///
/// Alone it includes what `micro_build::compile` has written for this build. With a path, relative
/// to the manifest's folder, it includes code that is kept in the source tree:
/// `include_protos!("src/gen/mod.rs")`.
///
/// Packages find each other wherever the tree stands, so it may also be put into a module:
/// ```text
/// mod proto {
///     micro_runtime::include_protos!();
/// }
/// use proto::go::micro::srv::greeter::SayClient;
/// ```
#[macro_export]
macro_rules! include_protos {
    () => {
        ::core::include!(::core::concat!(::core::env!("OUT_DIR"), "/mod.rs"));
    };
    ($path:expr) => {
        ::core::include!(::core::concat!(
            ::core::env!("CARGO_MANIFEST_DIR"),
            "/",
            $path
        ));
    };
}
