//! The rooms of the library: which may use which, who may touch the world, and where primitives
//! may be named.

use super::source::{self, PathUse, Token};
use super::{File, Finding};

/// Where the rooms are.
const LIBRARY: &str = "crates/rondeau/src/";

/// A module at the root of the library and what it may use: rooms, single items of rooms
/// (`trace::Array`), `rondeau_machine`, or [`ROOT`].
struct Room {
    name: &'static str,
    uses: &'static [&'static str],
}

/// Whatever is re-exported at the root: what a user sees.
const ROOT: &str = "the root";

/// The arrows, from the ground up. A room may always use itself.
const ROOMS: &[Room] = &[
    Room { name: "error", uses: &[] },
    Room { name: "buffer", uses: &["error"] },
    Room { name: "tree", uses: &["error", "trace::Array"] },
    Room { name: "ir", uses: &["prim", "transform", "buffer", "error"] },
    Room { name: "prim", uses: &["ir", "transform", "buffer", "error", "rondeau_machine"] },
    Room { name: "transform", uses: &["ir", "prim", "buffer", "error"] },
    Room { name: "optimize", uses: &["ir", "prim", "transform", "buffer", "error"] },
    Room {
        name: "compile",
        uses: &["optimize", "ir", "prim", "buffer", "error", "rondeau_machine"],
    },
    Room {
        name: "run",
        uses: &[
            "compile",
            "optimize",
            "ir",
            "prim",
            "transform",
            "buffer",
            "error",
            "rondeau_machine",
        ],
    },
    Room {
        name: "trace",
        uses: &["tree", "run", "compile", "optimize", "ir", "prim", "transform", "buffer", "error"],
    },
    Room {
        name: "api",
        uses: &[
            "trace",
            "tree",
            "run",
            "compile",
            "optimize",
            "ir",
            "prim",
            "transform",
            "buffer",
            "error",
        ],
    },
    // A target like `compile`, which starts from a step.
    Room {
        name: "export",
        uses: &[
            "api",
            "trace",
            "tree",
            "optimize",
            "ir",
            "prim",
            "buffer",
            "error",
            "nn",
            "rondeau_machine",
        ],
    },
    // These could have been written by a user.
    Room { name: "random", uses: &[ROOT, "tree", "error"] },
    Room { name: "nn", uses: &[ROOT, "tree", "error", "random", "io"] },
    Room { name: "optim", uses: &[ROOT, "tree", "error"] },
    Room { name: "io", uses: &[ROOT, "tree", "error", "buffer"] },
    Room { name: "train", uses: &[ROOT, "tree", "error", "buffer", "random", "nn", "optim", "io"] },
    Room { name: "cellfile", uses: &[ROOT, "tree", "error", "random", "nn"] },
];

/// A part of `std` that reaches out of the program, and the rooms that may use it.
const WORLD: &[(&str, &[&str])] = &[
    ("fs", &["io", "train", "cellfile"]),
    ("time", &["train"]),
    ("env", &["train"]),
    ("thread", &["run", "train"]),
    ("net", &[]),
    ("process", &[]),
];

/// The one primitive that `transform` names: cotangents of a value that is read twice are added.
const TRANSFORM_NAMES: (&str, &str) = ("Binary", "Add");

/// Checks the imports between rooms.
pub(super) fn arrows(files: &[File]) -> Vec<Finding> {
    let rooms = rooms_of(files);
    let mut findings = Vec::new();
    for file in files {
        let Some((room, depth)) = room_of(&file.path) else {
            continue;
        };
        let Some(allowed) = ROOMS.iter().find(|entry| entry.name == room) else {
            let message = format!("the room `{room}` has no arrows");
            let help = "say in `ROOMS` of xtask/src/tidy/rooms.rs what it may use";
            findings.push(file.finding(1, message, help));
            continue;
        };
        let code = source::without_tests(&source::code(&source::tokens(&file.text)));
        for path in source::paths(&code) {
            let Some(target) = target(&path, depth, &rooms) else {
                continue;
            };
            if covers(room, &target) || allowed.uses.iter().any(|uses| covers(uses, &target)) {
                continue;
            }
            let message = match target.strip_prefix(ROOT) {
                Some(item) => format!("`{room}` reaches `crate{item}` through the root"),
                None => format!("`{room}` may not use `{target}`"),
            };
            findings.push(file.finding(path.line, message, may_use(allowed)));
        }
    }
    findings
}

