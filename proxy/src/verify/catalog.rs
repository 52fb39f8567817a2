//! Which databases and tables there are, on any of the servers.

use super::report::Difference;
use super::{Failure, Sessions};
use std::collections::BTreeMap;

const DATABASES: &str = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1";

/// Tables with rows of their own. Foreign tables and views have none;
/// temporary ones are nobody else's.
const TABLES: &str = "
SELECT format('%I.%I', n.nspname, c.relname), c.relkind::text, c.relpersistence::text,
       c.relispopulated::text, COALESCE(m.amname = 'heap', false)::text,
       (SELECT json_agg(json_build_array(format('%I', a.attname), format_type(a.atttypid, a.atttypmod))
                        ORDER BY a.attnum)
          FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
       (SELECT json_agg(format('%I', a.attname) ORDER BY k.at)
          FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, at)
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number
         WHERE k.at <= i.indnkeyatts)
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_am m ON m.oid = c.relam
  LEFT JOIN LATERAL (
       SELECT i.indkey, i.indnkeyatts FROM pg_index i
        WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid
          AND i.indpred IS NULL AND i.indexprs IS NULL
          AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid
                             AND a.attnum = ANY (i.indkey::int2[]) AND NOT a.attnotnull)
        ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indkey::text LIMIT 1) i ON true
 WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
   AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

const LARGE_OBJECTS: &str = "SELECT EXISTS (SELECT FROM pg_largeobject_metadata)::text";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Quoted if need be, as are all names here.
    pub name: String,
    pub kind: String,
}

/// A table as the servers have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// `schema.table`
    pub name: String,
    pub columns: Vec<Column>,
    /// What tells its rows apart. Empty: nothing does.
    pub key: Vec<Column>,
    /// Its rows lie in blocks that can be read one after another.
    pub heap: bool,
    /// A materialized view cannot be locked.
    pub lockable: bool,
    /// Why its rows cannot be compared.
    pub hindrance: Option<String>,
}

/// A row of [`TABLES`].
#[derive(Debug, Clone)]
struct Found {
    kind: String,
    persistence: String,
    populated: bool,
    heap: bool,
    columns: Vec<Column>,
    key: Vec<String>,
}

pub struct Databases {
    /// On all servers.
    pub common: Vec<String>,
    /// Not on all of them.
    pub missing: Vec<Difference>,
}

pub async fn databases(sessions: &mut Sessions) -> Result<Databases, Failure> {
    let answers = sessions.ask(DATABASES).await?;
    let mut where_found: BTreeMap<String, Vec<bool>> = BTreeMap::new();
    for (place, rows) in answers.iter().enumerate() {
        for name in rows.iter().flatten().flatten() {
            where_found.entry(name.clone()).or_insert_with(|| vec![false; answers.len()])[place] = true;
        }
    }
    let mut databases = Databases { common: Vec::new(), missing: Vec::new() };
    for (name, found) in where_found {
        if found.iter().all(|found| *found) {
            databases.common.push(name);
            continue;
        }
        let values = found.iter().map(|found| if *found { "there" } else { "missing" }.to_owned());
        databases.missing.push(Difference { kind: "database".to_owned(), name, values: values.collect() });
    }
    Ok(databases)
}

/// All tables, and those of large objects if there are some.
pub async fn tables(sessions: &mut Sessions, large_objects: bool) -> Result<Vec<Table>, Failure> {
    let answers = sessions.ask(TABLES).await?;
    let servers = answers.len();
    let mut found: BTreeMap<String, Vec<Option<Found>>> = BTreeMap::new();
    for (place, rows) in answers.into_iter().enumerate() {
        for row in rows {
            let Some((name, table)) = read(row) else {
                return Err(Failure::Other("a row of pg_class cannot be read".to_owned()));
            };
            found.entry(name).or_insert_with(|| vec![None; servers])[place] = Some(table);
        }
    }
    let in_recovery = sessions.any_in_recovery();
    let mut tables: Vec<Table> =
        found.into_iter().filter_map(|(name, on)| merge(name, &on, in_recovery)).collect();
    if large_objects {
        let answers = sessions.ask(LARGE_OBJECTS).await?;
        if answers.iter().flatten().flatten().flatten().any(|there| there == "true") {
            tables.extend(of_large_objects());
        }
    }
    Ok(tables)
}

fn read(row: Vec<Option<String>>) -> Option<(String, Found)> {
    let mut values = row.into_iter();
    let mut next = || values.next().flatten();
    let (name, kind, persistence) = (next()?, next()?, next()?);
    let (populated, heap) = (next()?, next()?);
    let columns: Vec<(String, String)> = serde_json::from_str(&next().unwrap_or("[]".to_owned())).ok()?;
    let key: Vec<String> = serde_json::from_str(&next().unwrap_or("[]".to_owned())).ok()?;
    let columns = columns.into_iter().map(|(name, kind)| Column { name, kind }).collect();
    let found =
        Found { kind, persistence, populated: populated == "true", heap: heap == "true", columns, key };
    Some((name, found))
}

/// `None`: there is nothing to compare.
fn merge(name: String, on: &[Option<Found>], in_recovery: bool) -> Option<Table> {
    let first = on.iter().flatten().next()?;
    let names = |found: &Found| {
        let mut names: Vec<String> = found.columns.iter().map(|column| column.name.clone()).collect();
        names.sort_unstable();
        names
    };
    let everywhere = on.iter().all(Option::is_some);
    // A standby has none of its rows.
    if in_recovery && first.persistence == "u" {
        return None;
    }
    let hindrance = if !everywhere {
        Some("it is missing on a server".to_owned())
    } else if on.iter().flatten().any(|found| names(found) != names(first)) {
        Some("its columns differ".to_owned())
    } else if on.iter().flatten().any(|found| found.populated != first.populated) {
        Some("it is populated on some servers only".to_owned())
    } else {
        None
    };
    if hindrance.is_none() && !first.populated {
        return None;
    }
    let kind_of = |name: &String| first.columns.iter().find(|column| column.name == *name).cloned();
    Some(Table {
        name,
        key: first.key.iter().filter_map(kind_of).collect(),
        columns: first.columns.clone(),
        heap: on.iter().flatten().all(|found| found.heap),
        lockable: first.kind == "r",
        hindrance,
    })
}

fn of_large_objects() -> [Table; 2] {
    let column = |name: &str, kind: &str| Column { name: name.to_owned(), kind: kind.to_owned() };
    let table = |name: &str, key: Vec<Column>, rest: Option<Column>| Table {
        name: format!("pg_catalog.{name}"),
        columns: key.iter().cloned().chain(rest).collect(),
        key,
        heap: true,
        lockable: true,
        hindrance: None,
    };
    [
        table("pg_largeobject_metadata", vec![column("oid", "oid")], None),
        table(
            "pg_largeobject",
            vec![column("loid", "oid"), column("pageno", "integer")],
            Some(column("data", "bytea")),
        ),
    ]
}
