//! rondeau beside its peers, in one run: round after round each of them is timed, so that what else
//! the machine does meets all of them alike. The medians of the rounds are compared.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::measure::{Line, Subject, median};
use super::peers::Peer;
use super::workloads::Workload;

/// A workload with the times of all.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was measured of rondeau.
    #[serde(flatten)]
    pub ours: Line,
    /// The best variant of each peer that had a result, in the order of the peers.
    pub peers: Vec<Theirs>,
    /// Why the others had none.
    pub failures: Vec<(String, String)>,
    /// Our time over that of the best peer; below 1 is faster.
    pub ratio_to_best: Option<f64>,
    /// Our time over the floor.
    pub ratio_to_floor: f64,
    /// The title and the shape, for a table.
    #[serde(skip)]
    pub about: (&'static str, String),
}

/// The result of a peer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Theirs {
    /// The peer.
    pub peer: String,
    /// Its best variant.
    pub variant: String,
    /// The median of the rounds.
    pub median_us: f64,
    /// Its own account of its error.
    pub max_err: Option<f64>,
    /// Our time over its time; below 1 is faster.
    pub ratio: f64,
}

/// How peers are run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan<'a> {
    pub(super) peers: &'a [Peer],
    pub(super) rounds: usize,
    /// Of all rounds of a workload.
    pub(super) budget: Duration,
    /// Of one run of a peer.
    pub(super) limit: Duration,
    /// Where peers run.
    pub(super) place: &'a Path,
}

/// What is known of a peer for one workload.
#[derive(Default)]
struct Course {
    /// The times of each variant, with its error.
    variants: BTreeMap<String, (Vec<f64>, Option<f64>)>,
    failure: Option<String>,
}

impl Course {
    /// The variant with the least median.
    fn best(&self) -> Option<(&str, f64, Option<f64>)> {
        let times = self.variants.iter().map(|(variant, (times, error))| {
            (variant.as_str(), median(&mut times.clone()), *error)
        });
        times.min_by(|x, y| x.1.total_cmp(&y.1))
    }
}

/// Times a workload and the peers that know it; `line` is what is known of ours already.
///
/// # Errors
/// If our own call fails. What goes wrong with a peer is in the row.
pub(super) fn compare(
    workload: &Workload,
    subject: &mut Subject,
    line: Line,
    plan: Plan<'_>,
) -> Result<Row> {
    let each = plan.budget / plan.rounds.max(1) as u32;
    let peers: Vec<&Peer> = plan.peers.iter().filter(|peer| peer.knows(workload)).collect();
    let mut courses: Vec<Course> = peers.iter().map(|_| Course::default()).collect();
    let mut ours = vec![];
    for round in 1..=plan.rounds {
        let told = |who: &str| progress(workload, round, plan.rounds, who);
        told("rondeau");
        ours.push(subject.median_us(each)?);
        for (peer, course) in peers.iter().zip(&mut courses) {
            if course.failure.is_some() {
                continue;
            }
            told(&peer.name);
            let best = course.best().map(|best| best.0.to_owned());
            match peer.run(workload, each, best.as_deref(), plan.place, plan.limit) {
                Ok(results) => {
                    for result in results {
                        let entry = course.variants.entry(result.variant).or_default();
                        entry.0.push(result.median_us);
                        entry.1 = result.max_err.or(entry.1);
                    }
                }
                Err(failure) => course.failure = Some(failure.to_string()),
            }
        }
    }
    progress_done();
    let median_us = median(&mut ours);
    Ok(row(workload, Line { median_us, ..line }, peers.iter().map(|peer| &*peer.name), &courses))
}

fn row<'a>(
    workload: &Workload,
    ours: Line,
    names: impl Iterator<Item = &'a str>,
    courses: &[Course],
) -> Row {
    let mut peers: Vec<Theirs> = vec![];
    let mut failures: Vec<(String, String)> = vec![];
    for (name, course) in names.zip(courses) {
        if let Some((variant, median_us, max_err)) = course.best() {
            let ratio = ours.median_us / median_us;
            let (peer, variant) = (name.to_owned(), variant.to_owned());
            peers.push(Theirs { peer, variant, median_us, max_err, ratio });
        }
        failures.extend(course.failure.clone().map(|failure| (name.to_owned(), failure)));
    }
    // Greatest ratio, since the time is below it.
    let ratio_to_best = peers.iter().map(|peer| peer.ratio).max_by(f64::total_cmp);
    Row {
        ratio_to_best,
        ratio_to_floor: ours.median_us / ours.floor_us,
        about: (workload.title, workload.shape()),
        ours: Line { ns_per_step: ours.median_us * 1e3 / workload.steps as f64, ..ours },
        peers,
        failures,
    }
}

/// Says on a terminal who is being timed; elsewhere only when a workload begins.
fn progress(workload: &Workload, round: usize, rounds: usize, who: &str) {
    let mut stderr = std::io::stderr();
    // Nothing depends on whether it can be shown.
    let _ = if stderr.is_terminal() {
        write!(stderr, "\r\x1b[K{} round {round}/{rounds}: {who}", workload.name)
    } else if round == 1 && who == "rondeau" {
        writeln!(stderr, "{}", workload.name)
    } else {
        Ok(())
    };
    let _ = stderr.flush();
}

