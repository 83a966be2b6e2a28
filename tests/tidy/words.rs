//! Sentences that need a second reading, and what should not be left in what ships.

use crate::assert_none;
use crate::sources::{files, line_of, parts};

/// Phrases of comments and pages that a stranger stumbles over, and what to write.
const PHRASES: [(&str, &str); 9] = [
    ("in nothing else says nothing else", "say what is the same, and what follows from it"),
    ("only ask too late", "say who asks, when, and what would go wrong later"),
    ("since, it is its reservation that", "say what has happened to the reservation, and what follows"),
    ("who has it now", "name the actor and the thing"),
    (", for where ", "\"if\" for a condition, \"where\" for a place"),
    (": for where ", "\"if\" for a condition, \"where\" for a place"),
    ("whoever it was that", "name the actor"),
    ("what it is that it", "name the thing"),
    ("it is it that", "name the thing"),
];

/// Marks of what is not done, and places of one machine. They are written in two parts, since this file is read too.
const LEFTOVERS: [(&str, &str); 4] = [("TO", "DO"), ("FIX", "ME"), ("XX", "X:"), ("/ho", "me/")];

#[test]
fn comments_and_pages_are_understood_at_first_reading() {
    let mut found = Vec::new();
    for file in files("", &[".rs", ".md"]).iter().filter(|file| file.path != "tests/tidy/words.rs") {
        let prose = if file.path.ends_with(".rs") { parts(&file.text).comments } else { file.text.clone() };
        // A phrase may go over the end of a line.
        let prose = joined(&prose);
        for (phrase, instead) in PHRASES {
            for (at, _) in prose.text.match_indices(phrase) {
                let line = prose.line(at);
                found.push(format!("{}:{line}: {:?}: {instead}", file.path, phrase.trim()));
            }
        }
    }
    assert_none(
        "A comment is plain to a stranger at first reading. Name the actor, and say it in two sentences:",
        &found,
    );
}

#[test]
fn nothing_is_left_for_later_and_no_machine_is_named() {
    let mut found = Vec::new();
    let endings = [".rs", ".md", ".toml", ".yaml", ".json", ".sh", ".sql", "Makefile"];
    for file in files("", &endings) {
        for word in LEFTOVERS.map(|(one, two)| format!("{one}{two}")) {
            for (at, _) in file.text.match_indices(&word) {
                found.push(format!("{}:{}: {word}", file.path, line_of(&file.text, at)));
            }
        }
    }
    assert_none("Do it, or file it as an issue; and name no place of one machine:", &found);
}

/// Prose with its white space as single spaces, and where each character was.
struct Joined {
    text: String,
    lines: Vec<(usize, usize)>,
}

impl Joined {
    fn line(&self, at: usize) -> usize {
        self.lines.iter().rev().find(|(from, _)| *from <= at).map_or(0, |(_, line)| *line)
    }
}

fn joined(prose: &str) -> Joined {
    let (mut text, mut lines) = (String::new(), Vec::new());
    for (index, line) in prose.lines().enumerate() {
        lines.push((text.len(), index + 1));
        for word in line.split_whitespace() {
            text.push_str(word);
            text.push(' ');
        }
    }
    Joined { text, lines }
}

#[test]
fn a_phrase_is_found_over_the_end_of_a_line() {
    let prose = joined("one two\n  three four");
    let at = prose.text.find("two three").unwrap();
    assert_eq!((prose.line(at), prose.line(at + 4)), (1, 2));
}
