//! Portals that give their rows piece by piece.

use waypool_tests::conversation::{Conversation, talk};
use waypool_tests::wire::{bind, close, describe, execute, flush, parse, query, sync};

use crate::parts::plain;

const IDS: &str = "SELECT id FROM t WHERE id <= $1 ORDER BY id";

pub fn list() -> Vec<Conversation> {
    vec![
        talk("a portal in pieces within one cycle").cycle(&[
            parse("", IDS),
            bind("p", "", &["5"]),
            describe(b'P', "p"),
            execute("p", 2),
            execute("p", 2),
            execute("p", 2),
            execute("p", 2),
            close(b'P', "p"),
        ]),
        talk("a portal ends with its cycle outside a transaction")
            .cycle(&[parse("ids", IDS), bind("p", "ids", &["5"]), execute("p", 2)])
            .cycle(&[execute("p", 2)])
            .cycle(&[bind("", "ids", &["5"]), execute("", 1)])
            .cycle(&[execute("", 1)]),
        talk("a portal over several cycles of a transaction")
            .query("BEGIN")
            .cycle(&[parse("ids", IDS), bind("p", "ids", &["7"]), execute("p", 3)])
            .cycle(&[execute("p", 3)])
            .query("SELECT 'between'")
            .cycle(&[execute("p", 3)])
            .cycle(&[execute("p", 3)])
            .query("COMMIT")
            .cycle(&[execute("p", 3)]),
        talk("portals interleaved")
            .query("BEGIN")
            .cycle(&[parse("ids", IDS), bind("a", "ids", &["4"]), bind("b", "ids", &["6"])])
            .cycle(&[execute("a", 2), execute("b", 2), execute("a", 1), execute("b", 3)])
            .say(&[execute("b", 1), flush()])
            .take(2)
            .say(&[execute("a", 0), flush()])
            .take(2)
            .cycle(&[execute("b", 0), close(b'P', "a"), describe(b'P', "b")])
            .cycle(&[execute("a", 0)])
            .query("ROLLBACK"),
        talk("portals by Flush in one cycle")
            .say(&[parse("", IDS), bind("x", "", &["4"]), execute("x", 2), flush()])
            .take(5)
            .say(&[execute("x", 1), flush()])
            .take(2)
            .say(&[plain("SELECT 'between'"), execute("x", 5), flush()])
            .take(6)
            .cycle(&[]),
        talk("a portal's name that is taken")
            .query("BEGIN")
            .cycle(&[parse("ids", IDS), bind("p", "ids", &["4"]), bind("p", "ids", &["4"])])
            .query("ROLLBACK")
            .query("BEGIN")
            .cycle(&[bind("", "ids", &["4"]), bind("", "ids", &["2"]), execute("", 0)])
            .query("ROLLBACK"),
        talk("a portal is a cursor, and a cursor a portal")
            .query("BEGIN")
            .query("DECLARE cur CURSOR FOR SELECT id FROM t ORDER BY id")
            .cycle(&[describe(b'P', "cur"), execute("cur", 2)])
            .query("FETCH 1 FROM cur")
            .cycle(&[parse("", IDS), bind("por", "", &["3"])])
            .query("FETCH 2 FROM por")
            .cycle(&[close(b'P', "cur")])
            .query("FETCH 1 FROM cur")
            .query("ROLLBACK"),
        talk("an error in the middle of a portal")
            .query("BEGIN")
            .cycle(&[
                parse("", "SELECT fail_at(id, 4) FROM t ORDER BY id"),
                bind("p", "", &[]),
                execute("p", 2),
            ])
            .cycle(&[execute("p", 2), execute("p", 2)])
            .cycle(&[execute("p", 2)])
            .query("ROLLBACK"),
        talk("pieces of what writes")
            .cycle(&[
                parse("", "INSERT INTO c SELECT n, 'piece' FROM generate_series(20, 24) AS n RETURNING n"),
                bind("w", "", &[]),
                execute("w", 2),
                execute("w", 0),
            ])
            .query("DELETE FROM c WHERE text = 'piece'"),
        talk("Execute of what is done")
            .query("BEGIN")
            .cycle(&[parse("", "INSERT INTO c VALUES (25, 'once')"), bind("w", "", &[]), execute("w", 0)])
            .cycle(&[execute("w", 0)])
            .query("ROLLBACK"),
        talk("a Query ends the portal without a name")
            .query("BEGIN")
            .say(&[
                parse("", IDS),
                bind("", "", &["9"]),
                execute("", 2),
                sync(),
                query("SELECT 1"),
                execute("", 2),
                sync(),
            ])
            .ready(3)
            .query("ROLLBACK"),
    ]
}
