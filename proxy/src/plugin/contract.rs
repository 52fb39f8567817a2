//! What plugins are asked and what they answer: `plugin-sdk/wit/waypool.wit` in
//! Rust, where the meaning of each item is described.
//!
//! The names in `#[component(…)]` are the contract's. A plugin whose types
//! differ is refused when it is loaded.

use wasmtime::component::{ComponentType, Lift, Lower};

pub use flags::{Effects, RelationFacts};

/// Version of the WIT package that this proxy speaks.
pub const VERSION: &str = "0.1.0";

/// Which servers a statement has to run on.
#[derive(ComponentType, Lift, Lower, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[component(enum)]
#[repr(u8)]
pub enum Servers {
    /// Any one server that can answer a read: the balancer chooses.
    #[component(name = "any")]
    Any,
    /// The primary alone.
    #[component(name = "primary")]
    Primary,
    /// The primary and every other server that the session uses.
    #[component(name = "all")]
    All,
}

/// What kind of statement it is.
#[derive(ComponentType, Lift, Lower, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[component(enum)]
#[repr(u8)]
pub enum Kind {
    #[component(name = "unknown")]
    Unknown,
    #[component(name = "empty")]
    Empty,
    #[component(name = "select")]
    Select,
    /// INSERT, UPDATE, DELETE, MERGE, TRUNCATE, COPY FROM
    #[component(name = "dml")]
    Dml,
    /// Catalog facts are forgotten after it.
    #[component(name = "ddl")]
    Ddl,
    #[component(name = "copy-to")]
    CopyTo,
    #[component(name = "explain")]
    Explain,
    #[component(name = "show")]
    Show,
    /// `name` is the parameter; replayed on connections opened later.
    #[component(name = "set")]
    Set,
    /// SET LOCAL, SET TRANSACTION, SET CONSTRAINTS
    #[component(name = "set-local")]
    SetLocal,
    /// `name` is none for RESET ALL
    #[component(name = "reset")]
    Reset,
    #[component(name = "begin")]
    Begin,
    #[component(name = "commit")]
    Commit,
    #[component(name = "rollback")]
    Rollback,
    #[component(name = "savepoint")]
    Savepoint,
    #[component(name = "release")]
    Release,
    #[component(name = "rollback-to")]
    RollbackTo,
    #[component(name = "prepare-transaction")]
    PrepareTransaction,
    /// COMMIT PREPARED, ROLLBACK PREPARED
    #[component(name = "finish-prepared")]
    FinishPrepared,
    /// `servers` and `effects` are those of the statement inside.
    #[component(name = "prepare")]
    Prepare,
    /// The answer for the PREPARE of `name` takes its place.
    #[component(name = "execute")]
    Execute,
    /// `name` is none for ALL
    #[component(name = "deallocate")]
    Deallocate,
    #[component(name = "discard")]
    Discard,
    /// DECLARE, FETCH, MOVE, CLOSE
    #[component(name = "cursor")]
    Cursor,
    /// LISTEN, NOTIFY, UNLISTEN
    #[component(name = "listen")]
    Listen,
    #[component(name = "lock")]
    Lock,
    #[component(name = "utility")]
    Utility,
}

/// How long an answer may be used again; ordered, the strictest last.
#[derive(ComponentType, Lift, Lower, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[component(enum)]
#[repr(u8)]
pub enum Depends {
    /// For each text of the same shape.
    #[component(name = "shape")]
    Shape,
    /// For the exact text.
    #[component(name = "text")]
    Text,
    /// Never.
    #[component(name = "moment")]
    Moment,
}

