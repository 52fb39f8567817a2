//! COPY in both protocols, and the ways in which it ends.

use waypool_tests::conversation::{Conversation, talk};
use waypool_tests::raw::{copy_data, copy_done, copy_fail};
use waypool_tests::wire::{bind, execute, flush, parse, query, sync};

use crate::parts::plain;

const GONE: &str = "who says no more is gone, and hears no more";
const IN: &str = "COPY c FROM STDIN";

pub fn list() -> Vec<Conversation> {
    [simple(), ends_early(), extended()].concat()
}

fn simple() -> Vec<Conversation> {
    let rows = [copy_data(b"80\ta\n"), copy_data(b"81\t"), copy_data(b"b\n82\t\\N\n")];
    vec![
        talk("COPY in and out")
            .say(&[query(IN)])
            .until(b'G')
            .say(&rows)
            .say(&[copy_done()])
            .ready(1)
            .query("COPY (SELECT * FROM c WHERE n >= 80 ORDER BY n) TO STDOUT")
            .query("COPY (SELECT * FROM c WHERE n >= 80 ORDER BY n) TO STDOUT (FORMAT csv, HEADER)")
            .query("COPY (SELECT * FROM c WHERE n >= 80 ORDER BY n) TO STDOUT (FORMAT binary)")
            .query("COPY t TO STDOUT")
            .query("DELETE FROM c WHERE n >= 80"),
        talk("COPY of nothing").say(&[query(IN)]).until(b'G').say(&[copy_done()]).ready(1),
        talk("COPY with its data on its way")
            .say(&[query(IN), rows.concat(), copy_done(), query("DELETE FROM c WHERE n >= 80")])
            .ready(2),
        talk("COPY within a text of several statements")
            .say(&[query("SELECT 1; COPY c FROM STDIN; SELECT 2; COPY c FROM STDIN; SELECT 3")])
            .until(b'G')
            .say(&[rows.concat(), copy_done()])
            .until(b'G')
            .say(&[copy_done()])
            .ready(1)
            .query("DELETE FROM c WHERE n >= 80"),
        talk("COPY in a transaction")
            .query("BEGIN")
            .say(&[query(IN)])
            .until(b'G')
            .say(&[rows.concat(), copy_done()])
            .ready(1)
            .query("SELECT count(*) FROM c WHERE n >= 80")
            .query("ROLLBACK")
            .query("SELECT count(*) FROM c WHERE n >= 80"),
        talk("COPY with the end that old clients sent")
            .say(&[query(IN)])
            .until(b'G')
            .say(&[copy_data(b"83\ta\n\\.\n"), copy_done()])
            .ready(1)
            .query("DELETE FROM c WHERE n >= 80"),
        talk("COPY OUT that fails in the middle")
            .query("COPY (SELECT fail_at(id, 5) FROM t ORDER BY id) TO STDOUT")
            .query("SELECT 'goes on'"),
        talk("COPY of what is not there").query("COPY nowhere FROM STDIN").query("COPY nowhere TO STDOUT"),
    ]
}

