//! How long the micro-benchmarks take: `cargo bench -p lastdrop-lab --bench times [-- FILTER]`.

#[allow(dead_code, reason = "some of it is for the instruction counts alone")]
mod cases;

use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

fn all(criterion: &mut Criterion) {
    for case in cases::all() {
        // A group of its own: each has its own number of operations.
        let mut group = criterion.benchmark_group("");
        group.throughput(Throughput::Elements(case.operations));
        group.bench_function(&case.name, |bencher| {
            let mut prepare = (case.setup)();
            bencher.iter_batched(&mut prepare, |run| run(), BatchSize::PerIteration);
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20);
    targets = all
}
criterion_main!(benches);
