//! The recorded sessions of Pgpool-II (`tests/golden`), each statement sent
//! through Waypool to real servers: their logs say who got it.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use waypool_tests::raw::{Raw, copy_data, copy_done, sqlstate};
use waypool_tests::wire::{Message, query};
use waypool_tests::{Builder, Database, Proxy, primary_and_standby};

/// The sessions make a database and prepare transactions of fixed names.
static TURN: Mutex<()> = Mutex::new(());

/// Where Waypool differs from Pgpool-II because Pgpool-II is wrong for the user.
struct Difference {
    case: &'static str,
    step: usize,
    /// The servers that get the statement, and the answer.
    here: &'static str,
    reason: &'static str,
}

const TRANSACTION_ID: &str = "the function assigns a transaction ID: on a standby it fails";

const SET_CONFIG: &str = "set_config has changed the session on the primary alone: \
                          a read elsewhere would not see the setting";

const PREPARED_ANYWHERE: &str = "a prepared statement is known to any server that executes it";

const FAILED: &str = "in a failed transaction the server on which it failed answers; on the others \
                      the proxy ends the transaction with a statement of its own";

const NOT_BEGUN: &str = "the transaction never began on the standby: nothing runs or ends there";

const REPEATED: &str = "what a session has set is repeated on a server that it uses later";

const ROLLBACK_TO: &str = "what was written before the savepoint is still written: \
                           a read elsewhere would not see it";

const fn difference(case: &'static str, step: usize, here: &'static str, reason: &'static str) -> Difference {
    Difference { case, step, here, reason }
}

const DIFFERENCES: &[Difference] = &[
    difference("functions builtin", 13, "0 ok", TRANSACTION_ID),
    difference("functions builtin", 15, "0 ok", SET_CONFIG),
    difference("prepare execute", 0, "0,1 ok", PREPARED_ANYWHERE),
    difference("prepare execute", 8, "0 ok", PREPARED_ANYWHERE),
    difference("prepare execute", 9, "0 ok", PREPARED_ANYWHERE),
    difference("prepare execute", 10, "0,1 ok", PREPARED_ANYWHERE),
    difference("tx read only", 3, "0 ERR 25P02", FAILED),
    difference("tx read only", 4, "0 ok", FAILED),
    difference("tx read only", 8, "0 ok", FAILED),
    difference("errors in tx", 2, "1 ERR 25P02", FAILED),
    difference("errors in tx", 3, "1 ok", FAILED),
    difference("errors in tx", 8, "0 ERR 25P02", FAILED),
    difference("errors in tx", 9, "0 ok", FAILED),
    difference("errors in tx", 14, "1 ok", FAILED),
    difference("multi statement begin", 1, "0 ok", NOT_BEGUN),
    difference("multi statement begin", 2, "0,1 ok", REPEATED),
    difference("dml adaptive", 11, "0 ok", ROLLBACK_TO),
    difference("rollback to keeps earlier write", 5, "0 ok", ROLLBACK_TO),
];

/// Those when nothing is read from the standby.
const PRIMARY_ALONE: &[Difference] = &[
    difference("tx read only", 3, "0 ERR 25P02", FAILED),
    difference("errors in tx", 2, "0 ERR 25P02", FAILED),
    difference("errors in tx", 8, "0 ERR 25P02", FAILED),
];

/// One statement of a recorded session.
struct Step {
    case: String,
    number: usize,
    /// The servers that got it, and the answer, as `0,1 ok` or `0 ERR 22012`.
    recorded: String,
    sql: String,
    /// Rows 1 and 2 follow, as it is a COPY FROM STDIN.
    copies: bool,
}

impl Step {
    /// A comment that finds the statement in the logs. It ends with a letter, so
    /// that no marker begins another.
    fn marker(&self, database: &Database) -> String {
        let case: String = self.case.chars().filter(|c| c.is_alphanumeric()).collect();
        format!("/*{} {case} {}x*/", database.name, self.number)
    }
}

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The texts of `cases.txt`, by case.
fn texts() -> HashMap<String, Vec<String>> {
    let content = file("cases.txt");
    let cases = content.split("== ").skip(1).map(|case| {
        let (name, texts) = case.split_once('\n').unwrap();
        (name.to_owned(), texts.lines().map(|text| text.replace("\\n", "\n")).collect())
    });
    cases.collect()
}

