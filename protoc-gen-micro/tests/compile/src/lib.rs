//! Compiles what the generator writes for each case and option. What is not allowed here stands for
//! the strictest user.
#![deny(warnings, missing_docs, missing_debug_implementations, unreachable_pub)]
#![deny(clippy::all, clippy::pedantic, clippy::nursery)]
#![deny(rustdoc::all)]

micro_runtime::include_protos!();

/// Includes a case that is not of the default options.
macro_rules! case {
    ($name:ident) => {
        case!($name, "mod.rs");
    };
    ($name:ident, $file:literal) => {
        #[doc = concat!("Case `", stringify!($name), "`.")]
        pub mod $name {
            include!(concat!(env!("OUT_DIR"), "/", stringify!($name), "/", $file));
        }
    };
}

case!(old);
case!(names);
case!(deprecated);
case!(docs);
case!(meta);
case!(routes);
case!(events);

/// The golden files, from the source tree.
pub mod golden {
    micro_runtime::include_protos!("../golden/mod.rs");
}

/// A case for each option.
pub mod options {
    case!(no_client);
    case!(no_server);
    case!(no_json);
    case!(bytes);
    case!(btree_map);
    case!(btree_maps);
    case!(messages);
    case!(services);
    case!(extern_path);
    case!(attributes);
    case!(files, "tree.rs");
}
