//! The extended protocol: statements and portals with and without a name.

use waypool_tests::conversation::{Conversation, talk};
use waypool_tests::wire::{self, bind, close, describe, execute, flush, parse, query, sync};

use crate::parts::{parse_typed, plain, unnamed};

pub fn list() -> Vec<Conversation> {
    [statements(), flushed(), mixed()].concat()
}

fn statements() -> Vec<Conversation> {
    vec![
        talk("a statement without a name")
            .cycle(&[unnamed("SELECT id, name FROM t WHERE id < 3 ORDER BY id")]),
        talk("an empty statement")
            .cycle(&[unnamed("")])
            .cycle(&[unnamed(" -- nothing")])
            .cycle(&[parse("", ""), describe(b'S', "")]),
        talk("a statement with a name, used again and again")
            .cycle(&[parse("s1", "SELECT name FROM t WHERE id = $1"), describe(b'S', "s1")])
            .cycle(&[bind("", "s1", &["1"]), execute("", 0)])
            .cycle(&[bind("", "s1", &["2"]), describe(b'P', ""), execute("", 0)])
            .cycle(&[bind("", "s1", &["no number"]), execute("", 0)])
            .cycle(&[bind("", "s1", &["3"]), execute("", 0)])
            .cycle(&[close(b'S', "s1")])
            .cycle(&[bind("", "s1", &["4"]), execute("", 0)]),
        talk("Parse of a name that is taken")
            .cycle(&[parse("twice", "SELECT 1")])
            .cycle(&[parse("twice", "SELECT 2")])
            .cycle(&[bind("", "twice", &[]), execute("", 0)])
            .cycle(&[parse("within", "SELECT 1"), parse("within", "SELECT 2"), bind("", "within", &[])])
            .cycle(&[bind("", "within", &[]), execute("", 0)]),
        talk("a name that is free again in the same batch")
            .cycle(&[parse("again", "SELECT 1"), close(b'S', "again"), parse("again", "SELECT 'two'")])
            .cycle(&[
                bind("", "again", &[]),
                execute("", 0),
                close(b'S', "again"),
                parse("again", "SELECT 3"),
            ])
            .cycle(&[bind("", "again", &[]), execute("", 0)]),
        talk("what is unknown")
            .cycle(&[bind("", "missing", &[]), execute("", 0)])
            .cycle(&[describe(b'S', "missing")])
            .cycle(&[describe(b'P', "missing")])
            .cycle(&[execute("missing", 0)])
            .cycle(&[close(b'S', "missing"), close(b'P', "missing"), close(b'S', ""), close(b'P', "")])
            .cycle(&[bind("", "", &[])])
            .cycle(&[plain("SELECT 'goes on'")]),
        talk("Parse fails, and Describe behind it is skipped")
            .cycle(&[parse("bad", "SELEC 1"), describe(b'S', "bad"), bind("", "bad", &[]), execute("", 0)])
            .cycle(&[describe(b'S', "bad")])
            .cycle(&[parse("bad", "SELECT 1"), describe(b'S', "bad")]),
        talk("Parse of what does not exist")
            .cycle(&[parse("", "SELECT nothing FROM t"), describe(b'S', "")])
            .cycle(&[parse("", "SELECT * FROM nowhere")])
            .cycle(&[parse("", "INSERT INTO nowhere VALUES ($1)")])
            .cycle(&[parse("", "SELECT 1; SELECT 2")]),
        talk("a failed Parse without a name takes the one before with it")
            .needs_session()
            .cycle(&[parse("", "SELECT 'before'")])
            .cycle(&[parse("", "SELEC 1")])
            .cycle(&[bind("", "", &[]), execute("", 0)]),
        talk("a Query takes the statement without a name with it")
            .cycle(&[parse("", "SELECT 'before'")])
            .query("SELECT 1")
            .cycle(&[bind("", "", &[]), execute("", 0)]),
        talk("types of parameters")
            .cycle(&[parse("", "SELECT $1 + 1, $2, $3::numeric"), describe(b'S', "")])
            .cycle(&[parse_typed("", "SELECT $1, $2", &[20, 1184]), describe(b'S', "")])
            .cycle(&[parse_typed("", "SELECT $1, $2", &[0, 25]), describe(b'S', "")])
            .cycle(&[parse_typed("", "SELECT $1", &[99_999_999])])
            .cycle(&[parse("", "SELECT $2::int"), describe(b'S', "")])
            .cycle(&[parse("", "INSERT INTO t VALUES ($1, $2, $3, $4)"), describe(b'S', "")])
            .cycle(&[parse("", "SELECT mood, pair, list FROM moods WHERE mood = $1"), describe(b'S', "")]),
        talk("Describe of what has no rows")
            .cycle(&[parse("", "INSERT INTO c VALUES (10, 'a')"), describe(b'S', "")])
            .cycle(&[bind("", "", &[]), describe(b'P', ""), execute("", 0)])
            .cycle(&[unnamed("DELETE FROM c WHERE n = 10 RETURNING n")])
            .cycle(&[unnamed("SET work_mem = '6MB'"), unnamed("SHOW work_mem"), unnamed("RESET work_mem")]),
        talk("DEALLOCATE and DISCARD ALL between")
            .cycle(&[parse("p1", "SELECT 1"), parse("p2", "SELECT 2"), parse("p3", "SELECT 3")])
            .query("DEALLOCATE p1")
            .cycle(&[bind("", "p1", &[]), execute("", 0)])
            .cycle(&[plain("DEALLOCATE p2")])
            .cycle(&[bind("", "p2", &[]), execute("", 0)])
            .cycle(&[parse("p2", "SELECT 'two'"), bind("", "p2", &[]), execute("", 0)])
            .query("DISCARD ALL")
            .cycle(&[bind("", "p3", &[]), execute("", 0)])
            .cycle(&[parse("p3", "SELECT 'three'"), bind("", "p3", &[]), execute("", 0)])
            .cycle(&[plain("DEALLOCATE ALL")])
            .cycle(&[describe(b'S', "p3")]),
        talk("SQL's EXECUTE and the protocol's are for the same statements")
            .needs_session()
            .cycle(&[parse("either", "SELECT $1::int + 1")])
            .query("EXECUTE either(41)")
            .query("PREPARE other (int) AS SELECT $1 * 2")
            .cycle(&[bind("", "other", &["21"]), describe(b'P', ""), execute("", 0)])
            .query("DEALLOCATE either")
            .cycle(&[close(b'S', "other"), describe(b'S', "other")]),
        talk("a table changes under a prepared statement")
            .needs_session()
            .query("CREATE TABLE changes (a int); INSERT INTO changes VALUES (1)")
            .cycle(&[parse("all", "SELECT * FROM changes"), bind("", "all", &[]), execute("", 0)])
            .query("ALTER TABLE changes ADD b text")
            .cycle(&[bind("", "all", &[]), execute("", 0)])
            .cycle(&[close(b'S', "all"), parse("all", "SELECT * FROM changes"), bind("", "all", &[])])
            .cycle(&[bind("", "all", &[]), describe(b'P', ""), execute("", 0)])
            .query("DROP TABLE changes")
            .cycle(&[bind("", "all", &[]), execute("", 0)])
            // Each of the two servers is asked for its own copy.
            .needs_one_server(),
    ]
}

