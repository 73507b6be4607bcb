//! Times the products and functions of this crate on one thread: `cargo run --release --example kernel_speed`.

use rondeau_machine::Real;
use rondeau_machine::gemm::{MatRef, Order, gemm};
use rondeau_machine::math::{Function, apply};
use std::hint::black_box;
use std::time::Instant;

/// The least wall time of one call in nanoseconds, over batches of about 10 ms.
fn best_ns(mut f: impl FnMut()) -> f64 {
    f();
    let once = Instant::now();
    f();
    let batch = (2e6 / (once.elapsed().as_nanos() as f64 + 1.0)).clamp(1.0, 1e6) as u32;
    (0..25)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..batch {
                f();
            }
            start.elapsed().as_nanos() as f64 / f64::from(batch)
        })
        .fold(f64::INFINITY, f64::min)
}

#[derive(Clone, Copy)]
enum Layout {
    Rows,
    Columns,
}

fn matrix<T: Real>(data: &[T], rows: usize, cols: usize, layout: Layout) -> MatRef<'_, T> {
    let data = &data[..rows * cols];
    match layout {
        Layout::Rows => MatRef::row_major(data, rows, cols),
        Layout::Columns => MatRef::row_major(data, cols, rows).map(MatRef::transposed),
    }
    .expect("the data suffice")
}

fn products<T: Real>(name: &str, one: T) {
    let data = vec![one; 2048 * 2048];
    println!("{name} products, GFLOP/s (and GB/s of the left operand) by layout of a, b");
    println!("{:>18} {:>12} {:>12} {:>12}", "m x k x n", "rows, rows", "cols, rows", "rows, cols");
    for (m, k, n) in [
        (512, 512, 512),
        (1024, 1024, 1024),
        (256, 256, 256),
        (128, 128, 32),
        (64, 32, 32),
        (32, 64, 96),
        (16, 16, 16),
        (8, 8, 8),
        (100, 50, 70),
        (1536, 512, 8),
        (1000, 1, 1000),
        (32, 32, 1),
        (128, 128, 1),
        (512, 512, 1),
        (2048, 2048, 1),
        (1, 512, 512),
        (1, 2048, 2048),
    ] {
        let mut c = vec![T::ZERO; m * n];
        let cells = [
            (Layout::Rows, Layout::Rows),
            (Layout::Columns, Layout::Rows),
            (Layout::Rows, Layout::Columns),
        ]
        .map(|(la, lb)| {
            let (a, b) = (matrix(&data, m, k, la), matrix(&data, k, n, lb));
            let ns = best_ns(|| gemm(black_box(a), black_box(b), black_box(&mut c), Order::Lanes));
            let bytes = ((m * k).max(k * n) * size_of::<T>()) as f64;
            format!("{:.1} ({:.0})", 2.0 * (m * k * n) as f64 / ns, bytes / ns)
        });
        let [rows, cols_rows, rows_cols] = cells;
        println!("{:>18} {rows:>12} {cols_rows:>12} {rows_cols:>12}", format!("{m}x{k}x{n}"));
    }
}

fn functions<T: Real>(name: &str, from: impl Fn(f64) -> T) {
    let x: Vec<T> = (0..1024).map(|i| from((f64::from(i) + 0.5) / 256.0 - 1.9)).collect();
    let positive: Vec<T> = (0..1024).map(|i| from((f64::from(i) + 0.5) / 256.0)).collect();
    let mut y = vec![T::ZERO; x.len()];
    println!("{name} functions, ns per element");
    for f in Function::ALL {
        let x = match f {
            Function::Log | Function::Log1p | Function::Sqrt => &positive,
            _ => &x,
        };
        let ns = best_ns(|| apply(f, black_box(x), black_box(&mut y)));
        println!("{:>18} {:.3}", format!("{f:?}"), ns / x.len() as f64);
    }
}

fn main() {
    functions("f32", |x| x as f32);
    functions("f64", |x| x);
    products("f32", 1.0f32);
    products("f64", 1.0f64);
}
