//! The source tree as text, and what of it is code.

use std::fs;
use std::path::{Path, PathBuf};

/// A file of the repository.
#[derive(Clone)]
pub struct File {
    /// From the repository's root.
    pub path: String,
    pub text: String,
    /// The text with comments and the insides of literals blanked: as many lines, and nothing but code.
    pub code: String,
}

pub struct Tree {
    /// Every `.rs` file of the workspace.
    pub files: Vec<File>,
    /// Every `.md` file of the repository, and its other plain texts.
    pub texts: Vec<File>,
}

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace")
}

impl Tree {
    pub fn read() -> Tree {
        let mut paths = Vec::new();
        collect(root(), &mut paths);
        paths.sort();
        let mut tree = Tree { files: Vec::new(), texts: Vec::new() };
        for path in paths {
            let text =
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let name = path.strip_prefix(root()).expect("it was found below").to_string_lossy().into_owned();
            let file = File::new(&name, &text);
            let is_code = name.ends_with(".rs");
            if is_code { &mut tree.files } else { &mut tree.texts }.push(file);
        }
        tree
    }

    /// The code files below `folder`.
    pub fn under(&self, folder: &str) -> Vec<File> {
        self.files.iter().filter(|file| file.path.starts_with(folder)).cloned().collect()
    }
}

/// Code and texts below `folder`, but nothing hidden and nothing built.
fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("the folder is readable").path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let is_read = [".rs", ".md", ".toml"].iter().any(|ending| name.ends_with(ending));
        if name.starts_with('.') || name == "target" {
            continue;
        }
        if path.is_dir() {
            collect(&path, paths);
        } else if is_read {
            paths.push(path);
        }
    }
}

impl File {
    pub fn new(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned(), code: code_of(text) }
    }

    /// Its name without `.rs`.
    pub fn name(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        name.strip_suffix(".rs").unwrap_or(name)
    }

    /// Its code up to the unit tests, which stand last.
    pub fn code_without_tests(&self) -> &str {
        &self.code[..tests_of(&self.code)]
    }

    /// How many lines stand before the unit tests.
    pub fn lines_without_tests(&self) -> usize {
        self.text[..tests_of(&self.text)].lines().count()
    }

    /// `path:line`, for a position in its text or code.
    pub fn at(&self, position: usize) -> String {
        format!("{}:{}", self.path, self.code[..position].matches('\n').count() + 1)
    }
}

/// Where the unit tests begin.
fn tests_of(text: &str) -> usize {
    text.find("#[cfg(test)]\nmod ").unwrap_or(text.len())
}

/// Blanks comments and the insides of string and character literals.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, is_code) = match first {
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), false),
            '/' if rest.starts_with("/*") => (block_comment(rest), false),
            '"' => (string(rest), false),
            'r' | 'b' | 'c' => match raw_string(rest) {
                Some(length) => (length, false),
                None => (word(rest), true),
            },
            '\'' => (character(rest), false),
            letter if letter.is_alphanumeric() || letter == '_' => (word(rest), true),
            other => (other.len_utf8(), true),
        };
        let (piece, after) = rest.split_at(length);
        if is_code {
            code.push_str(piece);
        } else {
            // As many bytes and lines as before, so that positions still fit.
            code.extend(piece.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
        }
        rest = after;
    }
    code
}

/// The length of the identifier or number that `text` begins with.
fn word(text: &str) -> usize {
    text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len())
}

/// The length of the (nested) comment that `text` begins with.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let bytes = &text.as_bytes()[at..];
        if bytes.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if bytes.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// The length of the string literal that `text` begins with.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the raw string literal (`r"…"`, `br#"…"#`) that `text` begins with, if it does.
fn raw_string(text: &str) -> Option<usize> {
    let letters = text.find(|letter| !matches!(letter, 'r' | 'b' | 'c'))?;
    let hashes = text[letters..].find(|letter| letter != '#')?;
    let opened = letters + hashes;
    if !text[..letters].ends_with('r') || !text[opened..].starts_with('"') {
        return None;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let length = text[opened + 1..].find(&end).map(|at| opened + 1 + at + end.len());
    Some(length.unwrap_or(text.len()))
}

/// The length of the character literal that `text` begins with, or of the quote alone where it begins a lifetime.
fn character(text: &str) -> usize {
    let mut letters = text.char_indices().skip(1);
    match (letters.next(), letters.next()) {
        (Some((_, '\\')), _) => {
            text[2..].char_indices().skip(1).find(|&(_, letter)| letter == '\'').map_or(1, |(at, _)| at + 3)
        }
        (_, Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

#[test]
fn comments_and_literals_are_no_code() {
    for (text, expected) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        (r#"a "b \" // c" d"#, "a             d"),
        (r##"a r#"b " c"# d"##, "a            d"),
        (r"a '\'' b '\n' 'x' c", "a      b          c"),
        ("fn f<'a>(x: &'a u8)", "fn f< a>(x: & a u8)"),
        ("attribute br\"x\" bar", "attribute       bar"),
        ("b'?' r", "b    r"),
    ] {
        assert_eq!(code_of(text), expected, "{text}");
    }
    let text = "ä \"é\n\" 'ß' // ü\n";
    assert_eq!(code_of(text).lines().count(), text.lines().count());
}
