//! What is defined: columns, indexes, constraints, functions and so on. Each
//! server sends a digest of each definition; those that differ are asked for.

use super::report::Difference;
use super::rows::differ;
use super::{Failure, Sessions};
use crate::protocol::sql::literal;
use std::collections::BTreeMap;

const DEFINITIONS: &str = include_str!("schema.sql");

const ROLES: &str = "
SELECT 'role', format('%I', r.rolname),
       format('superuser %s, inherit %s, createrole %s, createdb %s, login %s, replication %s, bypassrls %s, member of %s',
              r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, r.rolreplication,
              r.rolbypassrls, (SELECT array_agg(format('%I', g.rolname) ORDER BY 1)
                                 FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
                                WHERE m.member = r.oid))
  FROM pg_roles r WHERE r.rolname !~ '^pg_'";

/// So many are asked for in full.
const SHOWN: usize = 20;
/// The point of a definition, in characters.
const LONGEST: usize = 400;

pub async fn definitions(sessions: &mut Sessions) -> Result<Vec<Difference>, Failure> {
    compare(sessions, DEFINITIONS).await
}

/// Roles are there for all databases.
pub async fn roles(sessions: &mut Sessions) -> Result<Vec<Difference>, Failure> {
    compare(sessions, ROLES).await
}

async fn compare(sessions: &mut Sessions, definitions: &str) -> Result<Vec<Difference>, Failure> {
    let from = format!("FROM ({definitions}) d (kind, name, definition)");
    let digests = format!(
        "SELECT kind, name, md5(string_agg(definition, E'\\n' ORDER BY definition)) {from} GROUP BY 1, 2"
    );
    let answers = sessions.ask(&digests).await?;
    let servers = answers.len();
    let mut found: BTreeMap<(String, String), Vec<Option<String>>> = BTreeMap::new();
    for (place, rows) in answers.into_iter().enumerate() {
        for row in rows {
            let [kind, name, digest] = <[Option<String>; 3]>::try_from(row).unwrap_or_default();
            let name = (kind.unwrap_or_default(), name.unwrap_or_default());
            found.entry(name).or_insert_with(|| vec![None; servers])[place] = digest;
        }
    }
    let mut differences = Vec::new();
    for ((kind, name), _) in found.into_iter().filter(|(_, digests)| differ(digests)) {
        let values = match differences.len() < SHOWN {
            true => in_full(sessions, &from, &kind, &name).await?,
            false => Vec::new(),
        };
        differences.push(Difference { kind, name, values });
    }
    Ok(differences)
}

async fn in_full(
    sessions: &mut Sessions,
    from: &str,
    kind: &str,
    name: &str,
) -> Result<Vec<String>, Failure> {
    let question = format!(
        "SELECT string_agg(definition, E'\\n' ORDER BY definition) {from} WHERE kind = {} AND name = {}",
        literal(kind),
        literal(name)
    );
    let answers = sessions.ask(&question).await?;
    let definitions: Vec<Option<String>> =
        answers.into_iter().map(|rows| rows.into_iter().flatten().next().flatten()).collect();
    Ok(definitions.iter().map(|definition| point(definition.as_deref(), &definitions)).collect())
}

/// Long ones are shown from where they begin to differ.
fn point(definition: Option<&str>, all: &[Option<String>]) -> String {
    let Some(definition) = definition else {
        return "missing".to_owned();
    };
    let same = |other: &String| {
        definition.char_indices().zip(other.chars()).take_while(|((_, a), b)| a == b).count()
    };
    let common = all.iter().flatten().filter(|other| *other != definition).map(same).min().unwrap_or(0);
    let begin = match definition.chars().count() > LONGEST {
        true => common.saturating_sub(LONGEST / 4),
        false => 0,
    };
    let shown: String = definition.chars().skip(begin).take(LONGEST).collect();
    if begin > 0 { format!("…{shown}") } else { shown }
}
