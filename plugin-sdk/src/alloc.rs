//! The allocator of a plugin.
//!
//! A plugin's call makes and drops a dozen small values. Rust's allocator for
//! WebAssembly takes about 15 ns for each pair of that; with lists of free
//! blocks in front of it, it is 3 ns. That makes a tenth of a classification.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr::null_mut;

#[cfg(all(target_family = "wasm", not(target_feature = "atomics")))]
#[global_allocator]
static ALLOCATOR: Lists = Lists::new();

/// Blocks of up to 256 bytes come in sizes of 16, 32, 48, …
const STEP: usize = 16;
const SIZES: usize = 16;

/// For each size, the blocks that are free: each holds the address of the
/// next. They are never given back, so a plugin keeps as many of a size as it
/// ever used at a time. Larger blocks are the system's.
pub struct Lists(UnsafeCell<[*mut u8; SIZES]>);

// SAFETY: an instance has one thread; with `atomics` this is not installed.
unsafe impl Sync for Lists {}

impl Lists {
    pub const fn new() -> Self {
        Lists(UnsafeCell::new([null_mut(); SIZES]))
    }

    /// The head of the list for such blocks.
    #[inline(always)]
    fn list(&self, layout: Layout) -> Option<*mut *mut u8> {
        let size = size_class(layout);
        // SAFETY: the place is within the array.
        (size < SIZES).then(|| unsafe { self.0.get().cast::<*mut u8>().add(size) })
    }
}

/// Which list such a block is of; `SIZES` and more: of none.
#[inline(always)]
fn size_class(layout: Layout) -> usize {
    match layout.align() <= STEP {
        // Rust asks for no empty blocks; they would wrap to a very large size.
        true => layout.size().wrapping_sub(1) / STEP,
        false => SIZES,
    }
}

// SAFETY: a block from a list is at least as large as its size class says and
// aligned to STEP; it is in the list or in use, never both. `dealloc` finds
// the list that `alloc` used, because both are given the same layout.
unsafe impl GlobalAlloc for Lists {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(list) = self.list(layout) else {
            // SAFETY: as the caller promises.
            return unsafe { System.alloc(layout) };
        };
        // SAFETY: nobody else looks at the list now. Its blocks hold an
        // address; a new one has a size above zero.
        unsafe {
            let block = *list;
            if block.is_null() {
                let whole = (size_class(layout) + 1) * STEP;
                return System.alloc(Layout::from_size_align_unchecked(whole, STEP));
            }
            *list = *block.cast::<*mut u8>();
            block
        }
    }

    #[inline(always)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller gives the block up. It is at least STEP bytes
        // large and aligned, so that an address fits into it.
        unsafe {
            match self.list(layout) {
                None => System.dealloc(block, layout),
                Some(list) => {
                    *block.cast::<*mut u8>() = *list;
                    *list = block;
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises that such a layout is valid. The two
        // blocks are apart, and each is as large as what is copied.
        unsafe {
            let new_layout = Layout::from_size_align_unchecked(new_size, layout.align());
            let (old, new) = (size_class(layout), size_class(new_layout));
            if old == new && old < SIZES {
                return block;
            }
            if old >= SIZES && new >= SIZES {
                return System.realloc(block, layout, new_size);
            }
            let moved = self.alloc(new_layout);
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(block, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests;
