//! Transactions, savepoints, isolation, cancelled statements.

use waypool_tests::conversation::{Conversation, talk};
use waypool_tests::wire::{bind, execute, flush, parse, query, sync};

use crate::parts::plain;

pub fn list() -> Vec<Conversation> {
    [transactions(), savepoints(), cancelled()].concat()
}

fn transactions() -> Vec<Conversation> {
    vec![
        talk("a transaction, and one that fails")
            .query("BEGIN")
            .query("INSERT INTO c VALUES (60, 'a')")
            .query("SELECT count(*) FROM c WHERE n = 60")
            .query("COMMIT")
            .query("BEGIN")
            .query("DELETE FROM c WHERE n = 60")
            .query("SELECT nothing")
            .query("SELECT 1")
            .query("BEGIN")
            .query("SET work_mem = '5MB'")
            .query("COMMIT")
            .query("DELETE FROM c WHERE n = 60"),
        talk("a read fails a transaction")
            .query("BEGIN")
            .query("SELECT 1 / 0")
            .query("SELECT 1")
            .query("ROLLBACK")
            .query("BEGIN READ ONLY")
            .query("SELECT fail_at(1, 1)")
            .query("INSERT INTO c VALUES (1, 'refused')")
            .query("END")
            .query("SELECT 'after'"),
        talk("read only")
            .query("BEGIN READ ONLY")
            .query("SELECT count(*) FROM t")
            .query("INSERT INTO c VALUES (61, 'refused')")
            .query("ROLLBACK")
            .query("SET default_transaction_read_only = on")
            .query("INSERT INTO c VALUES (61, 'refused')")
            .query("RESET default_transaction_read_only"),
        talk("isolation")
            .query("BEGIN ISOLATION LEVEL SERIALIZABLE")
            .query("SHOW transaction_isolation")
            .query("SELECT count(*) FROM t")
            .query("COMMIT")
            .query("BEGIN; SELECT 1; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            .query("ROLLBACK")
            .query("START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY, DEFERRABLE")
            .query("SELECT count(*) FROM t")
            .query("COMMIT"),
        talk("chained")
            .query("BEGIN ISOLATION LEVEL REPEATABLE READ")
            .query("COMMIT AND CHAIN")
            .query("SHOW transaction_isolation")
            .query("SELECT 1 / 0")
            .query("ROLLBACK AND CHAIN")
            .query("SELECT 'in the next'")
            .query("COMMIT")
            .query("COMMIT AND CHAIN"),
        talk("idle in a transaction for too long")
            .query("SET idle_in_transaction_session_timeout = '50ms'")
            .query("BEGIN")
            .closed(),
        talk("two phases")
            .query("BEGIN; INSERT INTO c VALUES (62, 'a'); PREPARE TRANSACTION 'conversation'")
            .query("ROLLBACK PREPARED 'conversation'")
            .query("ROLLBACK PREPARED 'conversation'")
            .query("PREPARE TRANSACTION 'none'"),
        talk("a transaction that is left open").query("BEGIN").query("INSERT INTO c VALUES (63, 'a')"),
        talk("and is rolled back").query("SELECT count(*) FROM c WHERE n = 63"),
    ]
}

fn savepoints() -> Vec<Conversation> {
    vec![
        talk("savepoints")
            .query("BEGIN")
            .query("INSERT INTO c VALUES (70, 'a')")
            .query("SAVEPOINT one")
            .query("INSERT INTO c VALUES (71, 'b')")
            .query("SELECT 1 / 0")
            .query("SELECT 1")
            .query("ROLLBACK TO SAVEPOINT one")
            .query("SELECT n FROM c WHERE n IN (70, 71)")
            .query("RELEASE one")
            .query("ROLLBACK TO one")
            .query("ROLLBACK")
            .query("ROLLBACK TO SAVEPOINT one")
            .query("SAVEPOINT alone"),
        talk("a read fails behind a savepoint")
            .query("BEGIN")
            .query("SAVEPOINT one")
            .query("SELECT fail_at(1, 1)")
            .query("ROLLBACK TO one")
            .query("SELECT 'goes on'")
            .query("SAVEPOINT two; SELECT fail_at(2, 2)")
            .query("ROLLBACK TO two; SELECT 'goes on'")
            .query("COMMIT"),
        talk("savepoints in cycles, as drivers have them for each statement")
            .cycle(&[plain("BEGIN")])
            .cycle(&[plain("SAVEPOINT auto"), plain("INSERT INTO c VALUES (72, 'a')"), plain("RELEASE auto")])
            .cycle(&[
                plain("SAVEPOINT auto"),
                plain("INSERT INTO c VALUES (100, 'a')"),
                plain("RELEASE auto"),
            ])
            .cycle(&[plain("ROLLBACK TO auto")])
            .cycle(&[plain("SELECT n FROM c WHERE n >= 72")])
            .cycle(&[plain("ROLLBACK")]),
        talk("settings go back with their savepoint")
            .query("BEGIN; SET work_mem = '5MB'; SAVEPOINT one; SET work_mem = '6MB'")
            .query("ROLLBACK TO one")
            .query("SHOW work_mem")
            .query("COMMIT")
            .query("SHOW work_mem")
            .query("RESET work_mem"),
        talk("statements prepared in a transaction that fails stay")
            .query("BEGIN")
            .cycle(&[parse("stays", "SELECT 'stays'")])
            .query("SELECT 1 / 0")
            .query("ROLLBACK")
            .cycle(&[bind("", "stays", &[]), execute("", 0)]),
    ]
}

fn cancelled() -> Vec<Conversation> {
    vec![
        talk("nothing to cancel")
            .cancel_nothing()
            .query("SELECT 'fine'")
            .query("BEGIN")
            .cancel_nothing()
            .query("COMMIT"),
        talk("a Query is cancelled")
            .say(&[query("SELECT pg_sleep(600) /* talk_query */")])
            .cancel("talk_query")
            .ready(1)
            .query("SELECT 'goes on'"),
        talk("a text is cancelled in the middle")
            .say(&[query("SELECT 1; SELECT pg_sleep(600) /* talk_text */; SELECT 3")])
            .cancel("talk_text")
            .ready(1),
        talk("an Execute is cancelled, and what follows goes on")
            .say(&[
                plain("SELECT pg_sleep(600) /* talk_execute */"),
                plain("SELECT 'skipped'"),
                sync(),
                plain("SELECT 'next'"),
                sync(),
            ])
            .cancel("talk_execute")
            .ready(2),
        talk("an Execute is cancelled before its Sync")
            .say(&[plain("SELECT pg_sleep(600) /* talk_flush */"), flush()])
            .cancel("talk_flush")
            .until(b'E')
            .cycle(&[plain("SELECT 'skipped'")]),
        talk("a transaction is cancelled")
            .query("BEGIN")
            .say(&[query("SELECT pg_sleep(600) /* talk_begun */")])
            .cancel("talk_begun")
            .ready(1)
            .query("SELECT 1")
            .query("ROLLBACK"),
        talk("a statement runs out of time")
            .query("SET statement_timeout = '50ms'")
            .query("SELECT pg_sleep(600)")
            .query("RESET statement_timeout")
            .query("SELECT 'goes on'"),
    ]
}
