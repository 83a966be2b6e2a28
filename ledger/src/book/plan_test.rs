use super::*;

fn change(corrects: &str, was: &str, now: &str) -> Change {
    Change { corrects: corrects.to_owned(), was_pax: was.parse().unwrap(), now_pax: now.parse().unwrap() }
}

#[test]
fn a_plan_has_another_name_if_anything_that_it_would_do_is_different() {
    let card = Digest::of(&[b"card"]);
    let id = |card, batches: &[&[Change]]| {
        let hashes = batches.iter().map(|batch| batch_sha256(batch.iter()));
        PlanId::new(Moment::from_ms(7), card, hashes).to_string()
    };
    let (a, b) = (change("a", "1", "2"), change("b", "3", "4"));
    let all = [
        id(card, &[&[a.clone(), b.clone()]]),
        id(card, &[std::slice::from_ref(&a), std::slice::from_ref(&b)]),
        id(card, &[&[b.clone(), a.clone()]]),
        id(card, &[std::slice::from_ref(&a)]),
        id(card, &[&[change("a", "1", "2.000000000001"), b.clone()]]),
        id(card, &[&[change("a", "1.000000000001", "2"), b.clone()]]),
        id(card, &[&[change("c", "1", "2"), b.clone()]]),
        id(Digest::of(&[b"another card"]), &[&[a, b]]),
    ];
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    assert_eq!(all[0].parse::<PlanId>().unwrap().to_string(), all[0]);
    for wrong in
        ["", "7", "7-", &all[0][2..], &format!("0{}", all[0]), &all[0][..60], &format!("+{}", all[0])]
    {
        assert!(wrong.parse::<PlanId>().unwrap_err().contains("--dry-run"), "{wrong}");
    }
}

#[test]
fn the_published_hashes_never_change() {
    // The operator log has the first for ever.
    let batch = batch_sha256([change("a", "1", "2")].iter());
    let lines = "pax-corrections/1\na 1.000000000000 2.000000000000\n";
    assert_eq!(batch, Digest::of(&[lines.as_bytes()]));
    let card = Digest::of(&[b"card"]);
    let plan = PlanId::new(Moment::from_ms(7), card, [batch].into_iter());
    assert_eq!(plan.sha256, Digest::of(&[format!("pax-plan/1\n{card}\n{batch}\n").as_bytes()]));
}
