//! Answers of a balancer that hold for whoever asks the same.

use super::contract::{Decision, SessionState, Statement, Transaction};

/// The same few questions come again and again: a read or a write, in a
/// transaction or outside, of sessions with these homes. Others push them out.
const PLACES: usize = 1 << PLACE_BITS;
const PLACE_BITS: u32 = 5;

/// All that a steady decision depends on, besides the topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Question {
    statement: Statement,
    transaction: Transaction,
    transaction_memory: u32,
    session_memory: u32,
    home: u32,
}

/// The steady decisions of one instance, until it is told of the servers anew.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    kept: [Option<(Question, Decision)>; PLACES],
}

impl Question {
    /// None: it has waited already, which not even a steady decision looks at.
    #[inline]
    pub fn new(statement: Statement, state: &SessionState) -> Option<Self> {
        (state.waited_millis == 0).then_some(Question {
            statement,
            transaction: state.transaction,
            transaction_memory: state.transaction_memory,
            session_memory: state.session_memory,
            home: state.home,
        })
    }

    #[inline]
    fn place(&self) -> usize {
        let Statement { kind, servers, effects } = self.statement;
        let statement = kind as u32 | (servers as u32) << 8 | u32::from(effects.bits()) << 16;
        let memories = self.transaction_memory.rotate_left(21) ^ self.session_memory.rotate_left(13);
        let all = statement ^ memories ^ self.home.rotate_left(7) ^ (self.transaction as u32) << 10;
        // The golden ratio's bits: the upper ones depend on all.
        (all.wrapping_mul(0x9E37_79B1) >> (u32::BITS - PLACE_BITS)) as usize
    }
}

impl Decisions {
    #[inline]
    pub fn get(&self, question: &Question) -> Option<Decision> {
        let (asked, decision) = self.kept[question.place()].as_ref()?;
        (asked == question).then_some(*decision)
    }

    pub fn keep(&mut self, question: Question, decision: Decision) {
        self.kept[question.place()] = Some((question, decision));
    }

    pub fn clear(&mut self) {
        self.kept = Default::default();
    }
}
