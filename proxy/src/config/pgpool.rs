//! Pgpool-II's parameters that `waypool.toml` does not have under the same
//! name: a user who copies a line from `pgpool.conf` learns what became of it.

/// Parameters that have another name or another place here, and which.
const PLACES: &[(&str, &str)] = &[
    ("backend_hostname", "write hostname = \"…\" in a [[backend]] table"),
    ("backend_port", "write port = … in a [[backend]] table"),
    ("backend_weight", "write weight = … in a [[backend]] table"),
    ("backend_flag", "write flag = \"…\" in a [[backend]] table"),
    ("backend_application_name", "write application_name = \"…\" in a [[backend]] table"),
    ("backend_data_directory", "Waypool needs no data directory, remove the line"),
    ("pool_passwd", "write auth_file = \"…\", or the users into the table [users]"),
    ("socket_dir", "write unix_socket_directories = [\"…\"]"),
    ("log_destination", "Waypool writes its log to stderr, remove the line"),
    ("logging_collector", "Waypool writes its log to stderr, remove the line"),
    ("log_line_prefix", "write log_format = \"human\" or \"json\" instead"),
    ("process_management_mode", "Waypool has no processes to manage, remove the line"),
    ("process_management_strategy", "Waypool has no processes to manage, remove the line"),
    ("min_spare_children", "Waypool has no processes to manage, remove the line"),
    ("max_spare_children", "Waypool has no processes to manage, remove the line"),
    ("serialize_accept", "Waypool has no child processes, remove the line"),
    ("enable_shared_relcache", "the cache is always shared here, remove the line"),
    ("replication_mode", "write backend_clustering_mode = \"…\""),
    ("master_slave_mode", "write backend_clustering_mode = \"…\""),
    ("master_slave_sub_mode", "write backend_clustering_mode = \"…\""),
    ("load_balance_mode", "it belongs into [plugins.balance.config]"),
    ("statement_level_load_balance", "it belongs into [plugins.balance.config]"),
    ("disable_load_balance_on_write", "it belongs into [plugins.balance.config]"),
    ("dml_adaptive_object_relationship_list", "it belongs into [plugins.balance.config]"),
    ("prefer_lower_delay_standby", "it belongs into [plugins.balance.config]"),
    ("track_table_mutation_ttl_factor", "it belongs into [plugins.balance.config]"),
    ("track_table_mutation_max_staleness", "it belongs into [plugins.balance.config]"),
    ("track_table_mutation_cold_start_duration", "it belongs into [plugins.balance.config]"),
    ("track_table_mutation_table_size", "the table grows as needed here, remove the line"),
    ("track_table_mutation_table_buckets", "the table grows as needed here, remove the line"),
    ("user_redirect_preference_list", "it belongs into [plugins.balance.config]"),
    ("database_redirect_preference_list", "it belongs into [plugins.balance.config]"),
    ("app_name_redirect_preference_list", "it belongs into [plugins.balance.config]"),
    ("allow_sql_comments", "it belongs into [plugins.classify.config]"),
    ("ignore_leading_white_space", "it belongs into [plugins.classify.config]"),
    ("read_only_function_list", "it belongs into [plugins.classify.config]"),
    ("write_function_list", "it belongs into [plugins.classify.config]"),
    ("primary_routing_query_pattern_list", "it belongs into [plugins.classify.config]"),
    ("check_temp_table", "it belongs into [plugins.classify.config]"),
    ("check_unlogged_table", "it belongs into [plugins.classify.config]"),
];

/// A parameter of Pgpool-II: a line of `pgpool/parameters.tsv`, which has
/// those of 4.8 and some older ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    pub name: &'static str,
    pub kind: Kind,
    pub number: Number,
    /// What becomes of it: `carried`; `=NAME` if it is an older name of NAME;
    /// else the word for a reason why it has no counterpart.
    pub fate: &'static str,
    /// As it would stand in pgpool.conf.
    pub default: &'static str,
    /// What a value of the kind `Word` may be.
    pub words: &'static str,
}

/// What the values of a parameter are; for numbers, in which unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Boolean,
    Integer,
    Seconds,
    Milliseconds,
    Minutes,
    Bytes,
    Kilobytes,
    Real,
    Word,
    Text,
}

/// Whether a number follows the name: that of a server, mostly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    Never,
    Always,
    /// With one, it counts for that server; without, for the others.
    Maybe,
}

/// All parameters, by name.
pub fn parameters() -> impl Iterator<Item = Parameter> {
    include_str!("pgpool/parameters.tsv").lines().filter_map(parameter)
}

/// The parameter that `key` names, and the number that it has. Upper and lower
/// case count the same.
pub fn find(key: &str) -> Option<(Parameter, Option<usize>)> {
    let key = key.to_ascii_lowercase();
    let with = |name: &str, number: Option<usize>| {
        let found = find_by_name(name)?;
        let fits = match found.number {
            Number::Never => number.is_none(),
            Number::Always => number.is_some(),
            Number::Maybe => true,
        };
        fits.then_some((found, number))
    };
    with(&key, None).or_else(|| {
        let name = without_number(&key);
        with(name, Some(key[name.len()..].parse().ok()?))
    })
}

/// The parameter with this name, whether a number must follow or not.
pub fn find_by_name(name: &str) -> Option<Parameter> {
    parameters().find(|parameter| parameter.name == name)
}

fn parameter(line: &'static str) -> Option<Parameter> {
    let mut columns = line.split('\t');
    let mut next = || columns.next().unwrap_or_default();
    let name = next();
    let kind = match next() {
        "bool" => Kind::Boolean,
        "int" => Kind::Integer,
        "s" => Kind::Seconds,
        "ms" => Kind::Milliseconds,
        "min" => Kind::Minutes,
        "B" => Kind::Bytes,
        "kB" => Kind::Kilobytes,
        "real" => Kind::Real,
        "word" => Kind::Word,
        "text" => Kind::Text,
        // A test sees to it that there is none.
        _ => return None,
    };
    let number = match next() {
        "N" => Number::Always,
        "each" => Number::Maybe,
        _ => Number::Never,
    };
    Some(Parameter { name, kind, number, fate: next(), default: next(), words: next() })
}

/// What to write in place of `key`, if it is one of Pgpool-II's that has a
/// place here.
pub(super) fn place_of(key: &str) -> Option<&'static str> {
    let name = without_number(key);
    if name != key && super::keys::TOP.contains(&name) {
        return Some("write it without the number, once for all servers");
    }
    PLACES.iter().find(|(parameter, _)| *parameter == name).map(|(_, place)| *place)
}

/// Whether `key` is one of the others, which have no counterpart.
pub(super) fn is_parameter(key: &str) -> bool {
    find(key).is_some_and(|(parameter, _)| !super::keys::TOP.contains(&parameter.name))
}

/// Pgpool-II numbers what belongs to a server: `backend_hostname0`.
fn without_number(key: &str) -> &str {
    key.trim_end_matches(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests;
