//! Losses of sequences against their definitions, by going through all paths.

use rondeau::nn::loss::{self, Crf};
use rondeau::{Array, grad, jit, vmap};

fn wave(shape: &[usize], phase: f64) -> Array {
    let n = shape.iter().product::<usize>();
    Array::new(shape, (0..n).map(|i| 1.5 * (1.3 * i as f64 + phase).sin()).collect())
}

fn numbers(x: &Array) -> Vec<f64> {
    x.to_vec::<f64>().unwrap_or_else(|error| panic!("{error}"))
}

/// All words of a length over `0..n`.
fn words(n: usize, length: usize) -> Vec<Vec<usize>> {
    (0..n.pow(length as u32))
        .map(|mut i| {
            let letter = |_| {
                let letter = i % n;
                i /= n;
                letter
            };
            (0..length).map(letter).collect()
        })
        .collect()
}

#[test]
fn ctc_sums_all_ways_to_write_the_labels() {
    let (n_steps, n_classes) = (5, 3);
    let logits = wave(&[7, n_classes], 0.4);
    let scores = numbers(&logits.log_softmax(-1));
    for labels in [vec![], vec![1], vec![2, 1], vec![1, 1], vec![2, 2, 1]] {
        let collapsed = |word: &[usize]| {
            let mut word = word.to_vec();
            word.dedup();
            word.retain(|&letter| letter != 0);
            word
        };
        let total: f64 = words(n_classes, n_steps)
            .iter()
            .filter(|word| collapsed(word) == labels)
            .map(|word| {
                let terms = word.iter().enumerate().map(|(t, k)| scores[t * n_classes + k]);
                terms.sum::<f64>().exp()
            })
            .sum();
        let padded: Vec<i32> =
            labels.iter().map(|&label| label as i32).chain([0, 0, 0]).take(3).collect();
        let n_labels = Array::from(labels.len() as i32);
        let steps = Array::from(n_steps as i32);
        let of_logits =
            |logits: &Array| loss::ctc(logits, &steps, &Array::from(padded.clone()), &n_labels);
        let got = jit(of_logits).apply(&logits).item::<f64>().unwrap();
        assert!((got + total.ln()).abs() < 1e-12, "{labels:?}: {got} and not {}", -total.ln());
        let slope = grad(of_logits).apply(&logits);
        assert!(slope.is_finite().all().item::<bool>().unwrap());
        // Steps beyond the real ones do not count.
        assert_eq!(numbers(&slope.at(n_steps as i32..)), vec![0.0; 2 * n_classes]);
    }
}

#[test]
fn a_crf_sums_and_finds_the_best_of_all_labels() {
    let (n_steps, n_labels) = (5, 3);
    let (emissions, crf) =
        (wave(&[n_steps, n_labels], 0.2), Crf { transitions: wave(&[3, 3], 2.0) });
    let (e, t) = (numbers(&emissions), numbers(&crf.transitions));
    let score = |word: &[usize]| -> f64 {
        let own: f64 = word.iter().enumerate().map(|(i, k)| e[i * n_labels + k]).sum();
        own + word.windows(2).map(|pair| t[pair[0] * n_labels + pair[1]]).sum::<f64>()
    };
    let all = words(n_labels, n_steps);
    let partition = all.iter().map(|word| score(word).exp()).sum::<f64>().ln();
    let got = crf.log_partition(&emissions).item::<f64>().unwrap();
    assert!((got - partition).abs() < 1e-12);

    let labels = |word: &[usize]| Array::from(word.iter().map(|&k| k as i32).collect::<Vec<_>>());
    for word in all.iter().step_by(17) {
        let got = jit(|labels: &Array| crf.loss(&emissions, labels)).apply(&labels(word));
        assert!((got.item::<f64>().unwrap() - (partition - score(word))).abs() < 1e-12);
    }
    let best = all.iter().max_by(|a, b| score(a).total_cmp(&score(b))).unwrap();
    let decode = |emissions: &Array| crf.decode(emissions);
    let found = jit(decode).apply(&emissions).to_vec::<i32>().unwrap();
    assert_eq!(found, best.iter().map(|&k| k as i32).collect::<Vec<_>>());
    let batch = rondeau::stack(&[&emissions, &-&emissions], 0);
    assert_eq!(vmap(decode, (0,)).apply(&batch).at(0).to_vec::<i32>().unwrap(), found);
}

#[test]
fn losses_are_their_formulas() {
    let (x, y) = (wave(&[6], 0.1), wave(&[6], 1.0));
    let pairs = || numbers(&x).into_iter().zip(numbers(&y));
    let mean = |f: fn((f64, f64)) -> f64| pairs().map(f).sum::<f64>() / 6.0;
    let near = |got: Array, want: f64| {
        let got = got.item::<f64>().unwrap();
        assert!((got - want).abs() < 1e-14, "{got} and not {want}");
    };
    near(loss::mse(&x, &y), mean(|(x, y)| (x - y).powi(2)));
    near(loss::mae(&x, &y), mean(|(x, y)| (x - y).abs()));
    let huber = |(x, y): (f64, f64)| {
        let d = (x - y).abs();
        if d <= 0.7 { 0.5 * d * d } else { 0.7 * (d - 0.35) }
    };
    near(loss::huber(&x, &y, 0.7).mean(), mean(huber));
    let none = Array::from([false; 6]);
    near(loss::mean_where(&x, &none), 0.0);
}
