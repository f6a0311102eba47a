//! What encoding costs: a builder that has seen a flush allocates nothing for the items of the next.

#![allow(unsafe_code, reason = "an allocator that counts is one")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use lastdrop_engine::context::Tag;
use lastdrop_engine::series::{
    Bin, Origin, OwnTags, Point, Series, SeriesKind, SketchPoint, SketchSeries, Summary, Tags,
};
use lastdrop_transport::payload::{
    Compression, Lost, PayloadSettings, SeriesBuilder, SeriesFormat, SketchesBuilder,
};

struct Counting;

thread_local! {
    /// Allocations of this thread: that of the test harness allocates beside it.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, which is the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

const COMPRESSIONS: [Compression; 4] =
    [Compression::Zstd { level: 1 }, Compression::Zlib, Compression::Gzip, Compression::None];

/// For all formats and compressors.
#[test]
fn the_second_flush_allocates_nothing_for_its_items() {
    let global = [Tag::from("env:prod")];
    let own: Vec<[Tag; 2]> = (0..1000)
        .map(|at| [format!("device:sd{at}"), format!("id:{at}")].map(|tag| Tag::from(&*tag)))
        .collect();
    let tags = |at: usize| Tags { own: OwnTags::List(&own[at]), global: &global };
    let points = [Point { second: 1_756_737_050, value: 0.7 }];

    for compression in COMPRESSIONS {
        let settings = PayloadSettings { compression, ..Default::default() };
        for format in [SeriesFormat::V1, SeriesFormat::V2, SeriesFormat::V3] {
            let mut builder = SeriesBuilder::new(format, &settings);
            let flush = |builder: &mut SeriesBuilder| {
                for at in 0..own.len() {
                    let lost = builder.push(&Series {
                        name: "app.request.duration",
                        host: "web-1",
                        tags: tags(at),
                        kind: SeriesKind::Rate,
                        points: &points,
                        interval_s: 10,
                        unit: "",
                        source_type_name: "",
                        no_index: false,
                        origin: Origin::DOGSTATSD,
                    });
                    assert_eq!(lost, Lost::NONE);
                }
            };
            assert_ne!(allocations(|| flush(&mut builder)), 0, "the first makes its buffers");
            assert!(builder.finish().is_some());
            assert_eq!(allocations(|| flush(&mut builder)), 0, "{format:?} {compression:?}");
        }

        let bins = [Bin { key: 1338, count: 3 }];
        let summary = Summary { count: 3, min: 1.0, max: 1.0, avg: 1.0, sum: 3.0 };
        let points = [SketchPoint { second: 1_756_737_050, summary, bins: &bins }];
        let mut builder = SketchesBuilder::new(&settings);
        let flush = |builder: &mut SketchesBuilder| {
            for at in 0..own.len() {
                let lost = builder.push(&SketchSeries {
                    name: "app.request.size",
                    host: "web-1",
                    tags: tags(at),
                    points: &points,
                    no_index: false,
                    origin: Origin::DOGSTATSD,
                });
                assert_eq!(lost, Lost::NONE);
            }
        };
        flush(&mut builder);
        assert!(builder.finish().is_some());
        assert_eq!(allocations(|| flush(&mut builder)), 0, "sketches {compression:?}");
    }
}
