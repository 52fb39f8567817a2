//! dml_adaptive and dml_adaptive_global.

use super::*;
use waypool_plugin_sdk::Verdict;

/// A balancer with one session.
struct One {
    balance: Balance,
    host: FakeHost,
    transaction: Transaction,
    memory: u32,
    tell_end: bool,
}

impl One {
    fn new(mode: &str, relationships: &str) -> Self {
        let config = |it: &mut Config| {
            it.disable_load_balance_on_write = mode.into();
            it.dml_adaptive_object_relationship_list = relationships.into();
        };
        let balance = balance(config, &cluster([0.0, 1.0, 1.0]));
        let host = FakeHost::new().session("db", "u", "");
        Self { balance, host, transaction: Transaction::Idle, memory: 0, tell_end: false }
    }

    fn begin(&mut self) {
        self.run(BEGIN, &[], &[]);
        self.transaction = Transaction::Open;
    }

    fn end(&mut self, success: bool) {
        self.transaction = Transaction::Idle;
        self.finish(success);
    }

    fn finish(&mut self, success: bool) {
        if std::mem::take(&mut self.tell_end) {
            self.host.set_statement(&Verdict::read(""));
            self.balance.ended(success, &self.host);
        }
        self.host.end_transaction();
    }

    fn run(&mut self, statement: Statement, reads: &[&str], writes: &[&str]) -> u32 {
        self.says(statement, Verdict::read("").reading(reads.to_vec()).writing(writes.to_vec()))
    }

    /// As the verdict has it
    fn says(&mut self, statement: Statement, verdict: Verdict) -> u32 {
        self.host.set_statement(&verdict);
        let state = state(self.transaction, self.memory);
        let decision = self.balance.decide(statement, state, &self.host);
        self.memory = decision.transaction_memory;
        self.tell_end |= decision.tell_end;
        if self.transaction == Transaction::Idle && statement.kind != Kind::Begin {
            self.finish(true);
        }
        decision.node
    }

    /// The server that reads these tables.
    fn read(&mut self, tables: &[&str]) -> u32 {
        self.run(READ, tables, &[])
    }

    fn calls(&mut self, statement: Statement, functions: &[&str]) {
        self.says(statement, Verdict::read("").calling(functions.to_vec()));
    }
}

#[test]
fn reads_of_written_tables_are_the_primarys() {
    let mut one = One::new("dml_adaptive", "");
    one.begin();
    assert_eq!(one.read(&["t1"]), 1);
    one.run(WRITE, &["sc.source"], &["public.T1"]);
    assert_eq!(one.read(&["t1"]), 0);
    assert_eq!(
        one.balance.why(),
        "reads a table which this transaction wrote to: disable_load_balance_on_write = dml_adaptive"
    );
    assert_eq!((one.read(&["t2"]), one.read(&["t2", "x.t1"]), one.read(&[])), (1, 0, 1));
    // Pgpool-II takes what it is written from for written as well.
    assert_eq!(one.read(&["source"]), 0);
    one.end(true);
    assert_eq!(one.read(&["t1"]), 1);
    one.begin();
    assert_eq!(one.read(&["t1"]), 1);
}

#[test]
fn a_statement_by_itself_is_over_when_it_is_over() {
    let mut one = One::new("dml_adaptive", "");
    one.run(WRITE, &[], &["t1"]);
    assert_eq!(one.read(&["t1"]), 1);
}

#[test]
fn what_depends_on_a_table_or_a_function_is_written_too() {
    let mut one = One::new("dml_adaptive", "t1:t2, t2:T3, insert_log():log");
    one.begin();
    one.run(WRITE, &[], &["t1"]);
    assert_eq!((one.read(&["t2"]), one.read(&["t3"]), one.read(&["log"])), (0, 0, 1));
    let call = Statement { kind: Kind::Select, servers: Servers::Primary, effects: Effects::WRITES };
    one.calls(call, &["random"]);
    assert_eq!(one.read(&["log"]), 1);
    one.calls(call, &["public.insert_log"]);
    assert_eq!((one.read(&["log"]), one.read(&["other"])), (0, 1));
}