/// The classifier's answer for one message of the client.
#[derive(ComponentType, Lift, Lower, Clone, Debug, PartialEq, Eq)]
#[component(record)]
pub struct Verdict {
    #[component(name = "depends")]
    pub depends: Depends,
    #[component(name = "kind")]
    pub kind: Kind,
    #[component(name = "servers")]
    pub servers: Servers,
    #[component(name = "effects")]
    pub effects: Effects,
    /// The setting, prepared statement or savepoint, by `kind`.
    #[component(name = "name")]
    pub name: Option<String>,
    #[component(name = "reads")]
    pub reads: Vec<String>,
    #[component(name = "writes")]
    pub writes: Vec<String>,
    #[component(name = "functions")]
    pub functions: Vec<String>,
    /// Words for the balancers and observers behind.
    #[component(name = "tags")]
    pub tags: Vec<String>,
    /// For people.
    #[component(name = "reason")]
    pub reason: String,
}

impl Verdict {
    /// The answer when a classifier fails: it may write, so the primary, and
    /// the classifier is asked anew the next time.
    pub fn conservative(reason: impl Into<String>) -> Self {
        Verdict {
            depends: Depends::Moment,
            kind: Kind::Unknown,
            servers: Servers::Primary,
            effects: Effects::WRITES,
            name: None,
            reads: Vec::new(),
            writes: Vec::new(),
            functions: Vec::new(),
            tags: Vec::new(),
            reason: reason.into(),
        }
    }
}

/// What one classifier of the chain says.
#[derive(ComponentType, Lift, Lower, Clone, Debug, PartialEq, Eq)]
#[component(variant)]
pub enum Opinion {
    /// The next one is asked.
    #[component(name = "pass")]
    Pass(Depends),
    /// Nobody else is.
    #[component(name = "answer")]
    Answer(Verdict),
    /// The next ones are, and then `refine`.
    #[component(name = "refine")]
    Refine,
}

#[derive(ComponentType, Lift, Lower, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[component(enum)]
#[repr(u8)]
pub enum NodeRole {
    #[component(name = "primary")]
    Primary,
    #[component(name = "standby")]
    Standby,
    #[component(name = "unknown")]
    Unknown,
}

/// One server, as known now.
#[derive(ComponentType, Lift, Lower, Clone, Copy, Debug, PartialEq)]
#[component(record)]
pub struct Node {
    #[component(name = "id")]
    pub id: u32,
    #[component(name = "role")]
    pub role: NodeRole,
    /// Accepts connections.
    #[component(name = "usable")]
    pub usable: bool,
    /// Further behind the primary than `delay_threshold` allows.
    #[component(name = "delayed")]
    pub delayed: bool,
    /// Only its ratio to the others counts.
    #[component(name = "weight")]
    pub weight: f64,
    #[component(name = "lag-bytes")]
    pub lag_bytes: u64,
    #[component(name = "lag-micros")]
    pub lag_micros: u64,
}

#[derive(ComponentType, Lift, Lower, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[component(enum)]
#[repr(u8)]
pub enum Transaction {
    #[default]
    #[component(name = "idle")]
    Idle,
    #[component(name = "open")]
    Open,
    #[component(name = "failed")]
    Failed,
}

/// Who a session is for.
#[derive(ComponentType, Lift, Lower, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[component(record)]
pub struct SessionInfo {
    #[component(name = "database")]
    pub database: String,
    #[component(name = "user")]
    pub user: String,
    #[component(name = "application-name")]
    pub application_name: String,
}

/// A client that has proved who it is.
#[derive(ComponentType, Lift, Lower, Clone, Debug, PartialEq, Eq)]
#[component(record)]
pub struct Newcomer {
    #[component(name = "database")]
    pub database: String,
    #[component(name = "user")]
    pub user: String,
    #[component(name = "application-name")]
    pub application_name: String,
    /// None on a Unix socket.
    #[component(name = "address")]
    pub address: Option<String>,
    #[component(name = "tls")]
    pub tls: bool,
}

/// What becomes of a newcomer.
#[derive(ComponentType, Lift, Lower, Clone, Debug, Default, PartialEq, Eq)]
#[component(record)]
pub struct Changes {
    /// Another database than it asked for.
    #[component(name = "database")]
    pub database: Option<String>,
    /// The user of its server connections.
    #[component(name = "user")]
    pub user: Option<String>,
    /// As if it had sent them.
    #[component(name = "parameters")]
    pub parameters: Vec<(String, String)>,
}

