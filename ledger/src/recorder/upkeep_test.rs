use super::*;

#[test]
fn leases_begin_anew_if_the_clock_was_set_or_a_pass_came_late() {
    let began = Instant::now();
    let at = |ms: u64| Moment::from_ms(1_000_000 + ms);
    for (passed_ms, wall_ms, expected) in [
        (5_000, 5_000, true),
        (9_000, 8_000, true),
        (14_000, 14_000, true),
        // A pass came late, or the machine slept.
        (16_000, 16_000, false),
        (5_000, 65_000, false),
        // The clock was set forward, or stood.
        (5_000, 15_001, false),
        (12_000, 1_000, false),
    ] {
        let now = (began + Duration::from_millis(passed_ms), at(wall_ms));
        assert_eq!(in_step((began, at(0)), now), expected, "{passed_ms} {wall_ms}");
    }
    let back = (began + Duration::from_secs(5), Moment::from_ms(999_999));
    assert!(!in_step((began, at(0)), back), "set back");
}
