//! What was measured: tables for people, or one JSON document.

use std::fmt::Write;

use super::progress;

/// One number, and where it stands.
pub struct Figure {
    column: String,
    row: String,
    value: f64,
    decimals: usize,
    spread: Option<f64>,
}

impl Figure {
    pub fn new(column: impl ToString, row: impl ToString, value: f64, decimals: usize) -> Figure {
        Figure { column: column.to_string(), row: row.to_string(), value, decimals, spread: None }
    }

    /// How far values of its kind are from each other.
    pub fn with_spread(self, spread: f64) -> Figure {
        Figure { spread: Some(spread), ..self }
    }

    fn text(&self) -> String {
        let Figure { value, decimals, .. } = self;
        match self.spread {
            Some(spread) => format!("{value:.decimals$} ± {spread:.decimals$}"),
            None => format!("{value:.decimals$}"),
        }
    }
}

/// Of a column, in characters.
const WIDTH: usize = 17;

struct Section {
    name: &'static str,
    title: String,
    note: &'static str,
    figures: Vec<Figure>,
    skipped: Option<String>,
}

/// Collects figures. Tables are printed as they are completed, JSON in the end.
pub struct Report {
    json: bool,
    sections: Vec<Section>,
}

impl Report {
    pub fn new(json: bool) -> Report {
        Report { json, sections: Vec::new() }
    }

    pub fn section(&mut self, name: &'static str, title: &str, note: &'static str) {
        progress::show(name);
        let title = title.to_owned();
        self.sections.push(Section { name, title, note, figures: Vec::new(), skipped: None });
    }

    pub fn figure(&mut self, figure: Figure) {
        self.current().figures.push(figure);
    }

    /// There will be no figures.
    pub fn skipped(&mut self, why: &str) {
        self.current().skipped = Some(why.to_owned());
        self.end_of_section();
    }

    pub fn end_of_section(&mut self) {
        progress::clear();
        if !self.json {
            println!("{}", self.current().table());
        }
    }

    pub fn finish(&self) {
        if self.json {
            println!("{}", self.document());
        }
    }

    fn current(&mut self) -> &mut Section {
        self.sections.last_mut().expect("figures come after a section was opened")
    }

    fn document(&self) -> String {
        let sections: Vec<String> = self.sections.iter().map(Section::json).collect();
        format!("{{\"measurements\":[{}]}}", sections.join(","))
    }
}

impl Section {
    /// Columns in the order in which they were first filled, likewise rows.
    fn table(&self) -> String {
        let mut text = format!("{}\n", self.title);
        if let Some(why) = &self.skipped {
            let _ = writeln!(text, "  skipped: {why}"); // writing to a String cannot fail
            return text;
        }
        let columns = in_order(self.figures.iter().map(|figure| figure.column.as_str()));
        let rows = in_order(self.figures.iter().map(|figure| figure.row.as_str()));
        let cell = |row: &str, column: &str| {
            let figure = self.figures.iter().find(|figure| figure.row == row && figure.column == column);
            figure.map_or("–".to_owned(), Figure::text)
        };
        let names = rows.iter().map(|row| row.chars().count()).max().unwrap_or(0);
        text += &" ".repeat(2 + names);
        columns.iter().for_each(|column| text += &format!("{column:>WIDTH$}"));
        for row in rows {
            let _ = write!(text, "\n  {row:<names$}");
            columns.iter().for_each(|column| text += &format!("{:>WIDTH$}", cell(row, column)));
        }
        let _ = writeln!(text, "\n  ({})", self.note);
        text
    }

    fn json(&self) -> String {
        let figures: Vec<String> = self
            .figures
            .iter()
            .map(|Figure { column, row, value, spread, .. }| {
                let spread = spread.map_or(String::new(), |spread| format!(",\"spread\":{spread}"));
                let (column, row) = (quoted(column), quoted(row));
                format!("{{\"row\":{row},\"column\":{column},\"value\":{value}{spread}}}")
            })
            .collect();
        let skipped =
            self.skipped.as_ref().map_or(String::new(), |why| format!(",\"skipped\":{}", quoted(why)));
        format!(
            "{{\"name\":{},\"title\":{},\"figures\":[{}]{skipped}}}",
            quoted(self.name),
            quoted(&self.title),
            figures.join(",")
        )
    }
}

fn in_order<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    names.for_each(|name| {
        if !seen.contains(&name) {
            seen.push(name);
        }
    });
    seen
}

/// A JSON string (RFC 8259, section 7).
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control < ' ' => quoted += &format!("\\u{:04x}", control as u32),
            other => quoted.push(other),
        }
    }
    quoted + "\""
}
