#![allow(clippy::unwrap_used)]

use super::*;

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).unwrap()
}

#[test]
fn a_free_block_is_used_again_for_its_size() {
    let lists = Lists::new();
    // SAFETY: blocks are used within their layouts, and freed with them.
    unsafe {
        let first = lists.alloc(layout(17));
        let second = lists.alloc(layout(32));
        assert!(first != second && first.addr() % STEP == 0);
        lists.dealloc(first, layout(17));
        lists.dealloc(second, layout(32));
        let other = lists.alloc(layout(33));
        assert!(other != first && other != second);
        // The last one first.
        assert_eq!((lists.alloc(layout(20)), lists.alloc(layout(32))), (second, first));
        for (block, size) in [(first, 32), (second, 20), (other, 33)] {
            block.write_bytes(0xff, size);
            lists.dealloc(block, layout(size));
        }
    }
}

#[test]
fn what_grows_and_shrinks_keeps_its_content() {
    let lists = Lists::new();
    // SAFETY: as above.
    unsafe {
        let mut block = lists.alloc(layout(8));
        block.cast::<u64>().write(0x1234_5678_9abc_def0);
        let mut size = 8;
        // Within a size, to others, to the system's and within them, and back.
        for new_size in [16, 40, 256, 257, 100_000, 1_000_000, 300, 200, 8] {
            block = lists.realloc(block, layout(size), new_size);
            size = new_size;
            assert_eq!(block.cast::<u64>().read(), 0x1234_5678_9abc_def0, "{size} bytes");
            block.add(8).write_bytes(0xee, size - 8);
        }
        lists.dealloc(block, layout(size));
    }
}

#[test]
fn what_has_to_be_aligned_more_is_the_systems() {
    let lists = Lists::new();
    let wide = Layout::from_size_align(64, 64).unwrap();
    // SAFETY: as above.
    unsafe {
        let block = lists.alloc(wide);
        assert_eq!(block.addr() % 64, 0);
        lists.dealloc(block, wide);
    }
    assert_eq!(size_class(Layout::from_size_align(0, 1).unwrap()).min(SIZES), SIZES);
    assert_eq!([1, 16, 17, 256].map(|size| size_class(layout(size))), [0, 0, 1, 15]);
}
