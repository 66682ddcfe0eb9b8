//! One look at a settled town, next to cloning the same town: how much deciding costs compared to
//! touching everything once.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use gastown_benches::{now, town};
use gastown_core::{next_wakeup, reconcile};

fn reconcile_next_to_clone(c: &mut Criterion) {
    let mut group = c.benchmark_group("settled town");
    for beads in [100, 1_000, 10_000] {
        let town = match town(beads) {
            Ok(town) => town,
            Err(error) => return eprintln!("the benchmark's town is refused: {error}"),
        };
        group.bench_with_input(BenchmarkId::new("clone", beads), &town, |b, town| {
            b.iter(|| town.clone());
        });
        group.bench_with_input(BenchmarkId::new("reconcile", beads), &town, |b, town| {
            b.iter(|| reconcile(town, now()));
        });
        group.bench_with_input(BenchmarkId::new("next_wakeup", beads), &town, |b, town| {
            b.iter(|| next_wakeup(town, now()));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = reconcile_next_to_clone
}
criterion_main!(benches);