/// The sessions of a recording, in its order.
fn sessions(recording: &str) -> Vec<Vec<Step>> {
    let texts = texts();
    let mut sessions: Vec<Vec<Step>> = Vec::new();
    for line in file(&format!("expected/{recording}.tsv")).lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [case, number, nodes, result, _] = columns[..] else { panic!("not a record: {line}") };
        let number: usize = number.parse().unwrap();
        let text = &texts[case][number];
        let (sql, copies) = match text.strip_prefix("COPYIN ") {
            Some(sql) => (sql, true),
            None => (text.as_str(), false),
        };
        let recorded = format!("{nodes} {result}");
        let step = Step { case: case.to_owned(), number, recorded, sql: sql.to_owned(), copies };
        match number {
            0 => sessions.push(vec![step]),
            _ => sessions.last_mut().unwrap().push(step),
        }
    }
    sessions
}

/// Sends one statement, and returns `ok` or `ERR SQLSTATE`.
fn run(session: &mut Raw, step: &Step, marker: &str) -> String {
    session.send(&query(&format!("{} {marker}", step.sql)));
    if step.copies {
        session.send(&copy_data(b"1\n"));
        session.send(&copy_data(b"2\n"));
        session.send(&copy_done());
    }
    let answer: Vec<Message> = session.wire.until_ready();
    match sqlstate(&answer) {
        None => "ok".to_owned(),
        Some(sqlstate) => format!("ERR {sqlstate}"),
    }
}

/// The servers whose logs have the marker: `0,1`, or `-`.
fn seen_by(logs: &[String], marker: &str) -> String {
    let seen = logs.iter().enumerate().filter(|(_, log)| log.contains(marker));
    let seen: Vec<String> = seen.map(|(server, _)| server.to_string()).collect();
    if seen.is_empty() { "-".to_owned() } else { seen.join(",") }
}

/// Plays all sessions of a recording and compares every statement.
fn compare(
    recording: &str,
    database: &'static str,
    differences: &[Difference],
    configure: impl FnOnce(Builder) -> Builder,
) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let database = Database::create(database, &file("setup.sql"));
    let proxy = configure(Proxy::builder(primary_and_standby()).weights(&[0.0, 1.0])).start();
    let sessions = sessions(recording);
    let mut answers = Vec::new();
    for steps in &sessions {
        let mut session = Raw::login_with(&proxy, &[("database", database.name)]);
        answers.extend(steps.iter().map(|step| run(&mut session, step, &step.marker(&database))));
        session.leave();
    }
    proxy.stop();
    database.wait_until_unused();
    let logs: Vec<String> = database.cluster.servers().iter().map(|server| server.log_text()).collect();
    let mut wrong = Vec::new();
    let mut explained = 0;
    for (step, answer) in sessions.iter().flatten().zip(&answers) {
        let here = format!("{} {answer}", seen_by(&logs, &step.marker(&database)));
        let listed = differences.iter().find(|it| it.case == step.case && it.step == step.number);
        let (case, number, recorded) = (&step.case, step.number, &step.recorded);
        match listed {
            _ if here == *recorded => {}
            Some(difference) if here == difference.here => explained += 1,
            Some(Difference { here: expected, reason, .. }) => {
                wrong.push(format!("{case} {number}: {here} instead of {expected}, because {reason}"));
            }
            None => wrong.push(format!("{case} {number}: {here}, Pgpool-II: {recorded}: {}", step.sql)),
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), answers.len(), wrong.join("\n"));
    // With another setting than the default, fewer of them may be any.
    let complete = explained == differences.len() || recording != "sr-4.8.base";
    assert!(complete, "a difference is listed that is none");
    assert!(answers.len() > 200, "only {} statements were recorded", answers.len());
}

#[test]
fn statements_go_where_pgpool_sends_them() {
    compare("sr-4.8.base", "golden_base", DIFFERENCES, |proxy| proxy);
}

#[test]
fn each_read_chooses_its_server() {
    compare("sr-4.8.stmt_level", "golden_stmt_level", DIFFERENCES, |proxy| {
        proxy.plugin("balance", "statement_level_load_balance = true")
    });
}

#[test]
fn without_load_balancing_the_standby_is_left_alone() {
    compare("sr-4.8.lb_off", "golden_lb_off", PRIMARY_ALONE, |proxy| {
        proxy.plugin("balance", "load_balance_mode = false")
    });
}

#[test]
fn writes_may_leave_later_reads_alone() {
    compare("sr-4.8.dlbow_off", "golden_dlbow_off", DIFFERENCES, |proxy| {
        proxy.plugin("balance", "disable_load_balance_on_write = \"off\"")
    });
}

#[test]
fn writes_may_keep_the_session_on_the_primary() {
    compare("sr-4.8.dlbow_always", "golden_dlbow_always", DIFFERENCES, |proxy| {
        proxy.plugin("balance", "disable_load_balance_on_write = \"always\"")
    });
}

#[test]
fn comments_may_be_ignored() {
    compare("sr-4.8.sqlcomments", "golden_sqlcomments", DIFFERENCES, |proxy| {
        proxy.plugin("classify", "allow_sql_comments = true")
    });
}
