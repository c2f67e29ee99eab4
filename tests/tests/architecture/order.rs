//! The rule about who may use whom: what stands above in ARCHITECTURE.md's maps, and what stands on the same line.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::source::{self, File};

/// One of the maps: the modules of one folder, from the ground up.
pub struct Order {
    /// `reactor/src/` or a folder below.
    pub folder: &'static str,
    /// Each module's line.
    ranks: BTreeMap<String, usize>,
}

impl Order {
    /// The library's top-level modules.
    pub fn of_modules(architecture: &str) -> Order {
        Order::parse(architecture, "## The order of modules", "reactor/src/")
    }

    /// The modules of the event loop.
    pub fn of_event_loop(architecture: &str) -> Order {
        Order::parse(architecture, "### Inside the event loop", "reactor/src/event_loop/")
    }

    /// Reads the first code block below `heading`: on each line names separated by commas, then two blanks or more, then
    /// what they are for.
    fn parse(architecture: &str, heading: &str, folder: &'static str) -> Order {
        let (_, section) =
            architecture.split_once(heading).unwrap_or_else(|| panic!("no section {heading:?}"));
        let block = section.split("```").nth(1).unwrap_or_else(|| panic!("no map below {heading:?}"));
        let mut ranks = BTreeMap::new();
        for (rank, line) in block.lines().skip(1).enumerate() {
            let names = line.split("  ").next().unwrap_or_default();
            for name in names.split(',').map(str::trim) {
                assert!(ranks.insert(name.to_owned(), rank).is_none(), "{name} is in the map twice");
            }
        }
        assert!(ranks.len() > 1, "the map below {heading:?} is empty");
        Order { folder, ranks }
    }

    /// The module of this folder that a file belongs to; `None` for the folder's own `mod.rs` or `lib.rs`.
    fn module_of<'a>(&self, file: &'a File) -> Option<&'a str> {
        let rest = file.path.strip_prefix(self.folder)?;
        let module = rest.split('/').next().map(|name| name.strip_suffix(".rs").unwrap_or(name));
        module.filter(|name| !["mod", "lib"].contains(name))
    }
}

/// Complains about each use of a module that stands further down.
pub fn upward(order: &Order, files: &[File]) -> Vec<String> {
    let renamed = renamed_at_the_root();
    let folder = path_of_folder(order.folder);
    let mut complaints = Vec::new();
    for file in files {
        let Some(module) = order.module_of(file) else { continue };
        let Some(rank) = order.ranks.get(module) else { continue }; // `missing_or_gone` complains
        for used in uses(file, &renamed) {
            let Some(name) = used.strip_prefix(&folder[..]).and_then(<[String]>::first) else { continue };
            if order.ranks.get(name).is_some_and(|of_used| of_used > rank) {
                complaints.push(format!("{}: {module} uses {name}, which stands further down", file.path));
            }
        }
    }
    complaints
}

/// Complains about modules that the map lacks, and about names in it that are no modules.
pub fn missing_or_gone(order: &Order, files: &[File]) -> Vec<String> {
    let there: BTreeSet<&str> = files.iter().filter_map(|file| order.module_of(file)).collect();
    let missing = there.iter().filter(|module| !order.ranks.contains_key(**module));
    let gone = order.ranks.keys().filter(|name| !there.contains(name.as_str()));
    missing
        .map(|module| format!("{}{module} is not in ARCHITECTURE.md", order.folder))
        .chain(gone.map(|name| format!("{}{name} is in ARCHITECTURE.md only", order.folder)))
        .collect()
}

/// `reactor/src/event_loop/` as a path from the crate's root.
fn path_of_folder(folder: &str) -> Vec<String> {
    folder.trim_end_matches('/').split('/').skip(2).map(str::to_owned).collect()
}

/// Every path that `file` uses, from the crate's root, as far as it can be told: `use` and plain mention alike.
fn uses(file: &File, renamed: &BTreeMap<String, String>) -> Vec<Vec<String>> {
    let code: String = file.code_without_tests().split_whitespace().collect::<Vec<_>>().join(" ");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if !code[..at].ends_with('$') {
            expand(&code[at + "crate::".len()..], &Vec::new(), &mut found);
        }
    }
    // Chains of `super::`, taken where they begin.
    for (at, _) in code.match_indices("super::") {
        if code[..at].ends_with("super::") {
            continue;
        }
        let mut from = path_of_module(file);
        let mut rest = &code[at..];
        while let Some(after) = rest.strip_prefix("super::") {
            from.pop();
            rest = after;
        }
        expand(rest, &from, &mut found);
    }
    for path in &mut found {
        if let Some(module) = path.first().and_then(|name| renamed.get(name)) {
            path.insert(0, module.clone());
        }
    }
    found
}

/// The module that a file is, from the crate's root: `reactor/src/net/tcp.rs` is `[net, tcp]`.
fn path_of_module(file: &File) -> Vec<String> {
    let mut path: Vec<String> = file.path.split('/').skip(2).map(str::to_owned).collect();
    let name = path.pop().unwrap_or_default();
    if !["mod.rs", "lib.rs"].contains(&name.as_str()) {
        path.push(name.trim_end_matches(".rs").to_owned());
    }
    path
}

/// Adds each path that `text` begins with: one, or several in braces (`{a, b::{c, d}}`).
fn expand(text: &str, prefix: &[String], found: &mut Vec<Vec<String>>) {
    let text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        let (mut depth, mut start) = (0, 0);
        for (at, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    expand(&group[start..at], prefix, found);
                    start = at + 1;
                    if letter == '}' {
                        return;
                    }
                }
                _ => {}
            }
        }
        return;
    }
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return;
    }
    let path: Vec<String> = prefix.iter().cloned().chain([name.to_owned()]).collect();
    match rest.strip_prefix("::") {
        Some(rest) => expand(rest, &path, found),
        None => found.push(path),
    }
}

/// Names that lib.rs re-exports from its modules, with the module: `crate::Backend` is `crate::readiness::Backend`.
fn renamed_at_the_root() -> BTreeMap<String, String> {
    let path = "reactor/src/lib.rs";
    let text = fs::read_to_string(source::root().join(path)).expect("lib.rs is readable");
    let code: String = File::new(path, &text).code.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut renamed = BTreeMap::new();
    for (at, found) in code.match_indices("pub use ") {
        let mut paths = Vec::new();
        expand(&code[at + found.len()..], &[], &mut paths);
        for path in paths {
            if let [module, .., name] = &path[..] {
                renamed.insert(name.clone(), module.clone());
            }
        }
    }
    renamed
}
