//! Messages that break the protocol, and goodbyes in the middle.

use waypool_tests::conversation::{Conversation, talk};
use waypool_tests::raw::header;
use waypool_tests::wire::{bind, describe, message, parse, query, string, sync, terminate};

use crate::parts::plain;

const GONE: &str = "who says no more is gone, and hears no more";
const LENGTH: &str = "PostgreSQL closes without a word, and tells its log only";

pub fn list() -> Vec<Conversation> {
    [goodbyes(), unknown(), malformed()].concat()
}

fn goodbyes() -> Vec<Conversation> {
    vec![
        talk("Terminate").say(&[terminate()]).closed(),
        talk("Terminate behind a query").say(&[query("SELECT 1"), terminate()]).closed(),
        talk("Terminate behind a pipeline")
            .say(&[plain("SELECT 1"), sync(), plain("SELECT 2"), sync(), terminate()])
            .closed(),
        talk("Terminate in an open cycle")
            .say(&[plain("INSERT INTO c VALUES (90, 'open')"), terminate()])
            .closed(),
        talk("Terminate in a transaction")
            .query("BEGIN")
            .query("INSERT INTO c VALUES (90, 'begun')")
            .say(&[terminate()])
            .closed(),
        talk("nothing of them is left").query("SELECT count(*) FROM c WHERE n = 90"),
        talk("Terminate within a COPY")
            .say(&[query("COPY c FROM STDIN")])
            .until(b'G')
            .say(&[terminate()])
            .closed(),
        talk("says no more behind a query")
            .say(&[query("SELECT 1"), query("SELECT 2")])
            .hang_up()
            .differs(GONE),
        talk("says no more within a cycle").say(&[plain("SELECT 1")]).hang_up(),
    ]
}

fn unknown() -> Vec<Conversation> {
    vec![
        talk("a message of an unknown type").say(&[message(b'y', &[b"what"]), query("SELECT 1")]).closed(),
        talk("an unknown type behind a query")
            .say(&[query("SELECT 1"), message(b'!', &[]), query("SELECT 2")])
            .closed(),
        talk("an unknown type within a cycle")
            .say(&[plain("SELECT 1"), message(b'~', &[b"x"]), sync()])
            .closed(),
        talk("an unknown type in a transaction").query("BEGIN").say(&[message(0, &[])]).closed(),
        talk("an unknown type within a COPY")
            .say(&[query("COPY c FROM STDIN")])
            .until(b'G')
            .say(&[message(b'y', &[])])
            .closed(),
        talk("a password when nobody asked").say(&[message(b'p', &[&string("secret")])]).closed(),
        talk("Describe of neither").cycle(&[message(b'D', &[b"X", &string("s")])]).query("SELECT 1"),
        talk("Close of neither").cycle(&[message(b'C', &[b"X", &string("s")])]).query("SELECT 1"),
    ]
}

fn malformed() -> Vec<Conversation> {
    vec![
        talk("a length of less than four").say(&[header(b'Q', 3)]).closed().differs(LENGTH),
        talk("a negative length").say(&[header(b'Q', u32::MAX)]).closed().differs(LENGTH),
        talk("a length of more than a gigabyte").say(&[header(b'Q', 1 << 30)]).closed().differs(LENGTH),
        talk("a Sync that is too long for one").say(&[header(b'S', 1 << 20)]).closed().differs(LENGTH),
        talk("half a header").say(&[vec![b'Q', 0]]).hang_up(),
        talk("half a message").say(&[header(b'Q', 100), b"SELECT 1".to_vec()]).hang_up(),
        talk("a Query without its end").say(&[message(b'Q', &[b"SELECT 1"])]).ready(1).query("SELECT 2"),
        talk("a Query with more behind its end")
            .say(&[message(b'Q', &[&string("SELECT 1"), &string("SELECT 2")])])
            .ready(1)
            .query("SELECT 2"),
        talk("a Query with nothing in it").say(&[message(b'Q', &[])]).ready(1).query("SELECT 2"),
        talk("a Parse that ends early")
            .cycle(&[message(b'P', &[&string("s"), &string("SELECT 1")])])
            .cycle(&[message(b'P', &[&string("s"), b"SELECT 1"])])
            .cycle(&[message(b'P', &[&string("s"), &string("SELECT 1"), &[0, 2, 0, 0, 0, 23]])])
            .query("SELECT 2"),
        talk("a Bind that ends early")
            .cycle(&[parse("", "SELECT $1::int")])
            .cycle(&[message(b'B', &[&string(""), &string("")])])
            .cycle(&[message(b'B', &[&string(""), &string(""), &[0, 0, 0, 1, 0, 0, 0, 9, b'x']])])
            .cycle(&[message(b'B', &[&string(""), &string(""), &[0, 0, 0, 1, 255, 255, 255, 254]])])
            .query("SELECT 2"),
        talk("messages with more than they should have")
            .cycle(&[parse("", "SELECT 1")])
            .cycle(&[[bind("", "", &[])].concat(), message(b'E', &[&string(""), &[0, 0, 0, 0, 9]])])
            .cycle(&[message(b'D', &[b"S", &string(""), b"more"])])
            .cycle(&[describe(b'S', "")])
            .say(&[message(b'S', &[b"more"])])
            .ready(1)
            .query("SELECT 2"),
        talk("an Execute that ends early")
            .cycle(&[plain("SELECT 1"), message(b'E', &[&string(""), &[0]])])
            .query("SELECT 2"),
        talk("a FunctionCall that ends early").say(&[message(b'F', &[&[0, 0]])]).ready(1).query("SELECT 2"),
        talk("text that is not in the client's encoding")
            .say(&[message(b'Q', &[b"SELECT '\xff'\0"])])
            .ready(1)
            .query("SELECT 2"),
    ]
}
