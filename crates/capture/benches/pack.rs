//! Packing the lines of a batch into records, in events per second.
#![allow(missing_docs)]

use capture::{MAX_RECORD_BYTES, pack};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn packing(criterion: &mut Criterion) {
    if cfg!(debug_assertions) {
        panic!("the benchmark needs the release profile: use `cargo bench` without --profile");
    }
    let mut group = criterion.benchmark_group("pack");
    for (name, count, length) in [("a batch into one record", 500, 144), ("4 MiB into five records", 30_000, 144)] {
        let ends: Vec<usize> = (1..=count).map(|line| line * length).collect();
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(BenchmarkId::new(name, count), &ends, |bencher, ends| {
            bencher.iter(|| pack(ends, MAX_RECORD_BYTES))
        });
    }
    group.finish();
}

criterion_group!(benches, packing);
criterion_main!(benches);
