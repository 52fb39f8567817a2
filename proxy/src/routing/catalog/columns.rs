//! The columns of tables and their defaults, in SQL and back.

use super::Row;
use crate::plugin::contract::{Column, ColumnsFact, Identity, TableColumns, Volatility};
use serde::Deserialize;

/// One row for each table or view; the names follow. What is known of its
/// columns is JSON. The tree of a default names functions, those behind operators
/// too, by number; CURRENT_DATE and its like, and casts by way of text, are no
/// functions there, and stable.
pub(super) const QUERY: &str = "SELECT 'c', n.nspname, c.relname, \
    pg_catalog.json_build_object('view', c.relkind = 'v', 'columns', \
    (SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_object(\
    'name', a.attname, 'type', pg_catalog.format_type(a.atttypid, -1), \
    'default', CASE WHEN a.attidentity <> '' THEN 'pg_catalog.nextval(' || pg_catalog.quote_literal(\
    pg_catalog.pg_get_serial_sequence(pg_catalog.quote_ident(n.nspname) || '.' || \
    pg_catalog.quote_ident(c.relname), a.attname)) || '::pg_catalog.regclass)' \
    ELSE COALESCE(pg_catalog.pg_get_expr(d.adbin, d.adrelid), \
    pg_catalog.pg_get_expr(t.typdefaultbin, 'pg_catalog.pg_type'::pg_catalog.regclass)) END, \
    'volatility', CASE WHEN a.attidentity <> '' THEN 'v' ELSE GREATEST((SELECT pg_catalog.max(p.provolatile::text) \
    FROM pg_catalog.regexp_matches(COALESCE(d.adbin, t.typdefaultbin)::text, \
    E':(?:funcid|opfuncid|aggfnoid|winfnoid) (\\\\d+)', 'g') m \
    JOIN pg_catalog.pg_proc p ON p.oid = m[1]::pg_catalog.oid), \
    CASE WHEN COALESCE(d.adbin, t.typdefaultbin)::text ~ '{(SQLVALUEFUNCTION|COERCEVIAIO) ' THEN 's' ELSE 'i' END) END, \
    'identity', a.attidentity::text, 'generated', a.attgenerated <> '') ORDER BY a.attnum), '[]') \
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))::text \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'f', 'v') AND c.relname IN ";

#[derive(Deserialize)]
struct Table {
    view: bool,
    columns: Vec<Told>,
}

#[derive(Deserialize)]
struct Told {
    name: String,
    #[serde(rename = "type")]
    type_name: String,
    default: Option<String>,
    volatility: String,
    identity: String,
    generated: bool,
}

impl From<Told> for Column {
    fn from(told: Told) -> Self {
        Column {
            name: told.name,
            type_name: told.type_name,
            default_value: told.default,
            volatility: match told.volatility.as_str() {
                "i" => Volatility::Immutable,
                "s" => Volatility::Stable,
                _ => Volatility::Volatile,
            },
            identity: match told.identity.as_str() {
                "a" => Identity::Always,
                "d" => Identity::ByDefault,
                _ => Identity::No,
            },
            generated: told.generated,
        }
    }
}

pub(super) fn fact<'r>(rows: impl Iterator<Item = &'r Row<'r>>) -> ColumnsFact {
    let tables: Option<Vec<_>> = rows.map(table).collect();
    match tables {
        // What cannot be read is asked for again.
        None => ColumnsFact::Unknown,
        Some(tables) if tables.is_empty() => ColumnsFact::Missing,
        Some(tables) => ColumnsFact::Found(tables),
    }
}

fn table(row: &Row) -> Option<TableColumns> {
    let table: Table = serde_json::from_str(row.what).ok()?;
    let columns = table.columns.into_iter().map(Column::from).collect();
    Some(TableColumns { schema: row.schema.to_owned(), view: table.view, columns })
}