fn may_use(room: &Room) -> String {
    match room.uses {
        [] => format!("`{}` uses no other room", room.name),
        uses => format!("it may use {}; move the code, or hand the value in", uses.join(", ")),
    }
}

/// The names of the rooms that exist.
fn rooms_of(files: &[File]) -> Vec<&str> {
    let mut rooms: Vec<&str> =
        files.iter().filter_map(|file| room_of(&file.path)).map(|(room, _)| room).collect();
    rooms.dedup();
    rooms
}

/// The room of a file and its depth: 1 for `ir/mod.rs`, 2 for `ir/aval.rs`. Files of tests belong
/// to no room.
fn room_of(path: &str) -> Option<(&str, usize)> {
    let inside = path.strip_prefix(LIBRARY)?.strip_suffix(".rs")?;
    let mut segments: Vec<&str> = inside.split('/').collect();
    if segments.contains(&"tests") || segments == ["lib"] {
        return None;
    }
    if segments.last() == Some(&"mod") {
        segments.pop();
    }
    Some((segments[0], segments.len()))
}

/// What a path reaches, if that is a room, one of its items, the root or the machine.
fn target(path: &PathUse<'_>, depth: usize, rooms: &[&str]) -> Option<String> {
    let supers = path.segments.iter().take_while(|&&segment| segment == "super").count();
    let rest = match path.segments[0] {
        "crate" | "rondeau" => &path.segments[1..],
        "super" if supers == depth + path.modules => &path.segments[supers..],
        "rondeau_machine" => return Some("rondeau_machine".to_string()),
        _ => return None,
    };
    let first = rest.first()?;
    match rest.get(1) {
        _ if !rooms.contains(first) && ROOMS.iter().all(|room| room.name != *first) => {
            Some(format!("{ROOT}::{first}"))
        }
        Some(item) => Some(format!("{first}::{item}")),
        None => Some(first.to_string()),
    }
}

/// Whether a permission for a room or item covers the target.
fn covers(uses: &str, target: &str) -> bool {
    target.strip_prefix(uses).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Checks that files, clocks, the environment and threads are used where they may be.
pub(super) fn world(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let Some((room, _)) = room_of(&file.path) else {
            continue;
        };
        for path in source::paths(&source::code(&source::tokens(&file.text))) {
            let ["std", part, ..] = path.segments[..] else {
                continue;
            };
            let Some((_, rooms)) = WORLD.iter().find(|(name, _)| *name == part) else {
                continue;
            };
            if rooms.contains(&room) {
                continue;
            }
            let message = format!("`{room}` may not use `std::{part}`");
            let help = match rooms {
                [] => "the library does not use it anywhere; take the value as an argument"
                    .to_string(),
                rooms => format!("only {} may; take the value as an argument", rooms.join(", ")),
            };
            findings.push(file.finding(path.line, message, help));
        }
    }
    findings
}