fn flushed() -> Vec<Conversation> {
    vec![
        talk("Flush without Sync, message by message")
            .say(&[parse("", "SELECT $1::int"), flush()])
            .take(1)
            .say(&[describe(b'S', ""), flush()])
            .take(2)
            .say(&[bind("", "", &["7"]), flush()])
            .take(1)
            .say(&[execute("", 0), flush()])
            .take(2)
            .cycle(&[]),
        talk("Flush behind an error brings the error alone")
            .say(&[parse("", "SELEC"), flush()])
            .take(1)
            .say(&[parse("", "SELECT 1"), flush()])
            .say(&[bind("", "", &[]), flush(), sync()])
            .ready(1),
        talk("Flush, and a write whose Sync comes later")
            .say(&[plain("INSERT INTO c VALUES (11, 'flush')"), flush()])
            .take(3)
            .say(&[plain("SELECT count(*) FROM c WHERE n = 11"), flush()])
            .take(4)
            .cycle(&[])
            .query("DELETE FROM c WHERE n = 11"),
        talk("Flush with nothing before it").say(&[flush(), flush(), sync(), flush(), sync()]).ready(2),
        talk("Sync with nothing before it").say(&[sync(), sync(), sync()]).ready(3),
    ]
}

/// Both protocols in one cycle.
fn mixed() -> Vec<Conversation> {
    vec![
        talk("a Query within an open cycle")
            .needs_session()
            .say(&[plain("SELECT 'extended'"), query("SELECT 'simple'")])
            .ready(1)
            .cycle(&[])
            // Since PostgreSQL 18 the Query does not end the cycle's transaction.
            .needs_one_server(),
        talk("a Query within an open cycle of a write")
            .needs_session()
            .say(&[plain("INSERT INTO c VALUES (12, 'open')"), query("SELECT count(*) FROM c WHERE n = 12")])
            .ready(1)
            .say(&[plain("SELECT 'more'"), sync()])
            .ready(1)
            .query("DELETE FROM c WHERE n = 12"),
        talk("a Query within a cycle that has failed is skipped")
            .say(&[parse("", "SELEC"), query("SELECT 'skipped'"), sync(), query("SELECT 'heard'")])
            .ready(2),
        talk("a Query between Parse and Bind")
            .say(&[parse("kept", "SELECT 'kept'"), query("SELECT 'between'")])
            .ready(1)
            .cycle(&[bind("", "kept", &[]), execute("", 0)]),
        talk("a Query that fails within an open cycle")
            .needs_session()
            .say(&[plain("INSERT INTO c VALUES (13, 'open')"), query("SELECT 1 / 0"), sync()])
            .ready(2)
            .query("SELECT count(*) FROM c WHERE n = 13"),
        talk("BEGIN as a Query within an open cycle")
            .needs_session()
            .say(&[plain("INSERT INTO c VALUES (14, 'open')"), query("BEGIN")])
            .ready(1)
            .query("ROLLBACK")
            .query("SELECT count(*) FROM c WHERE n = 14"),
        talk("functions called by their message within cycles")
            .say(&[crate::parts::call(177, 0, &[Some(b"40"), Some(b"2")])])
            .ready(1)
            .say(&[wire::sync(), crate::parts::call(177, 0, &[Some(b"1"), Some(b"2")])])
            .ready(2)
            .query("SELECT 1"),
    ]
}
