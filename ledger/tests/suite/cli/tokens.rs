//! Tokens: added, listed and revoked.

use super::said;
use crate::common::Folder;

#[test]
fn a_token_is_shown_once_and_stored_as_a_hash() {
    let folder = Folder::new();
    let db = folder.database();
    said(&db, &["account", "create", "a", "--tier", "free"]);
    said(&db, &["account", "create", "b", "--tier", "free"]);
    let (code, token, note) = said(&db, &["token", "add", "a", "--name", "laptop"]);
    assert!(code == Some(0) && token.starts_with("mtx-") && token.len() == 45, "{token}");
    assert!(note.contains("only this once") && !note.contains(token.trim()), "{note}");
    if !crate::common::on_postgres() {
        let everything = std::fs::read(&db).unwrap();
        let is_there = everything.windows(44).any(|window| window == token.trim().as_bytes());
        assert!(!is_there, "the token is in the file");
    }

    let fixed = ["token", "add", "a", "--name", "demo", "--token", "mtx-demo-free"];
    assert_eq!(said(&db, &fixed).1, "mtx-demo-free\n");
    assert_eq!(said(&db, &fixed).0, Some(1));
    let again = [&fixed[..], &["--if-missing"]].concat();
    assert_eq!(said(&db, &again).1, "mtx-demo-free\n");
    let other = ["token", "add", "b", "--name", "demo", "--token", "mtx-demo-free", "--if-missing"];
    assert_eq!(said(&db, &other).0, Some(1));

    let list = said(&db, &["token", "list", "a"]).1;
    let id = list.lines().find(|line| line.contains("demo")).and_then(|line| line.split(' ').next()).unwrap();
    assert!(list.contains("laptop") && !list.contains("mtx-"), "{list}");
    let public = ["token", "revoke", "--token", "mtx-demo-free"];
    assert_eq!(said(&db, &["token", "revoke", "--token", "mtx-nobody"]).0, Some(1));
    assert!(said(&db, &public).1.starts_with(&format!("revoked {id};")));
    assert!(said(&db, &public).1.starts_with(&format!("revoked already {id};")));
    assert_eq!(said(&db, &["token", "revoke", id]).0, Some(0));
    assert!(said(&db, &["token", "list"]).1.contains("revoked"));
    assert_eq!(said(&db, &again).0, Some(1), "a revoked token does not work, so it does not exist already");
    for wrong in [
        &["token", "revoke", "mtx-demo-free"][..],
        &["token", "add", "nobody", "--name", "x"],
        &["token", "add", "a", "--name", ""],
        &["token", "add", "a", "--name", "x", "--token", "short"],
        &["token", "add", "a", "--name", "x", "--expires", "2020-01-01T00:00:00Z"],
        &["token", "list", "nobody"],
    ] {
        let (code, _, error) = said(&db, wrong);
        let why = error.lines().last().unwrap_or_default();
        assert!(code == Some(1) && why.starts_with("pax-ledger: "), "{wrong:?}: {error}");
    }
    let dated = ["token", "add", "a", "--name", "dated", "--expires", "2999-01-01T00:00:00Z"];
    assert_eq!(said(&db, &dated).0, Some(0));
    assert!(said(&db, &["token", "list"]).1.contains("active until 2999-01-01T00:00:00.000Z"));
}
