//! Cells as the code of those who published them computes them, in f64: S5, Mamba, sLSTM; and the
//! linear recurrent unit by a package of others. Step by step and parallel over time.

use rondeau::Array;
use rondeau::nn::{self, Cell, Complex, Gate, Parallel};

use super::function::{Named, check_named};
use super::{Case, run_section};

#[test]
fn cells_authors() {
    run_section("cells_authors", &[], |case| {
        super::function::run_groups(case, &[of_authors]);
    });
}

/// An array of the parameters.
fn part(given: &Named, name: &str) -> Array {
    given[&format!("params.{name}")].clone()
}

/// Complex numbers whose parts are side by side on a last axis.
fn pairs(array: &Array) -> Complex {
    Complex::new(array.at((.., .., 0)), array.at((.., .., 1)))
}

/// Compares the outputs, one step after another and parallel over time, and the state if it is
/// there.
fn both_ways<C: Parallel>(
    case: &Case<'_>,
    cell: &dyn Fn(&Named) -> C,
    last: fn(&C::Carry) -> Vec<Array>,
) {
    let outputs = ["ys", "last"].map(|name| (name, case.has(&format!("out/{name}"))));
    let outputs: Vec<&str> =
        outputs.iter().filter(|(_, is_there)| *is_there).map(|o| o.0).collect();
    for parallel in [false, true] {
        check_named(case, &outputs, &|given| {
            let (cell, xs) = (cell(given), &given["xs"]);
            let carry = cell.initial_carry();
            let (carry, ys) = match parallel {
                true => cell.run_parallel(&carry, xs),
                false => nn::run(&cell, &carry, xs),
            };
            [vec![ys], last(&carry)].concat()
        });
    }
}

fn of_authors(case: &Case<'_>) -> bool {
    match case.id {
        "authors_s5" => both_ways(
            case,
            &|given| nn::S5 {
                log_decay: (-part(given, "Lambda_re")).log(),
                frequency: part(given, "Lambda_im"),
                log_step: part(given, "log_step").at((.., 0)),
                b: pairs(&part(given, "B")),
                c: pairs(&part(given, "C")),
                d: part(given, "D"),
            },
            |_| vec![],
        ),
        "authors_mamba" => both_ways(
            case,
            &|given| {
                let projection = part(given, "x_proj");
                let (rank, state) = (2, 3);
                nn::SelectiveSsm {
                    log_decay: part(given, "A_log"),
                    step_down: projection.at(..rank),
                    step_up: nn::Linear {
                        weight: part(given, "dt_proj"),
                        bias: part(given, "dt_bias"),
                    },
                    write: projection.at(rank..rank + state),
                    read: projection.at(rank + state..),
                    d: part(given, "D"),
                }
            },
            |last| vec![last.clone()],
        ),
        "package_lru" => both_ways(
            case,
            &|given| nn::Lru {
                nu: part(given, "nu_log"),
                theta: part(given, "theta_log"),
                b: Complex::new(part(given, "B_re"), part(given, "B_im")),
                c: Complex::new(part(given, "C_re"), part(given, "C_im")),
                d: part(given, "D"),
            },
            |_| vec![],
        ),
        "authors_slstm" | "authors_slstm_large" => {
            check_named(case, &["ys", "h", "c", "n", "m"], &|given| {
                let parts = [part(given, "W"), part(given, "R").at(0), part(given, "b")];
                let [w, u, b] = parts.map(|rows| rows.split(4, 0));
                let [input, forget, candidate, output] = std::array::from_fn(|i| Gate {
                    w: w[i].clone(),
                    u: u[i].clone(),
                    b: b[i].clone(),
                });
                let cell = nn::SLstm { input, forget, candidate, output };
                let (last, ys) = nn::run(&cell, &cell.initial_carry(), &given["xs"]);
                vec![ys, last.h, last.c, last.n, last.m]
            });
        }
        _ => return false,
    }
    true
}