#[derive(ComponentType, Lift, Lower, Clone, Debug, PartialEq, Eq)]
#[component(variant)]
pub enum Admission {
    /// As it is.
    #[component(name = "pass")]
    Pass,
    #[component(name = "change")]
    Change(Changes),
    #[component(name = "refuse")]
    Refuse(Refusal),
}

/// One statement, when it is over.
#[derive(ComponentType, Lift, Lower, Clone, Debug, PartialEq, Eq)]
#[component(record)]
pub struct Observation {
    /// The process id that the client was told.
    #[component(name = "session")]
    pub session: u32,
    #[component(name = "database")]
    pub database: String,
    #[component(name = "user")]
    pub user: String,
    #[component(name = "application-name")]
    pub application_name: String,
    #[component(name = "kind")]
    pub kind: Kind,
    /// The server whose answer the client got.
    #[component(name = "node")]
    pub node: Option<u32>,
    /// From its arrival to the end of its answer.
    #[component(name = "duration-micros")]
    pub duration_micros: u64,
    #[component(name = "rows")]
    pub rows: u64,
    /// Of its error.
    #[component(name = "sqlstate")]
    pub sqlstate: Option<String>,
    #[component(name = "tags")]
    pub tags: Vec<String>,
}

/// Whose commits a session's reads on a standby must have seen.
#[derive(ComponentType, Lift, Lower, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[component(enum)]
#[repr(u8)]
pub enum ReadAfter {
    #[default]
    #[component(name = "nothing")]
    Nothing,
    #[component(name = "session")]
    Session,
    #[component(name = "user")]
    User,
}

/// How a session is treated from its beginning on.
#[derive(ComponentType, Lift, Lower, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[component(record)]
pub struct SessionPlan {
    /// Not checked: it may be an id that no server has.
    #[component(name = "home")]
    pub home: u32,
    /// The first `session_memory`.
    #[component(name = "memory")]
    pub memory: u32,
    #[component(name = "read-after")]
    pub read_after: Option<ReadAfter>,
    /// How long a read waits for a standby before it goes to the primary.
    #[component(name = "wait-millis")]
    pub wait_millis: u32,
}

/// What a balancer is told about a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    pub kind: Kind,
    pub servers: Servers,
    pub effects: Effects,
}

/// What a balancer is told about the session that sent the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionState {
    pub transaction: Transaction,
    /// As answered for the last statement; zero when a transaction begins.
    pub transaction_memory: u32,
    /// As answered for the last statement; zero when the session begins.
    pub session_memory: u32,
    /// As `plan_session` answered.
    pub home: u32,
    /// How long it has been told to wait.
    pub waited_millis: u32,
    /// Uniform, and new for each statement.
    pub random: u64,
}

/// Where one statement goes.
#[derive(ComponentType, Lift, Lower, Clone, Copy, Debug, PartialEq, Eq)]
#[component(record)]
pub struct Decision {
    /// any: `node` alone; primary: the primary alone; all: the primary and `node`.
    #[component(name = "servers")]
    pub servers: Servers,
    /// Not checked: it may be an id that no server has.
    #[component(name = "node")]
    pub node: u32,
    /// Kept until the transaction ends, then zero again.
    #[component(name = "transaction-memory")]
    pub transaction_memory: u32,
    /// Kept until the session ends.
    #[component(name = "session-memory")]
    pub session_memory: u32,
    /// Call `ended` when the statement, or its transaction, is over.
    #[component(name = "tell-end")]
    pub tell_end: bool,
    /// The same question has the same answer until `topology` is called.
    #[component(name = "steady")]
    pub steady: bool,
}

/// What one balancer of the chain says of a statement, without text: its
/// `why-not` has that.
#[derive(ComponentType, Lift, Lower, Clone, Copy, Debug, PartialEq, Eq)]
#[component(variant)]
pub(in crate::plugin) enum RoutingAnswer {
    #[component(name = "pass")]
    Pass,
    #[component(name = "watch")]
    Watch,
    #[component(name = "to")]
    To(Decision),
    #[component(name = "wait")]
    Wait(u32),
    #[component(name = "refuse")]
    Refuse,
    #[component(name = "fail")]
    Fail,
}