fn ends_early() -> Vec<Conversation> {
    let row = || copy_data(b"84\ta\n");
    vec![
        talk("CopyFail")
            .say(&[query(IN)])
            .until(b'G')
            .say(&[row(), copy_fail("the client's reason")])
            .ready(1)
            .query("SELECT count(*) FROM c WHERE n = 84"),
        talk("CopyFail in a transaction")
            .query("BEGIN")
            .say(&[query(IN)])
            .until(b'G')
            .say(&[row(), copy_fail("")])
            .ready(1)
            .query("SELECT 1")
            .query("ROLLBACK"),
        talk("a constraint fails in the middle")
            .say(&[query(IN)])
            .until(b'G')
            .say(&[row(), copy_data(b"100\tb\n"), row(), row(), copy_done()])
            .ready(1)
            .query("SELECT count(*) FROM c WHERE n = 84"),
        talk("a bad row, and the rest comes after the error")
            .say(&[query(IN)])
            .until(b'G')
            .say(&[copy_data(b"no number\tb\n")])
            .ready(1)
            .say(&[row(), row(), copy_done()])
            .query("SELECT 'goes on'"),
        talk("a bad row, and the client gives up too")
            .say(&[query(IN)])
            .until(b'G')
            .say(&[copy_data(b"1\tb\tmore\n"), row(), copy_fail("gave up"), query("SELECT 'goes on'")])
            .ready(2),
        talk("junk behind CopyDone")
            .say(&[query(IN)])
            .until(b'G')
            .say(&[copy_done(), row(), copy_done(), copy_fail("nobody listens"), query("SELECT 'goes on'")])
            .ready(2),
        talk("COPY data without a COPY")
            .say(&[row(), copy_done(), copy_fail("of nothing"), query("SELECT 'goes on'")])
            .ready(1),
        talk("a Query within a COPY").say(&[query(IN)]).until(b'G').say(&[row(), query("SELECT 1")]).ready(1),
        talk("and the session behind it")
            .say(&[query(IN)])
            .until(b'G')
            .say(&[row(), query("SELECT 1"), query("SELECT 'goes on'")])
            .ready(2),
        talk("Flush and Sync within a COPY are ignored")
            .say(&[query(IN)])
            .until(b'G')
            .say(&[row(), flush(), sync(), row(), sync(), copy_done()])
            .ready(1)
            .query("DELETE FROM c WHERE n = 84"),
        talk("gone in the middle of a COPY")
            .say(&[query(IN)])
            .until(b'G')
            .say(&[row()])
            .hang_up()
            .differs(GONE),
        talk("nothing of it is left").query("SELECT count(*) FROM c WHERE n = 84"),
        talk("a COPY is cancelled")
            .say(&[query("COPY c FROM STDIN /* talk_copy */")])
            .until(b'G')
            .say(&[row()])
            .cancel("talk_copy")
            .say(&[row(), copy_done()])
            .ready(1)
            .query("SELECT count(*) FROM c WHERE n = 84"),
    ]
}

fn extended() -> Vec<Conversation> {
    let row = || copy_data(b"85\ta\n");
    vec![
        talk("COPY in the extended protocol")
            .say(&[plain(IN), flush()])
            .until(b'G')
            .say(&[row(), copy_done(), sync()])
            .ready(1)
            .cycle(&[plain("COPY (SELECT n FROM c WHERE n = 85) TO STDOUT")])
            .query("DELETE FROM c WHERE n = 85"),
        talk("a Sync ahead of the data is ignored")
            .say(&[plain(IN), sync()])
            .until(b'G')
            .say(&[row(), copy_done(), sync()])
            .ready(1)
            .query("DELETE FROM c WHERE n = 85"),
        talk("COPY in a pipeline, Syncs behind it")
            .say(&[plain(IN), row(), copy_done(), sync(), plain("SELECT 'next'"), sync(), sync()])
            .ready(3)
            .query("DELETE FROM c WHERE n = 85"),
        talk("COPY with a Sync on its way ahead of the data")
            .say(&[plain(IN), sync(), row(), copy_done(), sync(), plain("SELECT 'next'"), sync()])
            .ready(2)
            .query("DELETE FROM c WHERE n = 85"),
        talk("COPY in the middle of a cycle")
            .say(&[plain("SELECT 'before'"), plain(IN), row(), copy_done(), plain("SELECT 'behind'"), sync()])
            .ready(1)
            .query("DELETE FROM c WHERE n = 85"),
        talk("COPY fails in a pipeline")
            .say(&[plain(IN), copy_data(b"x\ty\n"), row(), copy_done(), plain("SELECT 'skipped'"), sync()])
            .ready(1)
            .say(&[plain(IN), row(), copy_fail("no"), sync(), plain("SELECT 'next'"), sync()])
            .ready(2)
            .query("SELECT count(*) FROM c WHERE n = 85"),
        talk("COPY fails before its data")
            .say(&[
                plain("COPY nowhere FROM STDIN"),
                row(),
                copy_done(),
                sync(),
                plain("SELECT 'next'"),
                sync(),
            ])
            .ready(2),
        talk("a prepared COPY")
            .cycle(&[parse("copy", IN)])
            .say(&[bind("", "copy", &[]), execute("", 0), flush()])
            .until(b'G')
            .say(&[row(), copy_done(), sync()])
            .ready(1)
            .query("DELETE FROM c WHERE n = 85"),
        talk("a Parse within a COPY")
            .say(&[plain(IN), flush()])
            .until(b'G')
            .say(&[row(), parse("", "SELECT 1"), sync()])
            .ready(1)
            .query("SELECT count(*) FROM c WHERE n = 85"),
    ]
}