#[test]
fn what_cannot_be_told_may_be_anything() {
    let unparsed = Effects::WRITES | Effects::UNPARSED;
    for (kind, effects, writes) in [
        (Kind::Utility, Effects::WRITES, &[][..]),
        (Kind::Ddl, Effects::WRITES, &["t1"]),
        (Kind::Unknown, unparsed, &["t1"]),
    ] {
        let mut one = One::new("dml_adaptive", "");
        one.begin();
        one.run(Statement { kind, servers: Servers::Primary, effects }, &[], writes);
        assert_eq!(one.read(&["other"]), 0, "{kind:?}");
    }
    let mut one = One::new("dml_adaptive", "");
    one.begin();
    one.run(SET, &[], &[]);
    assert_eq!(one.read(&["other"]), 1);
    // A text that begins a transaction and writes
    let effects = Effects::MULTIPLE | Effects::TRANSACTION_INSIDE | Effects::WRITES;
    let mut one = One::new("dml_adaptive", "");
    let text = Statement { kind: Kind::Unknown, servers: Servers::Primary, effects };
    one.host.set_statement(&Verdict::write("").writing(["t1"]));
    one.memory = one.balance.decide(text, state(Transaction::Idle, 0), &one.host).transaction_memory;
    one.transaction = Transaction::Open;
    assert_eq!((one.read(&["t1"]), one.read(&["t2"])), (0, 1));
}

/// Past the time after the start.
fn warm() -> One {
    let mut one = One::new("dml_adaptive_global", "t1:t2");
    one.read(&["t1"]);
    one.host.pass(2000);
    one
}

#[test]
fn after_the_start_nothing_is_balanced() {
    let mut one = One::new("dml_adaptive_global", "");
    assert_eq!(one.read(&["t1"]), 0);
    assert_eq!(one.balance.why(), "just started: track_table_mutation_cold_start_duration");
    one.host.pass(1999);
    assert_eq!(one.read(&["t1"]), 0);
    one.host.pass(1);
    assert_eq!(one.read(&["t1"]), 1);
    // Another instance, later
    let config = |it: &mut Config| it.disable_load_balance_on_write = "dml_adaptive_global".into();
    let mut other = balance(config, &cluster([0.0, 1.0, 1.0]));
    assert_eq!(other.decide(READ, state(Transaction::Idle, 0), &one.host).node, 1);
}

#[test]
fn what_was_committed_is_the_primarys_for_a_while() {
    let mut one = warm();
    one.begin();
    one.run(WRITE, &["source"], &["sc.t1"]);
    assert_eq!((one.read(&["t1"]), one.read(&["t2"]), one.read(&["source"])), (0, 0, 0));
    one.end(true);
    assert_eq!((one.read(&["t1"]), one.read(&["t2"]), one.read(&["source"])), (0, 0, 1));
    one.read(&["t1"]);
    assert_eq!(
        one.balance.why(),
        "reads a table which was just written to: disable_load_balance_on_write = dml_adaptive_global"
    );
    // In another database it is another table.
    one.host.set_session("other", "u", "");
    assert_eq!(one.read(&["t1"]), 1);
    one.host.set_session("db", "u", "");
    one.host.pass(100);
    assert_eq!(one.read(&["t1"]), 1);
}

#[test]
fn a_statement_by_itself_marks_too_and_a_failure_does_not() {
    let mut one = warm();
    one.run(WRITE, &[], &["t1"]);
    assert_eq!(one.read(&["t1"]), 0);
    let mut one = warm();
    one.begin();
    one.run(WRITE, &[], &["t1"]);
    one.end(false);
    assert_eq!(one.read(&["t1"]), 1);
}

#[test]
fn other_modes_ask_for_nothing() {
    for mode in ["off", "transaction", "trans_transaction", "always"] {
        let mut one = One::new(mode, "t1:t2");
        one.begin();
        one.run(WRITE, &[], &["t1"]);
        assert!(one.host.remembered().is_empty() && !one.tell_end, "{mode}");
    }
}
