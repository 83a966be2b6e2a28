//! The repository's files, and what of a Rust file is code.

use std::fs;
use std::path::{Path, PathBuf};

/// A file of the repository.
pub struct File {
    /// Its path from the repository's root.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// Folders of what is built or installed, not written.
const NOT_OURS: [&str; 5] = [".git", ".tools", "dist", "target", "data"];

/// All files under a folder whose names end with one of these, in order.
pub fn files(folder: &str, endings: &[&str]) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    collect(&root.join(folder), endings, &mut found);
    found.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let path = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        File { path, text }
    };
    let found: Vec<File> = found.into_iter().map(read).collect();
    assert!(
        !found.is_empty(),
        "no file in {folder:?} ends with one of {endings:?}: this test looks at nothing"
    );
    found
}

fn collect(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_str().unwrap_or_default();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() && !NOT_OURS.contains(&name) {
            collect(&path, endings, found);
        } else if kind.is_file() && endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
}

/// A Rust file taken apart: in both texts every character that belongs to the other is a space, so that lines and
/// columns are the file's own. What is in strings belongs to neither.
pub struct Parts {
    /// The code.
    pub code: String,
    /// The comments, without their slashes.
    pub comments: String,
}

/// Takes a Rust file apart.
pub fn parts(text: &str) -> Parts {
    let chars: Vec<char> = text.chars().collect();
    let (mut code, mut comments) = (String::new(), String::new());
    let mut at = 0;
    while at < chars.len() {
        let (length, kind) = token(&chars[at..], at.checked_sub(1).map(|before| chars[before]));
        for (index, c) in chars[at..at + length].iter().enumerate() {
            let blank = if *c == '\n' { '\n' } else { ' ' };
            code.push(if kind == Kind::Code { *c } else { blank });
            let slash = index < 3 && matches!(c, '/' | '!' | '*');
            comments.push(if kind == Kind::Comment && !slash { *c } else { blank });
        }
        at += length;
    }
    Parts { code, comments }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Text,
}

/// How long the token is that begins here, and what it is.
fn token(rest: &[char], before: Option<char>) -> (usize, Kind) {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let until = |end: &dyn Fn(usize) -> bool| (1..rest.len()).find(|at| end(*at)).unwrap_or(rest.len());
    match rest {
        ['/', '/', ..] => (until(&|at| rest[at] == '\n'), Kind::Comment),
        ['/', '*', ..] => (until(&|at| at > 3 && rest[at - 2] == '*' && rest[at - 1] == '/'), Kind::Comment),
        ['r', '#' | '"', ..] if !in_word => raw(rest, 1),
        ['b', 'r', '#' | '"', ..] if !in_word => raw(rest, 2),
        ['"', ..] => (quoted(rest, '"'), Kind::Text),
        ['\'', '\\', ..] => (quoted(rest, '\''), Kind::Text),
        ['\'', _, '\'', ..] => (3, Kind::Text),
        _ => (1, Kind::Code),
    }
}

/// A raw string; `r#type` is a name.
fn raw(rest: &[char], prefix: usize) -> (usize, Kind) {
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    if rest.get(prefix + hashes) != Some(&'"') {
        return (1, Kind::Code);
    }
    let closes =
        |at: &usize| rest[*at] == '"' && rest[at + 1..].iter().take_while(|c| **c == '#').count() >= hashes;
    let end = (prefix + hashes + 1..rest.len()).find(closes);
    (end.map_or(rest.len(), |end| end + 1 + hashes), Kind::Text)
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// The code without what is compiled for tests only.
pub fn without_tests(code: &str) -> String {
    let mut code = code.to_owned();
    while let Some(from) = code.find("#[cfg(test)]") {
        let end = item_end(&code, from + "#[cfg(test)]".len());
        let blank: String = code[from..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        code.replace_range(from..end, &blank);
    }
    code
}

/// Where the item ends that begins here: after its semicolon, or its closing brace.
pub fn item_end(code: &str, from: usize) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code[from..].char_indices() {
        match c {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && matches!(c, ';' | '}') {
            return from + at + 1;
        }
    }
    code.len()
}

/// The line of a place in a text, counted from 1.
pub fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

#[test]
fn a_file_is_taken_apart_where_rust_does() {
    let text = "a('\"', b\"//\", r#\"\"\"#) // \"c\"\nlet r#type: &'a str = '\\'';/* d */e";
    let Parts { code, comments } = parts(text);
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(squeezed(&code), "a( , b , ) let r#type: &'a str = ; e");
    assert_eq!(squeezed(&comments), "\"c\" d */");
    assert_eq!(squeezed(&without_tests("a; #[cfg(test)] mod b { c(); } #[cfg(test)] mod d; e")), "a; e");
}
