//! `table.toml`, natively. `waypool plugin test` asks the built plugin the same.

waypool_plugin_sdk::testing::table!(waypool_primary_only::PrimaryOnly, "tests/table.toml", balancer);
