//! From Pgpool-II's parameters to the parts of `waypool.toml`.

use std::path::PathBuf;
use std::time::Duration;

use super::backends::{self, Numbers};
use super::document::{self, Document, Element, list, text};
use super::passwords::{self, Passwords};
use super::report::{Group, Report};
use super::settings::Settings;
use crate::config::{show_duration, show_size};

/// Everything that was read.
pub struct Input {
    /// `pgpool.conf`, and the folder in which it stands, both absolute.
    pub source: PathBuf,
    pub folder: PathBuf,
    pub settings: Settings,
    /// Elements of `hba` with their comments; `None`: nobody asked for them.
    pub hba: Option<Vec<Element>>,
    /// The password file and what stands in it.
    pub passwords: Option<(PathBuf, Passwords)>,
}

/// The largest number that `waypool.toml` has for a limit.
const MOST: i64 = 1_000_000;

/// Writes `waypool.toml`.
pub fn convert(input: &Input, report: &mut Report) -> String {
    let numbers = backends::numbers(&input.settings, report);
    let mut writer = Writer { input, settings: &input.settings, document: Document::default(), report };
    writer.head();
    writer.listening();
    writer.cluster();
    writer.pool();
    writer.clients();
    writer.caches();
    writer.log();
    backends::write(&numbers, writer.settings, &mut writer.document, writer.report);
    writer.users();
    writer.plugins(&numbers);
    writer.document.into_text()
}

struct Writer<'a> {
    input: &'a Input,
    settings: &'a Settings,
    document: Document,
    report: &'a mut Report,
}