/// Checks that the transformations name no primitive but `Add`.
pub(super) fn primitives(files: &[File]) -> Vec<Finding> {
    let list = files.iter().find(|file| file.path == format!("{LIBRARY}prim/mod.rs"));
    let Some(list) = list else { return Vec::new() };
    let families = families(&source::code(&source::tokens(&list.text)));
    if families.is_empty() {
        let help = "`prims! { Family: kind, .. }` is what the check reads the families from";
        return vec![list.finding(1, "there is no list of primitives", help)];
    }
    let mut findings = Vec::new();
    let is_transform = |file: &&File| matches!(room_of(&file.path), Some(("transform", _)));
    for file in files.iter().filter(is_transform) {
        let code = source::without_tests(&source::code(&source::tokens(&file.text)));
        for (i, token) in code.iter().enumerate() {
            let variant = code.get(i + 2).filter(|_| code[i + 1].is("::")).map_or("", |t| t.text);
            let named = token.is_word()
                && match token.text {
                    family if family == TRANSFORM_NAMES.0 => {
                        variant.starts_with(char::is_uppercase) && variant != TRANSFORM_NAMES.1
                    }
                    family => families.contains(&family),
                };
            if named {
                let name = if variant.is_empty() {
                    token.text.into()
                } else {
                    format!("{}::{variant}", token.text)
                };
                let message = format!("`transform` names the primitive `{name}`");
                let help = "ask the primitive through `Rules` or `BodyRules`; only `Binary::Add` is named here";
                findings.push(file.finding(token.line, message, help));
            }
        }
    }
    findings
}

