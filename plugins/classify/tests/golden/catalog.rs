//! The facts of the database that `tests/golden/setup.sql` makes, and of the
//! built-in functions that the sessions call.

use waypool_plugin_sdk::testing::FakeHost;
use waypool_plugin_sdk::{RelationFacts, Volatility};

pub fn catalog() -> FakeHost {
    let mut host = FakeHost::new();
    for table in ["t1", "t2", "T Space", "ser", "ts", "mv1", "s1"] {
        host = host.relation(&format!("public.{table}"), RelationFacts::empty());
    }
    for view in ["public.v1", "public.vcat", "information_schema.tables"] {
        host = host.relation(view, RelationFacts::VIEW);
    }
    host = host.relation("public.vvol", RelationFacts::VIEW | RelationFacts::VOLATILE);
    host = host.relation("sc1.t3", RelationFacts::empty());
    host = host.relation("public.u1", RelationFacts::UNLOGGED);
    host = host.relation("pg_catalog.pg_class", RelationFacts::CATALOG);
    let catalog_view = RelationFacts::CATALOG | RelationFacts::VIEW;
    host = host.relation("pg_catalog.pg_stat_activity", catalog_view);
    for (volatility, names) in FUNCTIONS {
        for name in *names {
            host = host.function(name, *volatility);
        }
    }
    host
}

/// CREATE TEMP TABLE name
pub fn with_temporary(host: FakeHost, name: &str) -> FakeHost {
    host.relation(&format!("pg_temp_3.{name}"), RelationFacts::TEMPORARY)
}

/// As pg_proc has them
const FUNCTIONS: &[(Volatility, &[&str])] = &[
    (
        Volatility::Volatile,
        &[
            "public.f_vol",
            "public.f_over",
            "public.f_ins",
            "public.opf",
            "pg_catalog.random",
            "pg_catalog.clock_timestamp",
            "pg_catalog.pg_is_in_recovery",
            "pg_catalog.set_config",
            "pg_catalog.pg_sleep",
            "pg_catalog.pg_advisory_lock",
            "pg_catalog.pg_advisory_unlock_all",
            "pg_catalog.lastval",
            "pg_catalog.gen_random_uuid",
            "pg_catalog.lo_create",
            "pg_catalog.pg_notify",
            "pg_catalog.pg_cancel_backend",
            "pg_catalog.pg_terminate_backend",
            "pg_catalog.nextval",
            "pg_catalog.currval",
            "pg_catalog.setval",
            // The method of TABLESAMPLE SYSTEM
            "pg_catalog.system",
        ],
    ),
    (
        Volatility::Stable,
        &[
            "public.f_stab",
            "public.f_over",
            "pg_catalog.now",
            "pg_catalog.inet_server_port",
            "pg_catalog.pg_backend_pid",
            "pg_catalog.version",
            "pg_catalog.current_setting",
            "pg_catalog.txid_current",
        ],
    ),
    (Volatility::Immutable, &["public.f_imm", "pg_catalog.count", "pg_catalog.generate_series"]),
];
