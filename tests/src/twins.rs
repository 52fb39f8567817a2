//! A database twice: what a client asks of the one through the proxy, it asks of
//! the other directly, and has to hear the same.

use waypool_sandbox::Server;

use crate::raw::{Raw, tags};
use crate::wire::{self, Message};
use crate::{Database, Proxy};

/// Two databases on the shared servers that are the same byte for byte, object
/// identifiers and sequences too.
#[derive(Debug, Clone, Copy)]
pub struct Twins {
    pub through: Database,
    pub direct: Database,
}

impl Twins {
    /// The name must be used once.
    #[track_caller]
    pub fn create(name: &'static str, setup: &str) -> Twins {
        let through = Database::create(name, setup);
        let copy: &'static str = format!("{name}_direct").leak();
        let direct = Database { name: copy, ..through };
        direct.change_elsewhere(&format!("CREATE DATABASE {copy} TEMPLATE {name}"));
        Twins { through, direct }
    }

    /// A session with each.
    #[track_caller]
    pub fn login(&self, proxy: &Proxy) -> Pair {
        self.login_as(proxy, waypool_sandbox::SUPERUSER)
    }

    #[track_caller]
    pub fn login_as(&self, proxy: &Proxy, user: &str) -> Pair {
        let with = |database: &'static str| [("user", user), ("database", database)];
        Pair {
            through: Raw::login_with(proxy, &with(self.through.name)),
            direct: Raw::direct(self.primary(), &with(self.direct.name)),
        }
    }

    /// Whether this query has the same answer in both.
    #[track_caller]
    pub fn check(&self, sql: &str) {
        assert_eq!(self.through.ask(0, sql), self.direct.ask(0, sql), "{sql}");
    }

    fn primary(&self) -> &'static Server {
        self.through.cluster.primary()
    }
}

/// Two sessions that do the same, one through the proxy.
#[derive(Debug)]
pub struct Pair {
    pub through: Raw,
    pub direct: Raw,
}

impl Pair {
    /// Sends this to both, and returns what they say up to ReadyForQuery.
    pub fn ask(&mut self, bytes: &[u8]) -> (Vec<Message>, Vec<Message>) {
        let ask = |session: &mut Raw| {
            session.send(bytes);
            session.wire.until_ready()
        };
        (ask(&mut self.through), ask(&mut self.direct))
    }

    /// The same answer to both; panics when they differ.
    #[track_caller]
    pub fn same(&mut self, bytes: &[u8], what: &str) -> Vec<Message> {
        let (through, direct) = self.ask(bytes);
        assert_eq!(told(&through), told(&direct), "through waypool and directly: {what}");
        through
    }

    /// The same answer to one Query.
    #[track_caller]
    pub fn same_query(&mut self, sql: &str) -> Vec<Message> {
        self.same(&wire::query(sql), sql)
    }

    /// Both leave.
    pub fn leave(self) {
        self.through.leave();
        self.direct.leave();
    }
}

/// What these messages tell, without what differs from session to session.
pub fn told(answer: &[Message]) -> Vec<String> {
    answer.iter().map(tell).collect()
}

fn tell(message: &Message) -> String {
    let bytes = match message.tag {
        b'E' | b'N' => {
            let fields = b"SCMDHPW".iter().filter_map(|field| message.field(*field));
            return format!(
                "{} {}",
                tags(std::slice::from_ref(message)),
                fields.collect::<Vec<_>>().join(" | ")
            );
        }
        b'D' => return format!("D {:?}", message.columns()),
        // The process that notifies.
        b'A' => &message.body[4..],
        _ => &message.body[..],
    };
    format!("{} {}", char::from(message.tag), bytes.escape_ascii())
}