fn progress_done() {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        let _ = write!(stderr, "\r\x1b[K");
    }
}

/// The rows as a table in Markdown, whose columns are aligned for a terminal too. Times are
/// microseconds.
pub fn table(rows: &[Row]) -> String {
    let mut names: Vec<&str> = vec![];
    for peer in rows.iter().flat_map(|row| &row.peers) {
        if !names.contains(&peer.peer.as_str()) {
            names.push(&peer.peer);
        }
    }
    let head = ["workload", "T, I, H, B", "rondeau"].into_iter().chain(names.iter().copied());
    let tail: &[&str] = if names.is_empty() { &["floor"] } else { &["of best", "floor"] };
    let mut cells: Vec<Vec<String>> =
        vec![head.chain(tail.iter().copied()).map(str::to_owned).collect()];
    for row in rows {
        let (title, shape) = &row.about;
        let mut line =
            vec![format!("`{}` {title}", row.ours.workload), shape.clone(), us(row.ours.median_us)];
        for name in &names {
            let found = row.peers.iter().filter(|peer| peer.peer == *name);
            let best = found.map(|peer| peer.median_us).min_by(f64::total_cmp);
            line.push(best.map_or("-".to_owned(), us));
        }
        if !names.is_empty() {
            line.push(row.ratio_to_best.map_or("-".to_owned(), |ratio| format!("{ratio:.2}")));
        }
        line.push(us(row.ours.floor_us));
        cells.push(line);
    }
    let width = |column: usize| cells.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<usize> = (0..cells[0].len()).map(|i| width(i).unwrap_or(0).max(3)).collect();
    let mut text = String::new();
    for (i, line) in cells.iter().enumerate() {
        let padded = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            // Words to the left, numbers to the right.
            if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        text += &format!("| {} |\n", padded.collect::<Vec<_>>().join(" | "));
        if i == 0 {
            let rule = widths.iter().enumerate().map(|(column, width)| {
                if column < 2 { "-".repeat(*width) } else { "-".repeat(width - 1) + ":" }
            });
            text += &format!("| {} |\n", rule.collect::<Vec<_>>().join(" | "));
        }
    }
    text
}

/// Microseconds with three digits that count.
fn us(time: f64) -> String {
    if time >= 100.0 { format!("{time:.0}") } else { format!("{time:.1}") }
}

#[cfg(test)]
mod tests {
    use super::super::measure::Stages;
    use super::super::workloads::chosen;
    use super::*;

    fn line(workload: &Workload, median_us: f64) -> Line {
        Line {
            peer: "rondeau",
            variant: "native",
            workload: workload.name.clone(),
            kind: workload.kind,
            steps: workload.steps,
            inputs: workload.inputs,
            hidden: workload.hidden,
            batch: (workload.batch > 0).then_some(workload.batch),
            threads: 1,
            median_us,
            ns_per_step: 0.0,
            compile_ms: 0.0,
            stages: Stages::default(),
            arena_bytes: 0,
            bytes_per_step: 0.0,
            residual_bytes: 0,
            floor_us: median_us / 2.0,
            max_err: 0.0,
        }
    }

    fn course(variants: &[(&str, &[f64])]) -> Course {
        let variant = |(name, times): &(&str, &[f64])| (name.to_string(), (times.to_vec(), None));
        Course { variants: variants.iter().map(variant).collect(), failure: None }
    }

    fn rows() -> Vec<Row> {
        let all = chosen(&["w1".to_owned(), "w4a".to_owned()]).unwrap();
        let failed = Course { failure: Some("failed".to_owned()), ..Course::default() };
        let first = [course(&[("a", &[9.0, 7.0, 8.0]), ("b", &[7.5, 7.5, 7.5])]), failed];
        let second = [course(&[("a", &[2e4])]), course(&[("", &[1e4, 3e4, 1.6e4])])];
        let row = |workload: &Workload, us, courses: &[Course]| {
            row(workload, line(workload, us), ["jax", "onednn"].into_iter(), courses)
        };
        vec![row(&all[0], 1.5, &first), row(&all[1], 12e3, &second)]
    }

    #[test]
    fn the_best_variant_by_the_median_of_its_rounds_counts() {
        let rows = rows();
        let best = &rows[0].peers[0];
        assert_eq!((best.variant.as_str(), best.median_us, best.ratio), ("b", 7.5, 0.2));
        assert_eq!(rows[0].failures, [("onednn".to_owned(), "failed".to_owned())]);
        assert_eq!((rows[0].ratio_to_best, rows[1].ratio_to_best), (Some(0.2), Some(0.75)));
    }

    #[test]
    fn the_table_reads_in_a_terminal_and_as_markdown() {
        insta::assert_snapshot!(table(&rows()));
        let alone = Row { peers: vec![], ratio_to_best: None, ..rows().remove(0) };
        insta::assert_snapshot!(table(&[alone]));
    }

    #[test]
    fn a_row_is_one_line_of_json() {
        let json = serde_json::to_value(&rows()[1]).unwrap();
        assert_eq!((json["workload"].as_str(), json["T"].as_u64()), (Some("w4a"), Some(100)));
        assert_eq!(json["peers"][1]["median_us"], 16e3);
        assert_eq!(json["ratio_to_best"], 0.75);
    }
}