impl Writer<'_> {
    // --- the parts of the file, in their order

    fn head(&mut self) {
        let source = self.input.source.display();
        self.document.comment(&format!("Made by: waypool import {source}"));
        self.document.comment("");
        self.document.comment("Keys that are missing have their defaults: docs/configuration.md lists them.");
        self.document.comment("There may be passwords in here: keep this file readable for Waypool alone.");
    }

    fn listening(&mut self) {
        self.document.section("Where clients connect");
        self.document.set("port", self.settings.integer("port"));
        self.array("listen_addresses", ',');
        self.array("unix_socket_directories", ',');
        if self.settings.is_set("unix_socket_permissions") {
            let mode = format!("{:04o}", self.settings.integer("unix_socket_permissions"));
            self.document.set("unix_socket_permissions", text(&mode));
        }
        self.most_clients();
    }

    fn most_clients(&mut self) {
        let children = self.children();
        let backlog = self.settings.integer("listen_backlog_multiplier").clamp(1, 1_000);
        let most = children.saturating_mul(backlog.saturating_add(1)).min(MOST);
        self.document.set_because(
            "max_client_conn",
            most,
            "num_init_children are served, num_init_children * listen_backlog_multiplier may wait",
        );
        self.document.set("num_init_children", children);
        let reserved = self.settings.integer("reserved_connections").min(children - 1);
        if reserved > 0 {
            self.document.set("reserved_connections", reserved);
        }
        if self.changed("listen_backlog_multiplier") {
            self.document.set("listen_backlog_multiplier", backlog);
        }
    }

    fn cluster(&mut self) {
        self.document.section("The servers as a whole");
        let mode = self.settings.text("backend_clustering_mode");
        self.document.set("backend_clustering_mode", text(&mode));
        self.check_user(&mode);
        self.string("sr_check_database");
        self.check_period();
        self.delay();
        self.string("log_standby_delay");
        self.string("replication_delay_source_cmd");
        self.duration("replication_delay_source_timeout");
        self.health_check_period();
        self.connect_timeout();
        self.replication(&mode);
    }

    /// What counts only where the proxy keeps the servers alike.
    fn replication(&mut self, mode: &str) {
        let replicates = matches!(mode, "native_replication" | "snapshot_isolation");
        for name in [
            "replicate_select",
            "insert_lock",
            "replication_stop_on_mismatch",
            "failover_if_affected_tuples_mismatch",
        ] {
            if replicates {
                self.boolean(name);
            } else if self.changed(name) {
                self.report.add(Group::Needless, name, "it belongs to native replication");
            }
        }
        if !replicates {
            return;
        }
        let directory = ["work_dir", "logdir"].into_iter().find(|name| self.settings.is_set(name));
        if let Some(name) = directory {
            let directory = self.settings.text(name);
            self.document.set_because("work_dir", text(&directory), "pgpool_status lies there");
        }
    }

    fn pool(&mut self) {
        self.document.section("The pool");
        let children = self.children();
        self.document.set_because(
            "default_pool_size",
            children,
            "num_init_children: so many clients can be of the same user and database",
        );
        self.document.set("max_pool", self.settings.integer("max_pool").clamp(1, MOST));
        self.boolean("connection_cache");
        self.duration("connection_life_time");
        let life_time = self.settings.duration("child_life_time");
        if !life_time.is_zero() {
            self.document.set("child_life_time", text(&show_duration(life_time)));
        }
        let most = self.settings.integer("child_max_connections");
        if most > 0 {
            self.document.set("child_max_connections", most.min(1_000_000_000));
        }
        self.array("reset_query_list", ';');
    }

    fn clients(&mut self) {
        self.document.section("Clients");
        self.duration("authentication_timeout");
        self.duration("client_idle_limit");
        self.document.set("enable_pool_hba", self.settings.boolean("enable_pool_hba"));
        match self.input.hba.as_deref() {
            None => {}
            Some([]) => {
                self.report.add(Group::Changed, "pool_hba.conf", "has no rules, which lets nobody in");
                self.document.array(
                    "hba",
                    &[Element { comments: Vec::new(), text: "host all all all reject".to_owned() }],
                );
            }
            Some(rules) => self.document.array("hba", rules),
        }
        if let Some((file, passwords)) = &self.input.passwords
            && passwords.usable_file
        {
            self.document.set_because("auth_file", text(&file.display().to_string()), "pool_passwd");
        }
        self.boolean("ssl");
        for name in ["ssl_cert", "ssl_key", "ssl_ca_cert"] {
            let file = self.settings.text(name);
            if !file.is_empty() {
                self.document.set(name, text(&self.input.folder.join(file).display().to_string()));
            }
        }
        if self.settings.boolean("ssl") && !self.settings.text("ssl_ca_cert").is_empty() {
            let what = "checks clients alone. To have the servers' certificates checked, write sslmode = \
                        \"verify-ca\" and sslrootcert in each [[backend]]";
            self.report.add(Group::Attention, "ssl_ca_cert", what);
        }
    }

    fn caches(&mut self) {
        let names = ["relcache_size", "relcache_expire", "relcache_query_target"];
        if names.iter().any(|name| self.settings.is_set(name)) {
            self.document.section("Caches");
        }
        if self.changed("relcache_size") {
            self.document.set("relcache_size", self.settings.integer("relcache_size"));
            let what = "one cache for all sessions, where Pgpool-II has one a process; the default is 4096";
            self.report.add(Group::Changed, "relcache_size", what);
        }
        self.duration("relcache_expire");
        self.string("relcache_query_target");
    }

    fn log(&mut self) {
        let names = ["log_min_messages", "notice_per_node_statement", "log_per_node_statement"];
        if names.iter().any(|name| self.settings.is_set(name)) {
            self.document.section("Log");
        }
        self.string("log_min_messages");
        self.boolean("notice_per_node_statement");
        self.boolean("log_per_node_statement");
    }

    fn users(&mut self) {
        let Some((file, passwords)) = &self.input.passwords else {
            return;
        };
        if passwords.usable_file || passwords.users.is_empty() {
            return;
        }
        self.document.section("Users");
        self.document.comment(&format!("Those of {} that could be read.", file.display()));
        self.document.table("[users]");
        for (user, secret) in &passwords.users {
            self.document.set(&document::key(user), text(secret));
        }
    }

    fn plugins(&mut self, numbers: &Numbers) {
        self.document.section("Plugins");
        self.document.table("[plugins.classify.config]");
        self.boolean("allow_sql_comments");
        self.boolean("ignore_leading_white_space");
        self.function_lists();
        self.string("primary_routing_query_pattern_list");
        if self.settings.is_set("check_temp_table") {
            let how = match self.settings.text("check_temp_table").as_str() {
                "on" => "catalog".to_owned(),
                "off" => "none".to_owned(),
                word => word.to_owned(),
            };
            self.document.set("check_temp_table", text(&how));
        }
        self.boolean("check_unlogged_table");

        self.document.table("[plugins.balance.config]");
        self.boolean("load_balance_mode");
        self.boolean("statement_level_load_balance");
        self.string("disable_load_balance_on_write");
        self.string("dml_adaptive_object_relationship_list");
        self.boolean("prefer_lower_delay_standby");
        for name in [
            "user_redirect_preference_list",
            "database_redirect_preference_list",
            "app_name_redirect_preference_list",
        ] {
            self.redirects(name, numbers);
        }
        if self.settings.is_set("track_table_mutation_ttl_factor") {
            let factor = self.settings.real_of("track_table_mutation_ttl_factor", None);
            self.document.set("track_table_mutation_ttl_factor", format!("{factor:?}"));
        }
        for name in ["track_table_mutation_max_staleness", "track_table_mutation_cold_start_duration"] {
            if self.settings.is_set(name) {
                self.document.set_because(name, self.settings.integer(name), "ms");
            }
        }
    }

    // --- parameters with rules of their own

    /// Waypool needs a user where Pgpool-II can do without.
    fn check_user(&mut self, mode: &str) {
        let (user, password) = match (
            self.settings.text("sr_check_user"),
            self.settings.text("health_check_user"),
        ) {
            (user, _) if !user.is_empty() => (user, "sr_check_password"),
            _ if mode == "raw" => return,
            (_, user) if !user.is_empty() => {
                let what =
                    format!("missing: health_check_user is taken, \"{user}\"; it needs the role pg_monitor");
                self.report.add(Group::Changed, "sr_check_user", what);
                (user, "health_check_password")
            }
            _ => {
                let what = "missing, but needed: CREATE ROLE waypool LOGIN PASSWORD '…' IN ROLE pg_monitor, and \
                            write its password into sr_check_password";
                self.report.add(Group::Attention, "sr_check_user", what);
                ("waypool".to_owned(), "sr_check_password")
            }
        };
        self.document.set("sr_check_user", text(&user));
        let known = self.input.passwords.as_ref().and_then(|(_, passwords)| passwords.users.get(&user));
        match (passwords::secret(&self.settings.text(password)), known) {
            (Ok(Some(secret)), _) => self.document.set("sr_check_password", text(&secret)),
            (Ok(None), Some(secret)) => {
                self.document.set_because("sr_check_password", text(secret), "from pool_passwd");
            }
            (Ok(None), None) => {}
            (Err(wrong), _) => self.report.add(Group::Attention, password, format!("left out: it {wrong}")),
        }
    }

    fn check_period(&mut self) {
        if !self.settings.is_set("sr_check_period") {
            return;
        }
        if self.settings.integer("sr_check_period") > 0 {
            return self.duration("sr_check_period");
        }
        let what = "0 cannot be kept, since it also finds the primary: the default, 10s, is taken";
        self.report.add(Group::Changed, "sr_check_period", what);
    }

    /// Without `sr_check_period` Pgpool-II measures no lag, so that the
    /// thresholds say nothing.
    fn delay(&mut self) {
        let names = ["delay_threshold", "delay_threshold_by_time"];
        if self.settings.integer("sr_check_period") == 0 {
            for name in names.into_iter().filter(|name| self.settings.integer(name) > 0) {
                let what = "left out: it has no effect while sr_check_period is 0";
                self.report.add(Group::Changed, name, what);
            }
            return;
        }
        if self.settings.is_set("delay_threshold") {
            let bytes = u64::try_from(self.settings.integer("delay_threshold")).unwrap_or_default();
            self.document.set("delay_threshold", or_zero(bytes == 0, &show_size(bytes)));
        }
        self.duration("delay_threshold_by_time");
    }

    /// Off is Pgpool-II's default, and impossible here. Those of single
    /// servers: the shortest is good for all.
    fn health_check_period(&mut self) {
        let name = "health_check_period";
        let of_servers =
            self.settings.numbered(name).map(|(number, _)| self.settings.integer_of(name, Some(number)));
        let shortest = of_servers.chain([self.settings.integer(name)]).filter(|seconds| *seconds > 0).min();
        let Some(seconds) = shortest else {
            return;
        };
        self.document.set(name, text(&show_duration(Duration::from_secs(seconds.unsigned_abs()))));
        let what = "how often a server that is down is tried again; one that is up is looked at every sr_check_period";
        self.report.add(Group::Changed, name, what);
    }

    /// Those of single servers: the longest is good for all.
    fn connect_timeout(&mut self) {
        let name = "connect_timeout";
        let numbers: Vec<usize> = self.settings.numbered(name).map(|(number, _)| number).collect();
        if !self.settings.is_set(name) && numbers.is_empty() {
            return;
        }
        let of_servers = numbers.iter().map(|number| self.settings.integer_of(name, Some(*number)));
        let all: Vec<i64> = of_servers.chain([self.settings.integer(name)]).collect();
        if all.contains(&0) {
            let what = "0 (no limit) cannot be kept: the default, 10s, is taken";
            return self.report.add(Group::Changed, name, what);
        }
        let longest = all.iter().copied().max().unwrap_or_default().unsigned_abs();
        self.document.set(name, text(&show_duration(Duration::from_millis(longest))));
        if all.iter().any(|other| other.unsigned_abs() != longest) {
            let what = "one value for all servers: the longest is taken";
            self.report.add(Group::Changed, name, what);
        }
    }

    fn children(&self) -> i64 {
        self.settings.integer("num_init_children").clamp(1, MOST)
    }

    /// The classifier refuses both together.
    fn function_lists(&mut self) {
        let both = ["read_only_function_list", "write_function_list"];
        self.string(both[0]);
        if both.iter().all(|name| !self.settings.text(name).is_empty()) {
            let what = "left out: while read_only_function_list is set, Pgpool-II does not look at it";
            self.report.add(Group::Attention, both[1], what);
        } else {
            self.string(both[1]);
        }
    }

    fn redirects(&mut self, name: &str, numbers: &Numbers) {
        let list = self.settings.text(name);
        if list.is_empty() {
            return;
        }
        let (renumbered, missing) = numbers.in_redirects(&list);
        if renumbered != list {
            self.report.add(Group::Changed, name, "has the servers' new numbers");
        }
        for number in missing {
            self.report.add(Group::Attention, name, format!("names server {number}, which does not exist"));
        }
        self.document.set(name, text(&renumbered));
    }

    // --- parameters that are the same here; written where they are set

    fn boolean(&mut self, name: &str) {
        if self.settings.is_set(name) {
            self.document.set(name, self.settings.boolean(name));
        }
    }

    /// An empty string is no string.
    fn string(&mut self, name: &str) {
        let value = self.settings.text(name);
        if self.settings.is_set(name) && !value.is_empty() {
            self.document.set(name, text(&value));
        }
    }

    fn array(&mut self, name: &str, separator: char) {
        if self.settings.is_set(name) || name == "listen_addresses" {
            let parts = self.settings.list(name, separator);
            self.document.set(name, list(parts.iter().map(String::as_str)));
        }
    }

    fn duration(&mut self, name: &str) {
        if self.settings.is_set(name) {
            let duration = self.settings.duration(name);
            self.document.set(name, or_zero(duration.is_zero(), &show_duration(duration)));
        }
    }

    /// It is set, and not to its default.
    fn changed(&self, name: &str) -> bool {
        self.settings.get(name, None).is_some_and(|setting| !setting.is_default())
    }
}

/// Zero is "off", whatever the unit.
fn or_zero(is_zero: bool, value: &str) -> String {
    if is_zero { "0".to_owned() } else { text(value) }
}
