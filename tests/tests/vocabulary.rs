//! Does a program written for mio work without mio?
//!
//! The programs are in `tests/vocabulary/`: one source, and two packages that compile it, on mio and on the reactor. Here they
//! are run and compared, line by line, with every backend. And mio's public interface, as `cargo public-api` lists it, is
//! compared with ours, and with what the programs use.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use reactor::Backend;

/// Set for a process in which nothing else runs.
const ALONE: &str = "PROGRAMS_ALONE";

/// For each backend in a process of its own: `REACTOR_BACKEND` belongs to a whole process, and a program that starts a child
/// lends it, for a moment, every descriptor that others believe to be closed.
#[test]
fn programs_see_the_same_on_mio_and_on_the_reactor() {
    if env::var_os(ALONE).is_some() {
        return compare();
    }
    for backend in Backend::available() {
        let run = Command::new(env::current_exe().expect("this program has a path"))
            .args(["--exact", "programs_see_the_same_on_mio_and_on_the_reactor"])
            .env("REACTOR_BACKEND", backend.name())
            .env(ALONE, "yes")
            .output()
            .expect("it runs");
        let told = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success() && told.contains("1 passed"), "with {backend}:\n{told}");
    }
}

fn compare() {
    let both = programs_on_mio::PROGRAMS.into_iter().zip(programs_on_reactor::PROGRAMS);
    for ((name, on_mio), (_, on_reactor)) in both {
        let expected = on_mio().unwrap_or_else(|error| panic!("{name}, on mio: {error}"));
        let seen = on_reactor().unwrap_or_else(|error| panic!("{name}, on the reactor: {error}"));
        assert!(!expected.is_empty(), "{name} sees nothing");
        for (expected, seen) in expected.iter().zip(&seen) {
            assert_eq!(seen, expected, "{name}: on the reactor, and on mio");
        }
        assert_eq!(seen.len(), expected.len(), "{name}");
    }
}

/// What mio has and we lack, and why a program does not notice.
const MISSING: [(&str, &str); 1] = [(
    "pub fn reactor::event::Iter<'_>::count(self) -> usize",
    "every iterator has it; that of mio counts what was taken from it, too",
)];

#[test]
fn everything_public_in_mio_is_public_in_the_reactor() {
    let ours = listed("reactor/public-api.txt");
    let theirs = listed(&mio_list());
    assert!(theirs.len() > 400, "mio's list has {} lines", theirs.len());
    let missing: Vec<_> =
        theirs.difference(&ours).filter(|line| !MISSING.iter().any(|(known, _)| known == line)).collect();
    assert!(missing.is_empty(), "mio has, and we lack:\n{missing:#?}");
    for (known, why) in MISSING {
        assert!(theirs.contains(known) && !ours.contains(known), "not missing any more: {known} ({why})");
    }
}

#[test]
fn every_public_name_of_mio_is_used_by_a_program() {
    let folder = root().join("tests/vocabulary/programs");
    let text: String = fs::read_dir(folder)
        .expect("the programs are there")
        .map(|entry| fs::read_to_string(entry.expect("readable").path()).expect("readable"))
        .collect();
    let names = names_of(&read(&mio_list()));
    assert!(names.len() > 120, "{names:?}");
    let unused: Vec<_> = names.iter().filter(|name| !text.contains(name.as_str())).collect();
    assert!(unused.is_empty(), "no program uses {unused:?}");
}

/// The list was made of one version; the programs are compiled with another as soon as Cargo.lock says so. A new list is what
/// `cargo +nightly public-api --features os-poll,os-ext,net --omit blanket-impls` says in the folder of mio's source, without
/// the lines about `Freeze` and `UnsafeUnpin`.
#[test]
fn the_list_is_of_the_mio_that_is_compiled() {
    let lock = read("Cargo.lock");
    let (_, package) = lock.split_once("name = \"mio\"\nversion = \"").expect("mio is locked");
    let version = package.split('"').next().expect("it has a version");
    assert_eq!(mio_list(), format!("tests/vocabulary/mio-{version}.txt"));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The one list of mio's.
fn mio_list() -> String {
    let lists = fs::read_dir(root().join("tests/vocabulary")).expect("the folder is there");
    let mut lists: Vec<PathBuf> = lists.map(|entry| entry.expect("readable").path()).collect();
    lists.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    let [list] = &lists[..] else { panic!("not one list: {lists:?}") };
    list.strip_prefix(root()).expect("it lies there").to_str().expect("its name is text").to_owned()
}

/// The lines of a listing, each said in one way: by the name of the reactor, without the names of lifetimes, and with the type
/// that is meant instead of `Self`.
fn listed(path: &str) -> BTreeSet<String> {
    let crates = |line: &str| line.replace("mio::", "reactor::").replace("pub mod mio", "pub mod reactor");
    let lifetimes = |line: String| line.replace("impl<'a> ", "impl ").replace("'a ", "").replace("'a", "'_");
    let fields = |line: String| line.replace("Event(_)", "Event");
    let lines = read(path);
    lines.lines().map(|line| without_self(&fields(lifetimes(crates(line))))).collect()
}

/// `pub fn a::B::new() -> Self` is `pub fn a::B::new() -> a::B`.
fn without_self(line: &str) -> String {
    let owner =
        line.split_once("fn ").and_then(|(_, rest)| Some(rest.split_once('(')?.0.rsplit_once("::")?.0));
    match owner {
        Some(owner) => line
            .replace("Self::IntoIter", "reactor::event::Iter<'_>")
            .replace("Self::Item", "&reactor::event::Event")
            .replace("Self", owner),
        None => line.to_owned(),
    }
}

/// What a program can name: types, constants and methods, as `Type` and `Type::method`. (Methods of traits are checked by the
/// bounds that the programs write.)
fn names_of(listing: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut in_trait_impl = false;
    for line in listing.lines() {
        if line.starts_with("impl") {
            in_trait_impl = line.contains(" for ");
            continue;
        }
        let words = line.split([' ', '(', '<', ':']).filter(|word| !word.is_empty());
        let words: Vec<&str> =
            words.skip_while(|word| word.starts_with("#[") || word.ends_with(']')).collect();
        match &words[..] {
            ["pub", "struct" | "trait" | "enum", "mio", path @ ..] => {
                in_trait_impl = false;
                let name = path.iter().take_while(|word| word.chars().all(|l| l.is_alphanumeric())).last();
                names.insert(name.expect("a path ends with a name").to_string());
            }
            ["pub", "fn" | "const", "mio", ..] | ["pub", "const", "fn", "mio", ..] if !in_trait_impl => {
                let path = line
                    .rsplit_once("mio::")
                    .map_or(line, |_| line.split_once("mio::").expect("it is there").1);
                let path = path.split(['(', '<', ' ']).next().unwrap_or(path).trim_end_matches(':');
                let last_two: Vec<&str> = path.rsplit("::").take(2).collect();
                names.insert(format!("{}::{}", last_two[1], last_two[0]));
            }
            _ => {}
        }
    }
    names
}
