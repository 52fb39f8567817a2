//! The cases of table.toml, as plain Rust. `waypool plugin test` asks the
//! WebAssembly the same.

use waypool_template::Rule;

waypool_plugin_sdk::testing::table!(Rule, "tests/table.toml", classifier, rewriter, balancer, gate, observer);
