//! Many messages on their way before the first answer.

use waypool_tests::conversation::{Conversation, talk};
use waypool_tests::wire::{bind, close, describe, execute, parse, query, sync};

use crate::parts::{plain, unnamed};

pub fn list() -> Vec<Conversation> {
    vec![
        talk("cycles behind each other")
            .say(&[plain("SELECT 1"), sync(), plain("SELECT 2"), sync(), plain("SELECT 3"), sync()])
            .ready(3),
        talk("an error in the middle, and Syncs behind it")
            .say(&[
                plain("SELECT 1"),
                plain("SELECT 1 / 0"),
                plain("SELECT 'skipped'"),
                sync(),
                sync(),
                plain("SELECT 2"),
                sync(),
                plain("SELEC"),
                describe(b'S', ""),
                close(b'S', ""),
                sync(),
                plain("SELECT 3"),
                sync(),
            ])
            .ready(5),
        talk("a cycle is a transaction")
            .cycle(&[plain("INSERT INTO c VALUES (30, 'a')"), plain("INSERT INTO c VALUES (100, 'b')")])
            .query("SELECT count(*) FROM c WHERE n = 30")
            .cycle(&[
                plain("INSERT INTO c VALUES (31, 'a')"),
                plain("SELECT count(*) FROM c WHERE n = 31"),
                plain("SELECT 1 / 0"),
            ])
            .query("SELECT count(*) FROM c WHERE n = 31")
            .cycle(&[
                plain("INSERT INTO c VALUES (32, 'a')"),
                plain("SELECT count(*) FROM c WHERE n = 32"),
                plain("DELETE FROM c WHERE n = 32"),
            ]),
        talk("BEGIN and COMMIT in a cycle")
            .cycle(&[plain("BEGIN"), plain("INSERT INTO c VALUES (33, 'a')"), plain("COMMIT")])
            .cycle(&[
                plain("SELECT count(*) FROM c WHERE n = 33"),
                plain("BEGIN"),
                plain("DELETE FROM c WHERE n = 33"),
            ])
            .cycle(&[plain("SELECT 1 / 0")])
            .cycle(&[plain("SELECT 'refused'")])
            .cycle(&[plain("COMMIT")])
            .query("SELECT count(*) FROM c WHERE n = 33"),
        talk("an implicit transaction that BEGIN takes over")
            .cycle(&[plain("INSERT INTO c VALUES (34, 'a')"), plain("BEGIN"), plain("SELECT 1 / 0")])
            .query("ROLLBACK")
            .query("SELECT count(*) FROM c WHERE n = 34")
            .cycle(&[plain("INSERT INTO c VALUES (35, 'a')"), plain("COMMIT"), plain("SELECT 1 / 0")])
            .query("SELECT count(*) FROM c WHERE n = 35")
            .cycle(&[plain("INSERT INTO c VALUES (36, 'a')"), plain("ROLLBACK"), plain("SELECT 2")])
            .query("SELECT count(*) FROM c WHERE n = 36"),
        talk("transactions behind each other")
            .say(&[
                plain("BEGIN"),
                sync(),
                plain("INSERT INTO c VALUES (37, 'a')"),
                sync(),
                plain("COMMIT"),
                sync(),
                plain("BEGIN"),
                sync(),
                plain("INSERT INTO c VALUES (100, 'a')"),
                sync(),
                plain("INSERT INTO c VALUES (38, 'a')"),
                sync(),
                plain("COMMIT"),
                sync(),
                plain("SELECT n FROM c WHERE n IN (37, 38)"),
                sync(),
            ])
            .ready(8)
            .query("DELETE FROM c WHERE n = 37"),
        talk("what may not be in a transaction, within a cycle")
            .cycle(&[plain("VACUUM c")])
            .cycle(&[plain("SELECT 1"), plain("VACUUM c")])
            .cycle(&[plain("VACUUM c"), plain("SELECT 1")])
            .cycle(&[plain("SAVEPOINT a")])
            .cycle(&[plain("SET LOCAL work_mem = '5MB'"), plain("SHOW work_mem")])
            .cycle(&[plain("LOCK TABLE c")]),
        talk("a deferred constraint fails at the Sync")
            .cycle(&[plain("INSERT INTO u VALUES (1)"), plain("INSERT INTO u VALUES (1)")])
            .query("SELECT count(*) FROM u")
            .query("BEGIN; INSERT INTO u VALUES (2), (2)")
            .query("COMMIT")
            .say(&[plain("INSERT INTO u VALUES (3), (3)"), sync(), plain("SELECT 'next'"), sync()])
            .ready(2),
        talk("statements prepared and used on their way")
            .say(&[
                parse("x", "SELECT $1::int"),
                bind("", "x", &["1"]),
                execute("", 0),
                sync(),
                bind("", "x", &["2"]),
                execute("", 0),
                close(b'S', "x"),
                sync(),
                bind("", "x", &["3"]),
                execute("", 0),
                sync(),
                parse("x", "SELECT 'new'"),
                bind("", "x", &[]),
                execute("", 0),
                sync(),
            ])
            .ready(4),
        talk("a hundred reads and writes on their way")
            .say(
                &(0..100)
                    .flat_map(|n| {
                        [
                            plain(&format!("INSERT INTO c VALUES ({}, 'many')", n % 50)),
                            unnamed("SELECT count(*) FROM c WHERE text = 'many'"),
                            sync(),
                            plain("SELECT name FROM t WHERE id = 1"),
                            sync(),
                        ]
                    })
                    .collect::<Vec<_>>(),
            )
            .ready(200)
            .query("DELETE FROM c WHERE text = 'many'"),
        talk("both protocols on their way")
            .say(&[
                plain("SELECT 1"),
                sync(),
                query("SELECT 2; SELECT 3"),
                plain("SELECT 4"),
                sync(),
                query(""),
                query("SELECT 1 / 0"),
                plain("SELECT 5"),
                sync(),
            ])
            .ready(6),
        talk("a large answer, and more on its way behind it")
            .say(&[
                plain("SELECT repeat('x', 1000000) FROM generate_series(1, 8)"),
                sync(),
                plain("SELECT 'behind'"),
                sync(),
            ])
            .ready(2),
    ]
}
