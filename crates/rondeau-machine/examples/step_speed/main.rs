//! Nanoseconds a step of recurrent loops, in machine code and in the tile machine.
//!
//! If `LIMIT` names a program that prints `"ns_per_step":…` for the arguments `H B T`, its figure of the same
//! minute stands beside ours.

mod cells;

use rondeau_machine::code::{Code, DType};
use rondeau_machine::cpu::Level;
use rondeau_machine::{Arena, Executable, Executor, as_bytes, as_bytes_mut};
use std::time::Instant;

/// The least time of a call in nanoseconds, and the median.
fn measure(mut call: impl FnMut()) -> (f64, f64) {
    call();
    let (start, mut ns) = (Instant::now(), vec![]);
    while ns.len() < 7 || (start.elapsed().as_secs_f64() < 0.3 && ns.len() < 400) {
        let t = Instant::now();
        call();
        ns.push(t.elapsed().as_nanos() as f64);
    }
    ns.sort_by(f64::total_cmp);
    (ns[0], ns[ns.len() / 2])
}

/// Inputs as bytes of floats or doubles.
fn inputs(code: &Code, dtype: DType) -> Vec<Vec<u64>> {
    let needs = code.check().expect("the code is right");
    let mut seed = 88172645463325252u64;
    let mut number = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 40) as f32 / 16777216.0 * 2.0 - 1.0
    };
    let mut word = || {
        let (x, y) = (number() * 0.3, number() * 0.3);
        match dtype {
            DType::F64 => (x as f64).to_bits(),
            _ => (x.to_bits() as u64) << 32 | y.to_bits() as u64,
        }
    };
    needs.inputs.iter().map(|i| (0..i.0.div_ceil(8)).map(|_| word()).collect()).collect()
}

fn time(code: &Code, dtype: DType, executor: Executor, n_steps: usize) -> f64 {
    let exe = Executable::new(code, executor).expect("the code is right");
    if std::env::var_os("EXPLAIN").is_some() {
        eprintln!("{}", exe.explain());
    }
    let words = inputs(code, dtype);
    let halves: Vec<Vec<u32>> = words
        .iter()
        .map(|w| w.iter().flat_map(|w| [*w as u32, (w >> 32) as u32]).collect())
        .collect();
    let needs = exe.needs();
    let inputs: Vec<_> =
        halves.iter().zip(&needs.inputs).map(|(h, n)| &as_bytes(h)[..n.0]).collect();
    let mut outputs: Vec<Vec<f64>> =
        needs.outputs.iter().map(|o| vec![0.0; o.0.div_ceil(8)]).collect();
    let mut arena = Arena::new();
    let (_, median) = measure(|| {
        let mut outputs: Vec<_> = outputs
            .iter_mut()
            .zip(&needs.outputs)
            .map(|(o, n)| &mut as_bytes_mut(o)[..n.0])
            .collect();
        exe.run(&inputs, &mut outputs, &mut arena, &|_| {}).expect("the call fits");
    });
    median / n_steps as f64
}

fn limit(h: usize, b: usize, t: usize) -> Option<f64> {
    let program = std::env::var_os("LIMIT")?;
    let args = [h, b, t].map(|n| n.to_string());
    let output = std::process::Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (_, rest) = text.split_once("\"ns_per_step\":")?;
    rest.split([',', '}']).next()?.trim().parse().ok()
}

fn main() {
    let only = std::env::args().nth(1);
    let wanted = |name: &str| only.as_deref().is_none_or(|o| name.contains(o));
    println!(
        "{:<22} {:>10} {:>10} {:>8} {:>10} {:>10}",
        "ns a step", "limit", "native", "ratio", "avx2", "vm"
    );
    let row = |name: String, limit: Option<f64>, code: &Code, dtype: DType, t: usize| {
        let native = time(code, dtype, Executor::Best, t);
        let avx2 = time(code, dtype, Executor::NativeAt(Level::Avx2), t);
        let vm = time(code, dtype, Executor::Vm, t);
        let (limit, ratio) = match limit {
            Some(limit) => (format!("{limit:.1}"), format!("{:.2}", native / limit)),
            None => ("-".into(), "-".into()),
        };
        println!("{name:<22} {limit:>10} {native:>10.1} {ratio:>8} {avx2:>10.1} {vm:>10.1}");
    };
    for (h, b, t) in [
        (8, 1, 1000),
        (16, 1, 1000),
        (32, 1, 1000),
        (64, 1, 1000),
        (128, 1, 500),
        (256, 1, 500),
        (512, 1, 600),
        (8, 32, 500),
        (16, 32, 500),
        (32, 32, 500),
        (64, 32, 200),
        (128, 32, 100),
        (256, 32, 40),
        (512, 32, 40),
    ] {
        let name = format!("gru H={h} B={b} T={t}");
        if wanted(&name) {
            let code = cells::gru(DType::F32, h, b, t);
            row(name, limit(h, b, t), &code, DType::F32, t);
        }
    }
    for (h, b) in [(8, 1), (32, 1), (128, 1), (32, 32)] {
        let name = format!("gru f64 H={h} B={b}");
        if wanted(&name) {
            row(name, None, &cells::gru(DType::F64, h, b, 200), DType::F64, 200);
        }
    }
    // A call whose work is nothing to speak of.
    if wanted("call") {
        row("call".into(), None, &cells::lorenz(DType::F32, 1, 1), DType::F32, 1);
    }
    for h in [64, 256, 512] {
        let name = format!("pack H={h}");
        if wanted(&name) {
            row(name, None, &cells::gru(DType::F32, h, 1, 0), DType::F32, 1);
        }
    }
    for n in [16, 64, 256, 1024, 4096] {
        let name = format!("lorenz N={n}");
        if wanted(&name) {
            row(name, None, &cells::lorenz(DType::F32, n, 1000), DType::F32, 1000);
        }
    }
}