/// What one balancer of the chain says of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Routing {
    /// The next one is asked.
    Pass,
    /// The same, and it wants to be told of the end.
    Watch,
    To(Decision),
    /// Ask again in so many milliseconds.
    Wait(u32),
    /// Answer with an error.
    Refuse(Refusal),
}

#[derive(ComponentType, Lift, Lower, Clone, Debug, PartialEq, Eq)]
#[component(variant)]
pub enum Value {
    #[component(name = "literal")]
    Literal(String),
    /// The moment the statement was received, as a timestamptz literal
    #[component(name = "statement-timestamp")]
    StatementTimestamp,
    /// The moment the transaction began, as a timestamptz literal
    #[component(name = "transaction-timestamp")]
    TransactionTimestamp,
    /// What the primary makes of an expression, for each execution anew
    #[component(name = "evaluated")]
    Evaluated(Evaluation),
}

/// An expression that the primary evaluates before each execution.
#[derive(ComponentType, Lift, Lower, Clone, Debug, PartialEq, Eq)]
#[component(record)]
pub struct Evaluation {
    #[component(name = "expression")]
    pub expression: String,
    /// `None`: the expression's own.
    #[component(name = "type-name")]
    pub type_name: Option<String>,
    /// Every server that runs the statement evaluates it.
    #[component(name = "everywhere")]
    pub everywhere: bool,
}

/// The bytes `[start, end)` of the text are replaced.
#[derive(ComponentType, Lift, Lower, Clone, Debug, PartialEq, Eq)]
#[component(record)]
pub struct Edit {
    #[component(name = "start")]
    pub start: u32,
    #[component(name = "end")]
    pub end: u32,
    #[component(name = "value")]
    pub value: Value,
}

#[derive(ComponentType, Lift, Lower, Clone, Debug, PartialEq, Eq)]
#[component(record)]
pub struct Refusal {
    #[component(name = "sqlstate")]
    pub sqlstate: String,
    #[component(name = "message")]
    pub message: String,
    #[component(name = "hint")]
    pub hint: Option<String>,
}

/// The rewriter's answer. The host has checked it, see [`Plan::check`].
#[derive(ComponentType, Lift, Lower, Clone, Debug, PartialEq, Eq)]
#[component(variant)]
pub enum Plan {
    #[component(name = "keep")]
    Keep(Depends),
    /// Answer with an error; the statement reaches no server.
    #[component(name = "reject")]
    Reject(Refusal),
    #[component(name = "edit")]
    Edit(Vec<Edit>),
}

impl Plan {
    /// Whether the plan can be carried out on this text: edits lie inside it,
    /// on character boundaries, in order and apart; the SQLSTATE is one.
    pub fn check(&self, text: &str) -> Result<(), String> {
        match self {
            Plan::Keep(_) => Ok(()),
            Plan::Reject(refusal) => refusal.check(),
            Plan::Edit(edits) => check_edits(edits, text),
        }
    }
}

impl Refusal {
    /// Whether it can be told to a client.
    pub fn check(&self) -> Result<(), String> {
        let sqlstate = &self.sqlstate;
        let fits = sqlstate.len() == 5
            && sqlstate.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
        if !fits {
            return Err(format!("{sqlstate:?} is no SQLSTATE: five of 0-9 and A-Z"));
        }
        if sqlstate.starts_with("00") || sqlstate.starts_with("01") || sqlstate.starts_with("02") {
            return Err(format!("SQLSTATE {sqlstate} is none of an error"));
        }
        Ok(())
    }
}

