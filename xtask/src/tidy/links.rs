//! Links between the pages of the repository: they lead somewhere, and the guides' table of contents
//! has all pages.

use std::collections::BTreeSet;

use super::{File, Finding};

/// The pages of the guides, and what lists them.
const BOOK: &str = "docs/src/";
const SUMMARY: &str = "docs/src/SUMMARY.md";

/// Checks that relative links lead to a file or directory, and their anchors to a heading.
pub(super) fn links(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        for (line, target) in targets(&file.text) {
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = resolved(&file.path, path);
            let within = format!("{path}/");
            let there = files.iter().any(|f| f.path == path || f.path.starts_with(&within));
            if !there {
                let message = format!("the link `{target}` leads nowhere");
                findings.push(file.finding(line, message, format!("there is no text `{path}`")));
                continue;
            }
            let page = files.iter().find(|f| f.path == path);
            let has = |page: &File| anchors(&page.text).contains(anchor);
            if !anchor.is_empty() && !page.is_some_and(has) {
                let message = format!("the link `{target}` leads to no heading");
                findings.push(file.finding(line, message, format!("see the headings of {path}")));
            }
        }
    }
    findings
}

/// Checks that every page of the guides is in their table of contents.
pub(super) fn book(files: &[File]) -> Vec<Finding> {
    let Some(summary) = files.iter().find(|file| file.path == SUMMARY) else { return Vec::new() };
    let listed: BTreeSet<String> = targets(&summary.text)
        .into_iter()
        .map(|(_, target)| resolved(SUMMARY, target.split('#').next().unwrap_or_default()))
        .collect();
    let pages = files.iter().filter(|f| f.path.starts_with(BOOK) && f.path.ends_with(".md"));
    let lost = pages.filter(|page| page.path != SUMMARY && !listed.contains(&page.path));
    let message = "the page is not in the table of contents";
    lost.map(|page| page.finding(1, message, format!("add it to {SUMMARY}"))).collect()
}

/// The text lines of a page: those outside of blocks of code, numbered from 1.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    text.lines().enumerate().filter_map(move |(i, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        (!is_code && !is_fence).then_some((i + 1, line))
    })
}

/// Where links lead, but for those to other sites.
fn targets(text: &str) -> Vec<(usize, &str)> {
    let mut targets = Vec::new();
    for (line, text) in lines(text) {
        for (at, _) in text.match_indices("](") {
            // What is in backticks is code.
            let is_code = text[..at].matches('`').count() % 2 == 1;
            let target = text[at + 2..].split([')', ' ']).next().unwrap_or_default();
            if !is_code && !target.contains("://") && !target.starts_with("mailto:") {
                targets.push((line, target));
            }
        }
    }
    targets
}

/// A path as seen from the root; the page itself if there is none.
fn resolved(from: &str, path: &str) -> String {
    if path.is_empty() {
        return from.to_owned();
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The anchors of the headings: small letters, digits, `-` and `_`, with `-` for each space.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = lines(text).filter_map(|(_, line)| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len()).then(|| title.strip_prefix(' ')).flatten()
    });
    let anchor = |title: &str| {
        let title = title.trim().to_lowercase();
        let kept = title.chars().filter(|&c| c.is_alphanumeric() || " -_".contains(c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(check: fn(&[File]) -> Vec<Finding>, files: &[(&str, &str)]) -> Vec<String> {
        let file = |&(path, text): &(&str, &str)| File { path: path.into(), text: text.into() };
        let files: Vec<File> = files.iter().map(file).collect();
        let short = |f: Finding| format!("{}:{} {}", f.path, f.line, f.message);
        check(&files).into_iter().map(short).collect()
    }

    #[test]
    fn links_lead_somewhere() {
        let other = ("a/b.md", "# One `two`, three\n\n```text\n# no heading\n```\n");
        let page = |text: &str| found(links, &[other, ("README.md", text)]);
        let good = [
            "[a](a/b.md) [b](a) [c](./a/../a/b.md#one-two-three) [d](#here)\n# Here",
            "[elsewhere](https://example.org/x.md#y) `[code](nowhere)`",
            "```text\n[code](nowhere)\n```",
        ];
        for text in good {
            assert_eq!(page(text), [""; 0], "{text}");
        }
        assert_eq!(page("\n[a](b.md)"), ["README.md:2 the link `b.md` leads nowhere"]);
        for target in ["a/b.md#two", "a/b.md#no-heading", "#here"] {
            let told = format!("README.md:1 the link `{target}` leads to no heading");
            assert_eq!(page(&format!("[a]({target})")), [told]);
        }
    }

    #[test]
    fn pages_are_listed() {
        let summary = (SUMMARY, "- [a](a.md)");
        let (a, b) = (("docs/src/a.md", ""), ("docs/src/b.md", ""));
        assert_eq!(found(book, &[summary, a]), [""; 0]);
        let told = "docs/src/b.md:1 the page is not in the table of contents";
        assert_eq!(found(book, &[summary, a, b]), [told]);
    }
}
