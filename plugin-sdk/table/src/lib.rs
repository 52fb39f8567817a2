//! Tables of statements that test a plugin: what goes in, and what has to come
//! out. One table serves twice: natively, as a test of `cargo test`, and as
//! WebAssembly, by `waypool plugin test`.
//!
//! A table is a TOML file, by custom `tests/table.toml`:
//!
//! ```toml
//! # As [plugins.NAME.config] of waypool.toml has it.
//! [config]
//! limit = 100
//!
//! # What the catalog knows; every other name is missing.
//! [facts]
//! functions = { "pg_catalog.random" = "volatile" }
//! relations = { "public.orders" = "table", totals = ["view", "volatile"] }
//!
//! [[case]]
//! statement = "SELECT * FROM orders"
//! rewritten = "SELECT * FROM orders LIMIT 100"
//!
//! [[case]]
//! about = "only the owner may do that"
//! statement = "DROP TABLE orders"
//! user = "anna"
//! refused = "42501"
//! message = "may not drop"
//! ```
//!
//! # What goes in
//!
//! | key | |
//! |---|---|
//! | `statement` | The text of one message. A case without it is a client that comes in, for gates. |
//! | `database`, `user`, `application_name` | Whose session it is |
//! | `address`, `tls` | Of the client, for gates |
//! | `config`, `facts` | In addition to those of the table |
//! | `nodes` | The servers, instead of the table's, for balancers: `[{ id = 0, role = "primary" }, { id = 1, role = "standby" }]`, which they are without it |
//! | `behind` | The verdict that the classifiers behind would give, where it is not a plain read: `{ kind = "dml", servers = "primary", tags = ["tenant=acme"] }` |
//! | `transaction` | `"idle"`, `"open"` or `"failed"` |
//! | `home` | The session's home, whatever the plugin plans |
//! | `random`, `waited_millis`, `session_memory`, `transaction_memory` | What a balancer is told besides |
//! | `now` | The time: `2025-01-01T03:00:00Z` |
//! | `repeat` | So many times, in one instance; the last answer counts |
//!
//! The keys of the session, `nodes`, `home` and `now` may also stand at the head of
//! the table, for all cases.
//!
//! # What has to come out
//!
//! Each is optional; what is not named may be anything.
//!
//! | key | |
//! |---|---|
//! | `passes` | `true`: in no role has the plugin anything to say. `false`: in one it has. |
//! | `kind`, `servers`, `depends`, `name` | Of the verdict |
//! | `effects`, `reads`, `writes`, `functions`, `tags` | Of the verdict, in any order |
//! | `reason` | A part of the verdict's reason |
//! | `rewritten` | The text as edited; `{statement_timestamp}` where a moment is put in, `{random()}` what a server evaluates |
//! | `refused` | The SQLSTATE of the refusal |
//! | `message`, `hint` | A part of what the refusal says |
//! | `routed_to` | A node's number, `"primary"` or `"all"` |
//! | `planned_home` | The home that the session is given |
//! | `waits` | How many milliseconds it has to wait |
//! | `watches` | The balancer leaves the choice to others, and is told when the statement is over |
//! | `database_becomes`, `user_becomes`, `parameters` | What a gate changes |
//! | `counted` | What counters and gauges come to: `{ refused = 1 }` |
//! | `fails` | A part of the error that the plugin returns |
//!
//! Besides, every answer that is said to hold for a statement's shape
//! (`depends = "shape"`) is compared with those for other texts of the shape:
//! if they differ, the proxy's cache would answer wrongly.

mod case;
mod compare;
mod facts;
mod report;
mod run;
mod shapes;
mod subject;
mod table;
mod words;

pub use case::{Case, Target};
pub use facts::{Fact, Facts};
pub use report::{Difference, Failure, Report};
pub use run::run;
pub use subject::{
    Admission, Decision, Edit, Newcomer, Node, Opinion, Plan, Question, Refusal, Role, Routing, Subject,
    Verdict, World,
};
pub use table::{Mistake, Table};
pub use words::{DEPENDS, EFFECTS, KINDS, NODE_ROLES, RELATION_FACTS, SERVERS, TRANSACTIONS, VOLATILITIES};