fn check_edits(edits: &[Edit], text: &str) -> Result<(), String> {
    let mut free_from = 0;
    for edit in edits {
        let (start, end) = (edit.start as usize, edit.end as usize);
        let bytes = format!("edit of bytes {start}..{end} in a text of {}", text.len());
        if start > end || end > text.len() {
            return Err(format!("{bytes}: not inside the text"));
        }
        if !text.is_char_boundary(start) || !text.is_char_boundary(end) {
            return Err(format!("{bytes}: not on character boundaries"));
        }
        if start < free_from {
            return Err(format!("{bytes}: edits have to be in order and apart"));
        }
        free_from = end;
    }
    Ok(())
}

#[derive(ComponentType, Lift, Lower, Clone, Copy, Debug, PartialEq, Eq)]
#[component(enum)]
#[repr(u8)]
pub enum Level {
    #[component(name = "error")]
    Error,
    #[component(name = "warn")]
    Warn,
    #[component(name = "info")]
    Info,
    #[component(name = "debug")]
    Debug,
    #[component(name = "trace")]
    Trace,
}

/// Ordered: the later, the more volatile.
#[derive(ComponentType, Lift, Lower, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[component(enum)]
#[repr(u8)]
pub enum Volatility {
    #[component(name = "immutable")]
    Immutable,
    #[component(name = "stable")]
    Stable,
    #[component(name = "volatile")]
    Volatile,
}

#[derive(ComponentType, Lift, Lower, Clone, Copy, Debug, PartialEq, Eq)]
#[component(variant)]
pub enum FunctionFact {
    /// The proxy has to look.
    #[component(name = "unknown")]
    Unknown,
    /// There is none of this name.
    #[component(name = "missing")]
    Missing,
    #[component(name = "found")]
    Found(Volatility),
}

#[derive(ComponentType, Lift, Lower, Clone, Copy, Debug, PartialEq, Eq)]
#[component(variant)]
pub enum RelationFact {
    /// The proxy has to look.
    #[component(name = "unknown")]
    Unknown,
    /// There is none of this name.
    #[component(name = "missing")]
    Missing,
    #[component(name = "found")]
    Found(RelationFacts),
}

#[derive(ComponentType, Lift, Lower, Clone, Copy, Debug, PartialEq, Eq)]
#[component(enum)]
#[repr(u8)]
pub enum Identity {
    #[component(name = "no")]
    No,
    #[component(name = "by-default")]
    ByDefault,
    #[component(name = "always")]
    Always,
}

#[derive(ComponentType, Lift, Lower, Clone, Debug, PartialEq, Eq)]
#[component(record)]
pub struct Column {
    #[component(name = "name")]
    pub name: String,
    #[component(name = "type-name")]
    pub type_name: String,
    #[component(name = "default-value")]
    pub default_value: Option<String>,
    /// Of the default.
    #[component(name = "volatility")]
    pub volatility: Volatility,
    #[component(name = "identity")]
    pub identity: Identity,
    #[component(name = "generated")]
    pub generated: bool,
}

#[derive(ComponentType, Lift, Lower, Clone, Debug, PartialEq, Eq)]
#[component(record)]
pub struct TableColumns {
    #[component(name = "schema")]
    pub schema: String,
    #[component(name = "view")]
    pub view: bool,
    #[component(name = "columns")]
    pub columns: Vec<Column>,
}

#[derive(ComponentType, Lift, Lower, Clone, Debug, PartialEq, Eq)]
#[component(variant)]
pub enum ColumnsFact {
    /// The proxy has to look.
    #[component(name = "unknown")]
    Unknown,
    /// There is no table or view of this name.
    #[component(name = "missing")]
    Missing,
    #[component(name = "found")]
    Found(Vec<TableColumns>),
}

/// What a plugin says of itself.
#[derive(ComponentType, Lift, Lower, Clone, Debug, Default, PartialEq, Eq)]
#[component(record)]
pub struct Description {
    /// One line.
    #[component(name = "about")]
    pub about: String,
    /// The keys of its configuration with their defaults, as JSON.
    #[component(name = "config")]
    pub config: String,
}

mod flags;

#[cfg(test)]
mod tests;
