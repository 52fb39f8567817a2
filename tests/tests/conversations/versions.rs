//! Versions of the protocol.

use waypool_tests::conversation::{Conversation, talk};
use waypool_tests::wire::query;

/// Since protocol 3.2 keys that cancel are long.
const V3_2: (u16, u16) = (3, 2);

pub fn list() -> Vec<Conversation> {
    vec![
        talk("version 3.2").protocol(V3_2, 18).query("SELECT 1"),
        talk("version 3.2, and a long key that cancels")
            .protocol(V3_2, 18)
            .say(&[query("SELECT pg_sleep(600) /* talk_long_key */")])
            .cancel("talk_long_key")
            .ready(1)
            .query("SELECT 'goes on'"),
        talk("a version that is not there yet").protocol((3, 9_999), 18).query("SELECT 1"),
        talk("an option of the protocol that nobody knows")
            .protocol(V3_2, 18)
            .with("_pq_.unheard_of", "1")
            .query("SELECT 1"),
    ]
}
