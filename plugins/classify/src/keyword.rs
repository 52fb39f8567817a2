//! PostgreSQL's keywords, as far as the classifier looks at them.

/// What the grammar allows a word to be (kwlist.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// An identifier, or an unreserved keyword
    Name,
    /// Names a column or a table, never a function: `coalesce (` is syntax
    NotFunction,
    /// An operator or a joint between operands where it follows an operand
    /// (`a LIKE (…)`, `t JOIN (…)`); elsewhere it may name a function.
    Infix,
    /// Names nothing unless quoted, or behind AS or a dot
    Reserved,
}

macro_rules! keywords {
    ($($class:ident: { $($keyword:ident $text:literal),* $(,)? })*) => {
        /// A word of the statement: a keyword of the list, or `Other`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Keyword { Other, $($($keyword),*),* }

        const LIST: &[(&str, Keyword)] = &[$($(($text, Keyword::$keyword)),*),*];

        impl Keyword {
            pub fn class(self) -> Class {
                match self {
                    Keyword::Other => Class::Name,
                    $($(Keyword::$keyword)|* => Class::$class,)*
                }
            }
        }
    };
}

keywords! {
    Name: {
        Abort "abort", Access "access", Alter "alter", At "at", Atomic "atomic", Begin "begin",
        Binary "binary", By "by", Call "call", Characteristics "characteristics", Checkpoint "checkpoint",
        Close "close", Cluster "cluster", Comment "comment", Commit "commit",
        Conflict "conflict",
        Constraints "constraints", Copy "copy", Cube "cube", Cycle "cycle", Deallocate "deallocate",
        Declare "declare", Delete "delete", Discard "discard", Drop "drop",
        Execute "execute", Exclusive "exclusive", Explain "explain", Filter "filter",
        Database "database", Function "function", Hold "hold", If "if", Import "import", Insert "insert",
        Isolation "isolation", Key "key", Level "level", Listen "listen", Load "load",
        Local "local", Lock "lock", Materialized "materialized", Merge "merge", Mode "mode",
        Move "move", Names "names", No "no", Notify "notify", Of "of", OptionOf "option",
        Operator "operator", Over "over", Prepare "prepare", Prepared "prepared", Procedure "procedure",
        Program "program", Read "read", Reassign "reassign", Recursive "recursive",
        Refresh "refresh", Reindex "reindex", Release "release", Replace "replace",
        Reset "reset", Revoke "revoke", Role "role", Rollback "rollback",
        Rollup "rollup", Rows "rows",
        Savepoint "savepoint", Schema "schema", Search "search", Security "security",
        Serializable "serializable", Session "session", Set "set", Sets "sets", Share "share",
        Show "show", Snapshot "snapshot", Start "start", Stdin "stdin", Stdout "stdout",
        Temp "temp", Temporary "temporary", Transaction "transaction",
        Truncate "truncate", Unlisten "unlisten", Unlogged "unlogged", Update "update",
        Vacuum "vacuum", Verbose "verbose", View "view", Work "work", Write "write", Xml "xml", Zone "zone",
    }
    NotFunction: {
        Between "between", Bigint "bigint", Bit "bit", Boolean "boolean", Char "char",
        Character "character", Coalesce "coalesce", Dec "dec", Decimal "decimal",
        Exists "exists", Extract "extract", Float "float", Greatest "greatest",
        Grouping "grouping", Int "int", Integer "integer", Interval "interval",
        Least "least", National "national", Nchar "nchar", Nullif "nullif",
        Numeric "numeric", Overlay "overlay", Position "position", Precision "precision",
        Real "real", Row "row", Smallint "smallint", Substring "substring", Time "time",
        Timestamp "timestamp", Treat "treat", Trim "trim", Values "values",
        Varchar "varchar", Xmlattributes "xmlattributes", Xmlconcat "xmlconcat",
        Xmlelement "xmlelement", Xmlexists "xmlexists", Xmlforest "xmlforest",
        Xmlnamespaces "xmlnamespaces", Xmlparse "xmlparse", Xmlpi "xmlpi",
        Xmlroot "xmlroot", Xmlserialize "xmlserialize", Xmltable "xmltable",
    }
    Infix: {
        Authorization "authorization", Cross "cross", Full "full", Ilike "ilike",
        Inner "inner", Is "is", Isnull "isnull", Join "join", Left "left", Like "like",
        Natural "natural", Notnull "notnull", Outer "outer", Overlaps "overlaps",
        Right "right", Similar "similar", Tablesample "tablesample",
    }
    Reserved: {
        All "all", Analyse "analyse", Analyze "analyze", And "and", Any "any",
        Array "array", As "as", Asc "asc", Asymmetric "asymmetric", Both "both",
        Case "case", Cast "cast", Check "check", Collate "collate", Column "column",
        Constraint "constraint", Create "create", CurrentCatalog "current_catalog",
        CurrentDate "current_date", CurrentRole "current_role", CurrentTime "current_time",
        CurrentTimestamp "current_timestamp", CurrentUser "current_user",
        Default "default", Deferrable "deferrable", Desc "desc", Distinct "distinct",
        Do "do", Else "else", End "end", Except "except", False "false", Fetch "fetch",
        For "for", Foreign "foreign", From "from", Grant "grant", Group "group",
        Having "having", In "in", Initially "initially", Intersect "intersect",
        Into "into", Lateral "lateral", Leading "leading", Limit "limit",
        Localtime "localtime", Localtimestamp "localtimestamp", Not "not", Null "null",
        Offset "offset", On "on", Only "only", Or "or", Order "order",
        Placing "placing", Primary "primary", References "references",
        Returning "returning", Select "select", SessionUser "session_user", SomeOf "some",
        Symmetric "symmetric", Table "table", Then "then", To "to",
        Trailing "trailing", True "true", Union "union", Unique "unique", User "user",
        Using "using", Variadic "variadic", When "when", Where "where",
        Window "window", With "with",
    }
}

