//! The contract's Rust side, generated from `wit/waypool.wit`.
//!
//! One world for each interface rather than one for each role: the macros that
//! wit-bindgen generates are named after the interface and stand at the crate's
//! root, so an interface can be generated only once. `wit-component` puts the
//! worlds that a plugin uses together again, which is also what makes a plugin
//! with several roles possible, and leaves out the imports that it never calls.
#![allow(missing_docs, unused_imports)]

/// The types, and the proxy's functions.
pub mod shared {
    wit_bindgen::generate!({
        path: "wit",
        inline: "
            package waypool:sdk@0.1.0;
            world shared {
                import waypool:plugin/types@0.1.0;
                import waypool:plugin/host@0.1.0;
                import waypool:plugin/session@0.1.0;
                import waypool:plugin/statement@0.1.0;
                import waypool:plugin/store@0.1.0;
                import waypool:plugin/clock@0.1.0;
            }
        ",
        world: "waypool:sdk/shared",
        generate_all,
        generate_unused_types: true,
        additional_derives: [PartialEq],
    });
}

/// `lifecycle` needs no shared type, so its world has nothing to map.
pub mod lifecycle {
    wit_bindgen::generate!({
        path: "wit",
        inline: "
            package waypool:sdk@0.1.0;
            world lifecycle-part { export waypool:plugin/lifecycle@0.1.0; }
        ",
        world: "waypool:sdk/lifecycle-part",
        generate_all,
        pub_export_macro: true,
    });
}

macro_rules! role {
    ($module:ident, $inline:literal, $world:literal) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: "wit",
                inline: $inline,
                world: $world,
                with: {
                    "waypool:plugin/types@0.1.0": crate::bindings::shared::waypool::plugin::types,
                },
                pub_export_macro: true,
            });
        }
    };
}

role!(
    classifier,
    "package waypool:sdk@0.1.0; world classifier-part { export waypool:plugin/classifier@0.1.0; }",
    "waypool:sdk/classifier-part"
);
role!(
    rewriter,
    "package waypool:sdk@0.1.0; world rewriter-part { export waypool:plugin/rewriter@0.1.0; }",
    "waypool:sdk/rewriter-part"
);
role!(
    balancer,
    "package waypool:sdk@0.1.0; world balancer-part { export waypool:plugin/balancer@0.1.0; }",
    "waypool:sdk/balancer-part"
);
role!(
    gate,
    "package waypool:sdk@0.1.0; world gate-part { export waypool:plugin/gate@0.1.0; }",
    "waypool:sdk/gate-part"
);
role!(
    observer,
    "package waypool:sdk@0.1.0; world observer-part { export waypool:plugin/observer@0.1.0; }",
    "waypool:sdk/observer-part"
);
