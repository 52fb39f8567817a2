//! A small catalog: every object is named for what it is.

use waypool_plugin_sdk::testing::FakeHost;
use waypool_plugin_sdk::{RelationFacts, Volatility};

pub fn plain() -> FakeHost {
    FakeHost::new()
        .function("s.volatile", Volatility::Volatile)
        .function("s.stable", Volatility::Stable)
        .function("s.immutable", Volatility::Immutable)
        .function("pg_catalog.txid_current", Volatility::Stable)
        .function("pg_catalog.pg_listening_channels", Volatility::Stable)
        .function("pg_catalog.set_config", Volatility::Volatile)
        .function("pg_catalog.setseed", Volatility::Volatile)
        .function("pg_catalog.pg_advisory_lock", Volatility::Volatile)
        .function("pg_catalog.pg_current_xact_id", Volatility::Stable)
        .function("pg_catalog.now", Volatility::Stable)
        .function("pg_catalog.max", Volatility::Immutable)
        .function("pg_catalog.count", Volatility::Immutable)
        .operator("<@@>", Volatility::Volatile)
        .operator("<->", Volatility::Immutable)
        .operator("=", Volatility::Stable)
        .relation("public.plain", RelationFacts::empty())
        .relation("public.plain_view", RelationFacts::VIEW)
        .relation("s.volatile_view", RelationFacts::VIEW | RelationFacts::VOLATILE)
        .relation("public.temporary_view", RelationFacts::VIEW | RelationFacts::TEMPORARY)
        .relation("information_schema.tables", RelationFacts::VIEW)
        .relation(
            "pg_catalog.pg_locks",
            RelationFacts::CATALOG | RelationFacts::VIEW | RelationFacts::VOLATILE,
        )
        .relation("public.unlogged", RelationFacts::UNLOGGED)
        .relation("pg_temp_1.temporary", RelationFacts::TEMPORARY)
        .relation("pg_catalog.pg_class", RelationFacts::CATALOG)
}