impl Keyword {
    /// The keyword that a word spells, in upper or lower case.
    #[inline]
    pub fn of(word: &[u8]) -> Keyword {
        if word.is_empty() || word.len() > LONGEST {
            return Keyword::Other;
        }
        let mut slot = hash(word);
        loop {
            // Most words are no keywords, and find an empty slot.
            let entry = TABLE[slot];
            if entry == EMPTY {
                return Keyword::Other;
            }
            let (text, keyword) = LIST[entry as usize];
            if text.len() == word.len() && spells(word, text.as_bytes()) {
                return keyword;
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    /// Is the word reserved, so that it stands for nothing but itself?
    pub fn is_reserved(self) -> bool {
        self.class() == Class::Reserved
    }

    /// May an expression not end with this word, nor a statement?
    pub fn demands_more(self) -> bool {
        use Keyword::*;
        matches!(
            self,
            And | As
                | By
                | Case
                | Cast
                | Collate
                | Distinct
                | Else
                | Except
                | From
                | Group
                | Having
                | In
                | Intersect
                | Into
                | Is
                | Join
                | Lateral
                | Like
                | Ilike
                | Limit
                | Not
                | Offset
                | On
                | Or
                | Order
                | Similar
                | Table
                | Then
                | Union
                | Using
                | When
                | Where
                | Window
                | With
        )
    }
}

// A hash table with open addressing, laid out at compile time: one comparison
// for most words, and nothing to build when an instance starts.

const SLOTS: usize = 1024;
const LONGEST: usize = 20;
const EMPTY: u8 = u8::MAX;

/// The same for a word in upper and in lower case. Not for the empty word.
const fn hash(word: &[u8]) -> usize {
    let first = (word[0] | 0x20) as usize;
    let middle = (word[word.len() / 2] | 0x20) as usize;
    let last = (word[word.len() - 1] | 0x20) as usize;
    (first * 7 + middle * 131 + last * 37 + word.len() * 211) % SLOTS
}

/// Words are short: a loop is faster than a call.
#[inline]
fn spells(word: &[u8], lower: &[u8]) -> bool {
    word.iter().zip(lower).all(|(byte, lower)| byte.to_ascii_lowercase() == *lower)
}

static TABLE: [u8; SLOTS] = {
    assert!(LIST.len() < EMPTY as usize, "more keywords than a byte counts");
    let mut table = [EMPTY; SLOTS];
    let mut entry = 0;
    while entry < LIST.len() {
        let word = LIST[entry].0.as_bytes();
        assert!(word.len() <= LONGEST, "a keyword is longer than LONGEST");
        let mut slot = hash(word);
        while table[slot] != EMPTY {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = entry as u8;
        entry += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_keyword_is_found_in_any_case() {
        for (text, keyword) in LIST {
            assert_eq!(Keyword::of(text.as_bytes()), *keyword);
            assert_eq!(Keyword::of(text.to_uppercase().as_bytes()), *keyword);
        }
        for other in ["", "t1", "selects", "_select", "select_from_a_long_name_", "ünion"] {
            assert_eq!(Keyword::of(other.as_bytes()), Keyword::Other);
        }
    }
}
