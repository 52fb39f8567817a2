//! The contract's two sets of flags.
//!
//! wasmtime's macro makes the types, with `contains`, `intersects`, `empty` and
//! the operators; what is missing stands here, next to their private field.

use wasmtime::component::flags;

flags! {
    Effects {
        #[component(name = "writes")]
        const WRITES;
        #[component(name = "locks")]
        const LOCKS;
        #[component(name = "serializable")]
        const SERIALIZABLE;
        #[component(name = "read-only")]
        const READ_ONLY;
        #[component(name = "read-write")]
        const READ_WRITE;
        #[component(name = "session-state")]
        const SESSION_STATE;
        #[component(name = "multiple")]
        const MULTIPLE;
        #[component(name = "unparsed")]
        const UNPARSED;
        #[component(name = "transaction-inside")]
        const TRANSACTION_INSIDE;
        #[component(name = "primary-relation")]
        const PRIMARY_RELATION;
        #[component(name = "unused-database")]
        const UNUSED_DATABASE;
    }
}

impl Effects {
    const ALL_BITS: u16 = (1 << 11) - 1;

    /// No effect; like `empty()`, for constants.
    pub const NONE: Effects = Effects { __inner0: 0 };

    /// The flags as bits, in the contract's order.
    pub const fn bits(self) -> u16 {
        self.__inner0 & Self::ALL_BITS
    }

    /// The opposite of [`Effects::bits`]; bits without a meaning are dropped.
    pub const fn from_bits_truncate(bits: u16) -> Self {
        Effects { __inner0: bits & Self::ALL_BITS }
    }

    /// `|`, for constants.
    pub const fn union(self, other: Self) -> Self {
        Effects { __inner0: self.__inner0 | other.__inner0 }
    }

    pub const fn is_empty(self) -> bool {
        self.bits() == 0
    }
}

flags! {
    RelationFacts {
        #[component(name = "temporary")]
        const TEMPORARY;
        #[component(name = "unlogged")]
        const UNLOGGED;
        #[component(name = "catalog")]
        const CATALOG;
        #[component(name = "view")]
        const VIEW;
        #[component(name = "volatile")]
        const VOLATILE;
    }
}

impl RelationFacts {
    const ALL_BITS: u8 = (1 << 5) - 1;

    /// An ordinary relation; like `empty()`, for constants.
    pub const NONE: RelationFacts = RelationFacts { __inner0: 0 };

    /// The flags as bits, in the contract's order.
    pub const fn bits(self) -> u8 {
        self.__inner0 & Self::ALL_BITS
    }

    /// `|`, for constants.
    pub const fn union(self, other: Self) -> Self {
        RelationFacts { __inner0: self.__inner0 | other.__inner0 }
    }

    pub const fn is_empty(self) -> bool {
        self.bits() == 0
    }
}
