//! Futures in memory that is kept for the next one.
//!
//! A session boxes what it does, so that it is small while it waits. That must
//! not cost an allocation for each statement.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::RefCell;
use std::pin::Pin;
use std::ptr::{NonNull, drop_in_place};
use std::task::{Context, Poll};

/// So many blocks a thread keeps; as many sessions work on a statement at a
/// time, most often.
const SPARES: usize = 8;

thread_local! {
    static BLOCKS: RefCell<Vec<Block>> = const { RefCell::new(Vec::new()) };
}

/// A future in a box of its own.
pub(super) struct Spared<F> {
    place: NonNull<F>,
    /// Where it lies; `None` when it is gone.
    block: Option<Block>,
}

/// Memory that belongs to whoever has this.
struct Block {
    memory: NonNull<u8>,
    layout: Layout,
}

// === impl Spared ===

impl<F: Future> Spared<F> {
    pub fn new(future: F) -> Self {
        const { assert!(size_of::<F>() > 0) };
        let block = Block::of(Layout::new::<F>());
        let place = block.memory.cast::<F>();
        // SAFETY: the block has the size and alignment of an F, and is ours.
        unsafe { place.write(future) };
        Spared { place, block: Some(block) }
    }
}

/// What lies in the block does not move with it.
impl<F> Unpin for Spared<F> {}

impl<F: Future> Future for Spared<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: it was written by `new`, is never moved, and is dropped
        // before its block is anybody else's.
        unsafe { Pin::new_unchecked(self.get_mut().place.as_mut()) }.poll(cx)
    }
}

impl<F> Drop for Spared<F> {
    fn drop(&mut self) {
        // SAFETY: as above; nobody comes here twice. If this panics, the block
        // is freed with the field.
        unsafe { drop_in_place(self.place.as_ptr()) };
        if let Some(block) = self.block.take() {
            // Not while the thread ends: then it is freed.
            let _ = BLOCKS.try_with(|blocks| {
                let mut blocks = blocks.borrow_mut();
                if blocks.len() < SPARES {
                    blocks.push(block);
                }
            });
        }
    }
}

// === impl Block ===

impl Block {
    /// One that is kept, or a new one. `layout` has a size.
    fn of(layout: Layout) -> Self {
        let kept = BLOCKS.with_borrow_mut(|blocks| {
            let at = blocks.iter().rposition(|block| block.layout == layout)?;
            Some(blocks.swap_remove(at))
        });
        kept.unwrap_or_else(|| {
            // SAFETY: the size is not zero.
            let memory = unsafe { alloc(layout) };
            Block { memory: NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout)), layout }
        })
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout, and nothing lies in it.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) };
    }
}

#[cfg(test)]
mod tests;