/// The families in `prims! { Unary: plain, .. }`.
fn families<'a>(code: &[Token<'a>]) -> Vec<&'a str> {
    let starts =
        |window: &[Token<'_>]| window[0].is("prims") && window[1].is("!") && window[2].is("{");
    let Some(start) = code.windows(3).position(starts) else {
        return Vec::new();
    };
    let list = code[start + 3..].split(|token| token.is("}")).next().unwrap_or(&[]);
    let entries = list.windows(2).filter(|pair| pair[0].is_word() && pair[1].is(":"));
    entries.map(|pair| pair[0].text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The findings of `check` in a library of these files, as `path:line message`.
    fn findings(check: fn(&[File]) -> Vec<Finding>, files: &[(&str, &str)]) -> Vec<String> {
        let file = |&(path, text): &(&str, &str)| File {
            path: format!("{LIBRARY}{path}"),
            text: text.to_string(),
        };
        let files: Vec<File> = files.iter().map(file).collect();
        let short = |finding: Finding| {
            let path = finding.path.strip_prefix(LIBRARY).unwrap_or(&finding.path).to_string();
            format!("{path}:{} {}", finding.line, finding.message)
        };
        check(&files).into_iter().map(short).collect()
    }

    #[test]
    fn arrows_point_down() {
        let lines = |path, text| findings(arrows, &[(path, text), ("ir/aval.rs", "")]);
        assert_eq!(
            lines("buffer/data.rs", "\nuse crate::ir::Aval;"),
            ["buffer/data.rs:2 `buffer` may not use `ir::Aval`"]
        );
        assert_eq!(
            lines("error.rs", "fn f(x: crate::buffer::DType) {}"),
            ["error.rs:1 `error` may not use `buffer::DType`"]
        );
        let both = "use crate::{error::Misfit, trace::{Array}, buffer::Buffer};";
        assert_eq!(lines("prim/mod.rs", both), ["prim/mod.rs:1 `prim` may not use `trace::Array`"]);
        assert_eq!(
            lines("optimize/mod.rs", "use rondeau_machine::Code;"),
            ["optimize/mod.rs:1 `optimize` may not use `rondeau_machine`"]
        );
        assert!(lines("compile/mod.rs", "use rondeau_machine::Code;").is_empty());
        assert!(lines("ir/eval.rs", "use crate::prim::Prim; use super::Aval;").is_empty());
        assert!(lines("buffer/dtype.rs", "$crate::buffer::DType::F32 => x").is_empty());
    }

    #[test]
    fn single_items_may_be_allowed() {
        assert!(findings(arrows, &[("tree.rs", "use crate::trace::Array;")]).is_empty());
        assert_eq!(findings(arrows, &[("tree.rs", "use crate::trace::ArrayKind;")]).len(), 1);
        assert!(findings(arrows, &[("prim/dot.rs", "use rondeau_machine::gemm;")]).is_empty());
        assert_eq!(findings(arrows, &[("prim/tap.rs", "use crate::run;")]).len(), 1);
    }

    #[test]
    fn the_root_is_for_rooms_that_a_user_could_write() {
        assert!(findings(arrows, &[("nn/mod.rs", "use crate::{Array, scan};")]).is_empty());
        assert_eq!(findings(arrows, &[("nn/mod.rs", "use crate::trace::Array;")]).len(), 1);
        assert_eq!(
            findings(arrows, &[("ir/aval.rs", "use crate::Array;")]),
            ["ir/aval.rs:1 `ir` reaches `crate::Array` through the root"]
        );
    }

    #[test]
    fn arrows_are_seen_through_super_and_the_crates_own_name() {
        let lines = |text| findings(arrows, &[("buffer/data.rs", text)]);
        assert_eq!(lines("use super::super::ir::Aval;").len(), 1);
        assert_eq!(lines("mod a { use super::super::super::ir::Aval; }").len(), 1);
        assert!(lines("mod a { use super::super::ir::Aval; }").is_empty());
        assert_eq!(lines("use rondeau::ir::Aval;").len(), 1);
    }

    #[test]
    fn comments_strings_and_tests_draw_no_arrows() {
        let text = "/// [`A`](crate::ir::A) crate::ir::B\nconst S: &str = \"crate::ir::C\";\n\
                    #[cfg(test)]\nmod tests { use crate::trace::Array; }";
        assert!(findings(arrows, &[("buffer/mod.rs", text)]).is_empty());
        let text = "use crate::trace::Array;";
        assert!(findings(arrows, &[("buffer/tests.rs", text), ("lib.rs", text)]).is_empty());
    }

    #[test]
    fn a_new_room_must_be_entered() {
        assert_eq!(
            findings(arrows, &[("attic.rs", "")]),
            ["attic.rs:1 the room `attic` has no arrows"]
        );
    }

    #[test]
    fn the_world_stays_outside() {
        let lines = |path, text| findings(world, &[(path, text)]);
        assert_eq!(
            lines("run/mod.rs", "use std::{fmt, time::Instant};"),
            ["run/mod.rs:1 `run` may not use `std::time`"]
        );
        assert_eq!(lines("ir/mod.rs", "std::fs::read(x); ::std::env::var(y);").len(), 2);
        assert!(lines("run/threads.rs", "std::thread::scope(f)").is_empty());
        assert!(lines("io/mod.rs", "use std::fs;").is_empty());
        assert!(lines("trace/mod.rs", "std::thread_local! { }").is_empty());
    }

    #[test]
    fn transformations_name_no_primitive() {
        let list =
            ("prim/mod.rs", "prims! {\n/// Doc: x\nBinary: plain, Unary: plain, Scan: body,\n}");
        let lines = |text| findings(primitives, &[list, ("transform/jvp.rs", text)]);
        assert!(lines("b.bind1(Binary::Add, &[x, y]); Prim::from(p); eqn.prim.jvp(b)").is_empty());
        assert!(lines("match p { Prim::Binary(Binary::Add) => x }").is_empty());
        assert_eq!(
            lines("b.bind1(Binary::Mul, &[x])"),
            ["transform/jvp.rs:1 `transform` names the primitive `Binary::Mul`"]
        );
        assert_eq!(lines("match p { Prim::Scan(s) => s }").len(), 1);
        assert_eq!(lines("use crate::prim::{Prim, Scan};").len(), 1);
        assert!(lines("#[cfg(test)] mod tests { use crate::prim::Scan; }").is_empty());
        assert_eq!(
            findings(primitives, &[("prim/mod.rs", "")]),
            ["prim/mod.rs:1 there is no list of primitives"]
        );
    }
}
