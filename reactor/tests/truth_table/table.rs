//! A table of the guide: how it is written, read again, and held against the backends.
//!
//! A cell says what epoll tells. Those that tell something else follow by name: `–<br>**select, poll**: R`.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use reactor::Backend;

use crate::support::backends;

/// What a cell is measured against: written anew if there is nothing.
pub type Expected<'a> = Option<&'a str>;

pub struct Table {
    /// Between `<!-- name -->` and `<!-- end of name -->` in the chapter.
    pub name: &'static str,
    /// The headings of the columns that name a row, and the names.
    pub names: &'static [&'static str],
    pub rows: Vec<Vec<String>>,
    /// The headings of the others.
    pub columns: &'static [&'static str],
}

impl Table {
    /// Holds each cell against each backend, or writes the table. `measure` is given a backend, a row, a column and what is
    /// expected there.
    pub fn check(&self, measure: impl Fn(Backend, usize, usize, Expected<'_>) -> String) {
        if !backends().any(|backend| backend == Backend::Epoll) {
            return eprintln!("skipped: the tables are those of Linux");
        }
        if std::env::var_os("WRITE_TRUTH_TABLE").is_some() {
            return self.write(&measure);
        }
        let published = self.read();
        let names = |row: &Vec<String>| row.iter().take(self.names.len()).cloned().collect::<Vec<_>>();
        let rows: Vec<_> = published.iter().map(names).collect();
        assert_eq!(rows, self.rows, "the rows of the table {:?}", self.name);
        let mut wrong = Vec::new();
        for (row, cells) in published.iter().enumerate() {
            for (column, cell) in cells[self.names.len()..].iter().enumerate() {
                for backend in backends() {
                    let expected = expected_of(cell, backend);
                    let found = measure(backend, row, column, Some(expected));
                    if found != expected {
                        let (row, column) = (self.rows[row].join(", "), self.columns[column]);
                        wrong.push(format!("{row}, {column}: {backend} tells {found}, not {expected}"));
                    }
                }
            }
        }
        let how = "WRITE_TRUTH_TABLE=1 writes it anew";
        assert!(wrong.is_empty(), "the table {:?} is wrong ({how}):\n{}", self.name, wrong.join("\n"));
    }

    /// The cells of each published row.
    fn read(&self) -> Vec<Vec<String>> {
        let chapter = fs::read_to_string(chapter()).expect("the chapter is there");
        let (_, table, _) = self.cut(&chapter);
        let rows = table.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|')).skip(2);
        rows.map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
    }

    fn write(&self, measure: &impl Fn(Backend, usize, usize, Expected<'_>) -> String) {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let headings = [self.names, self.columns].concat();
        let mut text = line(&headings.iter().map(|&heading| heading.to_owned()).collect::<Vec<_>>());
        text += &line(&vec!["---".to_owned(); headings.len()]);
        let published = self.read();
        for (row, names) in self.rows.iter().enumerate() {
            let cells = (0..self.columns.len()).map(|column| {
                let old = published.get(row).and_then(|cells| cells.get(self.names.len() + column));
                cell(old.map_or("", |cell| cell), |backend| measure(backend, row, column, None))
            });
            text += &line(&names.iter().cloned().chain(cells).collect::<Vec<_>>());
        }
        let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let old = fs::read_to_string(chapter()).expect("the chapter is there");
        let (before, _, after) = self.cut(&old);
        fs::write(chapter(), format!("{before}{text}{after}")).expect("written");
    }

    /// The chapter up to the table, the table, and what follows.
    fn cut<'a>(&self, chapter: &'a str) -> (&'a str, &'a str, &'a str) {
        let (start, end) = (format!("<!-- {} -->\n", self.name), format!("<!-- end of {} -->", self.name));
        let start = chapter.find(&start).map(|at| at + start.len()).expect("the table begins");
        let end = chapter.find(&end).expect("the table ends");
        (&chapter[..start], &chapter[start..end], &chapter[end..])
    }
}

fn chapter() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/guide/what_is_told.md")
}

/// One cell: what epoll tells, and by name what others tell. What the old one said of backends that are not here is kept.
fn cell(old: &str, measure: impl Fn(Backend) -> String) -> String {
    let reference = measure(Backend::Epoll);
    let is_here = |name: &&str| backends().any(|backend| backend.name() == *name);
    let mut others: Vec<(String, Vec<&str>)> = Vec::new();
    let mut add = |told: String, name| match others.iter_mut().find(|(other, _)| *other == told) {
        Some((_, names)) => names.push(name),
        None => others.push((told, vec![name])),
    };
    for backend in backends() {
        let told = measure(backend);
        if told != reference {
            add(told, backend.name());
        }
    }
    for (names, told) in others_of(old) {
        names.split(", ").filter(|name| !is_here(name)).for_each(|name| add(told.to_owned(), name));
    }
    let others = others.iter().map(|(told, names)| format!("<br>**{}**: {told}", names.join(", ")));
    reference + &others.collect::<String>()
}

/// Who tells something else than epoll, by a published cell, and what.
fn others_of(cell: &str) -> impl Iterator<Item = (&str, &str)> {
    cell.split("<br>").skip(1).filter_map(|part| part.strip_prefix("**")?.split_once("**: "))
}

/// What a published cell says of this backend.
fn expected_of(cell: &str, backend: Backend) -> &str {
    let mut own = others_of(cell).filter(|(names, _)| names.split(", ").any(|name| name == backend.name()));
    own.next().map_or_else(|| cell.split("<br>").next().unwrap_or_default(), |(_, told)| told)
}

#[test]
fn a_cell_says_what_each_backend_tells() {
    let tell = |backend: Backend| match backend {
        Backend::Select => "R".to_owned(),
        Backend::Poll => "R W".to_owned(),
        _ => "–".to_owned(),
    };
    let cell = cell("R<br>**select, unheard of**: W<br>**elsewhere**: –", tell);
    assert!(cell.ends_with("<br>**unheard of**: W<br>**elsewhere**: –"), "{cell}");
    for backend in backends() {
        assert_eq!(expected_of(&cell, backend), tell(backend), "{cell}");
    }
}
